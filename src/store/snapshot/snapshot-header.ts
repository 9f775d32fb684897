/**
 * The form of snapshots and backups: one file that says of itself what it is. A skippable frame of Zstandard comes first (`zstd -d` passes over it), with the
 * manifest as one line of JSON, the SHA-256 of that line as the next, and a MAC of it as the third where the maker knew the node key; then the frames
 * of the database. Older versions pass over the third line.
 */
import { createHash } from "node:crypto";
import { closeSync, openSync, readSync } from "node:fs";
import { z } from "zod";
import { AppError } from "../../util/app-error.ts";
import { describeProblem } from "../../util/bounded-schema.ts";
import { schemaVersion } from "../connection/open-store.ts";
import { macLength, manifestMac, type SignedManifest } from "./snapshot-mac.ts";

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
  /** The epoch's. Absent in files of older versions. */
  term: z.number().int().nonnegative().optional(),
  offset: z.number().int().nonnegative(),
  /** When the event at `offset` was committed, and when the snapshot was made; in ms since 1970. */
  timeMs: z.number().int().nonnegative(),
  madeMs: z.number().int().nonnegative(),
  /** Chain hash and state digest at `offset`. */
  hash,
  digest: hash,
  /** The first epoch of its history. Absent in files of older versions. */
  history: hash.optional(),
  /** The earliest moment that can be gone back to; where it is not said there is none but the one at `offset`. */
  from: z.object({ offset: z.number().int().nonnegative(), timeMs: z.number().int().nonnegative() }).optional(),
  /** Of the frames of the database. */
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  bytes: z.number().int().positive(),
  /** Of the database. */
  unpackedBytes: z.number().int().positive(),
});
export type SnapshotManifest = z.infer<typeof snapshotManifest>;

export interface SnapshotHeader {
  readonly manifest: SnapshotManifest;
  readonly signed: SignedManifest;
  /** Where the database begins. */
  readonly length: number;
}

const magic = 0x184d2a50;
const frameHeaderBytes = 8;
const checksumLength = 64;
const snapshotHeaderBytesMax = 64 * 1024;
const macPrefix = "hmac-sha256 ";

interface SnapshotHeaderOptions {
  /** Makes it as long as one that was written before more was known. */
  readonly length?: number;
  /** Without it there is no MAC. */
  readonly nodeKeyHash?: string | undefined;
}

/** What comes before the database. */
export function encodeHeader(
  manifest: Omit<SnapshotManifest, "snapshot">,
  { length = 0, nodeKeyHash }: SnapshotHeaderOptions = {},
): Uint8Array {
  const text = JSON.stringify({ snapshot: formVersion, ...manifest } satisfies SnapshotManifest);
  const macBytes = nodeKeyHash === undefined ? 0 : macPrefix.length + macLength + "\n".length;
  const rest = frameHeaderBytes + checksumLength + 2 * "\n".length + macBytes;
  const line = text + " ".repeat(Math.max(0, length - rest - Buffer.byteLength(text)));
  const mac = nodeKeyHash === undefined ? "" : `${macPrefix}${manifestMac(line, nodeKeyHash)}\n`;
  const content = Buffer.from(`${line}\n${checksum(line)}\n${mac}`);
  const header = Buffer.alloc(frameHeaderBytes);
  header.writeUInt32LE(magic, 0);
  header.writeUInt32LE(content.length, 4);
  return Buffer.concat([header, content]);
}

/** `undefined` while there are too few bytes to tell. Throws `invalid_request` where they are not the beginning of a snapshot that can be used. */
export function decodeHeader(bytes: Uint8Array): SnapshotHeader | undefined {
  if (bytes.length < frameHeaderBytes) return undefined;
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = frameHeaderBytes + view.readUInt32LE(4);
  if (view.readUInt32LE(0) !== magic || length > snapshotHeaderBytesMax)
    throw new AppError("invalid_request", "this is no snapshot of Ostiary");
  if (bytes.length < length) return undefined;
  const [line = "", sum, last = ""] = view.toString("utf8", frameHeaderBytes, length).split("\n");
  if (sum !== checksum(line)) throw damagedSnapshotError("its manifest is not what was written");
  const mac = last.startsWith(macPrefix) ? last.slice(macPrefix.length) : undefined;
  return { manifest: parseManifest(line), signed: { text: line, mac }, length };
}

/** The front of the file at `path`. Throws `invalid_request` as `decodeHeader` does, and where the file is too short. */
export function readHeader(path: string): SnapshotHeader {
  const bytes = new Uint8Array(snapshotHeaderBytesMax);
  const file = openSync(path, "r");
  try {
    const front = decodeHeader(bytes.subarray(0, readSync(file, bytes)));
    if (front === undefined) throw damagedSnapshotError("it ends before its manifest does");
    return front;
  } finally {
    closeSync(file);
  }
}

export function damagedSnapshotError(how: string): AppError {
  return new AppError("invalid_request", `the snapshot is damaged: ${how}`);
}

/** Refuses a database that only a later version of this binary knows. */
export function requireKnownFormat({ schema }: Pick<SnapshotManifest, "schema">): void {
  if (schema > schemaVersion)
    throw newerSnapshotError(`its database has format ${schema}, and ${schemaVersion} is the last one known here`);
}

const someForm = z.object({ snapshot: z.number() });

function parseManifest(line: string): SnapshotManifest {
  let content: unknown;
  try {
    content = JSON.parse(line);
  } catch {
    throw damagedSnapshotError("its manifest is no JSON");
  }
  const form = someForm.safeParse(content);
  if (form.success && form.data.snapshot > formVersion)
    throw newerSnapshotError(`it has form ${form.data.snapshot}, and ${formVersion} is the last one known here`);
  const parsed = snapshotManifest.safeParse(content);
  if (!parsed.success) throw damagedSnapshotError(`its manifest is not understood: ${describeProblem(parsed.error)}`);
  return parsed.data;
}

function newerSnapshotError(how: string): AppError {
  return new AppError("conflict", `the snapshot was made by a newer Ostiary (${how}); use that one, or a later one`);
}

function checksum(line: string): string {
  return createHash("sha256").update(line).digest("hex");
}
