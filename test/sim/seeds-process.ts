/** A process that simulates some seeds, for `scripts/sim`. It reports the totals of each seed. */
import { endWithStandardInput, tell } from "../harness/child-process.ts";
import { runSeed } from "./run.ts";
import { addOutcome, failureText, noTotals, type Totals } from "./totals.ts";

export interface SeedsPlan {
  readonly first: number;
  readonly last: number;
  /** From one of its seeds to the next: other processes run those between them. */
  readonly step: number;
  /** Whether all seeds use automatic failover. */
  readonly failover: boolean;
}

export interface SeedMessage {
  readonly totals: Totals;
  readonly failure: string | undefined;
}

if (import.meta.main) await main(JSON.parse(process.argv[2] ?? "") as SeedsPlan);

async function main({ first, last, step, failover }: SeedsPlan): Promise<void> {
  endWithStandardInput();
  for (let seed = first; seed <= last; seed += step) {
    const outcome = await runSeed(seed, failover ? { failover } : undefined);
    const totals = addOutcome(noTotals(), outcome);
    tell({ totals, failure: outcome.failure && failureText(outcome) } satisfies SeedMessage);
  }
  process.exit(0);
}
