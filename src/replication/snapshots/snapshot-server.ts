/**
 * How a node gives a snapshot to others: as the one file that it is, in parts for who has the beginning already (RFC 9110, 13 and 14). The tag of
 * an answer names these very bytes; who only wants to know whether there is another state shows the tag of the state.
 */
import { closeSync, openSync, read } from "node:fs";
import { promisify } from "node:util";
import { snapshotBytesTag, snapshotTag } from "../../store/snapshot/snapshot.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { metrics } from "../../telemetry/metrics.ts";
import type { SnapshotCache } from "./snapshot-cache.ts";

const log = getLogger("snapshot");

const chunkBytes = 256 * 1024;

export async function serveSnapshot({ headers }: Request, keeper: SnapshotCache): Promise<Response> {
  const ifRange = headers.get("range") === null ? null : headers.get("if-range");
  // An older one is still good for who has begun with it: the log goes on from there.
  const begun = ifRange === null ? undefined : keeper.find(ifRange);
  const snapshot = begun ?? (await keeper.get());
  const { manifest, size } = snapshot;
  const tag = snapshotBytesTag(manifest);
  const common = { ETag: tag, "Accept-Ranges": "bytes", "Cache-Control": "no-cache" };
  const known = (headers.get("if-none-match") ?? "").split(",").map((name) => name.trim());
  if (known.includes(tag) || known.includes(snapshotTag(manifest))) {
    log.debug("the snapshot at {offset} is known to the node that asks", { offset: manifest.offset });
    return new Response(null, { status: 304, headers: common });
  }

  const wanted = ifRange === null || ifRange === tag ? parseRange(headers.get("range"), size) : "all";
  if (wanted === "none")
    return new Response(null, { status: 416, headers: { ...common, "Content-Range": `bytes */${size}` } });
  const { first, last } = wanted === "all" ? { first: 0, last: size - 1 } : wanted;
  metrics.snapshots.inc({ action: "served" });
  log.debug("sending a snapshot at {offset}, bytes {first} to {last} of {size}", {
    offset: manifest.offset,
    first,
    last,
    size,
  });
  const content = { "Content-Type": "application/zstd", "Content-Length": String(last - first + 1) };
  const part = wanted === "all" ? {} : { "Content-Range": `bytes ${first}-${last}/${size}` };
  return new Response(
    streamFile(snapshot.path, first, last, (bytes) => metrics.snapshotBytes.inc({ direction: "sent" }, bytes)),
    {
      status: wanted === "all" ? 200 : 206,
      headers: { ...common, ...content, ...part },
    },
  );
}

interface ByteRange {
  readonly first: number;
  readonly last: number;
}

/** What is asked for of so many bytes: a part, nothing that there is, or all; also where it is asked in a way that need not be understood. */
function parseRange(header: string | null, size: number): ByteRange | "all" | "none" {
  const [, from, to] = /^bytes=(\d*)-(\d*)$/.exec(header ?? "") ?? [];
  if (from === undefined || to === undefined || (from === "" && to === "")) return "all";
  const first = from === "" ? Math.max(0, size - Number(to)) : Number(from);
  const last = from === "" || to === "" ? size - 1 : Math.min(size - 1, Number(to));
  if (from !== "" && to !== "" && Number(to) < Number(from)) return "all";
  return first < size && first <= last ? { first, last } : "none";
}

const readAt = promisify(read);

/**
 * The bytes of a file from one to another, both included, as fast as they are taken. The file is opened at once: it may lose its name meanwhile.
 * `onSent` hears how many were taken.
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
  let isOver = false;
  const next = async (piece: Uint8Array): Promise<number> => {
    isReading = true;
    try {
      return (await readAt(file, piece, 0, piece.length, at)).bytesRead;
    } finally {
      isReading = false;
      if (isOver) closeSync(file);
    }
  };
  /** Closes it once, and not under a read: by then its number may be another file's. */
  const end = (): void => {
    if (!isOver && !isReading) closeSync(file);
    isOver = true;
  };
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const piece = new Uint8Array(Math.min(chunkBytes, last + 1 - at));
        const bytesRead = await next(piece);
        if (isOver) return;
        if (bytesRead === 0) throw new Error(`\`${path}\` has become shorter`);
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
