/**
 * Downloads a snapshot. Received bytes stay on disk: after a broken connection or a restart only the rest is requested,
 * and if the sender no longer has the same bytes, the download starts again. Only the manifest is checked here; it has
 * a MAC if the sender is of this version. The content is checked when the snapshot is unpacked.
 */
import { statSync } from "node:fs";
import { open } from "node:fs/promises";
import {
  decodeHeader,
  readHeader,
  type SnapshotHeader,
  type SnapshotManifest,
} from "../../store/snapshot/snapshot-header.ts";
import { openSnapshot, removeFiles, snapshotBytesTag, type Snapshot } from "../../store/snapshot/snapshot.ts";
import type { SignedManifest } from "../../store/snapshot/snapshot-mac.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { metrics } from "../../telemetry/metrics.ts";
import { storageFailureIn } from "../../util/storage-failure.ts";
import { formatMegabytes } from "../../util/megabytes.ts";

const log = getLogger("snapshot");

/** Gets the number of received bytes and the total size. */
export type DownloadProgress = (received: number, size: number) => void;

export type AcceptSnapshot = (manifest: SnapshotManifest, signed: SignedManifest) => void;

export interface SnapshotDownloadOptions {
  readonly get: (headers: Record<string, string>) => Promise<Response>;
  /** The path of the file, which may already hold the first part. */
  readonly target: string;
  /** The `snapshotTag` of the snapshot that the node already has. */
  readonly knownTag: string | undefined;
  /** Throws if the snapshot is of no use. Called as soon as the manifest has arrived. */
  readonly accept: AcceptSnapshot;
  readonly onProgress: DownloadProgress;
  readonly responseError: (response: Response) => Promise<Error>;
}

/** Returns "unchanged" if the snapshot with the known tag is still the newest. After a failure, call it again. */
export async function downloadSnapshot(options: SnapshotDownloadOptions): Promise<Snapshot | "unchanged"> {
  const { get, target, knownTag, responseError } = options;
  const partial = readPartialDownload(target);
  const response = await get({
    ...(knownTag === undefined ? {} : { "If-None-Match": knownTag }),
    ...(partial === undefined ? {} : { Range: `bytes=${partial.received}-`, "If-Range": partial.tag }),
  });
  switch (response.status) {
    case 304:
      removeFiles([target]);
      return "unchanged";
    case 200:
      await receive(response, options, { received: 0, front: undefined });
      break;
    case 206:
      if (partial === undefined || !isContinuation(response, partial)) throw wrongPartError(target);
      log.info("continuing the download of a snapshot after {bytes} bytes", { bytes: partial.received });
      await receive(response, options, partial);
      break;
    case 416:
      // The file is complete: the request was for the bytes after the last one.
      if (partial === undefined || partial.received !== partial.size) throw wrongPartError(target);
      removeOnError(target, () => options.accept(partial.front.manifest, partial.front.signed));
      break;
    default:
      throw await responseError(response);
  }
  return openSnapshot(target);
}

type PartialDownload = NonNullable<ReturnType<typeof readPartialDownload>>;

/** The part that an earlier attempt has stored, if it is usable. */
function readPartialDownload(path: string) {
  try {
    const front = readHeader(path);
    const [received, size] = [statSync(path).size, sizeOf(front)];
    if (received <= size) return { received, front, size, tag: snapshotBytesTag(front.manifest) };
  } catch {
    // There is no file, or too little of it.
  }
  removeFiles([path]);
  return undefined;
}

function isContinuation(response: Response, { received, size, tag }: PartialDownload): boolean {
  const wanted = `bytes ${received}-${size - 1}/${size}`;
  return response.headers.get("content-range") === wanted && response.headers.get("etag") === tag;
}

function wrongPartError(target: string): Error {
  removeFiles([target]);
  return new Error(
    "the sender returned another part of the snapshot than requested; it is downloaded again from the start",
  );
}

/** Writes the response to the file. Removes the file if a continuation would be of no use. */
async function receive(
  response: Response,
  { target, accept, onProgress }: SnapshotDownloadOptions,
  partial: { readonly received: number; readonly front: SnapshotHeader | undefined },
): Promise<void> {
  const file = await open(target, partial.front === undefined ? "w" : "a", 0o600);
  let { received, front } = partial;
  let unreadable = new Uint8Array();
  const check = (chunk: Uint8Array): void => {
    received += chunk.byteLength;
    if (front === undefined) {
      unreadable = Buffer.concat([unreadable, chunk]);
      front = decodeHeader(unreadable);
      if (front !== undefined) accept(front.manifest, front.signed);
    }
    if (front !== undefined && received > sizeOf(front)) throw new Error("the snapshot is longer than it says");
  };
  try {
    if (partial.front !== undefined) {
      const { manifest, signed } = partial.front;
      removeOnError(target, () => accept(manifest, signed));
    }
    for await (const chunk of response.body ?? []) {
      metrics.snapshotBytes.inc({ direction: "received" }, chunk.byteLength);
      removeOnError(target, () => check(chunk));
      await file.appendFile(chunk);
      if (front !== undefined) onProgress(received, sizeOf(front));
    }
  } catch (error) {
    // On a full disk the partial file would take space that others need.
    if (storageFailureIn(error) !== undefined) removeFiles([target]);
    throw error;
  } finally {
    await file.close();
  }
  const size = front === undefined ? "unknown" : sizeOf(front);
  if (received !== size) throw new Error(`the snapshot broke off after ${received} of ${size} bytes`);
}

function removeOnError(path: string, body: () => void): void {
  try {
    body();
  } catch (error) {
    removeFiles([path]);
    throw error;
  }
}

function sizeOf({ length, manifest }: SnapshotHeader): number {
  return length + manifest.bytes;
}

export function logProgress(intervalMs = 5000): DownloadProgress {
  let loggedMs = performance.now();
  return (received, size) => {
    const nowMs = performance.now();
    if (nowMs - loggedMs < intervalMs) return;
    loggedMs = nowMs;
    log.info("fetching a snapshot: {percent} %, {received} of {size} MB", {
      percent: Math.floor((100 * received) / size),
      received: formatMegabytes(received),
      size: formatMegabytes(size),
    });
  };
}
