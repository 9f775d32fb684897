/** Checks of the reason that the console reads in an explanation: it says nothing that is not there. */
import { expect } from "bun:test";
import type { Explanation as ShownExplanation } from "../../src/console/ui/ask/explanation.ts";
import { nearestAttempts, permissionReason } from "../../src/console/ui/ask/reason.ts";
import { formatFact, type Value } from "../../src/console/ui/facts/fact-text.ts";
import type { Explanation } from "../../src/engine/explain/explanation.ts";

/** Each step of the way is a fact of the derivation, and the steps are a chain; each candidate is a missing fact. */
export function verifyReason(explanation: Explanation): void {
  const shown: ShownExplanation = explanation;
  const [actor, , resource] = explanation.question.args.map(({ type, id }): Value => ({
    type: type ?? "",
    id: id ?? "",
  }));
  if (actor === undefined || resource === undefined) throw new Error("the question has no actor or no resource");
  const calls = callsIn(explanation);
  const reason = permissionReason(shown, actor, resource);
  if (reason === undefined) {
    for (const fact of nearestAttempts(shown).candidates) expect(calls.missing).toContain(formatFact(fact));
    return;
  }
  const { way, others, wide, role } = reason;
  for (const fact of [...way.map((step) => step.fact), ...others]) expect(calls.facts).toContain(formatFact(fact));
  for (const text of wide) expect(calls.texts).toContain(text);
  if (role !== undefined) expect(calls.roles).toContain(formatFact(roleFact(actor, role, resource)));
  if (way.length === 0) return;
  expect(way.map(({ from }) => from)).toEqual([actor, ...way.slice(0, -1).map(({ to }) => to)]);
  expect(way.at(-1)?.to).toEqual(resource);
  for (const { from, to, fact } of way) for (const end of [from, to]) expect(fact.args).toContainEqual(end);
}

function roleFact(actor: Value, role: string, resource: Value) {
  return { predicate: "has_role", args: [actor, { type: "String", id: role }, resource] };
}

/** The calls of an explanation as the console writes them. */
function callsIn({ derivation, denial }: Explanation) {
  const found = { facts: [] as string[], missing: [] as string[], roles: [] as string[], texts: [] as string[] };
  const visit = (value: unknown): void => {
    if (typeof value !== "object" || value === null) return;
    const { kind, fact, call, conclusion, text } = value as Record<string, unknown>;
    if (typeof text === "string") found.texts.push(text);
    if (kind === "fact") found.facts.push(textOf(fact));
    if (kind === "call" && "storable" in value) found.missing.push(textOf(call));
    if (kind === "rule") found.roles.push(textOf(conclusion));
    for (const part of Object.values(value)) visit(part);
  };
  visit(derivation);
  visit(denial);
  return found;
}

function textOf(call: unknown): string {
  return formatFact(call as Parameters<typeof formatFact>[0]);
}
