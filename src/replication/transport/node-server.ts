/**
 * The HTTP server for other nodes: heads, pages of the log, snapshots and votes. Replicas trust these, not the broker.
 * Every replica has the same log as the primary and serves it as well. A position outside of this history gets 409, a
 * position whose next events were trimmed 410, both with this node's own history.
 */
import type { Limits } from "../../config/limits.ts";
import type { ApiKeyRole } from "../../log/event/event.ts";
import type { Connection } from "../../store/connection/connection.ts";
import { epochAt, readEpochs } from "../../store/log/epochs.ts";
import { isExpired } from "../../store/keys/key-grant.ts";
import { openLog, type Log, type LogRow } from "../../store/log/log.ts";
import type { AuditEntry } from "../../store/log/audit-entry.ts";
import { auditEntriesAfter, auditSeqBefore } from "../../store/log/audit-log.ts";
import { findSecrets, readNodeSetting, secretIn } from "../../store/keys/api-keys.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { readState } from "../../store/log/store-state.ts";
import { AppError } from "../../util/app-error.ts";
import { pathOf, queryOf } from "../../util/request-url.ts";
import { storageFailureIn } from "../../util/storage-failure.ts";
import { auditOf } from "./audit-of-rows.ts";
import {
  auditMessageEntriesMax,
  decodeSentAudit,
  type AuditLogPage,
  type Head,
  type LogPage,
  type LogRefusal,
  type NodeHead,
  type VoteRequest,
} from "./messages.ts";
import { parseNodeId } from "../identity.ts";
import {
  decodeReport,
  type NodeReport,
  reportBytesMax,
  reporterHeader,
  reporterIn,
  type SurveyedNode,
  wantedIn,
  type Wanted,
} from "./reports.ts";
import { readHead, type HeadSender } from "./head.ts";
import { chainHash, type Position } from "../../log/event/position.ts";
import { type KeyUses, parseUses } from "../key-uses.ts";
import type { NodeContext } from "../node-context.ts";
import type { LongPolls } from "./long-polls.ts";
import type { CommitTimes } from "../../log/reader/commit-times.ts";
import { storageLogLimit, logStorageFailure } from "../../store/directory/storage-status.ts";

const logger = getLogger("log-server");

/** What the server needs of its node. */
export interface ServingNode extends Pick<NodeContext, "id" | "limits" | "clock"> {
  readonly keyUses: KeyUses;
  /** Requests that wait for a new position. */
  readonly longPolls: Pick<LongPolls, "wait">;
}

export interface NodeServerOptions {
  /** A separate read-only connection to the current database. AppError `not_ready` while there is none. */
  readonly store: () => Connection;
  readonly role: () => Head["role"];
  /** Of a primary: the id of this start of its process. */
  readonly instance?: string | undefined;
  /** Of an edge: asks its primary for its head. Rejects if the primary does not answer. */
  readonly primaryHead?: (() => Promise<NodeHead>) | undefined;
  /** The last epoch that this node was the primary of. */
  readonly led: string | undefined;
  /** The attempt to become the primary that is under way. */
  readonly candidacy: () => string | undefined;
  /** The greatest term that this node has promised to a candidate. */
  readonly promised: () => number;
  /** The candidate whose promotion this edge waits for. */
  readonly votedFor?: (() => string | undefined) | undefined;
  /** Of a primary: whether it acts under a lease (`failover`). */
  readonly leased?: boolean;
  /** The candidate for which this primary has stopped its writes. */
  readonly handsOverTo?: (() => string | undefined) | undefined;
  /** Grants this node's vote. AppError `conflict` if it refuses. */
  readonly vote: (request: VoteRequest) => Promise<void>;
  /** Whether replicas shall report each position immediately. */
  readonly ack: boolean;
  /** `sequenceNumber` is that of the last head that this primary published. */
  readonly freshness: () => {
    readonly sequenceNumber: number | undefined;
    /** How long ago this replica was known to be up to date; null if unknown. Undefined on a primary. */
    readonly ageMs: number | null | undefined;
  };
  readonly commits?: CommitTimes;
  readonly verifyNodeKey: (key: string) => boolean;
  readonly serveSnapshot: (request: Request) => Promise<Response>;
  /** Called with the position that another node reports, and its id if it sent one. */
  readonly onPeerPosition: (position: NodePosition, nodeId: string | undefined) => void;
  /** Only on a primary: what it knows of the nodes that follow it. */
  readonly survey?: SurveyServer | undefined;
  /** Only on a primary: adds entries that other nodes send to the audit log. */
  readonly receiveAudit?: (entries: readonly AuditEntry[]) => Promise<void>;
  /** Reports a failure. Returns whether the file is damaged. */
  readonly reportDamage: (error: unknown) => boolean;
}

