/**
 * The edge's brokers. It subscribes to each, and takes what comes first: an event that it has already is dropped by its offset. It also tells
 * each how it is, for whoever looks at the broker.
 */
import { getCACertificates } from "node:tls";
import { embeddedBroker } from "../../config/broker-address.ts";
import type { Config } from "../../config/config.ts";
import { build } from "../../runtime/version.ts";
import { hashKey } from "../../store/keys/api-keys.ts";
import type { StoreState } from "../../store/log/store-state.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { must } from "../../util/assert.ts";
import { reasonOf } from "../../util/reason.ts";
import type { Peers } from "./peers.ts";
import type { BrokerStatus } from "../node-health.ts";
import type { System } from "../system.ts";
import { BrokerConnection, brokerTls } from "./broker-connection.ts";
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
  receiveHead(payload: Uint8Array, retained: boolean, broker: string): void;
  /** Called after each subscription. Messages may have been missed before. */
  onSubscribed(): void;
}

export interface EventSubscriberOptions {
  readonly config: Config;
  /** This node's. */
  readonly id: string;
  readonly peers: Peers;
  readonly receiver: EventReceiver;
  /** The state that the node publishes about itself. */
  readonly health: () => { readonly state: string; readonly ageMs: number | null };
  readonly state: () => StoreState | undefined;
  /** Whether the primary may count this node for its acknowledgements. */
  readonly mayAcknowledge: () => boolean;
  readonly system: System;
}

export interface EventSubscriber {
  readonly brokers: readonly BrokerStatus[];
  start(): void;
  /** The copy has moved on: the primary may be waiting to hear of it. */
  onStateChange(): void;
  /** Says goodbye; without it the wills speak. */
  close(): Promise<void>;
}

/** AppError `conflict` where a certificate can't be used. */
export function openEventSubscriber(options: EventSubscriberOptions): EventSubscriber {
  const { config, id, peers: upstream, receiver, health, state: present, mayAcknowledge: counts, system } = options;
  const topics = topicsOf(config.topicPrefix, config.environment);
  const seal = createMessageMac(hashKey(must(config.nodeKey, "an edge has a node key")));
  const links = openConnections(options, topics, seal);
  const statusTopic = topics.status(id);
  const publishAt = (link: BrokerConnection): Promise<void> => {
    const { state, ageMs } = health();
    const { epoch = null, offset = null, hash = null } = (counts() ? present() : undefined) ?? {};
    // The hash names the history, so a repeated message cannot be taken for one of another history.
    const standing = { epoch, offset, hash };
    return publishNodeStatus(withMac(link, seal), statusTopic, { state, ...standing, ageMs, version: build.version });
  };
  const believed = createMacVerifier(seal);
  for (const link of links) subscribeAt(link, topics, receiver, believed, () => publishAt(link));
  // The broker inside the primary moves with it.
  upstream.onPrimaryChange(() => links.forEach((link) => link.reconnect()));
  const acknowledge = links.map((link) => coalesce(() => publishAt(link)));
  let endStatuses = (): void => {};

  return {
    get brokers() {
      return links.map(({ name, connected }) => ({ broker: name, connected }));
    },
    start() {
      endStatuses = system.clock.every(statusIntervalMs, () => links.forEach((link) => void publishAt(link)));
      for (const link of links) link.start();
    },
    onStateChange() {
      if (receiver.isAckRequested) for (const publish of acknowledge) publish();
    },
    async close() {
      endStatuses();
      await Promise.all(
        links.map(async (link) => {
          await publishNodeStatus(withMac(link, seal), statusTopic, { state: "GONE" });
          await link.close();
        }),
      );
    },
  };
}

/** Runs `work` once at a time, and once more where it was asked for meanwhile: what is sent is where the copy stands then. */
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
  { config, id, peers: upstream, system }: EventSubscriberOptions,
  topics: Topics,
  seal: MessageMac,
): BrokerConnection[] {
  const { broker, brokerUsername, brokerPassword, limits } = config;
  const nodeKey = must(config.nodeKey, "an edge has a node key");
  const tls = brokerTls(config);
  const common = {
    clientId: id,
    will: {
      topic: topics.status(id),
      payload: seal.sign(topics.status(id), JSON.stringify({ v: 1, role: "edge", state: "GONE" })),
    },
    connectTimeoutMs: limits.brokerConnectTimeoutMs,
    keepaliveMs: limits.brokerKeepaliveMs,
    ownership: false,
  } as const;
  return broker.map((url) => {
    // The broker inside the primary is reached over the primary's own port; nothing else has to be configured.
    if (url === embeddedBroker) {
      const socket = (): string => `${upstream.primary.url.replace(/^http/, "ws")}/mqtt`;
      // Whom requests to the primary trust is good enough here as well.
      const ca = tls.ca === undefined ? undefined : [...getCACertificates("default"), tls.ca];
      return new BrokerConnection(
        { ...common, url: socket, username: id, password: nodeKey, ca, isMqtt3: true },
        system,
      );
    }
    // The node key opens all data. It is for the broker inside the primary, and for no other that somebody forgot to set a password for.
    const ownPassword = new URL(url).hostname === new URL(upstream.primary.url).hostname ? nodeKey : undefined;
    const password = brokerPassword ?? ownPassword;
    return new BrokerConnection({ ...common, ...tls, url, username: brokerUsername ?? id, password }, system);
  });
}

/** Subscribes first and catches up then, at every connection: so nothing can fall between the two. */
function subscribeAt(
  link: BrokerConnection,
  topics: Topics,
  receiver: EventReceiver,
  believed: ReturnType<typeof createMacVerifier>,
  publishStatus: () => Promise<void>,
): void {
  link.onMessage((topic, payload, retained) => {
    if (!believed(link.name, topic, payload)) return;
    if (topic === topics.events) receiver.receiveBatch(payload);
    else if (topic === topics.head) receiver.receiveHead(payload, retained, link.name);
  });
  let complained = false;
  const subscribe = async (): Promise<void> => {
    try {
      await link.subscribe([topics.events, topics.head]);
      complained = false;
      receiver.onSubscribed();
      await publishStatus();
    } catch (error) {
      // Once, until it succeeds: what the broker refuses it refuses at each attempt.
      if (!complained)
        log.error("the feed at {broker} can't be followed: {reason}", { broker: link.name, reason: reasonOf(error) });
      complained = true;
      link.reconnect();
    }
  };
  link.onConnect(() => void subscribe());
}

/** Tells whoever looks at the broker how this node is. */
async function publishNodeStatus(link: BrokerTransport, topic: string, status: object): Promise<void> {
  if (!link.connected) return;
  try {
    await link.publish(topic, JSON.stringify({ v: 1, role: "edge", ...status }), { qos: 0, retain: true });
  } catch {
    // The connection is just going: the next one begins with a status.
  }
}
