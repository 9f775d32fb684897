/**
 * Records the data and the messages of a release's program, as fixtures for the tests of later releases.
 * `scripts/release` runs it with the binary that it has built:
 *
 *   scripts/bun test/releases/record.ts [binary] [folder]
 *
 * The defaults are `dist/ostiary`, and a folder with the name of the version beside this file.
 *
 * A primary, an edge and a fallback go through `history.ts`, and the edge is promoted. The keys are used only here.
 */
import * as Bun from "bun";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { builtBinary } from "../../scripts/built-binary.ts";
import { freePort, NodeProcess } from "../../scripts/node-process.ts";
import { must } from "../../src/util/assert.ts";
import { eventually } from "../e2e/cluster.ts";
import { afterPromotion, beginning, recordedQueries } from "./history.ts";
import { OpenBroker } from "./open-broker.ts";
import { recordReplication } from "./record-replication.ts";
import { Recording } from "./recording.ts";
import { releasesFolder, type BrokerMessage, type Release, type Replication } from "./recorded.ts";

const adminKey = "e_default_admin_5b1f0e7c2d9a48c6a3e4f7081c2d9b35";
const nodeKey = "n_default_7e3d51c90f2b48a6";
const environment = "default";
/** So few that the log is trimmed, and enough for everything that other nodes fetch. */
const eventsKept = 40;

interface Nodes {
  /** The primary until the other one is promoted. */
  readonly first: NodeProcess;
  readonly second: NodeProcess;
  readonly fallback: NodeProcess;
}

/** From a node's head, which has the digest itself: `/healthcheck` has only a fingerprint of it. */
interface RecordedPosition {
  readonly e: string;
  readonly n: number;
  readonly l: number;
  readonly d: string;
}

async function record(binary: string, target: string, directory: string): Promise<void> {
  const run = runner(binary, directory);
  const { version, commit } = JSON.parse(run("version", "--json")) as Pick<Release, "version" | "commit">;
  const broker = await OpenBroker.start();
  const nodes = await prepareNodes(binary, directory, broker);
  const { first, second, fallback } = nodes;
  const recording = new Recording(adminKey);
  try {
    await first.start();
    await second.start();
    // Without a policy, it is not ready.
    fallback.launch();
    await recording.write(first, beginning);
    await converge(first, nodes);
    const replication = await recordReplication(recording, first, nodeKey, broker, join(target, "feed.snapshot"));
    const [promoted] = await recording.ask(second, [
      { method: "POST", path: "/api/promote", body: { graceful: true } },
    ]);
    if (promoted?.status !== 200) throw new Error(`the edge was not promoted: ${JSON.stringify(promoted)}`);
    await recording.write(second, afterPromotion);
    await converge(second, nodes);
    const { offset: written } = must(await second.health());
    const isPromoted = ({ topic, payload }: BrokerMessage): boolean =>
      topic.endsWith("/head") && (JSON.parse(payload) as { l?: number }).l === written;
    await eventually(async () => broker.messages.some(isPromoted), "the promoted edge publishes its head");
    const promotedHead = must(broker.messages.find(isPromoted));
    writePacked(target, "replication.json", { ...replication, promotedHead } satisfies Replication);
    writePacked(target, "history.json", recording.written);
    const headers = { Authorization: `Bearer ${nodeKey}` };
    const head = (await (await fetch(`${second.url}/replication/v1/head`, { headers })).json()) as RecordedPosition;
    const events = { method: "GET", path: `/api/events?after=${head.l - 12}&limit=12` };
    writePacked(target, "answers.json", await recording.ask(second, [...recordedQueries(), events]));
    run("snapshot", "create", "--url", second.url, "--out", join(target, "all.snapshot"));
    run("backup", "--url", second.url, "--out", join(target, "all.backup"));
    const listed = JSON.parse(run("restore", join(target, "all.backup"), "--list", "--json")) as {
      readonly earliest: { readonly offset: number };
    };
    const release: Release = {
      ...{ version, commit, environment, adminKey, readKey: recording.readKey, nodeKey },
      ...{ epoch: head.e, term: head.n, offset: head.l, digest: head.d },
      trimmedTo: listed.earliest.offset,
    };
    writeFileSync(join(target, "release.json"), `${JSON.stringify(release, undefined, 2)}\n`);
    await Promise.all([first.stop(), fallback.stop()]);
  } finally {
    // The primary has no time to clean up: its log (`-wal`) is part of the data for later releases.
    await Promise.all([first, second, fallback].map((node) => node.kill()));
    await broker.close();
  }
  keepFiles(second.directory, join(target, "primary"));
  keepFiles(first.directory, join(target, "edge"));
  keepFiles(fallback.directory, join(target, "fallback"));
}

