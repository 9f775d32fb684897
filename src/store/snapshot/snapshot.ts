/**
 * Snapshots: a consistent copy of the whole store in one compressed file, which a receiver verifies before use. Reads
 * and writes continue while it is made. It contains the database file, because loading rows and building indexes takes
 * five times as long.
 */
import { closeSync, mkdirSync, openSync, rmSync, statfsSync, statSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { installFile } from "../../runtime/atomic-file.ts";
import { compressFile, decompressFile, digestFile } from "../../runtime/compress.ts";
import { AppError } from "../../util/app-error.ts";
import {
  damagedSnapshotError,
  encodeHeader,
  readHeader,
  requireKnownFormat,
  type SnapshotManifest,
} from "./snapshot-header.ts";
import type { SignedManifest } from "./snapshot-mac.ts";
import type { StoreState } from "../log/store-state.ts";
import { copyStore } from "./store-copy.ts";

export interface Snapshot {
  readonly path: string;
  readonly manifest: SnapshotManifest;
  /** For `authenticityOf`. */
  readonly signed: SignedManifest;
  /** The size of the whole file. */
  readonly size: number;
}

/**
 * The weak entity tag of a snapshot: the same tag means the same content, but not the same bytes. An unnoticed restore
 * of a file can use an offset twice, hence the chain hash.
 */
export function snapshotTag({ epoch, offset, hash }: Pick<StoreState, "epoch" | "offset" | "hash">): string {
  return `W/"${epoch}-${offset}-${hash}"`;
}

/** The strong entity tag of a snapshot: the same tag means the same bytes. A download can resume with it. */
export function snapshotBytesTag({ epoch, offset, sha256 }: SnapshotManifest): string {
  return `"${epoch}-${offset}-${sha256}"`;
}

/**
 * Makes a snapshot of the store at `storePath` in `directory`, which it creates if needed. Without `nodeKeyHash` it has
 * no MAC. Blocks its thread for about 0.6 s per 100 MB, so it runs in a Worker.
 */
export async function buildSnapshot(storePath: string, directory: string, nodeKeyHash?: string): Promise<Snapshot> {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const building = join(directory, "building.zst");
  removeFiles([building]);
  try {
    const { manifest } = await packStore(storePath, building, "snapshot", nodeKeyHash);
    const { epoch, offset, sha256 } = manifest;
    const path = join(directory, `${epoch}-${offset}-${sha256.slice(0, 16)}.snapshot.zst`);
    installFile(building, path);
    return openSnapshot(path);
  } finally {
    removeFiles([building]);
  }
}

/** A backup, and what is missing in its audit log, because a file is damaged. */
export type Backup = Snapshot & { readonly leftOut: string | undefined };

/**
 * Makes a backup in a new file at `target`: a snapshot with the log, for point-in-time recovery. Blocks as long. `created`
 * is when a hosted environment was created, in ms since 1970.
 */
export async function buildBackup(
  storePath: string,
  target: string,
  nodeKeyHash?: string,
  created?: number,
): Promise<Backup> {
  const about = created === undefined ? {} : { created };
  const { leftOut } = await packStore(storePath, target, "backup", nodeKeyHash, about);
  return { ...openSnapshot(target), leftOut };
}

/** The directory of the target needs space for the uncompressed database. */
async function packStore(
  storePath: string,
  target: string,
  kind: SnapshotManifest["kind"],
  nodeKeyHash?: string,
  more: Pick<SnapshotManifest, "created"> = {},
) {
  const copyPath = copyPathOf(target);
  removeFiles(databaseFiles(copyPath));
  try {
    // Later writes may be missing.
    const madeMs = Date.now();
    const { format: schema, state, history, from, leftOut } = copyStore(storePath, copyPath, kind);
    const { policyId: _, ...position } = state;
    const unpackedBytes = statSync(copyPath).size;
    const about = { kind, schema, history, madeMs, unpackedBytes };
    const known = { ...about, ...more, ...position, ...(from === undefined ? {} : { from }) };
    // The size and the hash are known last. This reserves space for them.
    const largest = { sha256: "0".repeat(64), bytes: Number.MAX_SAFE_INTEGER };
    const preliminary = encodeHeader({ ...known, ...largest }, { nodeKeyHash });
    const manifest = { ...known, ...(await compressFile(copyPath, target, preliminary)) };
    writeHeader(target, encodeHeader(manifest, { length: preliminary.length, nodeKeyHash }));
    return { manifest, leftOut };
  } finally {
    removeFiles(databaseFiles(copyPath));
  }
}

/** The path of the uncompressed copy that becomes the file at `target`. */
export function copyPathOf(target: string): string {
  return `${target}.db`;
}

/** Replaces the preliminary header. `installFile` syncs the file before it gets its final name. */
function writeHeader(path: string, header: Uint8Array): void {
  const file = openSync(path, "r+");
  try {
    writeSync(file, header, 0, header.length, 0);
  } finally {
    closeSync(file);
  }
}

/** Reads the header of a snapshot. Throws an AppError if the file is none, or has the wrong size or a newer format. */
export function openSnapshot(path: string): Snapshot {
  const { manifest, signed, length } = readHeader(path);
  const { size } = statSync(path);
  const wanted = length + manifest.bytes;
  if (size !== wanted) throw damagedSnapshotError(`it has ${size} bytes instead of ${wanted}`);
  return { path, manifest, signed, size };
}

/** Throws an AppError `invalid_request` if the compressed database does not match its SHA-256. */
export async function verifySnapshot({ path, manifest, size }: Snapshot): Promise<void> {
  const { sha256 } = await digestFile(path, size - manifest.bytes);
  if (sha256 !== manifest.sha256) throw damagedSnapshotError("its SHA-256 differs");
}

/**
 * Verifies and unpacks a snapshot. The caller has to check the database. Stops when the database is larger than the
 * manifest says, or than `bytesMax`: a small file can unpack to a very large one.
 */
export async function unpackSnapshot(snapshot: Snapshot, target: string, bytesMax: number): Promise<void> {
  const { path, manifest, size } = snapshot;
  requireKnownFormat(manifest);
  requireRoom(manifest, target, bytesMax);
  await verifySnapshot(snapshot);
  removeFiles(databaseFiles(target));
  const bytes = await decompressFile(path, target, size - manifest.bytes, manifest.unpackedBytes);
  if (bytes !== manifest.unpackedBytes)
    throw damagedSnapshotError(`its database has ${bytes} bytes instead of ${manifest.unpackedBytes}`);
}

/** Throws an AppError `too_large` if the database is larger than the limit or than the free space. */
function requireRoom({ unpackedBytes }: SnapshotManifest, target: string, bytesMax: number): void {
  if (unpackedBytes > bytesMax)
    throw new AppError(
      "too_large",
      `its database has ${unpackedBytes} bytes, and \`snapshotBytesMax\` allows ${bytesMax}`,
    );
  const { bavail, bsize } = statfsSync(dirname(target));
  const free = bavail * bsize;
  if (unpackedBytes > free)
    throw new AppError(
      "too_large",
      `its database has ${unpackedBytes} bytes, and the file system of \`${dirname(target)}\` has ${free} free bytes`,
    );
}

/** Throws if the state of the unpacked database differs from the manifest. */
export function requireMatchingState(state: StoreState, manifest: SnapshotManifest): void {
  for (const key of ["environment", "epoch", "offset", "timeMs", "hash", "digest"] as const) {
    if (state[key] !== manifest[key])
      throw damagedSnapshotError(`its ${key} is ${state[key]}, its manifest says ${manifest[key]}`);
  }
}

/** A database file and the files that SQLite may create for it. */
export function databaseFiles(path: string): string[] {
  return [path, `${path}-wal`, `${path}-shm`, `${path}-journal`];
}

export function removeFiles(paths: readonly string[]): void {
  for (const path of paths) rmSync(path, { force: true });
}
