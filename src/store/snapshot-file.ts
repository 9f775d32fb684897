/**
 * The form of snapshots and backups: one file that says of itself what it is. A skippable frame of Zstandard comes first (`zstd -d` passes over it), with the
 * manifest as one line of JSON and the SHA-256 of that line as the next; then the frames of the database.
 */
import { createHash } from "node:crypto";
import { closeSync, openSync, readSync } from "node:fs";
import { z } from "zod";
import { AppError } from "../util/app-error.ts";
import { describeProblem } from "../util/bounded-schema.ts";
import { schemaVersion } from "./database.ts";

const hash = z.string().regex(/^[0-9a-f]{16}$/);

/** Of the form that is described here. */
const formVersion = 1;

/** What is known of a snapshot without unpacking it. */
const snapshotManifest = z.object({
  /** Which form the file has. */
  snapshot: z.literal(formVersion),
  /** A backup has the log as well. */
  kind: z.enum(["snapshot", "backup"]).default("snapshot"),
  /** Of the database's format, as in `schemaVersion`. */
  schema: z.number().int().positive(),
  environment: z.string().min(1),
  epoch: hash,
  offset: z.number().int().nonnegative(),
  /** When the event at `offset` was committed, and when the snapshot was made; in ms since 1970. */
  timeMs: z.number().int().nonnegative(),
  madeMs: z.number().int().nonnegative(),
  /** Chain hash and state digest at `offset`. */
  hash,
  digest: hash,
  /** The earliest moment that can be gone back to; where it is not said there is none but the one at `offset`. */
  from: z.object({ offset: z.number().int().nonnegative(), timeMs: z.number().int().nonnegative() }).optional(),
  /** Of the frames of the database. */
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  bytes: z.number().int().positive(),
  /** Of the database. */
  unpackedBytes: z.number().int().positive(),
});
export type SnapshotManifest = z.infer<typeof snapshotManifest>;

export interface Front {
  readonly manifest: SnapshotManifest;
  /** Where the database begins. */
  readonly length: number;
}

const magic = 0x184d2a50;
const headerBytes = 8;
const checksumLength = 64;
const frontBytesMax = 64 * 1024;

/** What comes before the database. `length` makes it as long as one that was written before more was known. */
export function encodeFront(manifest: Omit<SnapshotManifest, "snapshot">, length = 0): Uint8Array {
  const text = JSON.stringify({ snapshot: formVersion, ...manifest } satisfies SnapshotManifest);
  const rest = headerBytes + checksumLength + 2 * "\n".length;
  const line = text + " ".repeat(Math.max(0, length - rest - Buffer.byteLength(text)));
  const content = Buffer.from(`${line}\n${checksum(line)}\n`);
  const header = Buffer.alloc(headerBytes);
  header.writeUInt32LE(magic, 0);
  header.writeUInt32LE(content.length, 4);
  return Buffer.concat([header, content]);
}

/** `undefined` while there are too few bytes to tell. Throws `invalid_request` where they are not the beginning of a snapshot that can be used. */
export function decodeFront(bytes: Uint8Array): Front | undefined {
  if (bytes.length < headerBytes) return undefined;
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = headerBytes + view.readUInt32LE(4);
  if (view.readUInt32LE(0) !== magic || length > frontBytesMax)
    throw new AppError("invalid_request", "this is no snapshot of Ostiary");
  if (bytes.length < length) return undefined;
  const [line = "", sum] = view.toString("utf8", headerBytes, length).split("\n");
  if (sum !== checksum(line)) throw damaged("its manifest is not what was written");
  return { manifest: parseManifest(line), length };
}

/** The front of the file at `path`. Throws `invalid_request` as `decodeFront` does, and where the file is too short. */
export function readFront(path: string): Front {
  const bytes = new Uint8Array(frontBytesMax);
  const file = openSync(path, "r");
  try {
    const front = decodeFront(bytes.subarray(0, readSync(file, bytes)));
    if (front === undefined) throw damaged("it ends before its manifest does");
    return front;
  } finally {
    closeSync(file);
  }
}

export function damaged(how: string): AppError {
  return new AppError("invalid_request", `the snapshot is damaged: ${how}`);
}

/** Refuses a database that only a later version of this binary knows. */
export function requireKnownFormat({ schema }: Pick<SnapshotManifest, "schema">): void {
  if (schema > schemaVersion)
    throw newer(`its database has format ${schema}, and ${schemaVersion} is the last one known here`);
}

const someForm = z.object({ snapshot: z.number() });

function parseManifest(line: string): SnapshotManifest {
  let content: unknown;
  try {
    content = JSON.parse(line);
  } catch {
    throw damaged("its manifest is no JSON");
  }
  const form = someForm.safeParse(content);
  if (form.success && form.data.snapshot > formVersion)
    throw newer(`it has form ${form.data.snapshot}, and ${formVersion} is the last one known here`);
  const parsed = snapshotManifest.safeParse(content);
  if (!parsed.success) throw damaged(`its manifest is not understood: ${describeProblem(parsed.error)}`);
  return parsed.data;
}

function newer(how: string): AppError {
  return new AppError("conflict", `the snapshot was made by a newer Ostiary (${how}); use that one, or a later one`);
}

function checksum(line: string): string {
  return createHash("sha256").update(line).digest("hex");
}
