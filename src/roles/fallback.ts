/**
 * A fallback: the last resort beside the application. It fetches verified snapshots on a timer, or follows the log if it is told to, keeps its copy on
 * disk, and answers from it whoever else is gone. It never waits and never writes; it only says how old its copy is.
 */
import type { Config } from "../config/config.ts";
import type { Limits } from "../config/limits.ts";
import { isDamage } from "../runtime/sqlite.ts";
import { lockDirectory, writeNodeFile } from "../store/directory/data-directory.ts";
import { containsOffset, firstEpoch, type EpochId } from "../store/log/epochs.ts";
import { snapshotTag } from "../store/snapshot/snapshot.ts";
import type { StoreState } from "../store/log/store-state.ts";
import { getLogger } from "../telemetry/logger.ts";
import { AppError } from "../util/app-error.ts";
import { must } from "../util/assert.ts";
import { rateLimiter } from "../util/rate-limiter.ts";
import { backoffMs } from "../util/backoff.ts";
import type { Clock } from "../util/clock.ts";
import { detailOf, reasonOf } from "../util/reason.ts";
import { serveReplicaBackups, createBackupServer } from "../replication/backup/backup-server.ts";
import { LocalDatabase } from "../replication/replica/local-database.ts";
import { createRecheck } from "../replication/replica/damage-monitor.ts";
import { requireConfirmed, requireFresh } from "./edge.ts";
import { openReplica, type Replica } from "../replication/replica/replica.ts";
import { withoutAckName, openReplicaPeers } from "../replication/transport/open-peers.ts";
import type { NodeClient } from "../replication/transport/node-client.ts";
import type { Peers } from "../replication/transport/peers.ts";
import { foreignHealth, HistoryGuard } from "../replication/history-guard.ts";
import { nodeIdOf, nodeKeyHashOf } from "../replication/identity.ts";
import type { Node, NodeHealth } from "../replication/node.ts";
import { chooseInitialDatabase } from "../replication/snapshots/import-snapshot.ts";
import { fetchSnapshot } from "../replication/snapshots/install-snapshot.ts";
import {
  readSnapshotMetadata,
  writeSnapshotMetadata,
  type SnapshotMetadata,
} from "../replication/snapshots/snapshot-metadata.ts";
import { StorageStatus } from "../replication/storage-status.ts";
import { realClusterSystem, type ClusterSystem } from "./cluster-system.ts";
import { scrubDatabase } from "../replication/replica/database-scrub.ts";
import { ageOf } from "../replication/log/event-time.ts";

const log = getLogger("fallback");

export function startFallbackNode(config: Config, system: ClusterSystem = realClusterSystem): Promise<Node> {
  return config.follow ? startReplicaFallback(config, system) : startSnapshotFallback(config, system);
}

/** It asks for the log every few seconds, and has nothing to do with brokers. */
async function startReplicaFallback(config: Config, system: ClusterSystem): Promise<Node> {
  await using started = new AsyncDisposableStack();
  const directory = lockDirectory(config.data);
  started.defer(directory.unlock);
  const id = nodeIdOf(config);
  const following = await openReplica(config, withoutAckName, started, system);
  following.loop.start();
  const running = started.move();
  return {
    ...commonMembers(config, id, () => replicaHealth(following, config.limits.readyAgeMsMax)),
    requireFresh: () => requireConfirmed(following, config.maxStaleness),
    engine: following.engine,
    state: following.state,
    events: following.events,
    backup: serveReplicaBackups(following, config, system),
    reportDamage: following.reportDamage,
    stop: () => running.disposeAsync(),
  };
}

