/**
 * Tests run this program in a separate process, because tracing is set up once per process. It prints its observations
 * as JSON.
 */
import * as Bun from "bun";
import { inEnvironment } from "../../src/telemetry/current-environment.ts";
import { recentTraces } from "../../src/telemetry/recent-traces.ts";
import { notAFailure, startTracing, withSpan, recordSpan, SpanKind } from "../../src/telemetry/tracing.ts";
import { traceIdOf, traceparentOf } from "../../src/telemetry/trace-context.ts";
import { AppError } from "../../src/util/app-error.ts";

const incoming = process.argv[2] ?? null;
const perSecond = Number(process.env["RECENT_PER_SECOND"] ?? 0);
const recent = perSecond === 0 ? undefined : { perSecond, traceBufferTracesMax: 10, traceBufferBytesMax: 100_000 };
const tracing = await startTracing({
  attributes: { "ostiary.role": "primary", "service.instance.id": "node-1" },
  recent,
});
// Uses up the budget of requests.
for (let count = 1; count < perSecond; count++)
  withSpan("other", { parent: null, traced: "request" }, () => withSpan("inner", {}, () => undefined));
if (perSecond > 0) withSpan("without a trace", {}, () => undefined);

const seen = await withSpan(
  "request",
  { kind: SpanKind.SERVER, parent: incoming, traced: "request", attributes: { route: "/x" } },
  async (span) => {
    await Bun.sleep(1);
    const inner = await withSpan("query", {}, async (child) => {
      await Bun.sleep(1);
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

const sdkLoaded = Object.keys(require.cache).some((path) => path.includes("@opentelemetry/sdk-trace"));
const begin = performance.now();
await tracing.stop();
console.log(
  JSON.stringify({
    ...seen,
    refused,
    recorded: recorded(),
    hosted: recorded("shop"),
    sdkLoaded,
    stopMs: performance.now() - begin,
  }),
);
// Like the binary: otherwise retries to a dead collector would delay the exit for some seconds.
process.exit(0);
