/** The samples of a chart: where its lines have gaps, and which samples are drawn as points. Pure. */

export type Values = readonly (number | null)[];

export interface ChartData {
  /** Milliseconds since 1970. */
  readonly times: readonly number[];
  readonly lines: readonly Values[];
}

/** Intervals between samples differ by some jitter. */
const gapFactor = 2.5;

/** With a sample without values wherever samples are missing, so that no line leads over a time without samples. */
export function withGaps({ times, lines }: ChartData): ChartData {
  const steps = times.slice(1).map((time, index) => time - (times[index] ?? time));
  const usualMs = steps.toSorted((a, b) => a - b)[Math.floor(steps.length / 2)] ?? 0;
  const gaps = steps.flatMap((step, index) => (step > gapFactor * usualMs ? [index + 1] : []));
  if (gaps.length === 0) return { times, lines };
  const insert = <T>(all: readonly T[], made: (next: number) => T): T[] =>
    all.flatMap((each, index) => (gaps.includes(index) ? [made(index), each] : [each]));
  return {
    times: insert(times, (next) => (times[next - 1] ?? 0) + usualMs),
    lines: lines.map((values) => insert<number | null>(values, () => null)),
  };
}

/** The samples without values before and after them, which a line does not show. */
export function isolatedSamples(values: Values): number[] {
  const has = (index: number): boolean => typeof values[index] === "number";
  return values.flatMap((_, index) => (has(index) && !has(index - 1) && !has(index + 1) ? [index] : []));
}

/** The last sample that any line has a value for; undefined if there is none. */
export function latestSample(lines: readonly Values[]): number | undefined {
  const last = Math.max(...lines.map((values) => values.findLastIndex((value) => value !== null)));
  return last < 0 ? undefined : last;
}
