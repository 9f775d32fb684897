/**
 * What a node gives to others over HTTP: its head, pages of its log, snapshots. This, not the broker, is the truth that they follow; a primary's
 * above all, but every copy has the same log and serves it alike. A position that is not on this history gets 409, one whose continuation was
 * trimmed 410, both with what this node's own history is.
 */
import type { Limits } from "../../config/limits.ts";
import type { ApiKeyRole } from "../../engine/state/event.ts";
import type { Connection } from "../../store/connection/connection.ts";
import { epochAt, readEpochs } from "../../store/log/epochs.ts";
import { openLog, type Log } from "../../store/log/log.ts";
import { findApiKey } from "../../store/keys/api-keys.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { readState } from "../../store/log/store-state.ts";
import { AppError } from "../../util/app-error.ts";
import type { Clock } from "../../util/clock.ts";
import { pathOf, queryOf } from "../../util/request-url.ts";
import { storageFailureIn } from "../../util/storage-failure.ts";
import type { Head, NodeHead, LogPage, LogRefusal } from "./messages.ts";
import { readHead, type HeadOptions } from "./head.ts";
import { chainHash, type Position } from "../position.ts";
import type { CommitTimes } from "../log/commit-times.ts";
import { storageLogLimit, logStorageFailure } from "../storage-status.ts";
import type { VoteRequest } from "./vote-request.ts";

const logger = getLogger("log-server");

export interface NodeServerOptions {
  /** A read-only connection of its own to the present store. AppError `not_ready` while there is none. */
  readonly store: () => Connection;
  readonly role: () => Head["role"];
  /** The node's id. */
  readonly node: string;
  /** A primary's: which start of its process it is. */
  readonly instance?: string | undefined;
  /** An edge's: asks its primary for its head. Rejects where that gives none. */
  readonly primaryHead?: (() => Promise<NodeHead>) | undefined;
  /** The last epoch that it was the primary of. */
  readonly led: string | undefined;
  /** Which attempt to become the primary is under way. */
  readonly candidacy: () => string | undefined;
  /** The greatest term that this node has promised to a candidate. */
  readonly promised: () => number;
  /** The candidate whose promotion this edge waits for. */
  readonly pledgedTo?: (() => string | undefined) | undefined;
  /** A primary's: whether it acts under a lease (`failover`). */
  readonly leased?: boolean;
  /** The candidate for which this primary has stopped its writes. */
  readonly handsOverTo?: (() => string | undefined) | undefined;
  /** Gives this node's pledge, where it has one to give. AppError `conflict` where it can't be had. */
  readonly vote: (request: VoteRequest) => Promise<void>;
  /** Whether others shall say at once how far they have come. */
  readonly ack: boolean;
  /** What others can tell from this node's heads of how new they are; `sequenceNumber` is the greatest that a head of this primary had until now. */
  readonly freshness: () => Pick<HeadOptions, "sequenceNumber" | "ageMs">;
  /** A primary's. */
  readonly commits?: CommitTimes;
  readonly limits: Limits;
  readonly clock: Clock;
  readonly verifyNodeKey: (key: string) => boolean;
  /** Answers a request for a snapshot. */
  readonly serveSnapshot: (request: Request) => Promise<Response>;
  /** Called with where another node says that it stands, and its id, where it gave one. */
  readonly onPeerPosition: (position: NodePosition, nodeId: string | undefined) => void;
  /** Resolves when this node has moved on, after `waitMs` at the latest. */
  readonly waitForChange: (waitMs: number) => Promise<void>;
  /** Something failed: whether the file is damaged. */
  readonly reportDamage: (error: unknown) => boolean;
}

/** Where a node stands that asks for what follows. */
export interface NodePosition extends Position {
  readonly term: number;
  /** The first epoch of its history. Nodes of older versions do not say it. */
  readonly first?: string | undefined;
}

