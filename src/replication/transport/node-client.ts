/** The HTTP client for other nodes: heads, pages of the log, snapshots and votes. Every response is validated. */
import { z } from "zod";
import { apiKeyRoles, type ApiKeyRole } from "../../log/event/event.ts";
import type { AuditEntry } from "../../store/log/audit-entry.ts";
import type { Snapshot } from "../../store/snapshot/snapshot.ts";
import { AppError } from "../../util/app-error.ts";
import { connectionProblem } from "../../util/reason.ts";
import { deadline, type Clock } from "../../util/clock.ts";
import {
  decodeAuditPage,
  decodeNodeHead,
  decodePage,
  decodeRefusal,
  type AuditLogPage,
  type NodeHead,
  type LogPage,
  type LogRefusal,
  type Candidate,
  type VoteOptions,
} from "./messages.ts";
import { type AcceptSnapshot, downloadSnapshot, logProgress, type DownloadProgress } from "./snapshot-download.ts";
import {
  decodeSurvey,
  formatReporter,
  type NodeReport,
  reporterHeader,
  type SurveyedNode,
  type Wanted,
} from "./reports.ts";
import { formatUses, type ReportUses } from "../key-uses.ts";
import type { System } from "../system.ts";
import { sendWithNodeKey } from "./node-authorization.ts";
import type { NodePosition } from "./node-server.ts";

export interface PeerSystem extends System {
  connectNode(options: NodeClientOptions): NodeClient;
}

export interface NodeClientOptions {
  readonly url: string;
  /** The name under which the primary may count this node's acknowledgements. Undefined if it must not. */
  readonly ackName: () => string | undefined;
  /** The node that answers questions of the primary; undefined if it does not. */
  readonly reporter?: Pick<NodeReport, "node" | "role"> | undefined;
  /** The setting: one or two keys. */
  readonly nodeKey: string;
  /** How long a response may make no progress. The total time is not limited, because a line may be slow. */
  readonly logTimeoutMs: number;
  readonly snapshotTimeoutMs: number;
}

/** A page, or the node's refusal, because its log does not continue that position. */
export type LogResponse = { readonly page: LogPage } | { readonly refused: LogRefusal };

/**
 * `head`: the node has granted its vote, unless it is a primary or of a later epoch. `refused`: why it refuses.
 * `uncounted`: a fallback, which has no vote.
 */
export type VoteResponse = { readonly head: NodeHead } | { readonly refused: string } | { readonly uncounted: true };

/** The last entry that this node has of the audit log `log`. With another log, the answer begins at `sinceMs`. */
export interface KnownAudit {
  readonly log: string;
  readonly after: number;
  readonly sinceMs: number;
}

/** `unchecked`: from a node of an earlier version, which does not support the request. */
export type ApiKeyLookup = ApiKeyRole | "unknown" | "unchecked";

export interface NodeClient {
  readonly url: string;
  /**
   * The node's head. The request sends this node's position, so a primary that was replaced learns of its successor.
   * With `waitMs`, the node answers when its position differs from that one, or after this time. Nodes of earlier
   * versions answer immediately.
   */
  head(own: NodePosition | undefined, waitMs?: number): Promise<NodeHead>;
  /** The head of the primary that the node is or has; the node asks it. Undefined if no primary answers. */
  primaryHead(): Promise<NodeHead | undefined>;
  requestVote(own: NodePosition, candidate: Candidate, how: VoteOptions): Promise<VoteResponse>;
  /** The role of the API key with this id and SHA-256. */
  apiKey(id: string, hash: string): Promise<ApiKeyLookup>;
  /** Reports when API keys were last used. */
  readonly keyUses: ReportUses;
  /** The entries of its audit log after those that this node has. Undefined from a node of an earlier version. */
  audit(known: KnownAudit): Promise<AuditLogPage | undefined>;
  /** Gives entries of this node to the primary. Rejects if they may have not arrived. */
  sendAudit(entries: readonly AuditEntry[]): Promise<void>;
  /** Gives the primary a report of this node. Rejects if it does not take it, as a node of an earlier version. */
  report(report: NodeReport): Promise<void>;
  /** What all nodes say, as the primary knows it. Undefined from another node, or one of an earlier version. */
  survey(wanted: Wanted): Promise<readonly SurveyedNode[] | undefined>;
  log(asked: NodePosition): Promise<LogResponse>;
  /** As `downloadSnapshot`. By default it logs the progress. */
  snapshot(
    target: string,
    knownTag: string | undefined,
    accept: AcceptSnapshot,
    onProgress?: DownloadProgress,
  ): Promise<Snapshot | "unchanged">;
  /** Aborts all requests, also later ones. */
  close(): void;
}

