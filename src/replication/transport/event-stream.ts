/**
 * The primary's brokers: the embedded one, external ones, or both. Each has a publisher of its own over the same log, with its own place in it,
 * so that one that is slow or away holds up none of the others. Edges that hear an event twice drop the second.
 */
import { scryptSync } from "node:crypto";
import { embeddedBroker } from "../../config/broker-address.ts";
import type { Config } from "../../config/config.ts";
import type { Connection } from "../../store/connection/connection.ts";
import { compareEpochs, firstEpoch } from "../../store/log/epochs.ts";
import { verifyKey } from "../../store/keys/api-keys.ts";
import { openLog } from "../../store/log/log.ts";
import { readState } from "../../store/log/store-state.ts";
import { getLogger } from "../../telemetry/logger.ts";
import type { Clock } from "../../util/clock.ts";
import { reasonOf } from "../../util/reason.ts";
import type { BrokerStatus } from "../node.ts";
import type { System } from "../system.ts";
import type { CommitTimes } from "../log/commit-times.ts";
import type { StateChange } from "../log/store-writer.ts";
import { brokerTls } from "./broker-tls.ts";
import { BrokerConnection, type Ownership } from "./broker-connection.ts";
import { startEmbeddedBroker, type EmbeddedBroker } from "./embedded-broker.ts";
import { decodeHead, decodeStatus, epochOf, type Head, type NodeStatus } from "./messages.ts";
import { HeadSequence } from "./head-sequence.ts";
import { readHead } from "./head.ts";
import type { BrokerTransport } from "./broker-transport.ts";
import { Publisher } from "./publisher.ts";
import { withMac, createMessageMac, createMacVerifier, type MessageMac } from "./message-mac.ts";
import { topicsOf, type Topics } from "./topics.ts";

const log = getLogger("feed");

export interface EventStream {
  readonly embedded: EmbeddedBroker | undefined;
  readonly brokers: readonly BrokerStatus[];
  /** The greatest sequence number that a head of this primary had until now. */
  readonly headSequenceNumber: number;
  /** Whether a broker has given this primary's place to another, and it is not known yet whether that is its successor. */
  readonly isOwnershipUncertain: boolean;
  start(): void;
  /** Publishes nothing more, for good: another primary has taken over. */
  stop(): void;
  /** Publishes a head now. */
  publishHead(): void;
  /** Something was committed. */
  wake(moved: StateChange): void;
  close(): Promise<void>;
}

/** The primary, as its heads and batches tell of it. */
export interface EventStreamSender {
  /** The node's id. */
  readonly node: string;
  /** Which start of its process it is. */
  readonly instance: string;
  /** Null while its word that a copy is the newest is worth nothing. */
  readonly ageMs: () => number | null | undefined;
  readonly commits: CommitTimes;
}

/** Who hears of others at the brokers. */
export interface EventStreamListener {
  /** A head at a broker: this primary's own, one from before its start, or that of another primary, which is alive unless it is `retained`. */
  head(head: Head, retained: boolean): void;
  status(nodeId: string, status: NodeStatus): void;
  /** A broker has given this primary's place to another. */
  fenced(reason: string): void;
}

/** `store` is a read-only connection for the feed. AppError `conflict` where a port is taken or a certificate can't be used. */
export async function openEventStream(
  config: Config,
  store: Connection,
  nodeKeyHash: string,
  sender: EventStreamSender,
  listener: EventStreamListener,
  system: System,
): Promise<EventStream> {
  const { limits, environment } = config;
  const topics = topicsOf(config.topicPrefix, environment);
  const seal = createMessageMac(nodeKeyHash);
  const { clock } = system;
  const sequence = new HeadSequence({
    directory: config.data,
    blockSize: limits.headSequencesReserved,
    wallMs: () => clock.wallMs(),
  });
  const claim = primaryOwnership(store, topics, seal, sequence);
  const links = openConnections(config, claim, system);
  const embedded = config.broker.includes(embeddedBroker)
    ? await openEmbeddedBroker(config, topics, nodeKeyHash)
    : undefined;
  const outlets = config.broker.flatMap((url): BrokerTransport[] => {
    const outlet = url === embeddedBroker ? embedded : links.get(url);
    return outlet === undefined ? [] : [outlet];
  });
  const believed = createMacVerifier(seal);
  const hear: MessageHandler = (broker, topic, payload, retained) => {
    if (believed(broker, topic, payload)) dispatch(listener, topics, topic, payload, retained);
  };
  // Before anything is published, so that the head which a broker has kept is heard of before it is replaced.
  embedded?.onStatus((topic, payload) => hear(embedded.name, topic, payload, false));
  for (const link of links.values()) subscribeAt(link, topics, hear, listener);
  const newHead = createHeadReader(config, store, sequence, sender, clock);
  const common = { store, topics, limits, clock, newHead, commitTimes: sender.commits };
  const publishers = outlets.map((outlet) => new Publisher({ ...common, transport: withMac(outlet, seal) }));
  let stopped = false;
  let cancelHeads = (): void => {};
  const stop = (): void => {
    cancelHeads();
    for (const publisher of publishers) publisher.stop();
  };

  return {
    embedded,
    get brokers() {
      return outlets.map(({ name, connected }) => ({ broker: name, connected: connected && !stopped }));
    },
    get headSequenceNumber() {
      return sequence.last;
    },
    get isOwnershipUncertain() {
      return [...links.values()].some((link) => link.isOwnershipUncertain);
    },
    start() {
      if (stopped) return;
      cancelHeads = clock.every(limits.headIntervalMs, () => publishHeads(publishers, newHead));
      for (const publisher of publishers) publisher.start();
      for (const link of links.values()) link.start();
    },
    stop() {
      stopped = true;
      stop();
      for (const link of links.values()) void link.close();
    },
    publishHead: () => publishHeads(publishers, newHead),
    wake: (moved) => publishers.forEach((publisher) => publisher.publishPending(moved)),
    async close() {
      stop();
      await Promise.all(outlets.map((outlet) => outlet.close()));
    },
  };
}

