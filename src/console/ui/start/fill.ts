/** Loads a policy and facts into an empty environment. */
import type { Fact } from "../facts/fact-text.ts";
import { type CallEnvironment, isEmptyEnvironment } from "../state/environment-content.ts";
import { startTexts } from "../texts/start.ts";

export interface EnvironmentContent {
  readonly policy: string;
  readonly filename: string;
  readonly facts: readonly Fact[];
}

/** A batch has at most so many facts. */
const batchFactsMax = 1000;

/** Loads a policy and facts. Throws an error, and changes nothing, if the environment is not empty. */
export async function fillEnvironment(
  call: CallEnvironment,
  { policy, filename, facts }: EnvironmentContent,
  signal?: AbortSignal,
): Promise<void> {
  if (!(await isEmptyEnvironment(call, signal))) throw new Error(startTexts.notEmpty);
  // The node refuses it if somebody was faster.
  if (policy !== "") await call("/api/policy?replaces=0", { method: "POST", body: { src: policy, filename }, signal });
  for (let start = 0; start < facts.length; start += batchFactsMax) {
    const inserts = facts.slice(start, start + batchFactsMax);
    await call("/api/batch", { method: "POST", body: [{ inserts }], signal });
  }
}
