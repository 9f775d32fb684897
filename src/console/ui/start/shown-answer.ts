/** The answer of the node to a question of any kind, as far as it is compared and shown in a list. Pure. */
import { type Draft, type Question, variablesOf } from "../ask/question.ts";

/** Whether it is allowed, or the sorted results. */
export type ShownAnswer = boolean | readonly string[];

export const emptyDraft: Draft = {
  ...{ kind: "authorize", actor: "", action: "", resource: "", type: "", calls: "" },
  context: [],
};

/** Reads the response to the request of `requestOf`. A row of a query has its values by variable. */
export function answerIn(question: Question, response: unknown): ShownAnswer {
  if (question.kind === "authorize") return (response as { readonly allowed: boolean }).allowed;
  const { results } = response as { readonly results: readonly (string | Readonly<Record<string, string | null>>)[] };
  const names = question.kind === "query" ? variablesOf(question.calls).map(({ name }) => name) : ["actor"];
  if (names.length === 0) return results.length > 0;
  const rows = results.map((row) => (typeof row === "string" ? row : names.map((name) => row[name] ?? "*").join(", ")));
  return [...new Set(rows)].toSorted();
}