async function startSnapshotFallback(config: Config, system: ClusterSystem): Promise<Node> {
  const { clock } = system;
  const { limits, environment, data } = config;
  // What was started is ended in reverse order, also where a later part fails to start.
  await using started = new AsyncDisposableStack();
  const directory = lockDirectory(data);
  started.defer(directory.unlock);
  const id = nodeIdOf(config);
  const copy = new LocalDatabase(data, limits, clock);
  started.defer(() => copy.close());
  let state: StoreState | undefined;
  let note: SnapshotMetadata | undefined;
  const storage = new StorageStatus();
  let confirmedAtMs: number | undefined;
  const guard = new HistoryGuard(data, clock);
  const damage = monitorSnapshot(copy, limits, started, system);
  const open = (path: string): void => {
    state = copy.open(path, damage.found);
    damage.replaced();
    guard.adopt(firstEpoch(copy.reader()).epoch);
  };
  const sound = await chooseInitialDatabase(config, guard, system);
  if (sound !== undefined) {
    open(sound);
    const known = readSnapshotMetadata(data);
    note = known?.tag === snapshotTag(must(state)) ? known : undefined;
  }
  writeNodeFile(data, "role", "fallback");

  const upstream =
    config.primary === undefined ? undefined : openReplicaPeers(config, withoutAckName, () => state, guard, system);
  if (upstream === undefined && state === undefined)
    throw new AppError(
      "invalid_request",
      "this fallback has neither a snapshot nor a primary to fetch one from: set `--primary`, or give it one with `--import` or `ostiary snapshot import`",
    );
  const fetching = { directory: data, environment, limits, system, storage, guard, nodeKeyHash: nodeKeyHashOf(config) };
  const refresh = async (): Promise<void> => {
    if (upstream === undefined) return;
    const { fetched, from } = await fetchFromAny(upstream, damage.found ? undefined : state, (primary) =>
      fetchSnapshot({ ...fetching, primary }, damage.found ? undefined : note?.tag),
    );
    if (fetched !== "unchanged") open(fetched.path);
    // It may have been found damaged meanwhile: then it is fetched again, whether it is the newest or not.
    if (damage.found) return;
    if (await isInHistoryOf(from, must(state))) copy.markVerified();
    note = { tag: snapshotTag(must(state)), confirmedMs: clock.wallMs() };
    confirmedAtMs = clock.monotonicMs();
    storeNote(data, note, storage);
  };
  // Who waits for an approval looks for it again soon.
  const timer = repeat(refresh, config, () => copy.isOpen && guard.foreign === undefined, clock);
  started.defer(() => timer.stop());
  started.defer(() => upstream?.close());

  damage.onFound(() => {
    note = undefined;
    timer.soon();
  });

  const running = started.move();
  return {
    ...commonMembers(config, id, () => ({
      ...snapshotHealth({ copy, state, note, confirmedAtMs, storage, config, clock }),
      ...foreignHealth(guard),
    })),
    engine() {
      if (!damage.found) return copy.engine();
      throw new AppError("not_ready", "this node's copy is damaged, it waits for a fresh one");
    },
    state: () => state,
    events: undefined,
    backup: createBackupServer({ storePath: () => copy.path, data, nodeKeyHash: nodeKeyHashOf(config), system }),
    reportDamage: damage.report,
    stop: () => running.disposeAsync(),
  };
}

interface SnapshotDamage {
  readonly found: boolean;
  /** Whether it was damage. */
  report(error: unknown): boolean;
  /** The copy is another file now, which was just found sound. Throws where that can't be opened. */
  replaced(): void;
  /** Called each time that some is found. */
  onFound(listener: () => void): void;
}

/** Looks at a copy that nobody writes to, for as long as what was started runs. */
function monitorSnapshot(
  copy: LocalDatabase,
  limits: Limits,
  started: AsyncDisposableStack,
  system: ClusterSystem,
): SnapshotDamage {
  let found = false;
  let onFound = (): void => {};
  const { clock } = system;
  const suspect = (reason: string): void => {
    if (found) return;
    log.error("the copy is damaged: it answers nothing until there is a fresh one: {reason}", { reason });
    found = true;
    recheck();
    onFound();
  };
  const complaints = rateLimiter(60_000, clock);
  const reports = {
    onDamage: suspect,
    onUnreadable(reason: string) {
      if (complaints() > 0) log.warning("the copy cannot be checked now: {reason}", { reason });
    },
  };
  const pages = scrubDatabase(limits, reports, started, clock);
  const onSound = (path: string): void => {
    log.warning("the copy {path} is sound, the disk could not read it for a while: it is answered from again", {
      path,
    });
    found = false;
  };
  const path = (): string | undefined => (copy.isOpen ? copy.path : undefined);
  const { checkDamagedPages } = pages;
  const recheck = createRecheck({ path, isSuspected: () => found, checkDamagedPages, onSound }, started, system);
  return {
    get found() {
      return found;
    },
    report(error) {
      const isFound = isDamage(error);
      if (isFound) suspect(reasonOf(error));
      return isFound;
    },
    replaced() {
      found = false;
      pages.open(copy.reader());
    },
    onFound(listener) {
      onFound = listener;
    },
  };
}

/**
 * What all fallbacks have in common. A token of a position that the copy does not contain, or of whatever service is the primary, is no reason to be
 * silent when everything else is gone.
 */
function commonMembers({ environment, maxStaleness }: Config, id: string, health: () => NodeHealth) {
  return {
    role: "fallback",
    id,
    environment,
    writes: undefined,
    forward: undefined,
    promote: undefined,
    async waitFor() {},
    async waitForLatest() {},
    requireFresh: () => requireFresh(health().ageMs, maxStaleness),
    health,
    replication: () => undefined,
    mqttConnection: undefined,
  } as const;
}

