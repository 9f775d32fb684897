/**
 * A primary: the log, its writer, and what hands the log on: a broker or the way to one, the publisher, and the log server. Alone it is a
 * complete service; nobody else has to exist for it to answer.
 */
import { join } from "node:path";
import type { Config } from "../config/config.ts";
import type { SqlDatabase } from "../runtime/sqlite.ts";
import { lockDirectory, type DataDirectory } from "../store/data-directory.ts";
import { compareEpochs, type EpochName, firstEpoch, readEpochs } from "../store/epochs.ts";
import { verifyKey } from "../store/keys.ts";
import { openLog } from "../store/log.ts";
import { readState, type State } from "../store/state.ts";
import { metrics } from "../telemetry/metrics.ts";
import { AppError } from "../util/app-error.ts";
import { createBackupServer } from "./backup/backup-server.ts";
import { Copy } from "./copy.ts";
import { watchDamage, type Damage } from "./damage.ts";
import { eventHistory } from "./event-history.ts";
import { epochOf } from "./feed/envelope.ts";
import { openFeed, type Feed, type FeedListener } from "./feed/feed.ts";
import { Arrivals } from "./following/arrivals.ts";
import { isPassed, type Stands } from "./following/history.ts";
import { createLogServer, type LogServerOptions } from "./following/log-server.ts";
import { peersOf } from "./following/neighbours.ts";
import { foreignHealth } from "./history-guard.ts";
import { noteHistory } from "./history-notes.ts";
import { nodeIdOf, settleSecrets, type Announce } from "./identity.ts";
import type { Node, NodeHealth, Writes } from "./node.ts";
import { keepPosition, refuseDevelopmentKey, settleEpoch, soundPath, startEpochBecause } from "./primary-store.ts";
import { keepSnapshots } from "./snapshots/snapshot-keeper.ts";
import { Acks } from "./succession/acks.ts";
import { Fence } from "./succession/fence.ts";
import { ForeignWatch } from "./succession/foreign-watch.ts";
import { Pledge } from "./succession/pledge.ts";
import { watchSuccession } from "./succession/succession.ts";
import { realSystem, type System } from "./system.ts";
import { Writer } from "./writing/writer.ts";

export interface PrimaryNode extends Node {
  readonly writes: Writes;
}

/** What an edge leaves to the primary that it becomes: its directory, whose lock goes over with it, and its sound database. */
export interface Takeover {
  readonly directory: DataDirectory;
  readonly path: string;
  /** The epoch that its own will follow. */
  readonly after: EpochName;
  /** Whether it becomes the primary also where another node has more by now: nothing of that was acknowledged, or it is to be lost. */
  readonly aheadIsLost: boolean;
}

/** `announce` is given the keys that a first start makes. With a takeover the node goes on where an edge of this process ended. */
export async function startPrimaryNode(
  config: Config,
  announce: Announce = async () => {},
  takeover?: Takeover,
  system: System = realSystem,
): Promise<PrimaryNode> {
  const { limits, environment, data } = config;
  // What was started is ended in reverse order, also where a later part fails to start.
  await using started = new AsyncDisposableStack();
  const directory = takeover?.directory ?? lockDirectory(data);
  started.defer(directory.unlock);
  const { writer, copy, path, nodeKeyHash } = await openData(started, config, announce, takeover, system);
  // Until it ended, the edge went on following.
  if (takeover !== undefined && compareEpochs(writer.state, takeover.after) !== 0)
    throw overtaken("another node was promoted meanwhile");
  const id = nodeIdOf(config);
  const store = copy.reader();
  const place = await keepPlace(started, { config, writer, store, nodeKeyHash, takeover, system });
  const { fence, feed } = place;
  // Only now: what could still fail has not, and whoever was replaced must not begin an epoch over that of its successor.
  if (!fence.fenced) {
    await settleEpoch(writer, data);
    keepPosition(started, data, writer, limits.headIntervalMs, system.clock);
  }
  const damage = watchDamage(path, started, system);
  const serveLog = serveOthers(config, id, { writer, copy, store, nodeKeyHash, damage }, place, system);
  const arrivals = new Arrivals({
    present: () => writer.state,
    epochs: () => readEpochs(store),
    isNewest: () => !fence.fenced,
    mayLearn: false,
    clock: system.clock,
  });
  const history = eventHistory({ reader: () => store, primary: true });
  writer.onNext((next) => feed.announce(next));
  writer.onMoved((moved) => {
    feed.wake(moved);
    copy.moved(moved.state);
    arrivals.moved();
    history.moved();
  });
  feed.start();

  const running = started.move();
  return {
    role: "primary",
    id,
    environment,
    engine() {
      damage.requireNone();
      return copy.engine();
    },
    history,
    writes: writesOver(writer, place, limits.ackTimeoutMs),
    forward: undefined,
    promote: undefined,
    waitFor: (token) => arrivals.waitFor(token, config.consistencyWait),
    waitForLatest: async () => requireInPlace(fence),
    requireFresh() {
      if (config.maxStaleness !== undefined) requireInPlace(fence);
    },
    reportDamage: damage.report,
    present: () => writer.state,
    health: () => healthOf(writer, place, damage.found),
    replication: serveLog,
    backup: backupsOfPrimary(writer, { path, data, nodeKeyHash }, system),
    mqttConnection: feed.embedded?.handle,
    stop: () => running.disposeAsync(),
  };
}

