/**
 * Write forwarding: an edge forwards its clients' writes to the primary and answers when it has applied them itself. So
 * a read right after a write sees it, even without a consistency token. The primary's response is passed on unchanged.
 */
import { getLogger } from "../../telemetry/logger.ts";
import { traceparentOf } from "../../telemetry/trace-context.ts";
import { SpanKind, withSpan } from "../../telemetry/tracing.ts";
import { AppError } from "../../util/app-error.ts";
import { isRefusedCertificate } from "../../util/certificate-problem.ts";
import { must } from "../../util/assert.ts";
import { rateLimiter } from "../../util/rate-limiter.ts";
import { deadline } from "../../util/clock.ts";
import { connectionProblem, reasonOf } from "../../util/reason.ts";
import type { OffsetWaiters } from "./offset-waiters.ts";
import type { ForwardedAnswer, ForwardedRequest } from "../node.ts";
import { forwardedClientHeader } from "../transport/forwarded-client.ts";
import type { System } from "../system.ts";

const log = getLogger("forward");

export interface WriteForwarderOptions {
  readonly system: Pick<System, "clock" | "fetch">;
  readonly primaryUrl: () => string;
  /** Whether the primary has another history than this node. */
  readonly isForeign: () => boolean;
  /** The value of the header that names the client to the primary. */
  readonly describeClient: (address: string | null, requestId: string) => string;
  /** This node's history. A primary of another history refuses the write. */
  readonly history: () => string | undefined;
  readonly timeoutMs: number;
  /** How much longer the primary may take for a policy, which it checks before it answers. */
  readonly policyTimeoutMs?: number;
  readonly waitMs: number;
  readonly waiters: OffsetWaiters;
  readonly isPrimaryAlive: () => boolean;
  readonly onNoAnswer: () => void;
}

/** A client gets an error within a second if the primary is down or hangs; if it hangs later, within some seconds. */
const [firstProbeMs, probeTimeoutMs, probeIntervalMs] = [250, 600, 2000];
/**
 * The writes that the primary does only once under their request id. The others are those of keys and environments, and
 * paths with several slashes.
 */
const repeatablePaths: ReadonlySet<string> = new Set([
  ...["/api/policy", "/api/policy_rollback", "/api/batch", "/api/facts", "/api/clear_data"],
  ...["/api/bulk", "/api/bulk_load", "/api/bulk_delete"],
]);
/** The writes that check a policy. */
const policyPaths: ReadonlySet<string> = new Set(["/api/policy", "/api/policy_rollback"]);
const unreachable = "the primary can't be reached, nothing was written";

export function createWriteForwarder(
  options: WriteForwarderOptions,
): (request: ForwardedRequest) => Promise<ForwardedAnswer> {
  const warnings = rateLimiter(5000, options.system.clock);
  const warn = (cause: unknown): void => {
    const writes = warnings();
    if (writes === 0) return;
    const count = writes === 1 ? "a write" : `${writes} writes`;
    const reason = connectionProblem(cause) ?? reasonOf(cause);
    log.warning("the primary at {primary} did not get {count}: {reason}", {
      primary: options.primaryUrl(),
      count,
      reason,
    });
  };
  return (request) =>
    withSpan("forward", { kind: SpanKind.CLIENT, attributes: requestOf(request) }, async (span) => {
      if (options.isForeign())
        throw new AppError("not_ready", "the primary has another history than this node, nothing was written");
      if (!options.isPrimaryAlive()) await requireAlive(options);
      const response = await send(request, options, warn);
      span.setAttribute("http.response.status_code", response.status);
      requireJson(response);
      const token = response.headers["osooffset"];
      if (token !== undefined && response.status < 300) await waitUntilApplied(token, options);
      return response;
    });
}

/** Attributes of the span. The path is a pattern, because ids are content. */
function requestOf(request: ForwardedRequest) {
  const template = pathOf(request).replace(/^(\/api\/(?:keys|environments)\/)[^/]+/, "$1:id");
  return { "http.request.method": request.method, "url.template": template };
}

