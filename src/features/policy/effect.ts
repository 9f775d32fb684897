/**
 * What a policy would change: its tests, the stored facts that it would not use, and logged decisions that would have
 * another result. A client can follow the progress, and cancels the work by closing the connection.
 */
import type { DecisionLog } from "../../decisions/decision-log.ts";
import type { PastDecisions } from "../../decisions/past-decisions.ts";
import { joinSources } from "../../policy/active-policy.ts";
import type { PolicyChecks } from "../../engine/workers/policy-checks.ts";
import type { Source } from "../../polar/source.ts";
import type { Node } from "../../replication/node.ts";
import { AppError } from "../../util/app-error.ts";
import { streamHeaders } from "../../http/events/event-streams.ts";
import { type Exchange, exchangeOf, holderOf, jsonResponse } from "../../http/middleware/exchange.ts";
import { preferredType } from "../../http/request/media-types.ts";
import { replayJson } from "../../http/response/replay-json.ts";

const types = ["application/json", "text/event-stream"] as const;

/** The changed decisions of an effect are to be read by people. `POST /api/decisions/replay` lists more. */
const listedChangesMax = 100;

export interface EffectParts {
  readonly checks: PolicyChecks;
  readonly past: PastDecisions;
  readonly log: DecisionLog;
}

interface EffectRequest {
  readonly sources: readonly Source[];
  /** The number of logged decisions. */
  readonly decisions: number;
}

interface EffectOptions {
  readonly signal: AbortSignal;
  readonly onProgress: (examined: number) => void;
}

export async function policyEffect(
  node: Node,
  { checks, past, log }: EffectParts,
  { sources, decisions }: EffectRequest,
  request: Request,
): Promise<Response> {
  const exchange = exchangeOf(request);
  const { isPolicy, tests, unusedFacts } = await checks.effect(
    { sources, storePath: node.engine().path },
    holderOf(exchange),
  );
  const replay = (options?: EffectOptions): Promise<object | null> =>
    isPolicy && decisions > 0 ? replayed(past, log, exchange, { sources, decisions }, options) : Promise.resolve(null);
  if (preferredType(request.headers.get("accept"), types) === "text/event-stream")
    return progressStream(exchange, [message("tests", tests), message("unused_facts", unusedFacts)], replay);
  const made = JSON.stringify(await replay());
  return jsonResponse(`{"tests":${tests},"unused_facts":${unusedFacts},"decisions":${made}}`);
}

/** The result of the replay, or why there is none: the tests and the facts are worth an answer without it. */
async function replayed(
  past: PastDecisions,
  log: DecisionLog,
  exchange: Exchange,
  { sources, decisions }: EffectRequest,
  options?: EffectOptions,
): Promise<object> {
  if (exchange.principal?.role !== "admin")
    return { omitted: "logged decisions need a key with the role `admin`, because they show what applications ask" };
  const filename = sources.map(({ name }) => name).join(", ");
  const replay = { filter: {}, limit: decisions, source: joinSources(sources), filename, ...options };
  try {
    return replayJson(await past.replay(replay, holderOf(exchange)), log.selection, listedChangesMax);
  } catch (error) {
    if (error instanceof AppError && error.code !== "internal") return { omitted: error.message };
    throw error;
  }
}

/** Sends what is known at once, then the progress of the replay, and its result. */
function progressStream(
  exchange: Exchange,
  known: readonly string[],
  replay: (options: EffectOptions) => Promise<object | null>,
): Response {
  const stop = new AbortController();
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => {
      const send = (text: string): void => {
        if (!stop.signal.aborted) controller.enqueue(encoder.encode(text));
      };
      send(known.join(""));
      const onProgress = (examined: number): void => send(message("progress", JSON.stringify({ examined })));
      // Not awaited: the stream begins when `start` has returned.
      void (async () => {
        try {
          send(message("decisions", JSON.stringify(await replay({ signal: stop.signal, onProgress }))));
          if (!stop.signal.aborted) controller.close();
        } catch (error) {
          if (!stop.signal.aborted) controller.error(error);
        }
      })();
    },
    cancel: () => stop.abort(),
  });
  return new Response(exchange.parts.large.ofStream(exchange, body), { headers: streamHeaders });
}

function message(event: string, json: string): string {
  return `event: ${event}\ndata: ${json}\n\n`;
}

const encoder = new TextEncoder();
