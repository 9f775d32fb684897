/**
 * The subscription of an edge to the event stream. It subscribes at each broker and uses the message that arrives
 * first; the replica drops events that it already has. It also publishes the status of the edge at each broker.
 */
import { getCACertificates } from "node:tls";
import { embeddedBroker } from "../../config/broker-address.ts";
import type { Config } from "../../config/config.ts";
import { nodeKeysIn } from "../../config/node-key.ts";
import { build } from "../../runtime/version.ts";
import type { StoreState } from "../../store/log/store-state.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { must } from "../../util/assert.ts";
import { reasonOf } from "../../util/reason.ts";
import type { Peers } from "./peers.ts";
import { nodeKeyHashesOf, parseNodeId } from "../identity.ts";
import type { BrokerStatus } from "../node-health.ts";
import type { NodeContext } from "../node-context.ts";
import { BrokerConnection, brokerTls, type BrokerTls } from "./broker-connection.ts";
import type { BrokerTransport } from "./broker-transport.ts";
import { withMac, createMessageMac, createMacVerifier, type MessageMac } from "./message-mac.ts";
import { topicsOf, type Topics } from "./topics.ts";

const log = getLogger("edge");

const statusIntervalMs = 5000;

/** The part of a replica that takes messages of the event stream. */
export interface EventReceiver {
  /** Whether the primary waits for acknowledgements. */
  readonly isAckRequested: boolean;
  receiveBatch(payload: Uint8Array): void;
  /** An event that the primary is about to commit. */
  receiveNext(payload: Uint8Array): void;
  receiveHead(payload: Uint8Array, retained: boolean, broker: string): void;
  /** Called after each subscription, since messages may have been missed before. */
  onSubscribed(): void;
}

export interface EventSubscriberOptions {
  readonly peers: Peers;
  readonly receiver: EventReceiver;
  readonly health: () => { readonly state: string; readonly ageMs: number | null };
  readonly state: () => StoreState | undefined;
  /** Whether the primary may count this node's acknowledgements. */
  readonly mayAcknowledge: () => boolean;
}

export interface EventSubscriber {
  readonly brokers: readonly BrokerStatus[];
  start(): void;
  /** Called when the replica has applied events, since the primary may wait for the acknowledgement. */
  onStateChange(): void;
  /** Publishes a last status and disconnects. Without it, the brokers publish the wills. */
  close(): Promise<void>;
}

/** AppError `conflict`: a certificate cannot be used. */
export function openEventSubscriber(
  context: NodeContext,
  config: Config,
  { peers, receiver, health, state: replicaState, mayAcknowledge }: EventSubscriberOptions,
): EventSubscriber {
  const { id, environment, clock } = context;
  const topics = topicsOf(config.topicPrefix, environment);
  const mac = createMessageMac(must(nodeKeyHashesOf(config), "an edge has a node key"));
  const connections = openConnections(context, config, peers, topics, mac);
  const statusTopic = topics.status(id);
  const publishAt = (connection: BrokerConnection): Promise<void> => {
    const { state, ageMs } = health();
    const { epoch = null, offset = null, hash = null } = (mayAcknowledge() ? replicaState() : undefined) ?? {};
    // The hash identifies the history, so that a repeated message cannot count for another history.
    const status = { state, epoch, offset, hash, ageMs, version: build.version };
    return publishNodeStatus(withMac(connection, mac), statusTopic, status);
  };
  const verify = createMacVerifier(mac);
  for (const connection of connections) subscribeAt(connection, topics, receiver, verify, () => publishAt(connection));
  // The embedded broker is in the primary's process.
  peers.onPrimaryChange(() => connections.forEach((connection) => connection.reconnect()));
  const acknowledge = connections.map((connection) => coalesce(() => publishAt(connection)));
  let cancelStatuses = (): void => {};

  return {
    get brokers() {
      return connections.map(({ name, connected }) => ({ broker: name, connected }));
    },
    start() {
      cancelStatuses = clock.every(statusIntervalMs, () =>
        connections.forEach((connection) => void publishAt(connection)),
      );
      for (const connection of connections) connection.start();
    },
    onStateChange() {
      if (receiver.isAckRequested) for (const publish of acknowledge) publish();
    },
    async close() {
      cancelStatuses();
      await Promise.all(
        connections.map(async (connection) => {
          // MQTT.js never says that it cannot send a message if the broker has just gone.
          const late = Promise.withResolvers<void>();
          const cancel = clock.after(goneTimeoutMs, late.resolve);
          const told = publishNodeStatus(withMac(connection, mac), statusTopic, { state: "GONE" });
          await Promise.race([told, late.promise]);
          cancel();
          await connection.close();
        }),
      );
    },
  };
}

