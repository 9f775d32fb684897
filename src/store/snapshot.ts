/**
 * Snapshots: one consistent copy of the whole store as a compressed file, made without stopping anybody (`VACUUM INTO` reads a WAL snapshot) and
 * checked from end to end before anybody trusts it. The log and what belongs to the sending node alone stay behind. The file is shipped, not its
 * rows: loading rows and indexes anew takes five times as long.
 */
import { mkdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { compressFile, decompressFile } from "../runtime/compress.ts";
import { openSqlite } from "../runtime/sqlite.ts";
import { AppError } from "../util/app-error.ts";
import { openStore, schemaVersion } from "./database.ts";
import { readState, type State } from "./state.ts";

const hash = z.string().regex(/^[0-9a-f]{16}$/);

/** What is known of a snapshot without unpacking it. */
export const snapshotManifest = z
  .object({
    /** Of the file format, as in `schemaVersion`. */
    schema: z.number().int().positive(),
    environment: z.string().min(1),
    epoch: hash,
    offset: z.number().int().nonnegative(),
    /** Chain hash and state digest at `offset`. */
    hash,
    digest: hash,
    /** Of the compressed file. */
    sha256: z.string().regex(/^[0-9a-f]{64}$/),
    bytes: z.number().int().positive(),
  })
  .strict();
export type SnapshotManifest = z.infer<typeof snapshotManifest>;

export interface Snapshot {
  readonly path: string;
  readonly manifest: SnapshotManifest;
}

/** Names a snapshot: the same tag, the same content. The hash tells apart what a backup that was put back unnoticed has doubled. */
export function snapshotTag({ epoch, offset, hash }: Pick<State, "epoch" | "offset" | "hash">): string {
  return `"${epoch}-${offset}-${hash}"`;
}

/** Makes a snapshot of the store at `storePath` in `directory`. Blocks its thread for about 0.4 s per 100 MB, so it runs in a Worker. */
export async function buildSnapshot(storePath: string, directory: string): Promise<Snapshot> {
  mkdirSync(directory, { recursive: true });
  const copyPath = join(directory, "building.db");
  const packedPath = join(directory, "building.db.zst");
  removeFiles([...databaseFiles(copyPath), packedPath]);
  try {
    const state = copyStore(storePath, copyPath);
    const { sha256, bytes } = await compressFile(copyPath, packedPath);
    const { environment, epoch, offset, hash, digest } = state;
    const manifest = { schema: schemaVersion, environment, epoch, offset, hash, digest, sha256, bytes };
    const path = join(directory, `${epoch}-${offset}.db.zst`);
    renameSync(packedPath, path);
    return { path, manifest };
  } finally {
    removeFiles([...databaseFiles(copyPath), packedPath]);
  }
}

/**
 * Unpacks a snapshot that was received. Throws, and leaves no file at `target`, unless `check` finds it sound and everything in it is what the
 * manifest says.
 */
export async function unpackSnapshot(
  snapshot: Snapshot,
  target: string,
  bytesMax: number,
  check: (path: string) => State,
): Promise<State> {
  const { path, manifest } = snapshot;
  requireKnownFormat(manifest);
  removeFiles(databaseFiles(target));
  try {
    await decompressFile(path, target, bytesMax);
    const state = check(target);
    requireSame(state, manifest);
    return state;
  } catch (error) {
    removeFiles(databaseFiles(target));
    throw error;
  }
}

export function requireKnownFormat({ schema }: SnapshotManifest): void {
  if (schema <= schemaVersion) return;
  throw new AppError("internal", `the snapshot has format ${schema}, this binary knows formats up to ${schemaVersion}`);
}

function copyStore(source: string, target: string): State {
  const store = openStore(source, { readonly: true });
  try {
    store.prepare("VACUUM INTO ?").run(target);
  } finally {
    store.close();
  }
  const copy = openSqlite(target);
  try {
    copy.exec("PRAGMA journal_mode = OFF");
    copy.exec("DELETE FROM log");
    copy.exec("DELETE FROM node");
    // Deleted rows stay readable in free pages until the file is written anew.
    copy.exec("VACUUM");
    return readState(copy);
  } finally {
    copy.close();
  }
}

function requireSame(state: State, manifest: SnapshotManifest): void {
  for (const key of ["environment", "epoch", "offset", "hash", "digest"] as const) {
    if (state[key] !== manifest[key])
      throw new Error(`the snapshot's ${key} is ${state[key]}, its manifest says ${manifest[key]}`);
  }
}

/** A database and what SQLite may leave beside it. */
export function databaseFiles(path: string): string[] {
  return [path, `${path}-wal`, `${path}-shm`, `${path}-journal`];
}

export function removeFiles(paths: readonly string[]): void {
  for (const path of paths) rmSync(path, { force: true });
}
