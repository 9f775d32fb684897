/** Searches for a random history in which an engine and the oracle differ. */
import fc from "fast-check";
import { printHistory } from "../histories/history.ts";
import { openNodes, type Nodes } from "../histories/nodes.ts";
import { replay } from "../histories/replay.ts";
import { emptyCounts, type HistoryCounts } from "../histories/history-counts.ts";
import { drawnHistory, plansOf, policiesOf, type Drawn } from "./history-plans.ts";

export interface Failure {
  readonly seed: number;
  readonly smallest: Drawn;
  readonly problem: string;
}

class Disagreement extends Error {}

/** Each history has the next seed. It ends after the history that reaches the number of steps. */
export async function firstFailure(
  from: number,
  stepsMin: number,
  counts: HistoryCounts,
  open: () => Nodes = openNodes,
  options: { readonly endOnFailure?: boolean } = {},
): Promise<Failure | undefined> {
  const property = fc.asyncProperty(drawnHistory, async (drawn) => {
    const { problems } = await replay(policiesOf(drawn), plansOf(drawn), counts, open);
    if (problems.length > 0) throw new Disagreement(problems.join("\n"));
  });
  for (let next = from; counts.steps < stepsMin; next += 1) {
    const { counterexample, errorInstance } = await fc.check(property, { ...options, numRuns: 1, seed: next });
    if (counterexample === null) continue;
    return { seed: next, smallest: counterexample[0], problem: String(errorInstance) };
  }
  return undefined;
}

export async function describeFailure({ seed, smallest, problem }: Failure): Promise<string> {
  const { steps } = await replay(policiesOf(smallest), plansOf(smallest), emptyCounts());
  const file = printHistory({ name: `found by seed ${seed}`, policies: policiesOf(smallest), steps });
  return `the engines and the oracle differ: ${problem}\n\n${file}`;
}
