/**
 * Records the messages of a primary to other nodes, over HTTP and over a broker, during the requests of `history.ts`.
 */
import { writeFileSync } from "node:fs";
import { eventually } from "../e2e/cluster.ts";
import type { NodeProcess } from "../../scripts/node-process.ts";
import type { OpenBroker } from "./open-broker.ts";
import { beforeEventStream, duringEventStream } from "./history.ts";
import type { Replication, ServedResponse } from "./recorded.ts";
import type { Recording } from "./recording.ts";

interface RecordedPosition {
  readonly e: string;
  readonly n: number;
  readonly l: number;
  readonly h: string;
}

/** The snapshot is written to `snapshotPath`. */
export async function recordReplication(
  recording: Recording,
  primary: NodeProcess,
  nodeKey: string,
  broker: OpenBroker,
  snapshotPath: string,
): Promise<Omit<Replication, "promotedHead">> {
  const get = (path: string): Promise<Response> =>
    fetch(`${primary.url}/replication/v1/${path}`, { headers: { Authorization: `Bearer ${nodeKey}` } });
  const text = async (path: string): Promise<string> => (await get(path)).text();
  const pageAfter = ({ e, n, l, h }: RecordedPosition): string => `log?epoch=${e}&term=${n}&after=${l}&hash=${h}`;
  const position = async (): Promise<RecordedPosition> => JSON.parse(await text("head")) as RecordedPosition;

  const snapshot = await get("snapshot");
  const snapshotTag = snapshot.headers.get("etag") ?? "";
  const bytes = Buffer.from(await snapshot.arrayBuffer());
  writeFileSync(snapshotPath, bytes);
  const from = manifestOf(bytes);
  const start = broker.messages.findLastIndex(({ topic }) => topic.endsWith("/head"));
  await recording.write(primary, beforeEventStream);
  const arrived = await position();
  const before: ServedResponse = {
    head: await text("head"),
    pages: {
      [from.offset]: await text(pageAfter({ e: from.epoch, n: from.term, l: from.offset, h: from.hash })),
      [arrived.l]: await text(pageAfter(arrived)),
    },
  };

  const first = broker.messages.length;
  const passed = [arrived];
  for (const request of duringEventStream) {
    await recording.write(primary, [request]);
    passed.push(await position());
  }
  const { l: last } = await position();
  const isLast = (payload: string): boolean => (JSON.parse(payload) as { l?: number }).l === last;
  const published = (ending: string): boolean =>
    broker.messages.slice(first).some(({ topic, payload }) => topic.endsWith(ending) && isLast(payload));
  await eventually(async () => published("/ev") && published("/head"), "all was published");
  const pages: Record<string, string> = {};
  for (const position of passed) pages[position.l] = await text(pageAfter(position));
  const after: ServedResponse = { head: await text("head"), pages };

  const unknown = { e: "0123456789abcdef", n: 1, l: 3, h: "0123456789abcdef" };
  const trimmed = { ...(await position()), l: 1, h: "0123456789abcdef" };
  const refusals = [unknown, trimmed].map(async (position) => {
    const response = await get(pageAfter(position));
    return { status: response.status, body: await response.text() };
  });
  return { snapshotTag, before, after, messages: broker.messages.slice(start), refusals: await Promise.all(refusals) };
}

interface Manifest {
  readonly epoch: string;
  readonly term: number;
  readonly offset: number;
  readonly hash: string;
}

/** The manifest is the first line, after the eight bytes at the beginning of a skippable frame of Zstandard. */
function manifestOf(snapshot: Buffer): Manifest {
  return JSON.parse(snapshot.toString("utf8", 8, snapshot.indexOf("\n"))) as Manifest;
}
