/**
 * A primary: the log, its writer, and what hands the log on: a broker or the way to one, the publisher, and the log server. Alone it is a
 * complete service; nobody else has to exist for it to answer.
 */
import { scryptSync } from "node:crypto";
import { copyFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { developmentKey, type Config } from "../config/config.ts";
import { authenticate } from "../engine/authenticate.ts";
import type { Engine } from "../engine/engine.ts";
import { installStore, lockDirectory, nextStore, presentStore, readNote, writeNote } from "../store/data-directory.ts";
import { openStore } from "../store/database.ts";
import { databaseFiles, removeFiles } from "../store/snapshot.ts";
import { getLogger } from "../telemetry/logger.ts";
import { metrics } from "../telemetry/metrics.ts";
import { AppError } from "../util/app-error.ts";
import { Arrivals } from "./arrivals.ts";
import { startBroker, type Broker } from "./broker.ts";
import { BrokerLink } from "./broker-link.ts";
import { Copy } from "./copy.ts";
import { nodeIdOf, settleSecrets, type Announce } from "./identity.ts";
import { createLogServer } from "./log-server.ts";
import type { Node, NodeHealth, Writes } from "./node.ts";
import type { Outlet } from "./outlet.ts";
import { Publisher } from "./publish.ts";
import { checkStoreAside } from "./snapshot-jobs.ts";
import { keepSnapshots } from "./snapshot-keeper.ts";
import { topicsOf, type Topics } from "./topics.ts";
import { Writer } from "./writer.ts";

const log = getLogger("primary");

export interface PrimaryNode extends Node {
  readonly writes: Writes;
}

/** `announce` is given the keys that a first start makes. */
export async function startPrimaryNode(config: Config, announce: Announce = async () => {}): Promise<PrimaryNode> {
  const { limits, environment, data } = config;
  // What was started is ended in reverse order, also where a later part fails to start.
  await using started = new AsyncDisposableStack();
  const directory = lockDirectory(data);
  started.defer(directory.unlock);
  const writer = new Writer({ environment, synchronous: "FULL", limits });
  started.defer(() => writer.stop());
  const path = await openChecked(writer, config);
  await settleEpoch(writer, data);
  const copy = new Copy(data, limits, writer.changes);
  started.defer(() => copy.close());
  copy.open(path);
  refuseDevelopmentKey(config, copy.engine());
  const verifyNodeKey = await settleSecrets(config, writer, announce);
  keepPosition(started, data, writer, limits.headIntervalMs);

  const feedStore = openStore(path, { readonly: true });
  started.defer(() => feedStore.close());
  const snapshots = keepSnapshots({
    storePath: () => path,
    directory: join(data, "snapshots"),
    reuseMs: limits.snapshotReuseMs,
    present: () => writer.state,
  });
  const serveLog = createLogServer({ store: feedStore, limits, verifyNodeKey, snapshots });

  const topics = topicsOf(config.topicPrefix, environment);
  const feed = await openFeed(config, topics, verifyNodeKey);
  started.defer(() => feed.outlet.close());
  const publisher = new Publisher({ store: feedStore, outlet: feed.outlet, topics, limits });
  started.defer(() => publisher.stop());
  const fence = watchFence(feed, publisher, environment);
  const arrivals = new Arrivals(() => writer.state, { primary: true });
  writer.onMoved((state) => {
    copy.moved(state);
    arrivals.moved(state);
    publisher.wake();
  });
  publisher.start();
  feed.link?.start();

  const running = started.move();
  return {
    role: "primary",
    id: nodeIdOf(config),
    environment,
    engine: () => copy.engine(),
    writes: writesOver(writer, fence),
    forward: undefined,
    waitFor: (token) => arrivals.waitFor(token, config.consistencyWait),
    health: () => healthOf(writer, feed, fence),
    replication: serveLog,
    mqttConnection: feed.broker?.handle,
    stop: () => running.disposeAsync(),
  };
}

function healthOf(writer: Writer, { outlet, broker }: Feed, fence: Fence): NodeHealth {
  const { epoch, offset, digest } = writer.state;
  const ok = !writer.failed;
  const feedConnected = outlet.connected && !fence.fenced;
  const brokerClients = broker === undefined ? {} : { brokerClients: broker.clients };
  return { ok, role: "primary", state: "PRIMARY", epoch, offset, digest, ageMs: 0, feedConnected, ...brokerClients };
}

/** What `ostiary dev` left behind opens to a key that everybody knows. */
function refuseDevelopmentKey({ adminKey }: Config, engine: Engine): void {
  if (adminKey === developmentKey || authenticate(engine, developmentKey) === undefined) return;
  throw new AppError(
    "conflict",
    "the data are those of `ostiary dev`, whose test key everybody knows: give this node a directory of its own",
  );
}

interface Fence {
  readonly fenced: boolean;
}

/** When another primary has taken over, this one stops talking at once. It goes on answering, from what it has. */
function watchFence({ link }: Feed, publisher: Publisher, environment: string): Fence {
  const fence = { fenced: false };
  link?.onFenced(() => {
    fence.fenced = true;
    publisher.stop();
    log.fatal(
      "another primary of environment {environment} is active: this one is FENCED, it publishes and writes nothing any more",
      { environment },
    );
  });
  return fence;
}

interface Feed {
  readonly outlet: Outlet;
  readonly broker: Broker | undefined;
  readonly link: BrokerLink | undefined;
}

/** The broker inside this process, or the way to one outside. */
async function openFeed(config: Config, topics: Topics, verifyNodeKey: (key: string) => boolean): Promise<Feed> {
  const { limits } = config;
  if (config.broker === "embedded") {
    const broker = await startBroker({
      topics,
      verifyNodeKey,
      connectionsMax: limits.brokerConnectionsMax,
      packetBytesMax: limits.brokerPacketBytesMax,
      drainTimeoutMs: limits.brokerDrainTimeoutMs,
    });
    if (config.mqttPort !== 0) await broker.listen(config.mqttHost ?? config.host, config.mqttPort);
    return { outlet: broker, broker, link: undefined };
  }
  const link = new BrokerLink({
    url: config.broker,
    clientId: primaryClientId(config),
    username: config.brokerUsername,
    password: config.brokerPassword,
    ca: config.brokerCa === undefined ? undefined : readFileSync(config.brokerCa, "utf8"),
    connectTimeoutMs: limits.brokerConnectTimeoutMs,
    keepaliveMs: limits.brokerKeepaliveMs,
    exclusive: { heads: topics.head },
  });
  return { outlet: link, broker: undefined, link };
}

/**
 * The same for every primary of an environment, since that is how two of them notice each other. Brokers let any user take any client id, so it
 * comes from the password that only primaries have: an edge that knew it could fence the primary. Slowly, because brokers log client ids.
 */
function primaryClientId({ environment, brokerPassword }: Config): string {
  const name = `ostiary-primary-${environment}`;
  return brokerPassword === undefined ? name : `${name}-${scryptSync(brokerPassword, name, 8).toString("hex")}`;
}

/** The primary's file is the truth, so a damaged one is never replaced or repaired here. Returns its path. */
async function openChecked(writer: Writer, { data, limits }: Config): Promise<string> {
  const present = presentStore(data);
  if (present !== undefined) {
    await checkStoreAside(present, limits).catch((cause: unknown) => {
      throw new AppError(
        "internal",
        `the database \`${present}\` is damaged, restore it from a backup or a node's copy`,
        { cause },
      );
    });
  }
  const path = present ?? (await makeStore(writer, data));
  await writer.open(path);
  return path;
}

/** Made aside and put in its place whole, so that what a first start leaves when it dies is never taken for a damaged database. */
async function makeStore(writer: Writer, data: string): Promise<string> {
  const unfinished = join(data, "new.db");
  removeFiles(databaseFiles(unfinished));
  await writer.open(unfinished);
  await writer.close();
  // A copy takes its place, since the closed connection lives until its statements are collected: every connection of this process would share
  // its `new.db-shm`, and another process (`sqlite3`, for a backup) would not see their locks.
  const copied = `${unfinished}.copy`;
  copyFileSync(unfinished, copied);
  const path = nextStore(data);
  installStore(copied, path);
  removeFiles(databaseFiles(unfinished));
  return path;
}

/**
 * Starts a new epoch where this file's history may not be the one that others have seen: it was an edge's until now (promotion), or it is
 * shorter than what was already published (an old backup was put back).
 */
async function settleEpoch(writer: Writer, data: string): Promise<void> {
  const before = readNote(data, "role");
  const noted = readNote(data, "position");
  const [epoch, offset] = (noted ?? "").split(":");
  // A backup may also be from before the present epoch.
  const rolledBack = noted !== undefined && (epoch !== writer.state.epoch || Number(offset) > writer.state.offset);
  const promoted = before !== undefined && before !== "primary";
  if (rolledBack || promoted) {
    await writer.startEpoch();
    log.warning("started a new epoch at {offset}: {reason}", {
      offset: writer.state.offset,
      reason: promoted ? `this node was ${before} before` : "the database is older than what was already published",
    });
  }
  // Only now: a start that dies before has to come to the same decision the next time.
  notePosition(data, writer);
  if (before !== "primary") writeNote(data, "role", "primary");
}

function notePosition(data: string, writer: Writer): void {
  const text = `${writer.state.epoch}:${writer.state.offset}`;
  if (readNote(data, "position") !== text) writeNote(data, "position", text, { wait: false });
}

/** Notes how far the log has gone, beside the database: an old database that is put back will not know of it. */
function keepPosition(started: AsyncDisposableStack, data: string, writer: Writer, intervalMs: number): void {
  const note = (): void => notePosition(data, writer);
  started.defer(note);
  const timer = setInterval(note, intervalMs);
  started.defer(() => clearInterval(timer));
}

function writesOver(writer: Writer, fence: Fence): Writes {
  const write: Writer["write"] = async (request, meta) => {
    if (fence.fenced)
      throw new AppError("not_ready", "another primary has taken over, this one writes nothing any more");
    const result = await writer.write(request, meta);
    if (result.unchanged !== true) metrics.eventsApplied.inc({ source: "write" });
    return result;
  };
  return {
    batch: (changes, meta) => write({ kind: "batch", changes }, meta),
    policy: (policy, meta) => write({ kind: "policy", ...policy }, meta),
    clear: (meta) => write({ kind: "clear" }, meta),
    keys: (change, meta) => write({ kind: "keys", ...change }, meta),
  };
}