function backupsOfPrimary(
  writer: Writer,
  { path, data, nodeKeyHash }: Pick<Data, "path" | "nodeKeyHash"> & Pick<Config, "data">,
  system: System,
): Node["backup"] {
  const saveReplaced = (target: string): Promise<boolean> => writer.saveReplaced(target);
  return createBackupServer({ storePath: () => path, saveReplaced, data, nodeKeyHash, system });
}

interface Data {
  readonly writer: Writer;
  readonly copy: Copy;
  readonly path: string;
  /** SHA-256 of the key that nodes show each other. */
  readonly nodeKeyHash: string;
}

async function openData(
  started: AsyncDisposableStack,
  config: Config,
  announce: Announce,
  takeover: Takeover | undefined,
  system: System,
): Promise<Data> {
  const { limits, environment, data } = config;
  const reserveBytes = limits.diskReserveBytes;
  const writer = new Writer({ environment, synchronous: "FULL", limits, reserveBytes }, system);
  started.defer(() => writer.stop());
  const path = takeover?.path ?? (await soundPath(writer, config, system));
  await writer.open(path, { create: false });
  const copy = new Copy(data, limits, system.clock, writer.changes);
  started.defer(() => copy.close());
  copy.open(path);
  noteHistory(data, firstEpoch(copy.reader()).epoch);
  refuseDevelopmentKey(config, copy.engine());
  const nodeKeyHash = await settleSecrets(config, writer, announce, system.clock);
  return { writer, copy, path, nodeKeyHash };
}

interface PlaceOptions {
  readonly config: Config;
  readonly writer: Writer;
  readonly store: SqlDatabase;
  readonly nodeKeyHash: string;
  readonly takeover: Takeover | undefined;
  readonly system: System;
}

/** What a primary has only as long as nobody took its place: its feed, the word of those who follow, and the fence that ends it. */
interface Place {
  readonly foreign: ForeignWatch;
  readonly feed: Feed;
  readonly fence: Fence;
  readonly acks: Acks;
  readonly onPosition: LogServerOptions["onPosition"];
}

async function keepPlace(started: AsyncDisposableStack, options: PlaceOptions): Promise<Place> {
  const { config, writer, store, nodeKeyHash, takeover, system } = options;
  const { clock } = system;
  const present = (): State => writer.state;
  const acks = new Acks(config.ack, clock);
  const { storage } = writer;
  const eventLog = openLog(store);
  const acknowledge = (nodeId: string, stands: Stands): void => {
    if (config.ack > 0 && isPassed(readState(store), eventLog, stands)) acks.note(nodeId, stands.epoch, stands.offset);
  };
  const { epoch: history } = firstEpoch(store);
  const foreign = new ForeignWatch(() => history, clock);
  const startMs = clock.wallMs();
  const fence = new Fence({ directory: config.data, store, present, storage, onFenced: () => feed.stop() });
  const peers = peersOf(config, present, foreign, system);
  if (peers !== undefined) started.defer(() => peers.close());
  // Since it was asked whether it may, time has passed.
  let mayStand = takeover?.aheadIsLost !== false;
  const succession = watchSuccession({
    peers,
    fence,
    // From the file: the writer's word of a commit may still be on its way when somebody who was told of it by the feed is heard of.
    present: () => readState(store),
    async startEpoch() {
      if (!mayStand) throw overtaken("another node has come further than this one by now");
      await startEpochBecause(writer, "others have seen more of the epoch than this database has");
    },
    intervalMs: config.limits.peerCheckIntervalMs,
    clock,
  });
  const listener: FeedListener = {
    head(head) {
      // A retained one may be what is left of a primary that was started on an empty directory.
      if (head.f !== undefined && head.f !== history)
        return void (head.t >= startMs && foreign.admits(head.f, "a primary at a broker"));
      const [offset, hash] = head.from;
      const epoch = epochOf(head);
      fence.consider(epoch, [{ ...epoch, offset, hash, timeMs: head.t }]);
      succession.seen({ ...epoch, offset: head.l });
    },
    status(nodeId, { epoch, offset, hash }) {
      if (epoch !== null && offset !== null) acknowledge(nodeId, { epoch, offset, hash: hash ?? undefined });
    },
    fenced: (reason) => fence.fence(reason),
  };
  const feed = await openFeed(config, store, nodeKeyHash, listener, system);
  started.defer(() => feed.close());
  await succession.look();
  if (takeover !== undefined && fence.fenced) throw overtaken("another node was promoted meanwhile");
  mayStand = true;
  succession.start();
  started.defer(() => succession.stop());
  return {
    foreign,
    feed,
    fence,
    acks,
    onPosition(asked, nodeId) {
      if (asked.first !== undefined && !foreign.admits(asked.first, nodeId ?? "a node")) return;
      succession.seen(asked);
      if (nodeId !== undefined) acknowledge(nodeId, asked);
    },
  };
}

