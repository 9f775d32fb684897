/**
 * An edge: a full copy that follows the primary over the feed and answers from its own file. What it can't do itself, writing, it sends on.
 * It starts from its file where that is sound, and answers from it before it has heard of anybody.
 */
import { readFileSync } from "node:fs";
import type { Config } from "../config/config.ts";
import { build } from "../runtime/version.ts";
import { lockDirectory, writeNote } from "../store/data-directory.ts";
import { databaseFiles, removeFiles } from "../store/snapshot.ts";
import type { State } from "../store/state.ts";
import { getLogger } from "../telemetry/logger.ts";
import { AppError } from "../util/app-error.ts";
import { must } from "../util/assert.ts";
import { reasonOf } from "../util/reason.ts";
import { Arrivals } from "./arrivals.ts";
import { BrokerLink } from "./broker-link.ts";
import { Copy } from "./copy.ts";
import { Follower } from "./follower.ts";
import { createForwarder } from "./forward.ts";
import { nodeIdOf } from "./identity.ts";
import { storeToStartFrom } from "./import-snapshot.ts";
import { fetchSnapshot } from "./install-snapshot.ts";
import type { Node, NodeHealth } from "./node.ts";
import { connectPrimary, type PrimaryClient } from "./primary-client.ts";
import { topicsOf, type Topics } from "./topics.ts";
import { Writer } from "./writer.ts";

const log = getLogger("edge");

const statusIntervalMs = 5000;

export async function startEdgeNode(config: Config): Promise<Node> {
  const { limits, environment, data } = config;
  const primaryUrl = must(config.primary, "an edge has a primary");
  const nodeKey = must(config.nodeKey, "an edge has a node key");
  // What was started is ended in reverse order, also where a later part fails to start.
  await using started = new AsyncDisposableStack();
  const directory = lockDirectory(data);
  started.defer(directory.unlock);
  const id = nodeIdOf(config);
  const writer = new Writer({ environment, synchronous: "NORMAL", limits });
  started.defer(() => writer.stop());
  const copy = new Copy(data, limits, writer.changes);
  started.defer(() => copy.close());
  const primary = connectPrimary({
    url: primaryUrl,
    nodeKey,
    logTimeoutMs: limits.logTimeoutMs,
    snapshotTimeoutMs: limits.snapshotTimeoutMs,
  });

  const { arrivals, present, adopt, installSnapshot } = keepStanding(config, writer, copy, primary);
  const sound = await storeToStartFrom(config);
  if (sound !== undefined) await adopt(sound);
  writeNote(data, "role", "edge");

  const follower = new Follower({ environment, limits, writer, primary, present, installSnapshot });
  started.defer(() => follower.stop());
  started.defer(primary.close);
  const topics = topicsOf(config.topicPrefix, environment);
  const link = openLink(config, id, topics, primaryUrl, nodeKey);
  started.defer(() => link.close());
  const health = (): NodeHealth => healthOf(present(), follower, link, writer);
  const status = keepStatus(link, topics.status(id), health);
  started.defer(() => status.stop());
  follow(link, topics, follower, status.publish);
  follower.start();
  link.start();

  const running = started.move();
  return {
    role: "edge",
    id,
    environment,
    engine() {
      if (!follower.diverged) return copy.engine();
      throw new AppError("not_ready", "this node's copy differs from the primary's, it waits for a fresh one");
    },
    writes: undefined,
    forward: createForwarder({
      primaryUrl,
      timeoutMs: limits.forwardTimeoutMs,
      waitMs: config.consistencyWait,
      arrivals,
      primaryAlive: () => follower.feedState === "LIVE",
    }),
    waitFor: (token) => arrivals.waitFor(token, config.consistencyWait),
    health,
    replication: () => undefined,
    mqttConnection: undefined,
    stop: () => running.disposeAsync(),
  };
}

interface Standing {
  readonly arrivals: Arrivals;
  /** Where this copy stands; undefined before there is one. */
  readonly present: () => State | undefined;
  /** Makes the database at `path` this node's copy. */
  readonly adopt: (path: string) => Promise<State>;
  readonly installSnapshot: () => Promise<State>;
}