export function createNodeServer(options: NodeServerOptions): (request: Request) => Promise<Response> {
  const complaints = storageLogLimit(options.clock);
  return async (request) => {
    try {
      if (!options.verifyNodeKey(bearer(request)))
        return refusal(401, "unauthorized", "the node key is missing or wrong");
      const [pathname, searchParams] = [pathOf(request.url), queryOf(request.url)];
      const method = postPaths.has(pathname) ? "POST" : "GET";
      if (request.method !== method) return refusal(405, "not_found", `only ${method} is served here`);
      switch (pathname) {
        case "/replication/v1/pledge":
          await options.vote(parseVoteRequest(searchParams));
          return Response.json(serveHead(options, request, searchParams));
        case "/replication/v1/api-key":
          return Response.json({ role: apiKeyRoleOf(options.store(), request) });
        case "/replication/v1/head":
          await longPoll(options, request, searchParams);
          return Response.json(serveHead(options, request, searchParams));
        case "/replication/v1/primary":
          return Response.json(await primaryHead(options, request));
        case "/replication/v1/log":
          return servePage(options, request, searchParams);
        case "/replication/v1/snapshot":
          return await options.serveSnapshot(request);
        default:
          return refusal(404, "not_found", "no such route");
      }
    } catch (error) {
      if (error instanceof AppError && error.code === "invalid_request") return refusal(400, error.code, error.message);
      if (error instanceof AppError && error.code === "conflict") return refusal(409, error.code, error.message);
      if (error instanceof AppError && error.code === "not_ready") return refusal(503, error.code, error.message);
      const failure = storageFailureIn(error);
      if (failure !== undefined)
        return refusal(503, "not_ready", logStorageFailure(failure, "a request of another node", complaints));
      if (options.reportDamage(error)) return refusal(503, "not_ready", "the database of this node is damaged");
      logger.error("a request of another node failed: {error}", { error });
      return refusal(500, "internal", "internal error");
    }
  };
}

const waitMsMax = 10_000;

const postPaths: ReadonlySet<string> = new Set(["/replication/v1/pledge", "/replication/v1/api-key"]);

/** The role of the API key that another node was shown, by its id and hash; null where there is none. */
function apiKeyRoleOf(store: Connection, { headers }: Request): ApiKeyRole | null {
  const [id, hash] = [headers.get("ostiary-key-id"), headers.get("ostiary-key-hash")];
  if (id === null || hash === null)
    throw new AppError("invalid_request", "`Ostiary-Key-Id` and `Ostiary-Key-Hash` say which key is asked for");
  const key = findApiKey(store, id);
  return key?.hash === hash ? key.role : null;
}

function refusal(status: number, code: string, message: string): Response {
  return Response.json({ message, code }, { status });
}

function bearer(request: Request): string {
  const [scheme, key] = (request.headers.get("authorization") ?? "").split(" ");
  return scheme?.toLowerCase() === "bearer" ? (key ?? "") : "";
}

/** A node whose feed is silent asks for the head, and is answered as soon as it is a new one. What it says of its own position counts at once. */
async function longPoll(options: NodeServerOptions, request: Request, query: URLSearchParams): Promise<void> {
  const waitMs = Math.min(Number(query.get("wait") ?? 0), waitMsMax);
  if (!(waitMs > 0) || !query.has("epoch")) return;
  const asked = parsePosition(query);
  const { epoch, offset } = readState(options.store());
  options.onPeerPosition(asked, nodeIdOf(request));
  if (asked.epoch === epoch && asked.offset === offset) await options.waitForChange(waitMs);
}

function serveHead(options: NodeServerOptions, request: Request, query: URLSearchParams): NodeHead {
  const { store, clock } = options;
  const database = store();
  if (query.has("epoch")) options.onPeerPosition(parsePosition(query), nodeIdOf(request));
  return database.transaction(() => {
    const head = readHead(database, openLog(database), headOptions(options), clock.wallMs());
    return {
      ...head,
      epochs: readEpochs(database),
      led: options.led,
      candidacy: options.candidacy(),
      promised: options.promised(),
      pledgedTo: options.pledgedTo?.(),
      leased: options.leased,
      handsOverTo: options.handsOverTo?.(),
    };
  });
}

/** The head of the primary that this node is or follows, as the primary itself gives it now. AppError `not_ready` where it gives none. */
async function primaryHead(options: NodeServerOptions, request: Request): Promise<NodeHead> {
  if (options.primaryHead === undefined) return serveHead(options, request, new URLSearchParams());
  return options.primaryHead().catch((cause: unknown) => {
    throw new AppError("not_ready", "the primary that this node follows does not answer", { cause });
  });
}

function headOptions({ role, ack, node, instance, freshness }: NodeServerOptions): HeadOptions {
  return { role: role(), ack, node, instance, ...freshness() };
}