/** A head is small, so a node that takes longer counts as down. */
const headTimeoutMs = 2000;
/** A client waits for the lookup. */
const apiKeyTimeoutMs = 1000;
/** The node asks another node. */
const primaryHeadTimeoutMs = 2000;
const keyUsesTimeoutMs = 5000;
const reportTimeoutMs = 2000;
/** The primary waits a second for the others. */
const surveyTimeoutMs = 2500;
const keyUsesSchema = z.object({ uses: z.record(z.string(), z.number()) });
const apiKeySchema = z.object({ role: z.enum(apiKeyRoles).nullable() });
type RequestHeaders = Readonly<Record<string, string>>;

const refusalSchema = z.object({ message: z.string(), role: z.string().optional() });

export function connectNode(
  { url, ackName, reporter, nodeKey, logTimeoutMs, snapshotTimeoutMs }: NodeClientOptions,
  { clock, fetch }: Pick<System, "clock" | "fetch">,
): NodeClient {
  const closing = new AbortController();
  const send = (method: string, path: string, headers: RequestHeaders, signal: AbortSignal, body?: string) => {
    const id = ackName();
    const own = { ...(id === undefined ? {} : { "Ostiary-Node": id }), ...headers };
    return sendWithNodeKey(nodeKey, (authorization) =>
      fetch(`${url}/replication/v1/${path}`, {
        method,
        headers: { ...authorization, ...own },
        ...(body === undefined ? {} : { body }),
        signal: AbortSignal.any([signal, closing.signal]),
        redirect: "error",
      }),
    ).catch((error: unknown) => {
      throw unreachable(url, error);
    });
  };
  const get = (path: string, signal: AbortSignal, headers: RequestHeaders = {}) => send("GET", path, headers, signal);

  return {
    url,
    async head(own, waitMs = 0) {
      const query = own === undefined ? new URLSearchParams() : positionParameters(own);
      if (waitMs > 0) query.set("wait", String(Math.round(waitMs)));
      using stall = watchStall(headTimeoutMs + waitMs, clock);
      const reports = reporter === undefined ? {} : { [reporterHeader]: formatReporter(reporter) };
      const response = await get(`head?${query}`, stall.signal, reports);
      if (!response.ok) throw await failure("its head", response);
      return await readHead(response, url, stall.progress);
    },

    async primaryHead() {
      using late = deadline(clock, primaryHeadTimeoutMs);
      const response = await get("primary", late.signal);
      return response.ok ? await readHead(response, url) : undefined;
    },

    async requestVote(own, { node, token }, how) {
      const query = positionParameters(own);
      const asked = { node, token, ...how };
      for (const [name, value] of Object.entries(asked)) if (value !== undefined) query.set(name, String(value));
      using stall = watchStall(logTimeoutMs, clock);
      const response = await send("POST", `pledge?${query}`, {}, stall.signal);
      if (response.ok) return { head: await readHead(response, url) };
      const { message, role } = await readRefusal(response);
      if (response.status === 409) return { refused: message };
      // A proxy in front of an edge that is down may also answer 404.
      if (response.status === 404 && role === "fallback") return { uncounted: true };
      throw new AppError("not_ready", `${url} did not answer a request for its vote: ${response.status} ${message}`);
    },

    async apiKey(id, hash) {
      using late = deadline(clock, apiKeyTimeoutMs);
      const response = await send("POST", "api-key", { "Ostiary-Key-Id": id, "Ostiary-Key-Hash": hash }, late.signal);
      if (response.status === 404 || response.status === 405) return "unchecked";
      if (!response.ok) throw await failure("an API key", response);
      return apiKeySchema.parse(await response.json()).role ?? "unknown";
    },

    async keyUses(uses) {
      using late = deadline(clock, keyUsesTimeoutMs);
      const response = await send("POST", "key-uses", { "Ostiary-Key-Uses": formatUses(uses) }, late.signal);
      if (response.status === 404 || response.status === 405) return undefined;
      if (!response.ok) throw await failure("the last uses of API keys", response);
      return keyUsesSchema.parse(await response.json()).uses;
    },

    async audit({ log, after, sinceMs }) {
      using stall = watchStall(logTimeoutMs, clock);
      const query = new URLSearchParams({ log, after: String(after), since: String(sinceMs) });
      const response = await get(`audit?${query}`, stall.signal);
      if (response.status === 404) return undefined;
      if (!response.ok) throw await failure("its audit log", response);
      const decoded = decodeAuditPage(await readText(response, stall.progress));
      if ("problem" in decoded) throw new Error(`${url} sent no part of its audit log: ${decoded.problem}`);
      return decoded.message;
    },

    async sendAudit(entries) {
      using stall = watchStall(logTimeoutMs, clock);
      const response = await send("POST", "audit", {}, stall.signal, JSON.stringify({ entries }));
      if (!response.ok) throw await failure("the storage of audit entries", response);
      await response.body?.cancel();
    },

    async report(report) {
      using late = deadline(clock, reportTimeoutMs);
      const response = await send("POST", "report", {}, late.signal, JSON.stringify(report));
      await response.text();
      if (!response.ok) throw new AppError("not_ready", `${url} takes no reports`);
    },

    async survey({ offset, trace }) {
      using late = deadline(clock, surveyTimeoutMs);
      const query = new URLSearchParams({
        ...(offset !== undefined && { offset: String(offset) }),
        ...(trace !== undefined && { trace }),
      });
      const response = await get(`survey?${query}`, late.signal);
      const isOther = [404, 405, 409].includes(response.status);
      if (!response.ok && !isOther) throw await failure("what it knows of other nodes", response);
      const text = await response.text();
      return isOther ? undefined : decodeSurvey(text);
    },

    async log(asked) {
      using stall = watchStall(logTimeoutMs, clock);
      const response = await get(`log?${positionParameters(asked)}`, stall.signal);
      const refused = response.status === 409 || response.status === 410;
      if (!response.ok && !refused) throw await failure("a page of the log", response);
      const text = await readText(response, stall.progress);
      const decoded = refused ? decodeRefusal(text) : decodePage(text);
      if ("problem" in decoded) throw new Error(`${url} sent no page of its log: ${decoded.problem}`);
      return "code" in decoded.message ? { refused: decoded.message } : { page: decoded.message };
    },

    async snapshot(target, knownTag, accept, onProgress = logProgress()) {
      using stall = watchStall(snapshotTimeoutMs, clock);
      // Awaited here, because the return disposes the stall timer, and a request without an answer would never end.
      return await downloadSnapshot({
        get: (headers) => get("snapshot", stall.signal, headers),
        target,
        knownTag,
        accept,
        onProgress(received, size) {
          stall.progress();
          onProgress(received, size);
        },
        responseError: (response) => failure("a snapshot", response),
      });
    },

    close: () => closing.abort(new Error("this node is shutting down")),
  };
}

