/**
 * Serves a snapshot file to other nodes, completely or in parts for nodes that already have the beginning (RFC 9110,
 * sections 13 and 14). The ETag identifies the exact bytes. To ask for another state only, a node sends the state's
 * tag.
 */
import { closeSync, openSync, read } from "node:fs";
import { promisify } from "node:util";
import { snapshotBytesTag, snapshotTag } from "../../store/snapshot/snapshot.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { metrics } from "../../telemetry/metrics.ts";
import type { SnapshotCache } from "./snapshot-cache.ts";

const log = getLogger("snapshot");

const chunkBytes = 256 * 1024;

export async function serveSnapshot({ headers }: Request, cache: SnapshotCache): Promise<Response> {
  const ifRange = headers.get("range") === null ? null : headers.get("if-range");
  // An older snapshot is still good for a node that has a part of it: the log continues from there.
  const partial = ifRange === null ? undefined : cache.find(ifRange);
  const snapshot = partial ?? (await cache.get());
  const { manifest, size } = snapshot;
  const tag = snapshotBytesTag(manifest);
  const common = { ETag: tag, "Accept-Ranges": "bytes", "Cache-Control": "no-cache" };
  const knownTags = (headers.get("if-none-match") ?? "").split(",").map((name) => name.trim());
  if (knownTags.includes(tag) || knownTags.includes(snapshotTag(manifest))) {
    log.debug("the requesting node already has the snapshot at {offset}", { offset: manifest.offset });
    return new Response(null, { status: 304, headers: common });
  }

  const range = ifRange === null || ifRange === tag ? parseRange(headers.get("range"), size) : "all";
  if (range === "none")
    return new Response(null, { status: 416, headers: { ...common, "Content-Range": `bytes */${size}` } });
  const { first, last } = range === "all" ? { first: 0, last: size - 1 } : range;
  metrics.snapshots.inc({ action: "served" });
  const { offset } = manifest;
  log.debug("sending a snapshot at {offset}, bytes {first} to {last} of {size}", { offset, first, last, size });
  const content = { "Content-Type": "application/zstd", "Content-Length": String(last - first + 1) };
  const part = range === "all" ? {} : { "Content-Range": `bytes ${first}-${last}/${size}` };
  const onSent = (bytes: number): void => metrics.snapshotBytes.inc({ direction: "sent" }, bytes);
  const init = { status: range === "all" ? 200 : 206, headers: { ...common, ...content, ...part } };
  return new Response(streamFile(snapshot.path, first, last, onSent), init);
}

/** The requested part of a file. `none`: it is out of bounds. `all`: also for ranges of other forms. */
function parseRange(
  header: string | null,
  size: number,
): { readonly first: number; readonly last: number } | "all" | "none" {
  const [, from, to] = /^bytes=(\d*)-(\d*)$/.exec(header ?? "") ?? [];
  if (from === undefined || to === undefined || (from === "" && to === "")) return "all";
  const first = from === "" ? Math.max(0, size - Number(to)) : Number(from);
  const last = from === "" || to === "" ? size - 1 : Math.min(size - 1, Number(to));
  if (from !== "" && to !== "" && Number(to) < Number(from)) return "all";
  return first < size && first <= last ? { first, last } : "none";
}

const readAt = promisify(read);

/**
 * Streams the bytes from `first` to `last` (inclusive), as fast as they are read. The file is opened immediately,
 * because it may be unlinked meanwhile. `onSent` gets the number of bytes that were read.
 */
export function streamFile(
  path: string,
  first: number,
  last: number,
  onSent: (bytes: number) => void,
): ReadableStream<Uint8Array> {
  const file = openSync(path, "r");
  let at = first;
  let isReading = false;
  let isClosed = false;
  const next = async (piece: Uint8Array): Promise<number> => {
    isReading = true;
    try {
      return (await readAt(file, piece, 0, piece.length, at)).bytesRead;
    } finally {
      isReading = false;
      if (isClosed) closeSync(file);
    }
  };
  /** Closes the file once, and not during a read: its descriptor might belong to another file by then. */
  const end = (): void => {
    if (!isClosed && !isReading) closeSync(file);
    isClosed = true;
  };
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const piece = new Uint8Array(Math.min(chunkBytes, last + 1 - at));
        const bytesRead = await next(piece);
        if (isClosed) return;
        if (bytesRead === 0) throw new Error(`\`${path}\` was truncated`);
        at += bytesRead;
        onSent(bytesRead);
        controller.enqueue(piece.subarray(0, bytesRead));
        if (at <= last) return;
        controller.close();
      } catch (error) {
        controller.error(error);
      }
      end();
    },
    cancel: end,
  });
}
