/**
 * Prevents a primary from beginning a new history if there is an older one. An empty data directory usually means that
 * a volume is not mounted: a primary that started on it would answer `deny` to everything, and its edges would lose
 * their primary. So before it creates a database it looks for an older history: at its peers, at the external brokers,
 * which retain the last head of a primary, and in the notes of its own directory. A peer or broker that does not answer
 * within a few seconds does not delay the start.
 */
import { brokerAddress } from "../../config/broker-address.ts";
import type { Config } from "../../config/config.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { AppError } from "../../util/app-error.ts";
import { reasonOf } from "../../util/reason.ts";
import type { NodeHead } from "../transport/messages.ts";
import { connectPeers } from "../transport/open-peers.ts";
import { approvedHistory, knownHistory } from "../history-notes.ts";
import { nodeKeyHashOf } from "../identity.ts";
import type { PeerSystem } from "../transport/node-client.ts";
import { externalBrokerUrls, readBrokerHeads } from "./broker-heads.ts";

const log = getLogger("primary");

/** All are asked at the same time. */
const askTimeoutMs = 4000;

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
  const asked = await Promise.all([...askPeers(config, system), ...askBrokers(config, system)]);
  const abandoned = approvedHistory(data, "abandon-history");
  const known = [...own, ...asked.flatMap((found) => (found === undefined ? [] : [found]))];
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

function askPeers(config: Config, system: PeerSystem): Promise<KnownHistory | undefined>[] {
  const knownTo = (url: string, head: NodeHead): KnownHistory | undefined => {
    const [first] = head.epochs;
    if (head.s !== config.environment || first === undefined) return undefined;
    return { history: first.epoch, offset: head.l, where: url };
  };
  return connectPeers(config, system).map(async ({ url, client }) => {
    const answer = client.head(undefined).then(
      (head) => knownTo(url, head),
      (error: unknown) => {
        log.info("{url} did not tell whether there is an older history: {reason}", { url, reason: reasonOf(error) });
        return undefined;
      },
    );
    const known = await inTime(answer, system);
    client.close();
    return known;
  });
}

function askBrokers(config: Config, system: PeerSystem): Promise<KnownHistory | undefined>[] {
  const nodeKeyHash = nodeKeyHashOf(config);
  // Without the node key, heads cannot be authenticated.
  if (nodeKeyHash === undefined) return [];
  return externalBrokerUrls(config).map(async (url) => {
    const { retained, live = retained } = await readBrokerHeads(url, config, nodeKeyHash, 0, system);
    return live && { history: live.f ?? live.e, offset: live.l, where: `the broker ${brokerAddress(url).name}` };
  });
}

function inTime<T>(answer: Promise<T | undefined>, { clock }: PeerSystem): Promise<T | undefined> {
  return new Promise((resolve) => {
    const cancel = clock.after(askTimeoutMs, () => resolve(undefined));
    void answer.then((value) => (cancel(), resolve(value)));
  });
}
