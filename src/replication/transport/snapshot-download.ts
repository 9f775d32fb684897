/**
 * Fetching a snapshot. What has arrived stays on disk: when the line breaks, or the node is started anew, the rest is asked for, and where the
 * sender no longer gives those very bytes, the download begins anew. Nothing is trusted here but the manifest, which has a MAC where it comes from a
 * node of this version: whether the bytes are the right ones is seen when they are unpacked.
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

/** How many bytes there are by now, and how many there will be. */
export type DownloadProgress = (received: number, size: number) => void;

/** What a snapshot says of itself, and its MAC. */
export type AcceptSnapshot = (manifest: SnapshotManifest, signed: SignedManifest) => void;

export interface SnapshotDownloadOptions {
  /** Sends the request, with these headers among others. */
  readonly get: (headers: Record<string, string>) => Promise<Response>;
  /** Where the file is to be, and where its beginning may be. */
  readonly target: string;
  /** The `snapshotTag` of what is known already. */
  readonly knownTag: string | undefined;
  /** Throws where there is no use in a download. Called as soon as the manifest has arrived. */
  readonly accept: AcceptSnapshot;
  readonly onProgress: DownloadProgress;
  /** What to say where the answer is none of those that are expected. */
  readonly responseError: (response: Response) => Promise<Error>;
}

/** Downloads the snapshot, or tells that the one with the known tag still is the newest. After a failure, call it again. */
export async function downloadSnapshot(options: SnapshotDownloadOptions): Promise<Snapshot | "unchanged"> {
  const { get, target, knownTag, responseError: failure } = options;
  const begun = readPartialDownload(target);
  const response = await get({
    ...(knownTag === undefined ? {} : { "If-None-Match": knownTag }),
    ...(begun === undefined ? {} : { Range: `bytes=${begun.received}-`, "If-Range": begun.tag }),
  });
  switch (response.status) {
    case 304:
      removeFiles([target]);
      return "unchanged";
    case 200:
      await receive(response, options, { received: 0, front: undefined });
      break;
    case 206:
      if (begun === undefined || !isContinuation(response, begun)) throw wrongPartError(target);
      log.info("going on with a snapshot after {bytes} bytes", { bytes: begun.received });
      await receive(response, options, begun);
      break;
    case 416:
      // All of it is here: what is asked for then is what follows the last byte.
      if (begun === undefined || begun.received !== begun.size) throw wrongPartError(target);
      removeOnError(target, () => options.accept(begun.front.manifest, begun.front.signed));
      break;
    default:
      throw await failure(response);
  }
  return openSnapshot(target);
}

interface PartialDownload {
  readonly received: number;
  readonly front: SnapshotHeader;
  readonly size: number;
  readonly tag: string;
}

/** What an earlier attempt has left, as far as it can be told. */
function readPartialDownload(path: string): PartialDownload | undefined {
  try {
    const front = readHeader(path);
    const [received, size] = [statSync(path).size, sizeOf(front)];
    if (received <= size) return { received, front, size, tag: snapshotBytesTag(front.manifest) };
  } catch {
    // There is none, or too little of it.
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
  return new Error("another part of the snapshot came than was asked for; it is fetched anew");
}

/** Writes what comes to where it belongs. The file is taken away where going on with it would be of no use. */
async function receive(
  response: Response,
  { target, accept, onProgress }: SnapshotDownloadOptions,
  begun: { readonly received: number; readonly front: SnapshotHeader | undefined },
): Promise<void> {
  const file = await open(target, begun.front === undefined ? "w" : "a", 0o600);
  let { received, front } = begun;
  let unreadable = new Uint8Array();
  const judge = (chunk: Uint8Array): void => {
    received += chunk.byteLength;
    if (front === undefined) {
      unreadable = Buffer.concat([unreadable, chunk]);
      front = decodeHeader(unreadable);
      if (front !== undefined) accept(front.manifest, front.signed);
    }
    if (front !== undefined && received > sizeOf(front)) throw new Error("the snapshot is longer than it says");
  };
  try {
    if (begun.front !== undefined) {
      const { manifest, signed } = begun.front;
      removeOnError(target, () => accept(manifest, signed));
    }
    for await (const chunk of response.body ?? []) {
      metrics.snapshotBytes.inc({ direction: "received" }, chunk.byteLength);
      removeOnError(target, () => judge(chunk));
      await file.appendFile(chunk);
      if (front !== undefined) onProgress(received, sizeOf(front));
    }
  } catch (error) {
    // On a full disk what has come so far would be in the way of everything else.
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

const reportIntervalMs = 5000;

/** Says in the log now and then how far it has come. */
export function logProgress(intervalMs = reportIntervalMs): DownloadProgress {
  let saidMs = performance.now();
  return (received, size) => {
    const nowMs = performance.now();
    if (nowMs - saidMs < intervalMs) return;
    saidMs = nowMs;
    log.info("fetching a snapshot: {percent} %, {received} of {size} MB", {
      percent: Math.floor((100 * received) / size),
      received: formatMegabytes(received),
      size: formatMegabytes(size),
    });
  };
}
