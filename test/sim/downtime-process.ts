/** A process that measures downtimes with some seeds, for `scripts/sim --downtime`. It reports each of them. */
import { endWithStandardInput, tell } from "../harness/child-process.ts";
import { measureDowntime, plannedChanges } from "./downtime.ts";
import type { SeedsPlan } from "./seeds-process.ts";

export type DowntimePlan = Omit<SeedsPlan, "failover">;

if (import.meta.main) await main(JSON.parse(process.argv[2] ?? "") as DowntimePlan);

async function main({ first, last, step }: DowntimePlan): Promise<void> {
  endWithStandardInput();
  for (let seed = first; seed <= last; seed += step)
    for (const change of plannedChanges) tell(await measureDowntime(change, seed));
  process.exit(0);
}