/** The snapshot of the first node that has one, of this epoch or a later. */
async function fetchFromAny<T>(
  upstream: Peers,
  least: EpochId | undefined,
  fetchFrom: (client: NodeClient) => Promise<T>,
): Promise<{ readonly fetched: T; readonly from: NodeClient }> {
  let failure: unknown;
  for (const { client } of await upstream.snapshotSources(least)) {
    try {
      return { fetched: await fetchFrom(client), from: client };
    } catch (error) {
      failure ??= error;
    }
  }
  throw failure ?? new Error("no other node knows of the present epoch, it may have been lost");
}

/** Without it the age of the copy after a restart is counted from its last event. */
function storeNote(data: string, note: SnapshotMetadata, storage: StorageStatus): void {
  try {
    writeSnapshotMetadata(data, note);
    storage.recovered("snapshot");
  } catch (error) {
    storage.failed("snapshot", error, data);
  }
}

/** Whether the node that gave a snapshot has its position in its history. */
async function isInHistoryOf(from: NodeClient, { epoch, offset, hash, digest }: StoreState): Promise<boolean> {
  try {
    const head = await from.head(undefined);
    if (head.e === epoch && head.l === offset) return head.h === hash && head.d === digest;
    return containsOffset(head.epochs, head.l, epoch, offset) === true;
  } catch {
    return false;
  }
}

function replicaHealth(following: Replica, ageMsMax: number): NodeHealth {
  const { loop: follower, writer } = following;
  const state = following.state();
  const ageMs = following.ageMs();
  return {
    ...commonHealth(state, ageMs, ageMsMax, writer.storage),
    degraded: writer.storage.problem ?? following.staleness(ageMsMax),
    ok: state !== undefined && !follower.isDiverged && !writer.hasFailed,
    state: follower.feedState === "STALE_FEED" ? "FOLLOWING" : follower.feedState,
    visibleAfterMs: follower.visibleAfterMs,
    ...foreignHealth(following.historyGuard),
  };
}

/** Three refreshes that came to nothing are worth a word. */
const missedRefreshesMax = 3;

interface SnapshotHealthOptions {
  readonly copy: LocalDatabase;
  readonly state: StoreState | undefined;
  readonly note: SnapshotMetadata | undefined;
  /** By the monotonic clock; undefined where this process was not told yet. */
  readonly confirmedAtMs: number | undefined;
  readonly storage: StorageStatus;
  readonly config: Config;
  readonly clock: Clock;
}

function snapshotHealth({
  copy,
  state,
  note,
  confirmedAtMs,
  storage,
  config,
  clock,
}: SnapshotHealthOptions): NodeHealth {
  const known = note === undefined ? undefined : confirmedAtMs;
  const ageMs =
    state === undefined
      ? null
      : known === undefined
        ? ageOf(note?.confirmedMs ?? state.timeMs, clock)
        : Math.round(clock.monotonicMs() - known);
  return {
    // Without a primary it never was to become newer.
    ...commonHealth(
      state,
      ageMs,
      config.primary === undefined ? Infinity : config.refresh * missedRefreshesMax,
      storage,
    ),
    ok: copy.isOpen,
    state: copy.isOpen ? "SNAPSHOT" : "BOOTSTRAP",
  };
}

function commonHealth(
  state: StoreState | undefined,
  ageMs: number | null,
  ageMsMax: number,
  { problem }: StorageStatus,
) {
  return {
    degraded:
      problem ??
      (ageMs !== null && ageMs > ageMsMax ? `its copy was last known to be the newest ${ageMs} ms ago` : undefined),
    storageOk: problem === undefined,
    role: "fallback",
    epoch: state?.epoch ?? null,
    term: state?.term ?? null,
    offset: state?.offset ?? null,
    digest: state?.digest ?? null,
    ageMs,
    feedConnected: false,
    brokers: [],
  } as const;
}

/** Runs it at once and then on the timer; after a failure sooner, and much sooner while there is no copy at all. Jitter keeps fleets apart. */
function repeat(
  refresh: () => Promise<void>,
  { refresh: intervalMs, limits }: Config,
  ready: () => boolean,
  clock: Clock,
): { soon(): void; stop(): Promise<void> } {
  let failures = 0;
  let stopped = false;
  let cancel = (): void => {};
  const once = async (): Promise<void> => {
    try {
      await refresh();
      failures = 0;
    } catch (error) {
      if (failures++ === 0)
        log.warning("fetching a snapshot failed, trying again: {error}", { error: detailOf(error) });
    }
    if (stopped) return;
    const delays = { minMs: limits.retryDelayMsMin, maxMs: ready() ? intervalMs : limits.retryDelayMsMax };
    const delayMs =
      failures === 0 ? intervalMs * (0.9 + clock.random() / 5) : backoffMs(failures, delays, clock.random());
    cancel = clock.after(delayMs, () => (running = once()));
  };
  let running = once();
  return {
    soon() {
      cancel();
      running = running.then(once);
    },
    async stop() {
      stopped = true;
      cancel();
      await running;
    },
  };
}
