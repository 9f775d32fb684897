/** Which traces are recorded, as the settings and the callers decide; a trace is recorded as a whole or not at all. */
import { describe, expect, test } from "bun:test";
import { setImmediate } from "node:timers/promises";
import { randomHex } from "../../scripts/node-process.ts";
import { type Span, startCollector } from "../../scripts/otlp-collector.ts";
import { traceIdOf, traceparentOf } from "../../src/telemetry/trace-context.ts";
import { recordSpan, SpanKind, withSpan } from "../../src/telemetry/tracing.ts";
import { whileTracing } from "./traced-work.ts";

interface Recorded {
  /** Of each request; null if it was not recorded. */
  readonly traceIds: readonly (string | null)[];
  readonly spans: readonly Span[];
}

interface Sampling {
  /** The setting `trace.sampleRatio`. */
  readonly ratio?: number;
  readonly sampler?: string;
  readonly samplerArgument?: string;
}

/** Answers requests at the same time, each with its traceparent, beside work that belongs to no request. */
async function record({ ratio, sampler, samplerArgument }: Sampling, parents: readonly string[]): Promise<Recorded> {
  const collector = startCollector();
  try {
    const variables = {
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      ...(sampler !== undefined && { OTEL_TRACES_SAMPLER: sampler }),
      ...(samplerArgument !== undefined && { OTEL_TRACES_SAMPLER_ARG: samplerArgument }),
    };
    const traceIds = await whileTracing(variables, { sampleRatio: ratio, attributes: () => ({}) }, async () => {
      const answered = await Promise.all(parents.map((parent) => answer(parent || null)));
      for (let index = 0; index < parents.length; index++) work("background work");
      return answered;
    });
    return { traceIds, spans: [...collector.spans] };
  } finally {
    await collector.stop();
  }
}

/** A request that begins another trace, in front of a part of its work. */
function answer(parent: string | null): Promise<string | null> {
  return withSpan("request", { kind: SpanKind.SERVER, parent }, async (span) => {
    await setImmediate();
    const other = await withSpan("other", { parent: null }, async (root) => {
      await setImmediate();
      work("other work");
      return traceIdOf(root);
    });
    work("work");
    const [id, passedOn] = [traceIdOf(span), traceparentOf()];
    expect(passedOn?.slice(3, 35) ?? null).toBe(id);
    if (id !== null) expect(other).not.toBe(id);
    return id;
  });
}

function work(name: string): void {
  withSpan(name, {}, () => undefined);
  recordSpan(`${name} that has ended`, { startTime: Date.now(), endTime: Date.now() });
}

const count = 400;
/** So many of `count` fair coins show neither side in less than one of 10^15 runs. */
const half = { min: 120, max: 280 };

const parentsOf = (flags: "00" | "01"): string[] =>
  Array.from({ length: count }, () => `00-${randomHex(16)}-${randomHex(8)}-${flags}`);
const none = Array.from({ length: count }, () => "");
const [sampled, unsampled] = [parentsOf("01"), parentsOf("00")];

/** Requires that each trace has its request, or its other root, with exactly the spans of its work. */
function expectWhole({ traceIds, spans }: Recorded): void {
  const traces = Map.groupBy(spans, ({ traceId }) => traceId);
  const requests = new Set(traceIds.filter((id) => id !== null));
  for (const [traceId, all] of traces) {
    const names = all.map(({ name }) => name).toSorted();
    if (names[0]?.startsWith("background work") === true) {
      expect(names).toHaveLength(1);
      continue;
    }
    const work = requests.has(traceId) ? "work" : "other work";
    const root = all.find(({ name }) => name === (requests.has(traceId) ? "request" : "other"));
    expect(names).toEqual([root?.name ?? "a root", work, `${work} that has ended`].toSorted());
    for (const span of all) if (span !== root) expect(span.parentSpanId).toBe(root?.spanId ?? "");
  }
  expect([...requests].filter((id) => !traces.has(id))).toEqual([]);
}

const recordedOf = ({ traceIds }: Recorded): number => traceIds.filter((id) => id !== null).length;
const named = ({ spans }: Recorded, name: string): number => spans.filter((span) => span.name === name).length;

describe.each([
  { name: "the setting", of: (ratio: number): Sampling => ({ ratio, sampler: "always_on" }) },
  {
    name: "the standard variables",
    of: (ratio: number): Sampling => ({ sampler: "parentbased_traceidratio", samplerArgument: String(ratio) }),
  },
])("a ratio of $name", ({ of }) => {
  test.each([0, 0.5, 1])("%d applies to traces that begin here, and callers decide for theirs", async (ratio) => {
    /** Of `times` as many fair coins. */
    const share = (found: number, times = 1): void => {
      const { min, max } = ratio === 0.5 ? half : { min: ratio * count, max: ratio * count };
      expect(found).toBeWithin(times * min, times * max + 1);
    };
    const recorded = await record(of(ratio), [...sampled, ...none, ...unsampled]);
    expectWhole(recorded);
    const idsFrom = (start: number) => recorded.traceIds.slice(start, start + count);
    expect(idsFrom(0)).toEqual(sampled.map((parent) => parent.slice(3, 35)));
    share(recordedOf({ ...recorded, traceIds: idsFrom(count) }));
    expect(recordedOf({ ...recorded, traceIds: idsFrom(2 * count) })).toBe(0);
    for (const name of ["other", "background work", "background work that has ended"]) share(named(recorded, name), 3);
  });
});

describe("the standard samplers decide", () => {
  test.each<[sampler: string, argument: string | undefined, begun: number, sampled: number, unsampled: number]>([
    ["always_on", undefined, 1, 1, 1],
    ["always_off", undefined, 0, 0, 0],
    ["traceidratio", "0", 0, 0, 0],
    ["traceidratio", "1", 1, 1, 1],
    ["parentbased_always_on", undefined, 1, 1, 0],
    ["parentbased_always_off", undefined, 0, 1, 0],
    ["parentbased_traceidratio", undefined, 1, 1, 0],
    ["parentbased_traceidratio", "no number", 1, 1, 0],
    ["no sampler", "0", 1, 1, 0],
  ])("%s with %p", async (sampler, samplerArgument, ofBegun, ofSampled, ofUnsampled) => {
    const sampling = { sampler, ...(samplerArgument !== undefined && { samplerArgument }) };
    const recorded = await record(
      sampling,
      [none, sampled, unsampled].flatMap((parents) => parents.slice(0, 5)),
    );
    const shares = [0, 5, 10].map(
      (start) => recordedOf({ ...recorded, traceIds: recorded.traceIds.slice(start, start + 5) }) / 5,
    );
    expect(shares).toEqual([ofBegun, ofSampled, ofUnsampled]);
    expectWhole(recorded);
  });
});