async function send(
  request: ForwardedRequest,
  options: WriteForwarderOptions,
  warn: (cause: unknown) => void,
): Promise<ForwardedAnswer> {
  const traceparent = traceparentOf();
  const history = options.history();
  const headers = {
    ...request.headers,
    [forwardedClientHeader]: options.describeClient(request.address, request.requestId),
    ...(traceparent === null ? {} : { traceparent }),
    ...(history === undefined ? {} : { "Ostiary-History": history }),
  };
  const { method, path, body } = request;
  const primaryUrl = options.primaryUrl();
  const hang = new AbortController();
  const stopProbes = startProbes(primaryUrl, hang, options);
  const timeoutMs = options.timeoutMs + (policyPaths.has(pathOf(request)) ? (options.policyTimeoutMs ?? 0) : 0);
  using late = deadline(options.system.clock, timeoutMs);
  const signal = AbortSignal.any([late.signal, hang.signal]);
  const ask = async (changes: RequestInit = {}): Promise<ForwardedAnswer> => {
    const init = { method, headers, body, signal, redirect: "error", ...changes } as const;
    const response = await options.system.fetch(`${primaryUrl}${path}`, init);
    const responseBody = new Uint8Array(await response.arrayBuffer());
    return { status: response.status, headers: Object.fromEntries(response.headers), body: responseBody };
  };
  let closed: unknown;
  try {
    return await ask().catch(async (cause: unknown) => {
      if (!isClosed(cause) || !repeatablePaths.has(pathOf(request))) throw cause;
      closed = cause;
      // Where the runtime can, over a connection of its own, because others can have been closed too.
      const answer = await ask({ keepalive: false });
      // Such an answer says that this time nothing was done, for example because the first request is still in progress.
      if (answer.status === 429 || answer.status >= 500) throw cause;
      return answer;
    });
  } catch (last) {
    // The write may have arrived over the closed connection, whatever became of its repetition.
    const cause = closed ?? last;
    options.onNoAnswer();
    warn(cause);
    const outcome = outcomeOf(cause);
    throw new AppError("not_ready", outcome, { cause, mayBeDone: outcome !== unreachable });
  } finally {
    stopProbes();
  }
}

/**
 * Refuses a response that is not from a primary: from a proxy before it, or from its HTTP server, which refuses requests
 * with too long a URL or headers. Clients cannot parse it.
 */
function requireJson({ status, headers }: ForwardedAnswer): void {
  if (headers["content-type"]?.startsWith("application/json") === true) return;
  const answered = `the primary, or a proxy before it, answered with status ${status} and without JSON`;
  throw status >= 400 && status < 500
    ? new AppError("invalid_request", `${answered}, the URL or a header can be too long`)
    : new AppError("not_ready", `${answered}, repeat the write to be sure of it`, { mayBeDone: true });
}

/** A write may take long. These probes abort it if the primary does not even answer a health check. */
function startProbes(primaryUrl: string, hang: AbortController, { system }: WriteForwarderOptions): () => void {
  let isStopped = false;
  let cancel = (): void => {};
  const probeIn = (delayMs: number): void => void (cancel = system.clock.after(delayMs, () => void check()));
  const check = async (): Promise<void> => {
    try {
      await probe(primaryUrl, system);
    } catch {
      return hang.abort(new DOMException("the primary does not answer", "TimeoutError"));
    }
    if (!isStopped) probeIn(probeIntervalMs);
  };
  probeIn(firstProbeMs);
  return () => {
    isStopped = true;
    cancel();
  };
}

/**
 * Whether the connection ended without a complete answer. So it does not only if the primary fails: it may also close
 * an idle connection just when this node sends a write over it, and `fetch` then repeats only what is no write.
 */
function isClosed(cause: unknown): boolean {
  return ["ECONNRESET", "EPIPE"].includes(String((cause as { readonly code?: unknown }).code));
}

/** What the client can assume without a response. Only a failed connection proves that nothing was written. */
function outcomeOf(cause: unknown): string {
  const { name, code } = cause as { readonly name?: unknown; readonly code?: unknown };
  if (name === "TimeoutError") return "the primary did not answer in time, repeat the write to be sure of it";
  const isSent = !unreachableCodes.has(String(code)) && !isRefusedCertificate(cause);
  return isSent ? "the primary broke off, repeat the write to be sure of it" : unreachable;
}

const unreachableCodes = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH"]);

async function requireAlive({ primaryUrl, onNoAnswer, system }: WriteForwarderOptions): Promise<void> {
  try {
    await probe(primaryUrl(), system);
  } catch (cause) {
    onNoAnswer();
    throw new AppError("not_ready", unreachable, { cause });
  }
}

/** Any response shows that the primary is alive, even an error. */
async function probe(primaryUrl: string, { clock, fetch }: WriteForwarderOptions["system"]): Promise<void> {
  using late = deadline(clock, probeTimeoutMs);
  await fetch(`${primaryUrl}/healthcheck`, { signal: late.signal, redirect: "error" });
}

/** The write is committed, whatever happens here. Only this replica may be late. */
async function waitUntilApplied(token: string, { waiters, waitMs }: WriteForwarderOptions): Promise<void> {
  try {
    await waiters.waitFor(token, waitMs);
  } catch (error) {
    log.warning("answered a write before it was applied here: {reason}", { reason: reasonOf(error) });
  }
}

function pathOf(request: ForwardedRequest): string {
  return must(request.path.split("?")[0]);
}
