/**
 * What the primary gives to other nodes over HTTP: its head, pages of its log, snapshots. This, not the broker, is the truth that they follow.
 * A position that is not on this history gets 409, one whose continuation was trimmed 410; both mean: take a snapshot.
 */
import type { Limits } from "../config/limits.ts";
import type { SqlDatabase } from "../runtime/sqlite.ts";
import { openLog, type Log } from "../store/log.ts";
import { getLogger } from "../telemetry/logger.ts";
import { AppError } from "../util/app-error.ts";
import type { Page } from "./envelope.ts";
import { readHead } from "./head.ts";
import { chainHash } from "./position.ts";
import type { SnapshotKeeper } from "./snapshot-keeper.ts";
import { serveSnapshot } from "./snapshot-server.ts";

const logger = getLogger("log-server");

export interface LogServerOptions {
  /** A read-only connection of its own. */
  readonly store: SqlDatabase;
  readonly limits: Limits;
  readonly verifyNodeKey: (key: string) => boolean;
  readonly snapshots: SnapshotKeeper;
}

export function createLogServer({
  store,
  limits,
  verifyNodeKey,
  snapshots,
}: LogServerOptions): (request: Request) => Promise<Response> {
  const log = openLog(store);
  return async (request) => {
    try {
      if (!verifyNodeKey(bearer(request))) return refusal(401, "unauthorized", "the node key is missing or wrong");
      const { pathname, searchParams } = new URL(request.url);
      if (request.method !== "GET") return refusal(405, "not_found", "only GET is served here");
      switch (pathname) {
        case "/replication/v1/head":
          return Response.json(store.transaction(() => readHead(store, log)));
        case "/replication/v1/log":
          return servePage(store, log, searchParams, limits);
        case "/replication/v1/snapshot":
          return await serveSnapshot(request, snapshots);
        default:
          return refusal(404, "not_found", "no such route");
      }
    } catch (error) {
      if (error instanceof AppError && error.code === "invalid_request") return refusal(400, error.code, error.message);
      logger.error("a request of another node failed: {error}", { error });
      return refusal(500, "internal", "internal error");
    }
  };
}

/** Why a page was refused; the code is what the other node acts on. */
type Refusal = "epoch" | "diverged" | "trimmed" | "unauthorized" | "not_found" | "invalid_request" | "internal";

function refusal(status: number, code: Refusal, message: string): Response {
  return Response.json({ message, code }, { status });
}

function bearer(request: Request): string {
  const [scheme, key] = (request.headers.get("authorization") ?? "").split(" ");
  return scheme?.toLowerCase() === "bearer" ? (key ?? "") : "";
}

function servePage(store: SqlDatabase, log: Log, query: URLSearchParams, limits: Limits): Response {
  const epoch = query.get("epoch");
  const hash = query.get("hash");
  const after = Number(query.get("after") ?? Number.NaN);
  if (epoch === null || hash === null || !Number.isSafeInteger(after) || after < 0) {
    throw new AppError(
      "invalid_request",
      "`epoch`, `after` and `hash` say from where to go on, one is missing or malformed",
    );
  }
  const bounds = { eventsMax: limits.logPageEventsMax, bytesMax: limits.logPageBytesMax };
  // One transaction, so that rows, head and the check of the position belong together.
  const answer = store.transaction(() => {
    const head = readHead(store, log);
    if (epoch !== head.e) return refusal(409, "epoch", "the log has another epoch");
    if (after > head.l) return refusal(409, "diverged", "the log is not that long");
    if (after < head.trim) return refusal(410, "trimmed", "the log no longer has what follows");
    const rows = log.read(after, bounds);
    const expected = after === head.l ? head.h : log.hashAt(after);
    const follows =
      expected === undefined ? rows[0] === undefined || chainHash(hash, rows[0]) === rows[0].hash : expected === hash;
    if (!follows) return refusal(409, "diverged", "the log has another history at this offset");
    const last = rows.at(-1);
    const page: Page = {
      p: after,
      l: last?.offset ?? after,
      h: last?.hash ?? hash,
      ev: rows.map((row) => [row.offset, row.timeMs, row.kind, row.body, row.traceparent]),
      head,
    };
    return page;
  });
  return answer instanceof Response ? answer : Response.json(answer);
}
