/** The totals of many runs, in a few lines. */
import type { Outcome } from "./run.ts";

export interface Totals {
  runs: number;
  failures: number;
  readonly counts: Record<string, number>;
  readonly faults: Record<string, number>;
}

export function noTotals(): Totals {
  return { runs: 0, failures: 0, counts: {}, faults: {} };
}

export function addOutcome(totals: Totals, outcome: Outcome): Totals {
  totals.runs++;
  if (outcome.failure !== undefined) totals.failures++;
  addCounts(totals.counts, outcome.counts);
  addCounts(totals.faults, outcome.faults);
  return totals;
}

export function addTotals(totals: Totals, more: Totals): void {
  totals.runs += more.runs;
  totals.failures += more.failures;
  addCounts(totals.counts, more.counts);
  addCounts(totals.faults, more.faults);
}

export function totalsText({ runs, failures, counts, faults }: Totals): string {
  const lines = (all: Readonly<Record<string, number>>): string[] =>
    Object.entries(all).map(([name, count]) => `  ${String(count).padStart(9)} ${name}`);
  const struck = Object.values(faults).reduce((sum, count) => sum + count, 0);
  const kinds = Object.fromEntries(Object.entries(faults).toSorted((a, b) => b[1] - a[1]));
  return [`${runs} seeds, ${failures} failed`, ...lines(counts), `${struck} faults:`, ...lines(kinds)].join("\n");
}

/** The report of a failed seed, with the command that runs it again. */
export function failureText({ seed, failure, trace }: Outcome, lines = 60): string {
  return [
    `seed ${seed}: ${failure?.message ?? "no failure"}`,
    ...trace.slice(-lines),
    `Run it again with: SIM_SEED=${seed} bun test test/sim`,
  ].join("\n");
}

function addCounts(counts: Record<string, number>, more: Readonly<Record<string, number>>): void {
  for (const [name, count] of Object.entries(more)) counts[name] = (counts[name] ?? 0) + count;
}
