/**
 * The edge's brokers. It subscribes to each, and takes what comes first: an event that it has already is dropped by its offset. It also tells
 * each how it is, for whoever looks at the broker.
 */
import { getCACertificates } from "node:tls";
import { embeddedBroker } from "../../config/broker-address.ts";
import type { Config } from "../../config/config.ts";
import { build } from "../../runtime/version.ts";
import { hashKey } from "../../store/keys.ts";
import type { State } from "../../store/state.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { must } from "../../util/assert.ts";
import { reasonOf } from "../../util/reason.ts";
import type { Follower } from "../following/follower.ts";
import type { Upstream } from "../following/upstream.ts";
import type { BrokerStatus, NodeHealth } from "../node.ts";
import type { System } from "../system.ts";
import { brokerTls } from "./broker-tls.ts";
import { BrokerLink } from "./broker-link.ts";
import type { Outlet } from "./outlet.ts";
import { sealed, sealWith, watchSeals, type Seal } from "./seal.ts";
import { topicsOf, type Topics } from "./topics.ts";

const log = getLogger("edge");

const statusIntervalMs = 5000;

export interface EdgeFeedOptions {
  readonly config: Config;
  /** This node's. */
  readonly id: string;
  readonly upstream: Upstream;
  readonly follower: Follower;
  readonly health: () => NodeHealth;
  readonly present: () => State | undefined;
  /** Whether the primary may count this node for its acknowledgements. */
  readonly counts: () => boolean;
  readonly system: System;
}

export interface EdgeFeed {
  readonly brokers: readonly BrokerStatus[];
  start(): void;
  /** The copy has moved on: the primary may be waiting to hear of it. */
  moved(): void;
  /** Says goodbye; without it the wills speak. */
  close(): Promise<void>;
}

/** AppError `conflict` where a certificate can't be used. */
export function openEdgeFeed(options: EdgeFeedOptions): EdgeFeed {
  const { config, id, upstream, follower, health, present, counts, system } = options;
  const topics = topicsOf(config.topicPrefix, config.environment);
  const seal = sealWith(hashKey(must(config.nodeKey, "an edge has a node key")));
  const links = openLinks(options, topics, seal);
  const statusTopic = topics.status(id);
  const publishAt = (link: BrokerLink): Promise<void> => {
    const { state, ageMs } = health();
    const { epoch = null, offset = null, hash = null } = (counts() ? present() : undefined) ?? {};
    // The hash names the history, so a repeated message cannot be taken for one of another history.
    const standing = { epoch, offset, hash };
    return sendStatus(sealed(link, seal), statusTopic, { state, ...standing, ageMs, version: build.version });
  };
  const believed = watchSeals(seal);
  for (const link of links) follow(link, topics, follower, believed, () => publishAt(link));
  // The broker inside the primary moves with it.
  upstream.onSwitch(() => links.forEach((link) => link.reconnect()));
  const acknowledge = links.map((link) => latest(() => publishAt(link)));
  let endStatuses = (): void => {};

  return {
    get brokers() {
      return links.map(({ name, connected }) => ({ broker: name, connected }));
    },
    start() {
      endStatuses = system.clock.every(statusIntervalMs, () => links.forEach((link) => void publishAt(link)));
      for (const link of links) link.start();
    },
    moved() {
      if (follower.ackWanted) for (const publish of acknowledge) publish();
    },
    async close() {
      endStatuses();
      await Promise.all(
        links.map(async (link) => {
          await sendStatus(sealed(link, seal), statusTopic, { state: "GONE" });
          await link.close();
        }),
      );
    },
  };
}

/** Runs `work` once at a time, and once more where it was asked for meanwhile: what is sent is where the copy stands then. */
function latest(work: () => Promise<void>): () => void {
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

function openLinks({ config, id, upstream, system }: EdgeFeedOptions, topics: Topics, seal: Seal): BrokerLink[] {
  const { broker, brokerUsername, brokerPassword, limits } = config;
  const nodeKey = must(config.nodeKey, "an edge has a node key");
  const tls = brokerTls(config);
  const common = {
    clientId: id,
    will: {
      topic: topics.status(id),
      payload: seal.put(topics.status(id), JSON.stringify({ v: 1, role: "edge", state: "GONE" })),
    },
    connectTimeoutMs: limits.brokerConnectTimeoutMs,
    keepaliveMs: limits.brokerKeepaliveMs,
    exclusive: false,
  } as const;
  return broker.map((url) => {
    // The broker inside the primary is reached over the primary's own port; nothing else has to be configured.
    if (url === embeddedBroker) {
      const socket = (): string => `${upstream.primary.url.replace(/^http/, "ws")}/mqtt`;
      // Whom requests to the primary trust is good enough here as well.
      const ca = tls.ca === undefined ? undefined : [...getCACertificates("default"), tls.ca];
      return new BrokerLink({ ...common, url: socket, username: id, password: nodeKey, ca, old: true }, system);
    }
    // The node key opens all data. It is for the broker inside the primary, and for no other that somebody forgot to set a password for.
    const ownPassword = new URL(url).hostname === new URL(upstream.primary.url).hostname ? nodeKey : undefined;
    const password = brokerPassword ?? ownPassword;
    return new BrokerLink({ ...common, ...tls, url, username: brokerUsername ?? id, password }, system);
  });
}

/** Subscribes first and catches up then, at every connection: so nothing can fall between the two. */
function follow(
  link: BrokerLink,
  topics: Topics,
  follower: Follower,
  believed: ReturnType<typeof watchSeals>,
  publishStatus: () => Promise<void>,
): void {
  link.onMessage((topic, payload, retained) => {
    if (!believed(link.name, topic, payload)) return;
    if (topic === topics.events) follower.receiveBatch(payload);
    else if (topic === topics.head) follower.receiveHead(payload, retained, link.name);
  });
  let complained = false;
  const subscribe = async (): Promise<void> => {
    try {
      await link.subscribe([topics.events, topics.head]);
      complained = false;
      follower.subscribed();
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
async function sendStatus(link: Outlet, topic: string, status: object): Promise<void> {
  if (!link.connected) return;
  try {
    await link.publish(topic, JSON.stringify({ v: 1, role: "edge", ...status }), { qos: 0, retain: true });
  } catch {
    // The connection is just going: the next one begins with a status.
  }
}
