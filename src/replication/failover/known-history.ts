/**
 * What other nodes know of a history and its terms, before this node begins or continues one.
 *
 * An empty data directory usually means that a volume is not mounted: a primary that started on it would answer `deny`
 * to everything, and its edges would lose their primary. So before it creates a database it looks for an older history:
 * at its peers, at the external brokers, which retain the last head of a primary, and in the notes of its own directory.
 * A peer or broker that does not answer within a few seconds does not delay the start.
 */
import { brokerAddress } from "../../config/broker-address.ts";
import type { Config } from "../../config/config.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { AppError } from "../../util/app-error.ts";
import { deadline } from "../../util/clock.ts";
import { reasonOf } from "../../util/reason.ts";
import type { NodeHead } from "../transport/messages.ts";
import { connectPeers } from "../transport/open-peers.ts";
import { approvedHistory, knownHistory } from "../history-notes.ts";
import { nodeKeyHashesOf } from "../identity.ts";
import type { PeerSystem } from "../transport/node-client.ts";
import { externalBrokerUrls, readBrokerHeads } from "./broker-heads.ts";

const log = getLogger("primary");

const historyTimeoutMs = 4000;
const termTimeoutMs = 5000;

interface KnownHistory {
  readonly history: string;
  readonly offset: number | undefined;
  /** Where the history is known, for a sentence. */
  readonly where: string;
}

/** AppError `conflict` if a history is known, unless it is the one that an operator has abandoned. */
export async function requireNoKnownHistory(config: Config, system: PeerSystem): Promise<void> {
  const { data, environment } = config;
  const stored = knownHistory(data);
  const own: KnownHistory[] =
    stored === undefined ? [] : [{ history: stored, offset: undefined, where: "this directory's notes" }];
  const asked = await Promise.all([askPeers(config, system), ...askBrokers(config, system)]);
  const abandoned = approvedHistory(data, "abandon-history");
  const known = [...own, ...asked.flatMap((found) => found ?? [])];
  const first = known.find(({ history }) => history !== abandoned);
  if (first !== undefined) throw refusal(first, data, environment, abandoned);
  if (known.length > 0)
    log.warning("this primary begins a new history, the history {abandoned} was abandoned", { abandoned });
}

function refusal(
  { history, offset, where }: KnownHistory,
  data: string,
  environment: string,
  abandoned?: string,
): AppError {
  const position = offset === undefined ? "" : ` at offset ${offset}`;
  const hint = abandoned === undefined ? "" : ` (That ${abandoned} is abandoned does not help.)`;
  return new AppError(
    "conflict",
    `there is no database in \`${data}\`, but ${where} has the history ${history} of environment \`${environment}\`${position}: this primary does not start empty. Is a volume not mounted? Mount it; or \`ostiary restore\` a backup into the directory; or \`ostiary promote\` an edge. To begin a new history on purpose: \`ostiary abandon-history ${history} --data ${data}\`, and start again${hint}`,
  );
}

async function askPeers(config: Config, system: PeerSystem): Promise<KnownHistory[]> {
  const answers = await askHeads(config, historyTimeoutMs, system, (url, error) =>
    log.info("{url} did not tell whether there is an older history: {reason}", { url, reason: reasonOf(error) }),
  );
  return answers.flatMap(({ url, head }) => {
    const history = head?.epochs[0]?.epoch;
    return history === undefined ? [] : [{ history, offset: head?.l, where: url }];
  });
}

function askBrokers(config: Config, system: PeerSystem): Promise<KnownHistory | undefined>[] {
  const nodeKeyHashes = nodeKeyHashesOf(config);
  // Without the node key, heads cannot be authenticated.
  if (nodeKeyHashes === undefined) return [];
  return externalBrokerUrls(config).map(async (url) => {
    const { retained, live = retained } = await readBrokerHeads(url, config, nodeKeyHashes, 0, system);
    return live && { history: live.f ?? live.e, offset: live.l, where: `the broker ${brokerAddress(url).name}` };
  });
}

/** Asks the peers, if there is a node key. No head of a peer that is late, fails or is of another environment. */
async function askHeads(
  config: Config,
  timeoutMs: number,
  system: PeerSystem,
  onFailure?: (url: string, error: unknown) => void,
): Promise<{ readonly url: string; readonly head: NodeHead | undefined }[]> {
  using late = deadline(system.clock, timeoutMs);
  const tooLate = new Promise<undefined>((resolve) => late.signal.addEventListener("abort", () => resolve(undefined)));
  return await Promise.all(
    connectPeers(config, system).map(async ({ url, client }) => {
      const answer = client.head(undefined).catch((error: unknown) => onFailure?.(url, error));
      const head = (await Promise.race([answer, tooLate])) ?? undefined;
      client.close();
      return { url, head: head?.s === config.environment ? head : undefined };
    }),
  );
}

export interface KnownTerm {
  /** The greatest term that other nodes know; 0 if no node answered. */
  readonly term: number;
  /** The nodes that did not answer. */
  readonly silent: readonly string[];
}

/**
 * Asks the configured peers and, on an edge, the configured primary for their terms. A restored history begins after the
 * greatest one, so that those nodes follow it.
 */
export async function askKnownTerm(config: Config, system: PeerSystem): Promise<KnownTerm> {
  const { primary, peers } = config;
  const urls = [...new Set([...(primary === undefined ? [] : [primary]), ...peers])];
  const answers = await askHeads({ ...config, peers: urls }, termTimeoutMs, system);
  return {
    term: Math.max(0, ...answers.map(({ head }) => (head === undefined ? 0 : Math.max(head.n, head.promised ?? 0)))),
    silent: answers.filter(({ head }) => head === undefined).map(({ url }) => url),
  };
}
