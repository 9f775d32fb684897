/**
 * The event stream of a primary: it publishes events and heads at its brokers, which are the embedded one, external
 * ones, or both. Each broker has its own publisher with its own cursor in the log, so that a slow or unreachable broker
 * does not delay the others. Edges ignore events that they already have.
 */
import { scryptSync } from "node:crypto";
import { embeddedBroker } from "../../config/broker-address.ts";
import type { Config } from "../../config/config.ts";
import type { Connection } from "../../store/connection/connection.ts";
import { compareEpochs, firstEpoch } from "../../store/log/epochs.ts";
import type { NodeKeyHashes } from "../../store/keys/node-keys.ts";
import { openLog } from "../../store/log/log.ts";
import { readState } from "../../store/log/store-state.ts";
import { inThisEnvironment } from "../../telemetry/current-environment.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { reasonOf } from "../../util/reason.ts";
import { nodeKeyVerifier, parseNodeId } from "../identity.ts";
import type { NodeContext } from "../node-context.ts";
import type { BrokerStatus } from "../node-health.ts";
import type { System } from "../system.ts";
import type { NextEvent } from "../../log/append/append.ts";
import type { CommitTimes } from "../../log/reader/commit-times.ts";
import type { StateChange } from "../../log/writer/store-writer.ts";
import { BrokerConnection, type Ownership, brokerTls } from "./broker-connection.ts";
import { decodeHead, decodeStatus, epochOf, type Head, type NodeStatus } from "./messages.ts";
import { HeadSequence } from "./head-sequence.ts";
import { readHead } from "./head.ts";
import type { BrokerTransport } from "./broker-transport.ts";
import { Publisher } from "./publisher.ts";
import type { EmbeddedBroker, EmbeddedBrokerOptions } from "./shared-broker.ts";
import { withMac, createMessageMac, createMacVerifier, type MessageMac } from "./message-mac.ts";
import { topicsOf, type Topics } from "./topics.ts";

const log = getLogger("event-stream");

export interface EventStream {
  readonly embedded: EmbeddedBroker | undefined;
  readonly brokers: readonly BrokerStatus[];
  /** The greatest sequence number that a head of this primary has had. */
  readonly headSequenceNumber: number;
  /** Whether a broker has given this primary's client id to another client, which may be a successor. */
  readonly isOwnershipUncertain: boolean;
  start(): void;
  /** Stops publishing for good, because another primary has taken over. */
  stop(): void;
  publishHead(): void;
  wake(moved: StateChange): void;
  /** An event is about to be committed. */
  announce(next: NextEvent): void;
  close(): Promise<void>;
}

/** The primary, as described in its heads and batches. */
interface EventStreamSender {
  readonly instance: string;
  /** Null while the primary cannot know that its data are the newest. */
  readonly ageMs: () => number | null | undefined;
  readonly commits: CommitTimes;
  /** What the primary asks its replicas now. */
  readonly questions: () => Head["ask"];
  /** Called with whether any node wants to know of events before they are committed. */
  readonly setAnnouncing: (isWanted: boolean) => void;
  /** Returns whether the error means damage of the primary's database, or of the tables beside it. */
  readonly reportDamage: (error: unknown) => boolean;
}

/** Receives messages of other nodes at the brokers. */
export interface EventStreamListener {
  /** A head of this primary, of an earlier start of it, or of another one. If not `retained`, its primary is alive. */
  head(head: Head, retained: boolean): void;
  status(nodeId: string, status: NodeStatus): void;
  /** A broker has given this primary's client id to a successor. */
  fenced(reason: string): void;
}

export interface BrokerSystem extends System {
  /** Opens the broker inside this process for one primary. AppError `conflict`: its port cannot be opened. */
  openBroker(options: EmbeddedBrokerOptions): Promise<EmbeddedBroker>;
}

/** `store` is a read-only connection. AppError `conflict`: a port is in use, or a certificate cannot be used. */
export async function openEventStream(
  context: NodeContext<BrokerSystem>,
  config: Config,
  store: Connection,
  nodeKeyHashes: NodeKeyHashes,
  sender: EventStreamSender,
  listener: EventStreamListener,
): Promise<EventStream> {
  const { id, environment, data, limits, system, clock } = context;
  const topics = topicsOf(config.topicPrefix, environment);
  const mac = createMessageMac(nodeKeyHashes);
  const sequence = new HeadSequence(data, limits.headSequencesReserved, () => clock.wallMs());
  const ownership = primaryOwnership(store, topics, mac, sequence);
  const connections = openConnections(config, ownership, system);
  const verify = createMacVerifier(mac);
  const handle: MessageHandler = (broker, topic, payload, retained) => {
    if (!verify(broker, topic, payload)) return;
    if (topic === topics.head) {
      const head = decodeHead(payload);
      if ("message" in head) listener.head(head.message, retained);
    } else {
      const status = decodeStatus(payload);
      if ("message" in status) listener.status(topic.slice(topics.status("").length), status.message);
    }
  };
  const embedded = config.broker.includes(embeddedBroker)
    ? await system.openBroker({
        environment: parseNodeId(id)?.environment,
        topics,
        verifyNodeKey: nodeKeyVerifier(nodeKeyHashes, "login"),
        onStatus: inThisEnvironment((topic: string, payload: Uint8Array) =>
          handle(embeddedBroker, topic, payload, false),
        ),
        limits,
        hostname: config.mqttHost ?? config.host,
        port: config.mqttPort,
      })
    : undefined;
  const transports = config.broker.flatMap((url): BrokerTransport[] => {
    const transport = url === embeddedBroker ? embedded : connections.get(url);
    return transport === undefined ? [] : [transport];
  });
  // Subscribes before publishing, so that a retained head is received before it is replaced.
  for (const connection of connections.values()) subscribeAt(connection, topics, handle, listener);
  const newHead = createHeadReader(context, config, store, sequence, sender);
  const { commits: commitTimes, reportDamage } = sender;
  const common = { store, topics, newHead, commitTimes, reportDamage };
  const publishers = transports.map(
    (transport) => new Publisher(context, { ...common, transport: withMac(transport, mac) }),
  );
  let stopped = false;
  let cancelHeads = (): void => {};
  const stop = (): void => {
    cancelHeads();
    for (const publisher of publishers) publisher.stop();
  };

  return {
    embedded,
    get brokers() {
      return transports.map(({ name, connected }) => ({ broker: name, connected: connected && !stopped }));
    },
    get headSequenceNumber() {
      return sequence.last;
    },
    get isOwnershipUncertain() {
      return [...connections.values()].some((connection) => connection.isOwnershipUncertain);
    },
    start() {
      if (stopped) return;
      cancelHeads = clock.every(limits.headIntervalMs, () => {
        publishHeads(publishers, newHead);
        sender.setAnnouncing(publishers.some(({ hasNextReaders }) => hasNextReaders));
      });
      for (const publisher of publishers) publisher.start();
      for (const connection of connections.values()) connection.start();
    },
    stop() {
      stopped = true;
      stop();
      for (const connection of connections.values()) void connection.close();
    },
    publishHead: () => publishHeads(publishers, newHead),
    wake: (moved) => publishers.forEach((publisher) => publisher.onCommit(moved)),
    announce: (next) => publishers.forEach((publisher) => publisher.announce(next)),
    async close() {
      stop();
      await Promise.all(transports.map((transport) => transport.close()));
    },
  };
}

