/**
 * The header of snapshots and backups: a skippable frame of Zstandard, which `zstd -d` ignores. The compressed frames of
 * the database follow. The header has up to three lines: the manifest as JSON, the SHA-256 of that line, and, if the
 * maker knew the node key, a MAC of it. Older versions ignore the third line.
 */
import { createHash } from "node:crypto";
import { closeSync, openSync, readSync } from "node:fs";
import { z } from "zod";
import { AppError } from "../../util/app-error.ts";
import { describeProblem } from "../../util/bounded-schema.ts";
import { timeMsMax } from "../../util/clock.ts";
import { schemaVersion } from "../connection/database-format.ts";
import { nodeKeyId } from "../keys/node-keys.ts";
import { macLength, manifestMac, type SignedManifest } from "./snapshot-mac.ts";

/** The version of this file format. */
const fileFormatVersion = 1;

const snapshotManifest = z.lazy(() => {
  const hash = z.string().regex(/^[0-9a-f]{16}$/);
  const timeMs = z.number().int().nonnegative().max(timeMsMax);
  return z.object({
    /** The version of the file format. */
    snapshot: z.literal(fileFormatVersion),
    /** A backup has the log as well. */
    kind: z.enum(["snapshot", "backup"]).default("snapshot"),
    /** The format of the database, as in `schemaVersion`. */
    schema: z.number().int().positive(),
    environment: z.string().min(1),
    epoch: hash,
    /** The term of the epoch. Missing in files of older versions. */
    term: z.number().int().nonnegative().optional(),
    offset: z.number().int().nonnegative(),
    /** When the event at `offset` was committed, and when the snapshot was made, in ms since 1970. */
    timeMs,
    madeMs: timeMs,
    /** When the environment was created, in ms since 1970. Only in backups of other environments than the default one. */
    created: timeMs.optional(),
    /** The chain hash and the state digest at `offset`. */
    hash,
    digest: hash,
    /** The first epoch of its history. Missing in files of older versions. */
    history: hash.optional(),
    /** The earliest point in time that it can be recovered to. If it is missing, only the one at `offset`. */
    from: z.object({ offset: z.number().int().nonnegative(), timeMs }).optional(),
    /** The SHA-256 and the size of the compressed database. */
    sha256: z.string().regex(/^[0-9a-f]{64}$/),
    bytes: z.number().int().positive(),
    /** The size of the database. */
    unpackedBytes: z.number().int().positive(),
    /** The id of the node key of its MAC. Missing in files of older versions, and without a MAC. */
    nodeKey: z
      .string()
      .regex(/^[0-9a-f]{8}$/)
      .optional(),
  });
});
export type SnapshotManifest = z.infer<typeof snapshotManifest>;

export interface SnapshotHeader {
  readonly manifest: SnapshotManifest;
  readonly signed: SignedManifest;
  /** The offset of the compressed database in the file. */
  readonly length: number;
}

const magic = 0x184d2a50;
const frameHeaderBytes = 8;
const checksumLength = 64;
export const snapshotHeaderBytesMax = 64 * 1024;
const macPrefix = "hmac-sha256 ";

/** Pads the header to the `length` of a preliminary one. Without a node key it has no MAC. */
export function encodeHeader(
  manifest: Omit<SnapshotManifest, "snapshot" | "nodeKey">,
  { length = 0, nodeKeyHash }: { readonly length?: number; readonly nodeKeyHash?: string | undefined } = {},
): Uint8Array {
  const nodeKey = nodeKeyHash === undefined ? {} : { nodeKey: nodeKeyId(nodeKeyHash) };
  const text = JSON.stringify({ snapshot: fileFormatVersion, ...manifest, ...nodeKey } satisfies SnapshotManifest);
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

/** Undefined if the header is incomplete. Throws `invalid_request` if the bytes do not begin a usable snapshot. */
export function decodeHeader(bytes: Uint8Array): SnapshotHeader | undefined {
  if (bytes.length < frameHeaderBytes) return undefined;
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = frameHeaderBytes + view.readUInt32LE(4);
  if (view.readUInt32LE(0) !== magic || length > snapshotHeaderBytesMax)
    throw new AppError("invalid_request", "this is not a snapshot of Ostiary");
  if (bytes.length < length) return undefined;
  const [line = "", sum, last = ""] = view.toString("utf8", frameHeaderBytes, length).split("\n");
  if (sum !== checksum(line)) throw damagedSnapshotError("its manifest does not match its checksum");
  const mac = last.startsWith(macPrefix) ? last.slice(macPrefix.length) : undefined;
  const manifest = parseManifest(line);
  return { manifest, signed: { text: line, mac, nodeKey: manifest.nodeKey }, length };
}

/** Reads the header of the file at `path`. Throws `invalid_request` as `decodeHeader` does, or if it is too short. */
export function readHeader(path: string): SnapshotHeader {
  const bytes = new Uint8Array(snapshotHeaderBytesMax);
  const file = openSync(path, "r");
  try {
    const header = decodeHeader(bytes.subarray(0, readSync(file, bytes)));
    if (header === undefined) throw damagedSnapshotError("it ends within its header");
    return header;
  } finally {
    closeSync(file);
  }
}

export function damagedSnapshotError(how: string): AppError {
  return new AppError("invalid_request", `the snapshot is damaged: ${how}`);
}

/** Throws if the database has a newer format than this binary knows. */
export function requireKnownFormat({ schema }: Pick<SnapshotManifest, "schema">): void {
  if (schema > schemaVersion)
    throw newerSnapshotError(`its database has format ${schema}, this version knows formats up to ${schemaVersion}`);
}

const anyVersion = z.lazy(() => z.object({ snapshot: z.number() }));

function parseManifest(line: string): SnapshotManifest {
  let content: unknown;
  try {
    content = JSON.parse(line);
  } catch {
    throw damagedSnapshotError("its manifest is not JSON");
  }
  const version = anyVersion.safeParse(content);
  if (version.success && version.data.snapshot > fileFormatVersion)
    throw newerSnapshotError(
      `it has version ${version.data.snapshot} of the file format, this version knows versions up to ${fileFormatVersion}`,
    );
  const parsed = snapshotManifest.safeParse(content);
  if (!parsed.success) throw damagedSnapshotError(`its manifest is invalid: ${describeProblem(parsed.error)}`);
  return parsed.data;
}

function newerSnapshotError(how: string): AppError {
  return new AppError("conflict", `the snapshot was made by a newer Ostiary (${how}): use that version or a later one`);
}

function checksum(line: string): string {
  return createHash("sha256").update(line).digest("hex");
}