type HeadReader = () => Head | undefined;

function createHeadReader(
  { ack }: Config,
  store: Connection,
  sequence: HeadSequence,
  { node, instance, ageMs }: EventStreamSender,
  { wallMs }: Clock,
): HeadReader {
  const log = openLog(store);
  return () => {
    const number = sequence.next();
    if (number === undefined) return undefined;
    return store.transaction(() =>
      readHead(
        store,
        log,
        { role: "primary", ack: ack > 0, sequenceNumber: number, ageMs: ageMs(), node, instance },
        wallMs(),
      ),
    );
  };
}

/** The same head goes to all brokers, so that an edge knows it by its number wherever it comes first. */
function publishHeads(publishers: readonly Publisher[], newHead: HeadReader): void {
  if (!publishers.some(({ isReady }) => isReady)) return;
  const head = newHead();
  if (head === undefined) return;
  for (const publisher of publishers) publisher.publishHead(head);
}

type MessageHandler = (broker: string, topic: string, payload: Uint8Array, retained: boolean) => void;

function subscribeAt(
  link: BrokerConnection,
  topics: Topics,
  hear: MessageHandler,
  listener: EventStreamListener,
): void {
  link.onMessage((topic, payload, retained) => hear(link.name, topic, payload, retained));
  link.onFenced(() => listener.fenced(`the broker ${link.name} has given its place to another primary`));
  link.onConnect(() => {
    link.subscribe([topics.head, topics.status("+")]).catch((error: unknown) =>
      log.warning("this primary can't hear at {broker} what others say: {reason}", {
        broker: link.name,
        reason: reasonOf(error),
      }),
    );
  });
}

function dispatch(
  listener: EventStreamListener,
  topics: Topics,
  topic: string,
  payload: Uint8Array,
  retained: boolean,
): void {
  if (topic === topics.head) {
    const head = decodeHead(payload);
    if ("message" in head) listener.head(head.message, retained);
    return;
  }
  const status = decodeStatus(payload);
  const nodeId = topic.slice(topics.status("").length);
  if ("message" in status) listener.status(nodeId, status.message);
}

async function openEmbeddedBroker(config: Config, topics: Topics, nodeKeyHash: string): Promise<EmbeddedBroker> {
  const { limits, mqttHost, mqttPort, host } = config;
  const broker = await startEmbeddedBroker({
    topics,
    verifyNodeKey: (key) => verifyKey(key, nodeKeyHash),
    connectionsMax: limits.brokerConnectionsMax,
    loginsWaitingMax: limits.brokerLoginsWaitingMax,
    packetBytesMax: limits.brokerPacketBytesMax,
    drainTimeoutMs: limits.brokerDrainTimeoutMs,
  });
  try {
    if (mqttPort !== 0) await broker.listen(mqttHost ?? host, mqttPort);
    return broker;
  } catch (error) {
    await broker.close();
    throw error;
  }
}

/**
 * A primary gives way to those of later epochs; and to one of its own, which only a copy of its directory can be: the last who came stays, since its
 * sequence begins where the other's reserved numbers end. A head of this epoch with a smaller number may be this primary's own, which the broker repeats.
 * It does not give way to one of another history, which was started on an empty directory.
 */
function primaryOwnership(
  store: Connection,
  { head: heads }: Topics,
  seal: MessageMac,
  sequence: HeadSequence,
): Ownership {
  const { epoch: history } = firstEpoch(store);
  return {
    headTopic: heads,
    classify(payload) {
      const decoded = seal.verify(heads, payload) ? decodeHead(payload) : undefined;
      if (decoded === undefined || "problem" in decoded) return "unknown";
      const { message } = decoded;
      if ((message.f ?? history) !== history) return "unknown";
      const order = compareEpochs(epochOf(message), readState(store));
      if (order !== 0) return order > 0 ? "successor" : "predecessor";
      return message.q !== undefined && message.q > sequence.last ? "successor" : "unknown";
    },
  };
}

/** The ways to external brokers, by URL. */
function openConnections(config: Config, claim: Ownership, system: System): ReadonlyMap<string, BrokerConnection> {
  const { limits, brokerUsername, brokerPassword } = config;
  const urls = config.broker.filter((url) => url !== embeddedBroker);
  const tls = brokerTls(config);
  const clientId = primaryClientId(config, tls.key);
  const linkTo = (url: string): BrokerConnection =>
    new BrokerConnection(
      {
        url,
        clientId,
        username: brokerUsername,
        password: brokerPassword,
        ...tls,
        connectTimeoutMs: limits.brokerConnectTimeoutMs,
        keepaliveMs: limits.brokerKeepaliveMs,
        ownership: claim,
      },
      system,
    );
  return new Map(urls.map((url) => [url, linkTo(url)]));
}

/**
 * The same for every primary of an environment, since that is how two of them notice each other. Brokers let any user take any client id, so it
 * comes from the secret that only primaries have, the password or the private key: an edge that knew it could fence the primary. Slowly, because
 * brokers log client ids.
 */
function primaryClientId({ environment, brokerPassword }: Config, brokerKey: string | undefined): string {
  const name = `ostiary-primary-${environment}`;
  const secret = brokerPassword ?? brokerKey;
  return secret === undefined ? name : `${name}-${scryptSync(secret, name, 8).toString("hex")}`;
}
