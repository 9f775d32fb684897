/**
 * A node's snapshots, made on request. There is one build at a time, which serves all requests in the meantime. A
 * recent snapshot is reused although there are newer events, since its receiver reads the log from there anyway. Two
 * files are kept across restarts: the newest, and the one requested last, for receivers that have a part of it.
 */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { openSnapshot, removeFiles, snapshotBytesTag, type Snapshot } from "../../store/snapshot/snapshot.ts";
import { authenticityOf } from "../../store/snapshot/snapshot-mac.ts";
import type { StoreState } from "../../store/log/store-state.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { metrics } from "../../telemetry/metrics.ts";
import { reasonOf } from "../../util/reason.ts";
import type { NodeContext } from "../node-context.ts";
import { buildSnapshotInWorker, verifySnapshotInWorker } from "./snapshot-jobs.ts";

const log = getLogger("snapshot");

export interface SnapshotCache {
  /** The newest snapshot. Makes a new one if that is too old. */
  get(): Promise<Snapshot>;
  /** Returns the cached snapshot with this `snapshotBytesTag`. */
  find(tag: string): Snapshot | undefined;
}

interface CachedSnapshot {
  readonly snapshot: Snapshot;
  /** By the monotonic clock; minus infinity if an earlier process made it. */
  readonly madeMs: number;
  requestedMs: number;
  /** False until the file was compared with its checksum in this process. */
  isVerified: boolean;
}

const cachedMax = 2;

/**
 * `nodeKeyHash`: the key hash for the MAC. Other nodes may not accept a second key of this node any more, or not yet.
 */
export function openSnapshotCache(
  { data, limits, system, clock }: NodeContext,
  storePath: () => string,
  state: () => StoreState,
  nodeKeyHash: string,
): SnapshotCache {
  // It contains no other files that end with `.zst`.
  const directory = join(data, "snapshots");
  let cached = readCached(directory, nodeKeyHash);
  let building: Promise<CachedSnapshot> | undefined;

  const build = async (): Promise<CachedSnapshot> => {
    const startMs = clock.monotonicMs();
    log.debug("making a snapshot at {offset}", { offset: state().offset });
    const snapshot = await buildSnapshotInWorker(system, storePath(), directory, nodeKeyHash);
    // Counted from the end of the build: receivers that did not wait come again.
    const madeMs = clock.monotonicMs();
    const made = { snapshot, madeMs, requestedMs: madeMs, isVerified: true };
    cached = [made, ...cached.toSorted((left, right) => right.requestedMs - left.requestedMs)].slice(0, cachedMax);
    removeOthers(directory, cached);
    metrics.snapshots.inc({ action: "built" });
    const { offset, bytes } = snapshot.manifest;
    const ms = Math.round(madeMs - startMs);
    log.info("made a snapshot at {offset}, {bytes} bytes in {ms} ms", { offset, bytes, ms });
    return made;
  };

  /** Every receiver would refuse a damaged file. */
  const checked = async (old: CachedSnapshot): Promise<CachedSnapshot> => {
    log.debug("comparing the snapshot of an earlier start with its checksum: {path}", { path: old.snapshot.path });
    try {
      await verifySnapshotInWorker(system, old.snapshot);
      old.isVerified = true;
      return old;
    } catch (error) {
      log.warning("the snapshot {path} is not used: {reason}", { path: old.snapshot.path, reason: reasonOf(error) });
      cached = cached.filter((other) => other !== old);
      return build();
    }
  };

  const prepare = async (old: CachedSnapshot | undefined): Promise<CachedSnapshot> => {
    try {
      return await (old === undefined ? build() : checked(old));
    } catch (error) {
      metrics.snapshots.inc({ action: "failed" });
      throw error;
    } finally {
      building = undefined;
    }
  };

  return {
    async get() {
      const found = findReusable(cached, state(), clock.monotonicMs() - limits.snapshotReuseMs);
      const result = found?.isVerified === true ? found : await (building ??= prepare(found));
      result.requestedMs = clock.monotonicMs();
      return result.snapshot;
    },
    find(tag) {
      const found = cached.find(({ snapshot }) => snapshotBytesTag(snapshot.manifest) === tag);
      if (found === undefined || !existsSync(found.snapshot.path)) return undefined;
      found.requestedMs = clock.monotonicMs();
      return found.snapshot;
    },
  };
}

/** Finds a snapshot that can be reused: it has the state of the store, or was made after `youngMs`. */
function findReusable(
  cached: readonly CachedSnapshot[],
  { epoch, offset, hash }: StoreState,
  youngMs: number,
): CachedSnapshot | undefined {
  const isPresent = ({ manifest }: Snapshot): boolean => manifest.offset === offset && manifest.hash === hash;
  return cached.find(
    ({ snapshot, madeMs }) =>
      snapshot.manifest.epoch === epoch && (isPresent(snapshot) || madeMs > youngMs) && existsSync(snapshot.path),
  );
}

/** The snapshots of an earlier process, newest first. */
function readCached(directory: string, nodeKeyHash: string): CachedSnapshot[] {
  const found = filesIn(directory).flatMap((path): CachedSnapshot[] => {
    try {
      const long = Number.NEGATIVE_INFINITY;
      const snapshot = openSnapshot(path);
      // It is of an older version, or was made with another node key.
      if (authenticityOf(snapshot.signed, [nodeKeyHash]) !== "verified") return [];
      return [{ snapshot, madeMs: long, requestedMs: long, isVerified: false }];
    } catch {
      return []; // removed when the next snapshot is made
    }
  });
  return found
    .toSorted((left, right) => right.snapshot.manifest.madeMs - left.snapshot.manifest.madeMs)
    .slice(0, cachedMax);
}

function removeOthers(directory: string, cached: readonly CachedSnapshot[]): void {
  const paths = new Set(cached.map(({ snapshot }) => snapshot.path));
  removeFiles(filesIn(directory).filter((path) => !paths.has(path)));
}

function filesIn(directory: string): string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .filter((name) => name.endsWith(".zst"))
    .map((name) => join(directory, name));
}
