/** How a node asks its primary over HTTP: for its head, a page of its log, a snapshot. Every answer is checked before anybody sees it. */
import { z } from "zod";
import type { Snapshot } from "../store/snapshot.ts";
import type { SnapshotManifest } from "../store/snapshot-file.ts";
import { decodePage, type Page } from "./envelope.ts";
import type { Position } from "./position.ts";
import { downloadSnapshot, logProgress, type Progress } from "./snapshot-download.ts";

export interface PrimaryClientOptions {
  readonly url: string;
  readonly nodeKey: string;
  /** How long an answer may make no progress before the request counts as failed. Not how long it may take: a slow line would never get there. */
  readonly logTimeoutMs: number;
  readonly snapshotTimeoutMs: number;
}

/** A page, or the primary's word that its log can't be followed from that position. */
export type LogAnswer = { readonly page: Page } | { readonly snapshotNeeded: string };

type Accept = (manifest: SnapshotManifest) => void;

export interface PrimaryClient {
  log(position: Position): Promise<LogAnswer>;
  /**
   * Downloads the snapshot to `target`, where an earlier attempt may have left its beginning, or tells that the one with this `snapshotTag` is
   * still the newest. `accept` throws where there is no use in a download.
   */
  snapshot(
    target: string,
    knownTag: string | undefined,
    accept: Accept,
    onProgress?: Progress,
  ): Promise<Snapshot | "unchanged">;
  /** Ends what is under way, and refuses what comes later. */
  close(): void;
}

const refusalSchema = z.object({ message: z.string(), code: z.string() });

export function connectPrimary({ url, nodeKey, logTimeoutMs, snapshotTimeoutMs }: PrimaryClientOptions): PrimaryClient {
  const closing = new AbortController();
  const get = (path: string, headers: Record<string, string>, signal: AbortSignal): Promise<Response> =>
    fetch(`${url}/replication/v1/${path}`, {
      headers: { Authorization: `Bearer ${nodeKey}`, ...headers },
      signal: AbortSignal.any([signal, closing.signal]),
      redirect: "error",
    });

  return {
    async log({ epoch, offset, hash }) {
      const query = new URLSearchParams({ epoch, after: String(offset), hash });
      using stall = watchStall(logTimeoutMs);
      const response = await get(`log?${query}`, {}, stall.signal);
      if (response.status === 409 || response.status === 410) {
        return { snapshotNeeded: (await refusalOf(response)).message };
      }
      if (!response.ok) throw await failure("a page of the log", response);
      const decoded = decodePage(await textOf(response, stall.progress));
      if ("problem" in decoded) throw new Error(`the primary sent no page of its log: ${decoded.problem}`);
      return { page: decoded.message };
    },

    async snapshot(target, knownTag, accept, onProgress = logProgress()) {
      using stall = watchStall(snapshotTimeoutMs);
      return downloadSnapshot({
        get: (headers) => get("snapshot", headers, stall.signal),
        target,
        knownTag,
        accept,
        onProgress(received, size) {
          stall.progress();
          onProgress(received, size);
        },
        failure: (response) => failure("a snapshot", response),
      });
    },

    close: () => closing.abort(new Error("this node is shutting down")),
  };
}

async function textOf(response: Response, progress: () => void): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of response.body ?? []) {
    progress();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** A page or a snapshot may be large and a line slow: what counts is that something arrives, not how long it all takes. */
function watchStall(timeoutMs: number): Disposable & { readonly signal: AbortSignal; progress(): void } {
  const controller = new AbortController();
  const abort = (): void => controller.abort(new Error(`nothing came from the primary for ${timeoutMs} ms`));
  let timer = setTimeout(abort, timeoutMs);
  return {
    signal: controller.signal,
    progress() {
      clearTimeout(timer);
      timer = setTimeout(abort, timeoutMs);
    },
    [Symbol.dispose]: () => clearTimeout(timer),
  };
}

async function failure(what: string, response: Response): Promise<Error> {
  return new Error(
    `the primary gave no answer to a request for ${what}: ${response.status} ${(await refusalOf(response)).message}`,
  );
}

async function refusalOf(response: Response): Promise<{ readonly message: string }> {
  const parsed = refusalSchema.safeParse(await response.json().catch(() => undefined));
  return parsed.success ? parsed.data : { message: response.statusText };
}