/** A part of `PrimarySurvey`. */
export interface SurveyServer {
  readonly questions: Head["ask"];
  ask(wanted: Wanted): Promise<readonly SurveyedNode[]>;
  receive(report: NodeReport): void;
  noteReporter(node: string, role: NodeReport["role"]): void;
}

/** The position of a node that asks for the next events. */
export interface NodePosition extends Position {
  readonly term: number;
  /** The first epoch of its history. Nodes of older versions do not send it. */
  readonly first?: string | undefined;
}

export function createNodeServer(
  node: ServingNode,
  options: NodeServerOptions,
): (request: Request) => Promise<Response> {
  const logLimit = storageLogLimit(node.clock);
  return async (request) => {
    try {
      if (!options.verifyNodeKey(bearer(request))) return refusal(401, "unauthorized", wrongNodeKey);
      const [pathname, searchParams] = [pathOf(request.url), queryOf(request.url)];
      const method = postPaths.has(pathname) ? "POST" : "GET";
      const isAudit = pathname === "/replication/v1/audit";
      if (isAudit && request.method === "POST") return await receiveAudit(options, request);
      if (request.method !== method) return refusal(405, "not_found", `only ${method} is served here`);
      switch (pathname) {
        case "/replication/v1/pledge":
          await options.vote(parseVoteRequest(searchParams));
          return Response.json(serveHead(node, options, request, searchParams));
        case "/replication/v1/api-key":
          return Response.json({ role: apiKeyRoleOf(node, options, request) });
        case "/replication/v1/key-uses":
          node.keyUses.merge(parseUses(request.headers.get("ostiary-key-uses") ?? ""));
          return Response.json({ uses: node.keyUses.all() });
        case "/replication/v1/head":
          await longPoll(node, options, request, searchParams);
          return Response.json(serveHead(node, options, request, searchParams));
        case "/replication/v1/survey":
          return Response.json({ nodes: await surveyOf(options).ask(requireWanted(searchParams)) });
        case "/replication/v1/report":
          return await receiveReport(options, request);
        case "/replication/v1/primary":
          return Response.json(await primaryHead(node, options, request));
        case "/replication/v1/log":
          return servePage(node, options, request, searchParams);
        case "/replication/v1/audit":
          return Response.json(readAuditLog(options.store(), searchParams));
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
        return refusal(503, "not_ready", logStorageFailure(failure, "a request of another node", logLimit));
      if (options.reportDamage(error)) return refusal(503, "not_ready", "the database of this node is damaged");
      logger.error("a request of another node failed: {error}", { error });
      return refusal(500, "internal", "internal error");
    }
  };
}

const waitMsMax = 10_000;
const wrongNodeKey =
  "the node key is missing or wrong: all nodes need the same `nodeKey`. To replace it, first add the new key to the old one on every node, then put it first on every node, and only then remove the old one";
const postPaths: ReadonlySet<string> = new Set([
  "/replication/v1/pledge",
  "/replication/v1/api-key",
  "/replication/v1/key-uses",
  "/replication/v1/report",
]);

/** The part of the audit log after the entry that the other node has, or since a time if it counts those of another one. */
function readAuditLog(store: Connection, query: URLSearchParams): AuditLogPage {
  const [after, since] = [query.get("after"), query.get("since")].map(Number);
  if (!Number.isSafeInteger(after) || !Number.isSafeInteger(since))
    throw new AppError("invalid_request", "`log`, `after` and `since` name where to continue, one is malformed");
  const log = readNodeSetting(store, "audit_log");
  if (log === undefined) throw new AppError("not_ready", "this node has no audit log yet");
  const from = query.get("log") === log ? Number(after) : auditSeqBefore(store, Number(since));
  const entries = auditEntriesAfter(store, from, auditMessageEntriesMax, { received: true });
  return {
    log,
    last: entries.at(-1)?.seq ?? from,
    more: entries.length === auditMessageEntriesMax,
    entries: entries.map(({ entry }) => entry),
  };
}

const auditBodyBytesMax = 16 * 1024 * 1024;

async function receiveAudit(options: NodeServerOptions, request: Request): Promise<Response> {
  if (options.receiveAudit === undefined) throw new AppError("conflict", "only the primary takes entries of others");
  const decoded = decodeSentAudit(await readBody(request, auditBodyBytesMax));
  if ("problem" in decoded) throw new AppError("invalid_request", `these are no entries: ${decoded.problem}`);
  await options.receiveAudit(decoded.message.entries);
  return Response.json({ received: decoded.message.entries.length });
}

async function receiveReport(options: NodeServerOptions, request: Request): Promise<Response> {
  const survey = surveyOf(options);
  const report = decodeReport((await readBody(request, reportBytesMax)).toString("utf8"));
  if (report === undefined) throw new AppError("invalid_request", "this is no report of a node");
  survey.receive(report);
  return Response.json({ received: true });
}

function surveyOf({ survey }: NodeServerOptions): SurveyServer {
  if (survey === undefined) throw new AppError("conflict", "only the primary knows the other nodes");
  return survey;
}

function requireWanted(query: URLSearchParams): Wanted {
  const wanted = wantedIn(query);
  if (wanted === undefined) throw new AppError("invalid_request", "`offset` or `trace` is malformed");
  return wanted;
}

async function readBody(request: Request, bytesMax: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of request.body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > bytesMax) throw new AppError("invalid_request", `the body is larger than ${bytesMax} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Null if there is no valid API key with this id and hash. */
function apiKeyRoleOf({ clock }: ServingNode, { store }: NodeServerOptions, { headers }: Request): ApiKeyRole | null {
  const [id, hash] = [headers.get("ostiary-key-id"), headers.get("ostiary-key-hash")];
  if (id === null || hash === null)
    throw new AppError("invalid_request", "`Ostiary-Key-Id` and `Ostiary-Key-Hash` name the key, one is missing");
  const secret = secretIn(findSecrets(store(), id), hash);
  return secret === undefined || isExpired(secret, clock.wallMs()) ? null : secret.role;
}

function refusal(status: number, code: string, message: string): Response {
  return Response.json({ message, code }, { status });
}

function bearer(request: Request): string {
  const [scheme, key] = (request.headers.get("authorization") ?? "").split(" ");
  return scheme?.toLowerCase() === "bearer" ? (key ?? "") : "";
}

/** Waits for a new head, if the request asks for that. The position in the request counts immediately. */
async function longPoll(
  node: ServingNode,
  options: NodeServerOptions,
  request: Request,
  query: URLSearchParams,
): Promise<void> {
  const waitMs = Math.min(Number(query.get("wait") ?? 0), waitMsMax);
  if (!(waitMs > 0) || !query.has("epoch")) return;
  const position = parsePosition(query);
  const { epoch, offset } = readState(options.store());
  options.onPeerPosition(position, nodeIdOf(request));
  const reporter = reporterIn(request.headers.get(reporterHeader));
  if (reporter !== undefined) options.survey?.noteReporter(reporter.node, reporter.role);
  if (position.epoch === epoch && position.offset === offset) await node.longPolls.wait(waitMs, reporter !== undefined);
}

function serveHead(node: ServingNode, options: NodeServerOptions, request: Request, query: URLSearchParams): NodeHead {
  const database = options.store();
  if (query.has("epoch")) options.onPeerPosition(parsePosition(query), nodeIdOf(request));
  return database.transaction(() => {
    const head = readHead(database, openLog(database), senderOf(node, options), node.clock.wallMs());
    return {
      ...head,
      epochs: readEpochs(database),
      led: options.led,
      candidacy: options.candidacy(),
      promised: options.promised(),
      pledgedTo: options.votedFor?.(),
      leased: options.leased,
      handsOverTo: options.handsOverTo?.(),
    };
  });
}

/** The current head of the primary that this node is or has. AppError `not_ready` if the primary does not answer. */
async function primaryHead(node: ServingNode, options: NodeServerOptions, request: Request): Promise<NodeHead> {
  if (options.primaryHead === undefined) return serveHead(node, options, request, new URLSearchParams());
  return options.primaryHead().catch((cause: unknown) => {
    throw new AppError("not_ready", "the primary of this node does not answer", { cause });
  });
}

function senderOf(
  { id: node }: ServingNode,
  { role, ack, instance, freshness, survey }: NodeServerOptions,
): HeadSender {
  const { sequenceNumber, ageMs } = freshness();
  return { role: role(), ack, q: sequenceNumber, a: ageMs, node, i: instance, ask: survey?.questions };
}

function parseVoteRequest(query: URLSearchParams): VoteRequest {
  const { epoch, term } = parsePosition(query);
  const [node, token] = [query.get("node"), query.get("token")].map((text) => text ?? "");
  const isName = (text: string | undefined): text is string => text !== undefined && /^[\w.:-]{1,128}$/.test(text);
  // The id of a node of a hosted environment names that environment.
  if (node === undefined || !(isName(node) || parseNodeId(node) !== undefined) || !isName(token))
    throw new AppError("invalid_request", "`node` and `token` name the candidate, one is missing or malformed");
  const isSet = (name: string): boolean => query.get(name) === "true";
  const wanted = query.has("wanted") ? Number(query.get("wanted")) : undefined;
  if (wanted !== undefined && !(Number.isSafeInteger(wanted) && wanted > 0))
    throw new AppError("invalid_request", "`wanted` is the term that the candidate will begin, and is malformed");
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
  const first = query.get("first") ?? undefined;
  const [offset, term] = [query.get("after"), query.get("term") ?? "0"].map((text) => Number(text ?? Number.NaN));
  const isCount = (number: number | undefined): number is number => Number.isSafeInteger(number) && Number(number) >= 0;
  if (epoch === null || hash === null || !isCount(offset) || !isCount(term))
    throw new AppError(
      "invalid_request",
      "`epoch`, `term`, `after` and `hash` name the position to continue from, one is missing or malformed",
    );
  if (first !== undefined && !/^[0-9a-f]{16}$/.test(first))
    throw new AppError("invalid_request", "`first` names the history of the position, and is malformed");
  return { epoch, hash, offset, term, first };
}

function servePage(node: ServingNode, options: NodeServerOptions, request: Request, query: URLSearchParams): Response {
  const { limits, clock } = node;
  const position = parsePosition(query);
  const store = options.store();
  const log = openLog(store);
  // One transaction, so that the rows, the head and the check of the position are consistent.
  const answer = store.transaction((): LogPage | LogRefusal => {
    const head = readHead(store, log, senderOf(node, options), clock.wallMs());
    const epochs = readEpochs(store);
    const refused = refusalFor(epochs, log, head, position);
    if (refused !== undefined) return { ...refused, head, epochs };
    const page = readPage(epochs, log, head, position, limits, options.commits);
    return { ...page.answer, au: auditOf(store, page.rows, limits.logPageBytesMax) };
  });
  options.onPeerPosition(position, nodeIdOf(request));
  return "code" in answer
    ? Response.json(answer, { status: answer.code === "trimmed" ? 410 : 409 })
    : Response.json(answer);
}

function nodeIdOf(request: Request): string | undefined {
  return request.headers.get("ostiary-node") ?? undefined;
}

/** Why the log does not continue this position; undefined if it does. */
function refusalFor(
  epochs: LogRefusal["epochs"],
  log: Log,
  head: Head,
  { epoch, offset, hash }: NodePosition,
): Pick<LogRefusal, "code" | "message"> | undefined {
  const index = epochs.findIndex((known) => known.epoch === epoch);
  if (index === -1) return { code: "epoch", message: "the log has another epoch" };
  if (offset > (epochs[index + 1]?.offset ?? Number.POSITIVE_INFINITY))
    return { code: "diverged", message: "the history diverged before this offset" };
  if (offset > head.l) return { code: "ahead", message: "the log is shorter" };
  if (offset < head.trim) return { code: "trimmed", message: "the log no longer has the next events" };
  if (!hasHash(log, head, offset, hash))
    return { code: "diverged", message: "the log has another history at this offset" };
  return undefined;
}

/** Whether the history up to `offset` has this hash. For the last trimmed row, the row after it shows that. */
function hasHash(log: Log, head: Head, offset: number, hash: string): boolean {
  const known = offset === head.l ? head.h : log.hashAt(offset);
  if (known !== undefined) return known === hash;
  const next = log.rowAt(offset + 1);
  return next === undefined || chainHash(hash, next) === next.hash;
}

function readPage(
  epochs: LogRefusal["epochs"],
  log: Log,
  head: Head,
  position: NodePosition,
  limits: Limits,
  commits: CommitTimes | undefined,
): { readonly rows: readonly LogRow[]; readonly answer: LogPage } {
  const rows = log.read(position.offset, { eventsMax: limits.logPageEventsMax, bytesMax: limits.logPageBytesMax });
  const last = rows.at(-1);
  const offset = last?.offset ?? position.offset;
  const answer = {
    e: epochAt(epochs, offset).epoch,
    p: position.offset,
    l: offset,
    h: last?.hash ?? position.hash,
    d: last?.digest ?? null,
    ev: rows.map((row): LogPage["ev"][number] => [row.offset, row.timeMs, row.kind, row.body, row.traceparent]),
    c: commits?.of(rows),
    head,
  };
  return { rows, answer };
}
