/**
 * A node's snapshots, made when somebody asks: one build at a time, whoever comes meanwhile gets the same one, and a young one is given out again
 * although there are newer events, since its receiver reads the log from there anyway. Two files are kept: the newest, and the one before that was
 * asked for last, for whoever has a part of it. They outlive the node's process.
 */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { openSnapshot, removeFiles, snapshotBytesTag, type Snapshot } from "../../store/snapshot/snapshot.ts";
import { authenticityOf } from "../../store/snapshot/snapshot-mac.ts";
import type { StoreState } from "../../store/log/store-state.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { metrics } from "../../telemetry/metrics.ts";
import { reasonOf } from "../../util/reason.ts";
import type { System } from "../system.ts";
import { buildSnapshotInWorker, verifySnapshotInWorker } from "./snapshot-jobs.ts";

const log = getLogger("snapshot");

export interface SnapshotCache {
  /** The newest there is, or a new one where that is old. */
  get(): Promise<Snapshot>;
  /** The kept one with this `snapshotBytesTag`. */
  find(tag: string): Snapshot | undefined;
}

export interface SnapshotCacheOptions {
  /** Where the database is now. */
  readonly storePath: () => string;
  /** Where snapshots are kept; nothing else that ends with `.zst` may be there. */
  readonly directory: string;
  /** Up to this age a snapshot is young. */
  readonly reuseMs: number;
  /** Where the database stands. */
  readonly state: () => StoreState;
  /** For the MAC. */
  readonly nodeKeyHash: string;
  readonly system: Pick<System, "clock" | "spawnWorker">;
}

interface CachedSnapshot {
  readonly snapshot: Snapshot;
  /** By the monotonic clock; long ago where it was made by an earlier process. */
  readonly madeMs: number;
  askedMs: number;
  /** False while nobody has read it since the start of this process. */
  isWhole: boolean;
}

const cachedMax = 2;

export function openSnapshotCache(options: SnapshotCacheOptions): SnapshotCache {
  const { storePath, directory, reuseMs, state: present, nodeKeyHash, system } = options;
  const { clock } = system;
  let kept = readCached(directory, nodeKeyHash);
  let building: Promise<CachedSnapshot> | undefined;

  const build = async (): Promise<CachedSnapshot> => {
    const startMs = clock.monotonicMs();
    log.debug("making a snapshot at {offset}", { offset: present().offset });
    const snapshot = await buildSnapshotInWorker(system, storePath(), directory, nodeKeyHash);
    // Counted from the end: who could not wait so long comes again.
    const madeMs = clock.monotonicMs();
    const made = { snapshot, madeMs, askedMs: madeMs, isWhole: true };
    kept = [made, ...kept.toSorted((left, right) => right.askedMs - left.askedMs)].slice(0, cachedMax);
    removeOthers(directory, kept);
    metrics.snapshots.inc({ action: "built" });
    const { offset, bytes } = snapshot.manifest;
    const ms = Math.round(madeMs - startMs);
    log.info("made a snapshot at {offset}, {bytes} bytes in {ms} ms", { offset, bytes, ms });
    return made;
  };

  /** A damaged file would be refused by whoever gets it, again and again. */
  const checked = async (old: CachedSnapshot): Promise<CachedSnapshot> => {
    log.debug("comparing the snapshot of an earlier start with its checksum: {path}", { path: old.snapshot.path });
    try {
      await verifySnapshotInWorker(system, old.snapshot);
      old.isWhole = true;
      return old;
    } catch (error) {
      log.warning("{path} is not given out: {reason}", { path: old.snapshot.path, reason: reasonOf(error) });
      kept = kept.filter((other) => other !== old);
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
      const found = findReusable(kept, present(), clock.monotonicMs() - reuseMs);
      const given = found?.isWhole === true ? found : await (building ??= prepare(found));
      given.askedMs = clock.monotonicMs();
      return given.snapshot;
    },
    find(tag) {
      const found = kept.find(({ snapshot }) => snapshotBytesTag(snapshot.manifest) === tag);
      if (found === undefined || !existsSync(found.snapshot.path)) return undefined;
      found.askedMs = clock.monotonicMs();
      return found.snapshot;
    },
  };
}

/** The one that can be given out as it is: it is of where the store stands, or was made after `youngMs`. */
function findReusable(
  kept: readonly CachedSnapshot[],
  { epoch, offset, hash }: StoreState,
  youngMs: number,
): CachedSnapshot | undefined {
  const isPresent = ({ manifest }: Snapshot): boolean => manifest.offset === offset && manifest.hash === hash;
  return kept.find(
    ({ snapshot, madeMs }) =>
      snapshot.manifest.epoch === epoch && (isPresent(snapshot) || madeMs > youngMs) && existsSync(snapshot.path),
  );
}

/** What an earlier process has kept, in the order of their positions. */
function readCached(directory: string, nodeKeyHash: string): CachedSnapshot[] {
  const found = filesIn(directory).flatMap((path): CachedSnapshot[] => {
    try {
      const long = Number.NEGATIVE_INFINITY;
      const snapshot = openSnapshot(path);
      // One of an older version, or made under another node key.
      if (authenticityOf(snapshot.signed, nodeKeyHash) !== "verified") return [];
      return [{ snapshot, madeMs: long, askedMs: long, isWhole: false }];
    } catch {
      return []; // it goes with the next one that is made
    }
  });
  return found
    .toSorted((left, right) => right.snapshot.manifest.madeMs - left.snapshot.manifest.madeMs)
    .slice(0, cachedMax);
}

function removeOthers(directory: string, kept: readonly CachedSnapshot[]): void {
  const paths = new Set(kept.map(({ snapshot }) => snapshot.path));
  removeFiles(filesIn(directory).filter((path) => !paths.has(path)));
}

function filesIn(directory: string): string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .filter((name) => name.endsWith(".zst"))
    .map((name) => join(directory, name));
}