/** Knows where the copy stands, while events move it and snapshots replace it. */
function keepStanding(config: Config, writer: Writer, copy: Copy, primary: PrimaryClient): Standing {
  let state: State | undefined;
  const arrivals = new Arrivals(() => state, { primary: false });
  const move = (to: State): void => {
    state = to;
    copy.moved(to);
    arrivals.moved(to);
  };
  writer.onMoved(move);
  const adopt = async (path: string): Promise<State> => {
    const opened = await writer.open(path);
    // Nobody may learn of the new position before reads come from the new file.
    copy.open(path);
    move(opened);
    return opened;
  };
  const installSnapshot = async (): Promise<State> => {
    const { data: directory, environment, limits } = config;
    if (writer.failed) throw new Error("there is no writer that could open a snapshot");
    const installed = await fetchSnapshot({ primary, directory, environment, limits });
    if (installed === "unchanged") throw new Error("the primary sent no snapshot although none was known");
    try {
      return await adopt(installed.path);
    } catch (error) {
      // The one before stays in use; each further attempt would leave another file.
      removeFiles(databaseFiles(installed.path));
      throw error;
    }
  };
  return { arrivals, present: () => state, adopt, installSnapshot };
}

function healthOf(state: State | undefined, follower: Follower, link: BrokerLink, writer: Writer): NodeHealth {
  return {
    ok: state !== undefined && !follower.diverged && !writer.failed,
    role: "edge",
    state: follower.feedState,
    epoch: state?.epoch ?? null,
    offset: state?.offset ?? null,
    digest: state?.digest ?? null,
    // Without any contact yet, the last commit that it contains says how old it is at most.
    ageMs: follower.ageMs ?? (state === undefined ? null : Math.max(0, Date.now() - state.timeMs)),
    feedConnected: link.connected,
  };
}

/** With the embedded broker the feed comes over the primary's own port; nothing else has to be configured. */
function openLink(config: Config, id: string, topics: Topics, primaryUrl: string, nodeKey: string): BrokerLink {
  const { broker, brokerUsername, brokerPassword, brokerCa, limits } = config;
  const url = broker === "embedded" ? `${primaryUrl.replace(/^http/, "ws")}/mqtt` : broker;
  // The node key opens all data. It is for the broker inside the primary, and for no other that somebody forgot to set a password for.
  const ownPassword = new URL(url).hostname === new URL(primaryUrl).hostname ? nodeKey : undefined;
  return new BrokerLink({
    url,
    clientId: id,
    username: brokerUsername ?? id,
    password: brokerPassword ?? ownPassword,
    ca: brokerCa === undefined ? undefined : readFileSync(brokerCa, "utf8"),
    will: { topic: topics.status(id), payload: JSON.stringify({ v: 1, role: "edge", state: "GONE" }) },
    connectTimeoutMs: limits.brokerConnectTimeoutMs,
    keepaliveMs: limits.brokerKeepaliveMs,
    exclusive: false,
  });
}

/** Subscribes first and catches up then, at every connection: so nothing can fall between the two. */
function follow(link: BrokerLink, topics: Topics, follower: Follower, publishStatus: () => Promise<void>): void {
  link.onMessage((topic, payload, retained) => {
    if (topic === topics.events) follower.receiveBatch(payload);
    else if (topic === topics.head) follower.receiveHead(payload, retained);
  });
  const subscribe = async (): Promise<void> => {
    try {
      await link.subscribe([topics.events, topics.head]);
      follower.subscribed();
      await publishStatus();
    } catch (error) {
      log.error("the feed can't be followed: {reason}", {
        reason: reasonOf(error),
      });
      link.reconnect();
    }
  };
  link.onConnect(() => void subscribe());
}

interface Status {
  publish(): Promise<void>;
  /** Says goodbye; without it the will speaks. */
  stop(): Promise<void>;
}

/** Tells whoever looks at the broker how this node is. */
function keepStatus(link: BrokerLink, topic: string, health: () => NodeHealth): Status {
  const send = async (status: object): Promise<void> => {
    if (!link.connected) return;
    try {
      await link.publish(topic, JSON.stringify({ v: 1, role: "edge", ...status }), { qos: 0, retain: true });
    } catch {
      // The connection is just going: the next one begins with a status.
    }
  };
  const publish = (): Promise<void> => {
    const { state, epoch, offset, ageMs } = health();
    return send({ state, epoch, offset, ageMs, version: build.version });
  };
  const timer = setInterval(() => void publish(), statusIntervalMs);
  return {
    publish,
    stop() {
      clearInterval(timer);
      return send({ state: "GONE" });
    },
  };
}
