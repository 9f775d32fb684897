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
  const { steps, simulatedMs, states, lost, clients, answers, network, brokers, operator, leases, disks } = outcome;
  totals.runs++;
  if (outcome.failure !== undefined) totals.failures++;
  addCounts(totals.counts, {
    steps,
    "simulated seconds": Math.round(simulatedMs / 1000),
    "committed states": states,
    "writes acknowledged": clients.acknowledged,
    "of these sent again": clients.repeated,
    "writes given up": clients.unanswered,
    "questions answered and checked": answers.answers,
    "of these with a token": answers.withToken,
    "tokens of lost writes refused": answers.lost,
    "of these not lost but not heard of": answers.lostEarly,
    "acknowledged writes lost as announced": lost,
    "requests lost, reset or broken": network.lost + network.reset + network.broken + network.damaged,
    "messages dropped": brokers.dropped,
    "messages doubled": brokers.doubled,
    "messages late": brokers.late,
    "messages of brokers that lied": brokers.lies,
    "answers whose freshness was checked": answers.fresh,
    "answers of the latest": answers.latest,
    "commits failed on a disk": disks.commitsFailed,
    "of these left on the disk": disks.commitsLeft,
    "of these found after a crash": disks.commitsFound,
    "snapshots failed on a disk": disks.snapshotsFailed,
    "records of the lease written": leases.writes,
    "of these over one that had changed": leases.conflicts,
    "calls of the coordination service without an answer": leases.unanswered,
    "primaries chosen by a lease": leases.chosen,
    promotions: operator.promotions,
    "promotions refused": operator.refusedPromotions,
    "primaries of before made edges": operator.demotions,
  });
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
