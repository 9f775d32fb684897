/** Loading through the front door: the official client, its `batch`, as many facts in each as the API takes. */
import { Oso, type IntoFact } from "oso-cloud";
import type { Fact } from "../../src/store/fact.ts";
import { factsPerEvent, inChunks } from "./store-file.ts";

/** Seconds from the first batch to the answer to the last. */
export async function load(url: string, key: string, policy: string, facts: readonly Fact[]): Promise<number> {
  const oso = new Oso(url, key);
  await oso.policy(policy);
  const begin = performance.now();
  for (const chunk of inChunks(facts, factsPerEvent)) {
    await oso.batch((batch) => {
      for (const { predicate, args } of chunk) batch.insert([predicate, ...args] as IntoFact);
      return Promise.resolve();
    });
  }
  return (performance.now() - begin) / 1000;
}
