/**
 * Keeps a primary from beginning a new history where there is an older one. An empty data directory mostly means that a volume is not mounted: a
 * primary that started on it would answer `deny` to everything, and its edges would have nobody to follow. So before it makes a database it looks for
 * an older history: at its peers, at the external brokers, which keep the last head of a primary, and in the notes of its own directory. A peer
 * or broker that does not answer within some seconds does not delay the start.
 */
import { randomBytes } from "node:crypto";
import { brokerAddress, embeddedBroker } from "../../config/broker-address.ts";
import type { Config } from "../../config/config.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { AppError } from "../../util/app-error.ts";
import { reasonOf } from "../../util/reason.ts";
import { readTls } from "../feed/broker-credentials.ts";
import { BrokerLink } from "../feed/broker-link.ts";
import { decodeHead, type Head, type NodeHead } from "../feed/envelope.ts";
import { sealWith } from "../feed/seal.ts";
import { topicsOf } from "../feed/topics.ts";
import { peerNeighbours } from "../following/neighbours.ts";
import { approvedHistory, knownHistory } from "../history-notes.ts";
import { nodeKeyHashOf } from "../identity.ts";
import type { System } from "../system.ts";

const log = getLogger("primary");

/** All are asked at the same time. */
const lookTimeoutMs = 4000;
/** A broker sends what it has kept right after a subscription. */
const retainedWaitMs = 500;

interface Known {
  readonly history: string;
  readonly offset: number | undefined;
  /** Who knows it, for a sentence. */
  readonly where: string;
}

/** AppError `conflict` where somebody knows of a history, unless it is the one that an operator has abandoned. */
export async function refuseKnownHistory(config: Config, system: System): Promise<void> {
  const { data, environment } = config;
  const noted = knownHistory(data);
  const own: Known[] =
    noted === undefined ? [] : [{ history: noted, offset: undefined, where: "this directory's notes" }];
  const asked = await Promise.all([...askPeers(config, system), ...askBrokers(config, system)]);
  const abandoned = approvedHistory(data, "abandon-history");
  const known = [...own, ...asked.flatMap((found) => (found === undefined ? [] : [found]))];
  const first = known.find(({ history }) => history !== abandoned);
  if (first !== undefined) throw refusal(first, data, environment, abandoned);
  if (known.length > 0)
    log.warning("this primary begins a new history, the history {abandoned} is abandoned", { abandoned });
}

function refusal({ history, offset, where }: Known, data: string, environment: string, abandoned?: string): AppError {
  const standing = offset === undefined ? "" : ` at offset ${offset}`;
  const useless = abandoned === undefined ? "" : ` (That ${abandoned} is abandoned does not help.)`;
  return new AppError(
    "conflict",
    `there is no database in \`${data}\`, but ${where} has the history ${history} of environment \`${environment}\`${standing}: this primary does not start empty. Is a volume not mounted? Mount it; or \`ostiary restore\` a backup into the directory; or \`ostiary promote\` an edge. To begin a new history on purpose: \`ostiary abandon-history ${history} --data ${data}\`, and start again${useless}`,
  );
}

function askPeers(config: Config, system: System): Promise<Known | undefined>[] {
  const knownTo = (url: string, head: NodeHead): Known | undefined => {
    const [first] = head.epochs;
    if (head.s !== config.environment || first === undefined) return undefined;
    return { history: first.epoch, offset: head.l, where: url };
  };
  return peerNeighbours(config, system).map(async ({ url, client }) => {
    const answer = client.head(undefined).then(
      (head) => knownTo(url, head),
      (error: unknown) => {
        log.info("{url} says nothing of an older history: {reason}", { url, reason: reasonOf(error) });
        return undefined;
      },
    );
    const known = await inTime(answer, system);
    client.close();
    return known;
  });
}

function askBrokers(config: Config, system: System): Promise<Known | undefined>[] {
  const nodeKeyHash = nodeKeyHashOf(config);
  // Without the node key nobody can tell whose a head is.
  if (nodeKeyHash === undefined) return [];
  return config.broker
    .filter((url) => url !== embeddedBroker)
    .map(async (url) => {
      const retained = await retainedHead(url, config, nodeKeyHash, system);
      return (
        retained && {
          history: retained.f ?? retained.e,
          offset: retained.l,
          where: `the broker ${brokerAddress(url).name}`,
        }
      );
    });
}

/** The last head that a primary has left at the broker. */
async function retainedHead(
  url: string,
  config: Config,
  nodeKeyHash: string,
  system: System,
): Promise<Head | undefined> {
  const { environment, topicPrefix, brokerUsername: username, brokerPassword: password, limits } = config;
  const { head: topic } = topicsOf(topicPrefix, environment);
  const seal = sealWith(nodeKeyHash);
  // Not the name of a primary: one that runs would be disconnected.
  const clientId = `ostiary-look-${randomBytes(4).toString("hex")}`;
  const { brokerConnectTimeoutMs: connectTimeoutMs, brokerKeepaliveMs: keepaliveMs } = limits;
  const link = new BrokerLink(
    { ...readTls(config), url, clientId, username, password, connectTimeoutMs, keepaliveMs, exclusive: false },
    system,
  );
  const found = new Promise<Head | undefined>((resolve) => {
    link.onMessage((at, payload) => {
      const head = at === topic && seal.fits(topic, payload) ? decodeHead(payload) : undefined;
      if (head !== undefined && "message" in head && head.message.s === environment) resolve(head.message);
    });
    link.onConnect(() => {
      link.subscribe([topic]).then(
        () => system.clock.after(retainedWaitMs, () => resolve(undefined)),
        () => resolve(undefined),
      );
    });
  });
  link.start();
  try {
    return await inTime(found, system);
  } finally {
    await link.close();
  }
}

function inTime<T>(answer: Promise<T | undefined>, { clock }: System): Promise<T | undefined> {
  return new Promise((resolve) => {
    const cancel = clock.after(lookTimeoutMs, () => resolve(undefined));
    void answer.then((value) => (cancel(), resolve(value)));
  });
}