async function prepareNodes(binary: string, directory: string, broker: OpenBroker): Promise<Nodes> {
  const ports = { first: await freePort(), second: await freePort(), fallback: await freePort() };
  const url = (name: keyof Nodes): string => `http://127.0.0.1:${ports[name]}`;
  const common = {
    OSTIARY_NODE_KEY: nodeKey,
    OSTIARY_ACK: "edges:1",
    OSTIARY_BROKER: broker.url,
    OSTIARY_BROKER_USERNAME: "recorded",
    OSTIARY_BROKER_PASSWORD: "recorded",
    OSTIARY_PEERS: [url("first"), url("second")].join(","),
    OSTIARY_RETENTION_EVENTS: String(eventsKept),
    OSTIARY_LOG_TRIM_INTERVAL_MS: "200ms",
  };
  const node = (name: keyof Nodes, role: "primary" | "edge" | "fallback", own: Record<string, string>): NodeProcess =>
    new NodeProcess({
      ...{ binary, name, role, port: ports[name], directory: join(directory, name) },
      environment: { ...common, ...own },
    });
  return {
    first: node("first", "primary", { OSTIARY_ADMIN_KEY: adminKey }),
    second: node("second", "edge", { OSTIARY_PRIMARY: url("first") }),
    fallback: node("fallback", "fallback", { OSTIARY_PRIMARY: url("first"), OSTIARY_REFRESH: "1s" }),
  };
}

/** Waits until all nodes have the position of the primary. */
async function converge(primary: NodeProcess, { first, second, fallback }: Nodes): Promise<void> {
  const wanted = must(await primary.health());
  for (const node of [first, second, fallback])
    await node.ready(({ ok, offset, digest }) => ok && offset === wanted.offset && digest === wanted.digest);
}

function runner(binary: string, directory: string): (...words: string[]) => string {
  const env = { PATH: process.env["PATH"] ?? "", OSO_AUTH: adminKey, OSTIARY_NODE_KEY: nodeKey };
  return (...words) => {
    const { success, stdout, stderr } = Bun.spawnSync([binary, ...words], { cwd: directory, env });
    if (!success) throw new Error(`ostiary ${words.join(" ")} failed:\n${stderr.toString()}`);
    return stdout.toString();
  };
}

function writePacked(target: string, name: string, value: unknown): void {
  writeFileSync(join(target, `${name}.zst`), Bun.zstdCompressSync(JSON.stringify(value), { level: 19 }));
}

/**
 * The data of the node, with compressed databases and logs. Its lock is empty, and SQLite rebuilds the index of a log.
 */
function keepFiles(source: string, target: string): void {
  mkdirSync(target, { recursive: true });
  for (const entry of readdirSync(source, { withFileTypes: true })) {
    if (!entry.isFile() || entry.name.startsWith("lock") || entry.name.endsWith("-shm")) continue;
    const content = readFileSync(join(source, entry.name));
    if (!/\.db(?:-wal)?$/.test(entry.name)) writeFileSync(join(target, entry.name), content);
    else if (content.length > 0)
      writeFileSync(join(target, `${entry.name}.zst`), Bun.zstdCompressSync(content, { level: 19 }));
  }
}

const [given, folder] = process.argv.slice(2);
const binary = given === undefined ? await builtBinary() : resolve(given);
const directory = mkdtempSync(join(tmpdir(), "ostiary-record-"));
try {
  const { version } = JSON.parse(runner(binary, directory)("version", "--json")) as Release;
  const target = folder === undefined ? join(releasesFolder, version) : resolve(folder);
  rmSync(target, { recursive: true, force: true });
  mkdirSync(target, { recursive: true });
  await record(binary, target, directory);
  console.log(`recorded ${version} in ${target}`);
} finally {
  rmSync(directory, { recursive: true, force: true });
}
