/**
 * Snapshots: one consistent copy of the whole store as a compressed file, made without stopping anybody and checked from end to end before anybody
 * trusts it. The database is shipped, not its rows: loading rows and indexes anew takes five times as long.
 */
import { closeSync, fsyncSync, mkdirSync, openSync, rmSync, statfsSync, statSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { installFile } from "../../runtime/atomic-file.ts";
import { compressFile, decompressFile, digestFile } from "../../runtime/compress.ts";
import { AppError } from "../../util/app-error.ts";
import { schemaVersion } from "../connection/open-store.ts";
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
  /** Of the whole file. */
  readonly size: number;
}

/** Ends the name of a snapshot that a node keeps. */
export const snapshotEnding = ".snapshot.zst";

/**
 * Names what a snapshot holds: the same tag, the same content, although the bytes may differ. The hash tells apart what a backup that was put back
 * unnoticed has doubled.
 */
export function snapshotTag({ epoch, offset, hash }: Pick<StoreState, "epoch" | "offset" | "hash">): string {
  return `W/"${epoch}-${offset}-${hash}"`;
}

/** Names the very bytes of a snapshot, for who has a part of them and wants the rest. */
export function snapshotBytesTag({ epoch, offset, sha256 }: SnapshotManifest): string {
  return `"${epoch}-${offset}-${sha256}"`;
}

/**
 * Makes a snapshot of the store at `storePath` in `directory`, which is made where it is missing. Without `nodeKeyHash` it has no MAC. Blocks its
 * thread for about 0.6 s per 100 MB, so it runs in a Worker.
 */
export async function buildSnapshot(storePath: string, directory: string, nodeKeyHash?: string): Promise<Snapshot> {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const building = join(directory, "building.zst");
  removeFiles([building]);
  try {
    const { epoch, offset, sha256 } = await packStore(storePath, building, "snapshot", nodeKeyHash);
    const path = join(directory, `${epoch}-${offset}-${sha256.slice(0, 16)}${snapshotEnding}`);
    installFile(building, path);
    return openSnapshot(path);
  } finally {
    removeFiles([building]);
  }
}

/** Makes a backup in a new file at `target`: a snapshot with the log, and with what going back in time needs. Blocks its thread as long. */
export async function buildBackup(storePath: string, target: string, nodeKeyHash?: string): Promise<Snapshot> {
  await packStore(storePath, target, "backup", nodeKeyHash);
  return openSnapshot(target);
}

/** Beside the target there must be room for the database as it is. */
async function packStore(
  storePath: string,
  target: string,
  kind: SnapshotManifest["kind"],
  nodeKeyHash: string | undefined,
): Promise<UnversionedManifest> {
  const copyPath = copyPathOf(target);
  removeFiles(databaseFiles(copyPath));
  try {
    // What is written from now on may be missing.
    const madeMs = Date.now();
    const { state, history, from } = copyStore(storePath, copyPath, kind);
    const { environment, epoch, term, offset, timeMs, hash, digest } = state;
    const unpackedBytes = statSync(copyPath).size;
    const moments = { offset, timeMs, madeMs, ...(from === undefined ? {} : { from }) };
    const known = {
      kind,
      schema: schemaVersion,
      environment,
      epoch,
      term,
      history,
      ...moments,
      hash,
      digest,
      unpackedBytes,
    };
    // Kept free for what is known last.
    const room = encodeHeader({ ...known, sha256: "0".repeat(64), bytes: Number.MAX_SAFE_INTEGER }, { nodeKeyHash });
    const manifest = { ...known, ...(await compressFile(copyPath, target, room)) };
    writeHeader(target, encodeHeader(manifest, { length: room.length, nodeKeyHash }));
    return manifest;
  } finally {
    removeFiles(databaseFiles(copyPath));
  }
}

/** Where the database is copied to before it is packed into the file at `target`. */
export function copyPathOf(target: string): string {
  return `${target}.db`;
}

type UnversionedManifest = Omit<SnapshotManifest, "snapshot">;

/** Puts it in its place, and waits for the disk: what a power cut leaves under the final name is whole. */
function writeHeader(path: string, front: Uint8Array): void {
  const file = openSync(path, "r+");
  try {
    writeSync(file, front, 0, front.length, 0);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** Reads what the file says of itself. AppError says what is wrong with a file that is no snapshot, damaged by its looks, or of a newer form. */
export function openSnapshot(path: string): Snapshot {
  const { manifest, signed, length } = readHeader(path);
  const { size } = statSync(path);
  const wanted = length + manifest.bytes;
  if (size !== wanted) throw damagedSnapshotError(`it has ${size} bytes, and should have ${wanted}`);
  return { path, manifest, signed, size };
}

/** Throws AppError `invalid_request` where the packed database is not the one that was written. */
export async function verifySnapshot({ path, manifest, size }: Snapshot): Promise<void> {
  const { sha256 } = await digestFile(path, size - manifest.bytes);
  if (sha256 !== manifest.sha256) throw damagedSnapshotError("its SHA-256 differs");
}

/**
 * Unpacks a snapshot whose bytes are right. What comes out has yet to be checked. Stops as soon as there is more of it than the manifest says or
 * than `bytesMax`: a small file can hold a very large one.
 */
export async function unpackSnapshot(snapshot: Snapshot, target: string, bytesMax: number): Promise<void> {
  const { path, manifest, size } = snapshot;
  requireKnownFormat(manifest);
  requireRoom(manifest, target, bytesMax);
  await verifySnapshot(snapshot);
  removeFiles(databaseFiles(target));
  const bytes = await decompressFile(path, target, size - manifest.bytes, manifest.unpackedBytes);
  if (bytes !== manifest.unpackedBytes)
    throw damagedSnapshotError(`its database has ${bytes} bytes, and should have ${manifest.unpackedBytes}`);
}

/** AppError `too_large` where its database may not become, or has no room to be, as large as it says. */
function requireRoom({ unpackedBytes }: SnapshotManifest, target: string, bytesMax: number): void {
  if (unpackedBytes > bytesMax)
    throw new AppError(
      "too_large",
      `its database has ${unpackedBytes} bytes, and \`snapshotBytesMax\` allows ${bytesMax}`,
    );
  const { bavail, bsize } = statfsSync(dirname(target));
  if (unpackedBytes > bavail * bsize)
    throw new AppError(
      "too_large",
      `its database has ${unpackedBytes} bytes, and the file system of \`${dirname(target)}\` has room for ${bavail * bsize}`,
    );
}

/** Throws where what came out is not what the manifest said. */
export function requireMatchingState(state: StoreState, manifest: SnapshotManifest): void {
  for (const key of ["environment", "epoch", "offset", "timeMs", "hash", "digest"] as const) {
    if (state[key] !== manifest[key])
      throw damagedSnapshotError(`its ${key} is ${state[key]}, its manifest says ${manifest[key]}`);
  }
}

/** A database and what SQLite may leave beside it. */
export function databaseFiles(path: string): string[] {
  return [path, `${path}-wal`, `${path}-shm`, `${path}-journal`];
}

export function removeFiles(paths: readonly string[]): void {
  for (const path of paths) rmSync(path, { force: true });
}
