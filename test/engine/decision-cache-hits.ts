import { metrics } from "../../src/telemetry/metrics.ts";

/** How many decisions this process has answered from the decision cache so far. */
export async function decisionCacheHits(): Promise<number> {
  const { values } = await metrics.decisionCache.get();
  return values.find(({ labels }) => labels.result === "hit")?.value ?? 0;
}