/** How long the last status may delay a stop. */
const goneTimeoutMs = 500;

/** Runs `work` one at a time, and once more if it was requested meanwhile. So the last status is the current one. */
function coalesce(work: () => Promise<void>): () => void {
  let running = false;
  let wanted = false;
  const run = async (): Promise<void> => {
    wanted = true;
    if (running) return;
    running = true;
    while (wanted) {
      wanted = false;
      await work();
    }
    running = false;
  };
  return () => void run();
}

function openConnections(
  { id, limits, system }: NodeContext,
  config: Config,
  peers: Peers,
  topics: Topics,
  mac: MessageMac,
): BrokerConnection[] {
  const { broker, brokerUsername, brokerPassword } = config;
  const nodeKeys = nodeKeysIn(must(config.nodeKey, "an edge has a node key"));
  const tls = brokerTls(config);
  const common = {
    clientId: id,
    will: {
      topic: topics.status(id),
      payload: mac.sign(topics.status(id), JSON.stringify({ v: 1, role: "edge", state: "GONE" })),
    },
    connectTimeoutMs: limits.brokerConnectTimeoutMs,
    keepaliveMs: limits.brokerKeepaliveMs,
    ownership: false,
  } as const;
  return broker.map((url) => {
    // The embedded broker is reached over the primary's HTTP port. Nothing else has to be configured.
    if (url === embeddedBroker) {
      const socket = (): string => `${peers.primary.url.replace(/^http/, "ws")}/mqtt`;
      const ofNodes = async (): Promise<BrokerTls> => {
        const { ca } = await tls.read();
        // As for requests to the primary, the default authorities are trusted as well.
        const trusted = ca === undefined ? undefined : [...getCACertificates("default"), ca];
        const own = system.nodeTls?.() ?? {};
        return { ...own, ca: own.ca ?? trusted };
      };
      return new BrokerConnection(
        { ...common, url: socket, username: id, password: nodeKeys, tls: ofNodes, isEmbedded: true },
        system,
      );
    }
    // The node key gives access to all data: without a configured password, it must not be sent to another host.
    const ownPassword = new URL(url).hostname === new URL(peers.primary.url).hostname ? nodeKeys : undefined;
    const password = brokerPassword ?? ownPassword;
    // A broker of its own knows the node, whatever environments that hosts.
    const username = brokerUsername ?? parseNodeId(id)?.node ?? id;
    return new BrokerConnection({ ...common, tls: () => tls.read(), url, username, password }, system);
  });
}

/** Requests a catch-up after the subscription, so that no event is missed in between. */
function subscribeAt(
  connection: BrokerConnection,
  topics: Topics,
  receiver: EventReceiver,
  verify: ReturnType<typeof createMacVerifier>,
  publishStatus: () => Promise<void>,
): void {
  connection.onMessage((topic, payload, retained) => {
    if (!verify(connection.name, topic, payload)) return;
    if (topic === topics.events) receiver.receiveBatch(payload);
    else if (topic === topics.next) receiver.receiveNext(payload);
    else if (topic === topics.head) receiver.receiveHead(payload, retained, connection.name);
  });
  let hasLoggedFailure = false;
  const subscribe = async (): Promise<void> => {
    try {
      await connection.subscribe([topics.events, topics.head]);
      hasLoggedFailure = false;
      receiver.onSubscribed();
      // Access lists of external brokers do not name it. A node can do without it.
      if (connection.isEmbedded) connection.subscribe([topics.next]).catch(() => {});
      await publishStatus();
    } catch (error) {
      // Logged once until it succeeds, since the broker refuses each attempt.
      if (!hasLoggedFailure)
        log.error("cannot subscribe to the event stream at {broker}: {reason}", {
          broker: connection.name,
          reason: reasonOf(error),
        });
      hasLoggedFailure = true;
      connection.reconnect();
    }
  };
  connection.onConnect(() => void subscribe());
}

async function publishNodeStatus(connection: BrokerTransport, topic: string, status: object): Promise<void> {
  if (!connection.connected) return;
  try {
    await connection.publish(topic, JSON.stringify({ v: 1, role: "edge", ...status }), { qos: 0, retain: true });
  } catch {
    // The connection is closing. The next one publishes a status first.
  }
}
