/**
 * Tests run this program in a separate process, because tracing is set up once per process. It answers requests at the
 * same time, each with the traceparent that a parameter names, and prints their trace ids as JSON.
 */
import * as Bun from "bun";
import { parseArgs } from "node:util";
import { recordSpan, SpanKind, startTracing, withSpan } from "../../src/telemetry/tracing.ts";
import { traceIdOf, traceparentOf } from "../../src/telemetry/trace-context.ts";

const { values, positionals } = parseArgs({ options: { ratio: { type: "string" } }, allowPositionals: true });
const sampleRatio = values.ratio === undefined ? undefined : Number(values.ratio);
const tracing = await startTracing({ sampleRatio, attributes: {} });

/** A request that begins another trace, in front of a part of its work. */
function answer(parent: string | null): Promise<string | null> {
  return withSpan("request", { kind: SpanKind.SERVER, parent }, async (span) => {
    await Bun.sleep(0);
    const other = await withSpan("other", { parent: null }, async (root) => {
      await Bun.sleep(0);
      work("other work");
      return traceIdOf(root);
    });
    work("work");
    const [id, passedOn] = [traceIdOf(span), traceparentOf()];
    if ((passedOn?.slice(3, 35) ?? null) !== id) throw new Error(`the trace of ${id} is passed on as ${passedOn}`);
    if (id !== null && id === other) throw new Error("two traces have one id");
    return id;
  });
}

function work(name: string): void {
  withSpan(name, {}, () => undefined);
  recordSpan(`${name} that has ended`, { startTime: Date.now(), endTime: Date.now() });
}

const traceIds = await Promise.all(positionals.map((parent) => answer(parent || null)));
for (let index = 0; index < positionals.length; index++) work("background work");
await tracing.stop();
console.log(JSON.stringify(traceIds));
process.exit(0);
