/** Work with spans of every kind, under the given standard variables, and what it observes of its traces. */
import { setImmediate } from "node:timers/promises";
import { inEnvironment } from "../../src/telemetry/current-environment.ts";
import { recentTraces } from "../../src/telemetry/recent-traces.ts";
import { notAFailure, startTracing, withSpan, recordSpan, SpanKind } from "../../src/telemetry/tracing.ts";
import { traceIdOf, traceparentOf } from "../../src/telemetry/trace-context.ts";
import type { TracingOptions } from "../../src/telemetry/tracing-sdk.ts";
import { AppError } from "../../src/util/app-error.ts";

type Variables = Readonly<Record<string, string>>;

/** Runs `body` with these standard variables, and no others. */
export async function withVariables<T>(variables: Variables, body: () => Promise<T>): Promise<T> {
  const before = Object.entries(process.env).filter(([name]) => name.startsWith("OTEL_"));
  const clear = (): void => {
    for (const name of Object.keys(process.env)) if (name.startsWith("OTEL_")) delete process.env[name];
  };
  clear();
  Object.assign(process.env, variables);
  try {
    return await body();
  } finally {
    clear();
    Object.assign(process.env, Object.fromEntries(before));
  }
}

/** Runs `body` while tracing is on with these variables. */
export function whileTracing<T>(variables: Variables, options: TracingOptions, body: () => Promise<T>): Promise<T> {
  return withVariables(variables, async () => {
    const tracing = await startTracing(options);
    try {
      return await body();
    } finally {
      await tracing.stop();
    }
  });
}

type Listed = readonly { readonly id: string; readonly names: readonly string[] }[];

interface Observed {
  readonly traceId: string | null;
  readonly outer: string | null;
  readonly inner: string | null;
  /** The trace context of a request that comes after the budget is used up. */
  readonly refused: string | null;
  readonly recorded: Listed;
  readonly hosted: Listed;
}

/** `perSecond` is how many traces the node keeps for itself; 0 if it keeps none. */
export function observe(variables: Variables, incoming: string | null = null, perSecond = 0): Promise<Observed> {
  const recent = perSecond === 0 ? undefined : { perSecond, traceBufferTracesMax: 10, traceBufferBytesMax: 100_000 };
  const attributes = () => ({ "ostiary.role": "primary", "service.instance.id": "node-1" });
  return whileTracing(variables, { attributes, recent }, () => work(incoming, perSecond));
}

async function work(incoming: string | null, perSecond: number): Promise<Observed> {
  // Uses up the budget of requests.
  for (let count = 1; count < perSecond; count++)
    withSpan("other", { parent: null, traced: "request" }, () => withSpan("inner", {}, () => undefined));
  if (perSecond > 0) withSpan("without a trace", {}, () => undefined);

  const seen = await withSpan(
    "request",
    { kind: SpanKind.SERVER, parent: incoming, traced: "request", attributes: { route: "/x" } },
    async (span) => {
      await setImmediate();
      const inner = await withSpan("query", {}, async (child) => {
        await setImmediate();
        return traceparentOf(child);
      });
      const failures = {
        failing: new Error("no such luck with Bearer abc.def, mqtt://user:hunter2@host and e_env_id_0123456789abcdef"),
        refused: new AppError("invalid_request", "the fact `owns(alice, house)` is not used"),
        offloaded: Object.assign(new Error("too large for here"), { [notAFailure]: true }),
      };
      for (const [name, error] of Object.entries(failures))
        await withSpan(name, {}, () => Promise.reject(error)).catch(() => undefined);
      return { traceId: traceIdOf(span), outer: traceparentOf(span), inner };
    },
  );
  withSpan("receive", { parent: null, links: [seen.outer, null, "rubbish"], kind: SpanKind.CONSUMER }, () => undefined);
  inEnvironment("shop", () => withSpan("hosted", { parent: seen.outer, attributes: { own: 1 } }, () => undefined));
  const now = Date.now();
  recordSpan("commit to visible", { parent: seen.outer, startTime: now - 500, endTime: now });

  const refused = withSpan("refused request", { parent: incoming, traced: "request" }, (span) =>
    withSpan("query", {}, () => traceparentOf(span)),
  );
  const recorded = (environment?: string) =>
    recentTraces.list(environment).map(({ id, spans }) => ({ id, names: spans.map(({ name }) => name) }));
  return { ...seen, refused, recorded: recorded(), hosted: recorded("shop") };
}