function parseVoteRequest(query: URLSearchParams): VoteRequest {
  const { epoch, term } = parsePosition(query);
  const [node, token] = [query.get("node"), query.get("token")].map((text) => text ?? "");
  const isName = (text: string | undefined): text is string => text !== undefined && /^[\w.:-]{1,128}$/.test(text);
  if (!isName(node) || !isName(token))
    throw new AppError("invalid_request", "`node` and `token` say who asks for a pledge, one is missing or malformed");
  const isSet = (name: string): boolean => query.get(name) === "true";
  const wanted = query.has("wanted") ? Number(query.get("wanted")) : undefined;
  if (wanted !== undefined && !(Number.isSafeInteger(wanted) && wanted > 0))
    throw new AppError(
      "invalid_request",
      "`wanted` is the term that the candidate is going to begin, and is malformed",
    );
  return {
    node,
    token,
    epoch,
    term,
    wanted,
    force: isSet("force"),
    graceful: isSet("graceful"),
    leased: isSet("leased"),
  };
}

function parsePosition(query: URLSearchParams): NodePosition {
  const epoch = query.get("epoch");
  const hash = query.get("hash");
  const first = query.get("first");
  const [offset, term] = [query.get("after"), query.get("term") ?? "0"].map((text) => Number(text ?? Number.NaN));
  const isCount = (number: number | undefined): number is number => Number.isSafeInteger(number) && Number(number) >= 0;
  if (epoch === null || hash === null || !isCount(offset) || !isCount(term)) {
    throw new AppError(
      "invalid_request",
      "`epoch`, `term`, `after` and `hash` say from where to go on, one is missing or malformed",
    );
  }
  return { epoch, hash, offset, term, ...(first === null ? {} : { first: requireHash(first) }) };
}

function requireHash(first: string): string {
  if (/^[0-9a-f]{16}$/.test(first)) return first;
  throw new AppError("invalid_request", "`first` names the history of the position, and is malformed");
}

function servePage(options: NodeServerOptions, request: Request, query: URLSearchParams): Response {
  const { clock } = options;
  const asked = parsePosition(query);
  const store = options.store();
  const log = openLog(store);
  // One transaction, so that rows, head and the check of the position belong together.
  const answer = store.transaction((): LogPage | LogRefusal => {
    const head = readHead(store, log, headOptions(options), clock.wallMs());
    const refused = refusalFor(store, log, head, asked);
    if (refused !== undefined) return { ...refused, head, epochs: readEpochs(store) };
    return readPage(store, log, head, asked, options);
  });
  options.onPeerPosition(asked, nodeIdOf(request));
  return "code" in answer
    ? Response.json(answer, { status: answer.code === "trimmed" ? 410 : 409 })
    : Response.json(answer);
}

function nodeIdOf(request: Request): string | undefined {
  return request.headers.get("ostiary-node") ?? undefined;
}

type RefusalReason = Pick<LogRefusal, "code" | "message">;

function refusalFor(
  store: Connection,
  log: Log,
  head: Head,
  { epoch, offset, hash }: NodePosition,
): RefusalReason | undefined {
  const epochs = readEpochs(store);
  const index = epochs.findIndex((known) => known.epoch === epoch);
  if (index === -1) return { code: "epoch", message: "the log has another epoch" };
  if (offset > (epochs[index + 1]?.offset ?? Number.POSITIVE_INFINITY))
    return { code: "diverged", message: "the log went on otherwise before this offset" };
  if (offset > head.l) return { code: "ahead", message: "the log is not that long" };
  if (offset < head.trim) return { code: "trimmed", message: "the log no longer has what follows" };
  if (!hasHash(log, head, offset, hash))
    return { code: "diverged", message: "the log has another history at this offset" };
  return undefined;
}

/** Whether the history up to `offset` has this hash. Of the last trimmed row it shows in the row that follows it. */
function hasHash(log: Log, head: Head, offset: number, hash: string): boolean {
  const known = offset === head.l ? head.h : log.hashAt(offset);
  if (known !== undefined) return known === hash;
  const next = log.rowAt(offset + 1);
  return next === undefined || chainHash(hash, next) === next.hash;
}

function readPage(
  store: Connection,
  log: Log,
  head: Head,
  asked: NodePosition,
  { limits, commits }: Pick<NodeServerOptions, "limits" | "commits">,
): LogPage {
  const rows = log.read(asked.offset, { eventsMax: limits.logPageEventsMax, bytesMax: limits.logPageBytesMax });
  const last = rows.at(-1);
  const offset = last?.offset ?? asked.offset;
  return {
    e: epochAt(readEpochs(store), offset).epoch,
    p: asked.offset,
    l: offset,
    h: last?.hash ?? asked.hash,
    d: last?.digest ?? null,
    ev: rows.map((row) => [row.offset, row.timeMs, row.kind, row.body, row.traceparent]),
    c: commits?.of(rows),
    head,
  };
}