/** A node gave no answer, and the message says why and what to do. */
export class NodeUnreachable extends Error {
  /** Of the system, or of TLS. */
  readonly code: string;

  constructor(url: string, problem: string, cause: unknown) {
    super(`no answer from ${url}: ${problem}`, { cause });
    this.code = String((cause as NodeJS.ErrnoException).code);
  }
}

/** Adds the address and the fix if no connection was made. */
function unreachable(url: string, error: unknown): unknown {
  const problem = connectionProblem(error);
  if (problem === undefined || error instanceof NodeUnreachable) return error;
  const scheme = url.startsWith("http:") ? " (`https://` if it has `tlsCert`)" : "";
  const remedy = `start that node, or correct its address in \`primary\` or \`peers\`${scheme}`;
  return new NodeUnreachable(url, `${problem}; ${remedy}`, error);
}

async function readHead(response: Response, url: string, progress = (): void => {}): Promise<NodeHead> {
  const decoded = decodeNodeHead(await readText(response, progress));
  if ("problem" in decoded) throw new Error(`${url} sent no head: ${decoded.problem}`);
  return decoded.message;
}

function positionParameters({ epoch, term, offset, hash, first }: NodePosition): URLSearchParams {
  const history = first === undefined ? {} : { first };
  return new URLSearchParams({ epoch, term: String(term), after: String(offset), hash, ...history });
}

async function readText(response: Response, progress: () => void): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of response.body ?? []) {
    progress();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** Aborts a request when nothing arrives for `timeoutMs`. */
function watchStall(timeoutMs: number, clock: Clock): Disposable & { readonly signal: AbortSignal; progress(): void } {
  const controller = new AbortController();
  const abort = (): void => controller.abort(new Error(`nothing arrived from the node for ${timeoutMs} ms`));
  let cancel = clock.after(timeoutMs, abort);
  return {
    signal: controller.signal,
    progress() {
      cancel();
      cancel = clock.after(timeoutMs, abort);
    },
    [Symbol.dispose]: () => cancel(),
  };
}

async function failure(what: string, response: Response): Promise<Error> {
  return new AppError(
    "not_ready",
    `the node did not answer a request for ${what}: ${response.status} ${(await readRefusal(response)).message}`,
  );
}

async function readRefusal(response: Response): Promise<z.infer<typeof refusalSchema>> {
  const parsed = refusalSchema.safeParse(await response.json().catch(() => undefined));
  return parsed.success ? parsed.data : { message: response.statusText };
}
