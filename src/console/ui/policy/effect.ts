/** Reads what a policy would change, while the node finds it out. Pure. */
import { createParser } from "eventsource-parser";
import type { Replay, TestReport, UnusedFacts } from "./reports.ts";

/** What is known so far. */
export interface PolicyEffect {
  readonly tests?: TestReport;
  readonly unusedFacts?: readonly UnusedFacts[];
  /** How many logged decisions were made again so far. */
  readonly examined?: number;
  /** Null if the policy has errors. */
  readonly decisions?: Replay | { readonly omitted: string } | null;
}

/** More than an answer can have. */
const bufferedCharactersMax = 2 ** 26;

/** Calls `show` with all that is known, after each event. Throws an error if the answer ends early. */
export async function readEffect(
  body: ReadableStream<Uint8Array>,
  show: (effect: PolicyEffect) => void,
): Promise<PolicyEffect> {
  let effect: PolicyEffect = {};
  const parser = createParser({
    maxBufferSize: bufferedCharactersMax,
    onEvent({ event, data }) {
      effect = { ...effect, ...changeOf(event, JSON.parse(data)) };
      show(effect);
    },
  });
  const decoder = new TextDecoder();
  const reader = body.getReader();
  for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read())
    parser.feed(decoder.decode(chunk.value, { stream: true }));
  if (effect.decisions === undefined) throw new Error("the answer of the node ended early");
  return effect;
}

function changeOf(event: string | undefined, data: unknown): PolicyEffect {
  if (event === "tests") return { tests: data as TestReport };
  if (event === "unused_facts") return { unusedFacts: data as readonly UnusedFacts[] };
  if (event === "progress") return { examined: (data as { readonly examined: number }).examined };
  if (event === "decisions") return { decisions: data as NonNullable<PolicyEffect["decisions"]> | null };
  return {};
}

export type Verdict = "unknown" | "broken" | "failing" | "changes" | "harmless";

/** Whether the policy can be saved, and whether it changes more than its text. */
export function verdictOf({ tests, unusedFacts, decisions }: PolicyEffect): Verdict {
  if (tests === undefined || unusedFacts === undefined) return "unknown";
  if (tests.problems.some(({ severity }) => severity === "error")) return "broken";
  if (!tests.success) return "failing";
  const changed = decisions && "changed_count" in decisions ? decisions.changed_count : 0;
  return changed > 0 || unusedFacts.length > 0 ? "changes" : "harmless";
}