type HeadReader = () => Head | undefined;

function createHeadReader(
  { id: node, clock }: NodeContext,
  { ack }: Config,
  store: Connection,
  sequence: HeadSequence,
  { instance, ageMs, questions }: EventStreamSender,
): HeadReader {
  const log = openLog(store);
  return () => {
    const number = sequence.next();
    if (number === undefined) return undefined;
    const self = { role: "primary", ack: ack > 0, q: number, a: ageMs(), node, i: instance, ask: questions() } as const;
    return store.transaction(() => readHead(store, log, self, clock.wallMs()));
  };
}

/** Publishes the same head at all brokers, so that its number identifies it wherever an edge receives it first. */
function publishHeads(publishers: readonly Publisher[], newHead: HeadReader): void {
  if (!publishers.some(({ isReady }) => isReady)) return;
  const head = newHead();
  if (head === undefined) return;
  for (const publisher of publishers) publisher.publishHead(head);
}

type MessageHandler = (broker: string, topic: string, payload: Uint8Array, retained: boolean) => void;

function subscribeAt(
  connection: BrokerConnection,
  topics: Topics,
  handle: MessageHandler,
  listener: EventStreamListener,
): void {
  connection.onMessage((topic, payload, retained) => handle(connection.name, topic, payload, retained));
  const { name: broker } = connection;
  connection.onFenced(() => listener.fenced(`the broker ${broker} accepted another primary in place of this one`));
  const warn = (error: unknown): void =>
    log.warning("this primary cannot receive messages of other nodes at {broker}: {reason}", {
      broker,
      reason: reasonOf(error),
    });
  connection.onConnect(() => void connection.subscribe([topics.head, topics.status("+")]).catch(warn));
}

/**
 * A primary yields to primaries of later epochs. Another primary of the same epoch must run on a copy of the data
 * directory: there the one that started last wins, because its sequence numbers begin after those that the other has
 * reserved. A smaller number may be of this primary's own head, repeated by the broker. It does not yield to a primary
 * of another history, which was started on an empty data directory.
 */
function primaryOwnership(
  store: Connection,
  { head: headTopic }: Topics,
  mac: MessageMac,
  sequence: HeadSequence,
): Ownership {
  const { epoch: history } = firstEpoch(store);
  return {
    headTopic,
    classify(payload) {
      const decoded = mac.verify(headTopic, payload) ? decodeHead(payload) : undefined;
      if (decoded === undefined || "problem" in decoded) return "unknown";
      const { message } = decoded;
      if ((message.f ?? history) !== history) return "unknown";
      const order = compareEpochs(epochOf(message), readState(store));
      if (order !== 0) return order > 0 ? "successor" : "predecessor";
      return message.q !== undefined && message.q > sequence.last ? "successor" : "unknown";
    },
  };
}

function openConnections(config: Config, ownership: Ownership, system: System): ReadonlyMap<string, BrokerConnection> {
  const { limits, brokerUsername, brokerPassword } = config;
  const urls = config.broker.filter((url) => url !== embeddedBroker);
  const tls = brokerTls(config);
  const common = {
    clientId: primaryClientId(config, tls.texts.key),
    username: brokerUsername,
    password: brokerPassword,
    tls: () => tls.read(),
    connectTimeoutMs: limits.brokerConnectTimeoutMs,
    keepaliveMs: limits.brokerKeepaliveMs,
    ownership,
  };
  return new Map(urls.map((url) => [url, new BrokerConnection({ ...common, url }, system)]));
}

/**
 * All primaries of an environment have the same client id, so that two of them notice each other. Brokers let any user
 * choose any id, and an edge that knew this one could fence the primary. So it is derived from a secret that only
 * primaries have: the password or the private key. The derivation is slow, because brokers log client ids.
 */
function primaryClientId({ environment, brokerPassword }: Config, brokerKey: string | undefined): string {
  const name = `ostiary-primary-${environment}`;
  const secret = brokerPassword ?? brokerKey;
  return secret === undefined ? name : `${name}-${scryptSync(secret, name, 8).toString("hex")}`;
}
