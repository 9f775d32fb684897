/** The verdict about a run against real processes: one row for each figure, and a row with a bound may break it. */

export interface Verdict {
  readonly what: string;
  readonly measured: string;
  /** For a figure without a bound, a note. */
  readonly bound: string;
  /** Undefined for a figure without a bound. */
  readonly ok: boolean | undefined;
  /** The evidence that the bound was broken. */
  readonly details: readonly string[];
}

const detailsMax = 20;

export function verdict(
  what: string,
  measured: string | number,
  bound: string,
  ok: boolean | undefined,
  details: readonly string[],
): Verdict {
  const shown =
    details.length > detailsMax
      ? [...details.slice(0, detailsMax), `and ${details.length - detailsMax} more`]
      : details;
  return { what, measured: textOf(measured), bound, ok, details: ok === false ? shown : [] };
}

/** A row for what must not happen. */
export function mustBeNone(what: string, count: number, details: readonly string[] = []): Verdict {
  return verdict(what, count, "0", count === 0, details);
}

/** A row without a bound. */
export function figure(what: string, measured: string | number, note = ""): Verdict {
  return verdict(what, measured, note, undefined, []);
}

export function isPassed(verdicts: readonly Verdict[]): boolean {
  return verdicts.every(({ ok }) => ok !== false);
}

export function renderVerdicts(verdicts: readonly Verdict[]): string {
  const widths = (["what", "measured", "bound"] as const).map((column) =>
    Math.max(...verdicts.map((row) => row[column].length)),
  );
  const [first = 0, second = 0, third = 0] = widths;
  return verdicts
    .flatMap(({ what, measured, bound, ok, details }) => [
      `${markOf(ok)} ${what.padEnd(first)}  ${measured.padStart(second)}  ${bound.padEnd(third)}`.trimEnd(),
      ...details.map((detail) => `          ${detail}`),
    ])
    .map((line) => `${line}\n`)
    .join("");
}

/** The quantile of the values; 0 without values. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? 0;
}

/** Without the output of nodes that follows in some errors. */
export function firstLineOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split("\n")[0] ?? "";
}

const markOf = (ok: boolean | undefined): string => (ok === undefined ? "       " : ok ? "ok     " : "BROKEN ");

function textOf(measured: string | number): string {
  return typeof measured === "number" ? Math.round(measured).toLocaleString("en") : measured;
}
