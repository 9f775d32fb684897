/**
 * An edge sends its clients' writes on to the primary and answers when it has applied them itself, so that a read right after a write sees it,
 * also from a client that knows nothing of consistency tokens. What the primary answers is handed back as it came.
 */
import { getLogger } from "../../telemetry/logger.ts";
import { traceparentOf } from "../../telemetry/trace-context.ts";
import { SpanKind, withSpan } from "../../telemetry/tracing.ts";
import { AppError } from "../../util/app-error.ts";
import { must } from "../../util/assert.ts";
import { rateLimiter } from "../../util/rate-limiter.ts";
import { deadline } from "../../util/deadline.ts";
import { reasonOf } from "../../util/reason.ts";
import type { OffsetWaiters } from "./offset-waiters.ts";
import type { ForwardedAnswer, ForwardedRequest } from "../node.ts";
import type { System } from "../system.ts";

const log = getLogger("forward");

export interface WriteForwarderOptions {
  readonly system: Pick<System, "clock" | "fetch">;
  /** Of the present primary. */
  readonly primaryUrl: () => string;
  /** Whether it has another history than this node. */
  readonly isForeign: () => boolean;
  /** This node's history, so that a primary which has just begun another one writes nothing. */
  readonly history: () => string | undefined;
  readonly timeoutMs: number;
  /** How much longer the primary may take for a policy: it checks it before it answers. */
  readonly policyTimeoutMs?: number;
  readonly waitMs: number;
  readonly waiters: OffsetWaiters;
  /** Whether the primary was heard of in the last seconds. */
  readonly isPrimaryAlive: () => boolean;
  /** The primary gave no answer. */
  readonly onNoAnswer: () => void;
}

/** A client that writes to a dead primary, or to one that hangs, learns it within a second; later within some seconds. */
const [patienceMs, probeTimeoutMs, probeIntervalMs] = [250, 600, 2000];
const policyPath = "/api/policy";
const unreachable = "the primary can't be reached, nothing was written";

/** Between two lines of the log about writes that could not be sent on. */
const warningIntervalMs = 5000;

export function createWriteForwarder(
  options: WriteForwarderOptions,
): (request: ForwardedRequest) => Promise<ForwardedAnswer> {
  const complaints = rateLimiter(warningIntervalMs, options.system.clock);
  const complain = (cause: unknown): void => {
    const writes = complaints();
    if (writes > 0)
      log.warning("{writes} writes could not be sent on, the last one since: {reason}", {
        writes,
        reason: reasonOf(cause),
      });
  };
  return (request) =>
    withSpan("forward", { kind: SpanKind.CLIENT, attributes: requestOf(request) }, async (span) => {
      if (options.isForeign())
        throw new AppError("not_ready", "the primary has another history than this node, nothing was written");
      if (!options.isPrimaryAlive()) await requireAlive(options);
      const answer = await send(request, options, complain);
      span.setAttribute("http.response.status_code", answer.status);
      const token = answer.headers["osooffset"];
      if (token !== undefined && answer.status < 300) await waitUntilApplied(token, options);
      return answer;
    });
}

/** With the pattern of the path: the id of a key is content. */
function requestOf(request: ForwardedRequest) {
  const template = pathOf(request).replace(/^(\/api\/keys\/).+/, "$1:id");
  return { "http.request.method": request.method, "url.template": template };
}

async function send(
  request: ForwardedRequest,
  options: WriteForwarderOptions,
  complain: (cause: unknown) => void,
): Promise<ForwardedAnswer> {
  const traceparent = traceparentOf();
  const history = options.history();
  const headers = {
    ...request.headers,
    ...(traceparent === null ? {} : { traceparent }),
    ...(history === undefined ? {} : { "Ostiary-History": history }),
  };
  const { method, path, body } = request;
  const primaryUrl = options.primaryUrl();
  const silence = new AbortController();
  const stopWatching = watch(primaryUrl, silence, options);
  const timeoutMs = options.timeoutMs + (pathOf(request) === policyPath ? (options.policyTimeoutMs ?? 0) : 0);
  using late = deadline(options.system.clock, timeoutMs);
  try {
    const signal = AbortSignal.any([late.signal, silence.signal]);
    const init = { method, headers, body, signal, redirect: "error" } as const;
    const response = await options.system.fetch(`${primaryUrl}${path}`, init);
    const answered = new Uint8Array(await response.arrayBuffer());
    return { status: response.status, headers: Object.fromEntries(response.headers), body: answered };
  } catch (cause) {
    options.onNoAnswer();
    complain(cause);
    throw new AppError("not_ready", outcomeOf(cause), { cause });
  } finally {
    stopWatching();
  }
}

/** A write may take its time; a primary that does not even say that it lives is not waited for. */
function watch(primaryUrl: string, silence: AbortController, { system }: WriteForwarderOptions): () => void {
  let stopped = false;
  let cancel = (): void => {};
  const lookIn = (delayMs: number): void => void (cancel = system.clock.after(delayMs, () => void look()));
  const look = async (): Promise<void> => {
    try {
      await probe(primaryUrl, system);
    } catch {
      return silence.abort(new DOMException("the primary is silent", "TimeoutError"));
    }
    if (!stopped) lookIn(probeIntervalMs);
  };
  lookIn(patienceMs);
  return () => {
    stopped = true;
    cancel();
  };
}

/** What the client may believe of a write that got no answer. Unless nobody was there to take it, it may have been done. */
function outcomeOf(cause: unknown): string {
  const { name, code } = cause as { readonly name?: unknown; readonly code?: unknown };
  if (name === "TimeoutError") return "the primary did not answer in time, repeat the write to be sure of it";
  return unreachableCodes.has(String(code)) ? unreachable : "the primary broke off, repeat the write to be sure of it";
}

const unreachableCodes = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH"]);

async function requireAlive({ primaryUrl, onNoAnswer: onSilence, system }: WriteForwarderOptions): Promise<void> {
  try {
    await probe(primaryUrl(), system);
  } catch (cause) {
    onSilence();
    throw new AppError("not_ready", unreachable, { cause });
  }
}

/** Any answer will do, also a refusal: it shows that somebody is there. */
async function probe(primaryUrl: string, { clock, fetch }: WriteForwarderOptions["system"]): Promise<void> {
  using late = deadline(clock, probeTimeoutMs);
  await fetch(`${primaryUrl}/healthcheck`, { signal: late.signal, redirect: "error" });
}

/** The write is done whatever happens here; what is late is only this copy. */
async function waitUntilApplied(token: string, { waiters: arrivals, waitMs }: WriteForwarderOptions): Promise<void> {
  try {
    await arrivals.waitFor(token, waitMs);
  } catch (error) {
    log.warning("answered a write before it arrived here: {reason}", {
      reason: reasonOf(error),
    });
  }
}

function pathOf(request: ForwardedRequest): string {
  return must(request.path.split("?")[0]);
}