function overtaken(reason: string): AppError {
  return new AppError("conflict", `${reason}: this one goes on as an edge, look again which one to promote`);
}

function serveOthers(
  { data, limits, ack }: Config,
  id: string,
  {
    writer,
    copy,
    store,
    nodeKeyHash,
    damage,
  }: Omit<Data, "path"> & { readonly store: SqlDatabase; readonly damage: Damage },
  { onPosition, feed, fence }: Place,
  system: System,
): Node["replication"] {
  const snapshots = keepSnapshots({
    storePath: () => copy.engine().path,
    directory: join(data, "snapshots"),
    reuseMs: limits.snapshotReuseMs,
    present: () => writer.state,
    nodeKeyHash,
    system,
  });
  return createLogServer({
    store() {
      damage.requireNone();
      return store;
    },
    role: () => "primary",
    node: id,
    led: undefined,
    candidacy: () => undefined,
    // Whoever asks for the epoch of this primary sees in its head that it is one. What was replaced may be an edge tomorrow.
    async pledge(request) {
      if (compareEpochs(writer.state, request) < 0) new Pledge(data).give({ ...request, force: true });
    },
    ack: ack > 0,
    // One that was replaced does not know how old its copy has become.
    freshness: () => ({ number: feed.headNumber, ageMs: fence.fenced ? null : undefined }),
    limits,
    clock: system.clock,
    verifyNodeKey: (key) => verifyKey(key, nodeKeyHash),
    snapshots,
    onPosition,
    reportDamage: damage.report,
  });
}

/** One that was replaced does not know how old its copy has become. */
function requireInPlace({ fenced }: Fence): void {
  if (fenced) throw new AppError("not_ready", "another primary has taken over, this copy gets older");
}

function healthOf(writer: Writer, { feed, fence, foreign }: Place, damaged: boolean): NodeHealth {
  const { brokers, embedded } = feed;
  const { epoch, offset, digest } = writer.state;
  const feedConnected = brokers.some(({ connected }) => connected);
  return {
    ...foreignHealth(foreign),
    ok: !writer.failed && !damaged,
    ...(writer.storage.problem === undefined ? {} : { degraded: writer.storage.problem }),
    ...(fence.fenced ? { degraded: "another primary has taken over" } : {}),
    storageOk: writer.storage.problem === undefined,
    role: "primary",
    state: fence.fenced ? "FENCED" : "PRIMARY",
    epoch,
    offset,
    digest,
    ageMs: 0,
    feedConnected,
    brokers,
    ...(embedded === undefined ? {} : { brokerClients: embedded.clients }),
    ...(fence.unreplicated === undefined ? {} : { unreplicated: fence.unreplicated.events }),
  };
}

function writesOver(writer: Writer, { fence, acks, feed, foreign }: Place, ackTimeoutMs: number): Writes {
  const write: Writer["write"] = async (request, meta) => {
    const replaced = (): AppError =>
      new AppError("not_ready", "another primary has taken over, this one writes nothing any more");
    const admit = (): void => {
      if (fence.fenced) throw replaced();
      if (feed.doubted)
        throw new AppError(
          "not_ready",
          "another primary may have taken over: this one looks whether it has, send the write again in a moment",
        );
    };
    const result = await writer.write(request, meta, admit);
    if (result.unchanged !== true && result.repeated !== true) metrics.eventsApplied.inc({ source: "write" });
    // What was done in an earlier epoch is part of the present one, and that is what edges speak of.
    const epoch = result.repeated === true ? writer.state.epoch : result.epoch;
    if (await acks.reached(epoch, result.offset, ackTimeoutMs)) return result;
    if (fence.fenced) throw replaced();
    throw new AppError(
      "not_ready",
      "the write is committed here, but not enough edges have it yet: send it again to be sure of it, it is done only once",
    );
  };
  return {
    history: foreign.own,
    batch: (changes, meta) =>
      write(typeof changes === "string" ? { kind: "batch", json: changes } : { kind: "batch", changes }, meta),
    policy: (policy, meta) => write({ kind: "policy", ...policy }, meta),
    clear: (meta) => write({ kind: "clear" }, meta),
    keys: (change, meta) => write({ kind: "keys", ...change }, meta),
  };
}
