/**
 * A primary: the log, its writer, and what hands the log on: a broker or the way to one, the publisher, and the log server. Alone it is a
 * complete service; nobody else has to exist for it to answer.
 */
import { copyFileSync } from "node:fs";
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
import { Copy } from "./copy.ts";
import { openFeed, type Feed } from "./feed.ts";
import { nodeIdOf, settleSecrets, type Announce } from "./identity.ts";
import { createLogServer } from "./log-server.ts";
import type { Node, NodeHealth, Writes } from "./node.ts";
import { checkStoreAside } from "./snapshot-jobs.ts";
import { keepSnapshots } from "./snapshot-keeper.ts";
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
  const snapshots = keepSnapshots(path, join(data, "snapshots"), limits.snapshotReuseMs, () => writer.state);
  const serveLog = createLogServer({ store: feedStore, limits, verifyNodeKey, snapshot: snapshots.get });

  const feed = await openFeed(config, feedStore, verifyNodeKey);
  started.defer(() => feed.close());
  const arrivals = new Arrivals(() => writer.state, { primary: true });
  writer.onMoved((state) => {
    copy.moved(state);
    arrivals.moved(state);
    feed.wake();
  });
  feed.start();

  const running = started.move();
  return {
    role: "primary",
    id: nodeIdOf(config),
    environment,
    engine: () => copy.engine(),
    writes: writesOver(writer, feed),
    forward: undefined,
    waitFor: (token) => arrivals.waitFor(token, config.consistencyWait),
    health: () => healthOf(writer, feed),
    replication: serveLog,
    mqttConnection: feed.embedded?.handle,
    stop: () => running.disposeAsync(),
  };
}

function healthOf(writer: Writer, { brokers, embedded }: Feed): NodeHealth {
  const { epoch, offset, digest } = writer.state;
  const ok = !writer.failed;
  const feedConnected = brokers.some(({ connected }) => connected);
  const brokerClients = embedded === undefined ? {} : { brokerClients: embedded.clients };
  const standing = { epoch, offset, digest, ageMs: 0 };
  return { ok, role: "primary", state: "PRIMARY", ...standing, feedConnected, brokers, ...brokerClients };
}

/** What `ostiary dev` left behind opens to a key that everybody knows. */
function refuseDevelopmentKey({ adminKey }: Config, engine: Engine): void {
  if (adminKey === developmentKey || authenticate(engine, developmentKey) === undefined) return;
  throw new AppError(
    "conflict",
    "the data are those of `ostiary dev`, whose test key everybody knows: give this node a directory of its own",
  );
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

function writesOver(writer: Writer, feed: Feed): Writes {
  const write: Writer["write"] = async (request, meta) => {
    if (feed.fenced)
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
