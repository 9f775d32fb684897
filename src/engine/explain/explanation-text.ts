/** Explanations as lines for people: a derivation, or the nearest misses, with the text and place of each rule. */
import { stringLiteral } from "../../polar/string-literal.ts";
import { unreachable } from "../../util/assert.ts";
import type {
  FailedAttempt,
  Explanation,
  HeldCondition,
  FailedCall,
  MissingCondition,
  ExplainedRule,
  ExplainedStep,
} from "./explanation.ts";

/** A path of more steps than this is shown by its ends. */
const pathStepsMax = 12;
const pathEndSteps = 4;

/** The decision, and all that is told of its reasons. */
export function explanationLines(explanation: Explanation): string[] {
  const { allowed, question, policy, derivation, denial, unknown, truncated } = explanation;
  const reasons = [
    ...(policy === null ? ["no policy is loaded, and nothing is allowed without one"] : []),
    ...unknown,
    ...(derivation ? derivationLines(derivation) : []),
    ...(denial && policy ? failedCallLines(denial) : []),
    ...(truncated ? [`the explanation was cut: ${truncated.message}`] : []),
  ];
  return [`${allowed ? "allowed" : "denied"}: ${question.text}`, ...reasons.map(indent)];
}

/** What makes it true. */
export function derivationLines(step: ExplainedStep): string[] {
  switch (step.kind) {
    case "condition":
      return [`${step.text} holds`];
    case "fact":
      return [`${step.fact.text} is ${factName(step)}`];
    case "again":
      return [`${step.conclusion.text}, as above`];
    case "cut":
      return [`${step.conclusion.text} …`];
    case "rule": {
      const inner = stepsLines(step);
      // The default `allow` has no text to show: what it asks for is what counts.
      if (!step.rule) return inner;
      return [`${step.conclusion.text} by ${ruleName(step.rule)}${timesText(step.times)}`, ...inner.map(indent)];
    }
    default:
      return unreachable(step);
  }
}

/** What would have made it true. */
export function failedCallLines(miss: FailedCall): string[] {
  if (miss.attempts.length > 0 || miss.more) return attemptsLines(miss);
  return [`no rule gives ${miss.call.text}${hintOf(miss)}`];
}

function hintOf({ did_you_mean: hint }: FailedCall): string {
  return hint === null ? "" : `, did you mean ${stringLiteral(hint)}?`;
}

function stepsLines({ steps, times }: Extract<ExplainedStep, { kind: "rule" }>): string[] {
  if (times === 1) return steps.flatMap(derivationLines);
  return folded(steps.map(derivationLines)).flat();
}

/** A long path is shown by its ends. */
function folded<Lines extends string | readonly string[]>(path: readonly Lines[]): (Lines | string)[] {
  if (path.length <= pathStepsMax) return [...path];
  const hidden = path.length - 2 * pathEndSteps;
  return [...path.slice(0, pathEndSteps), `… ${hidden} more of the same kind`, ...path.slice(-pathEndSteps)];
}

function factName({ from, rule }: Extract<ExplainedStep, { kind: "fact" }>): string {
  if (from === "policy") return `a fact of the policy${rule ? ` (${placeOf(rule)})` : ""}`;
  return from === "context" ? "a context fact" : "a fact";
}

function attemptsLines({ attempts, more }: FailedCall): string[] {
  const lines = attempts.flatMap(attemptLines);
  return more ? [...lines, "… and other rules"] : lines;
}

function attemptLines(attempt: FailedAttempt): string[] {
  const { rule, missing } = attempt;
  // The default `allow` has no text to show: what it asks for is what is missing.
  if (!rule) return missing.flatMap((found) => (found.kind === "call" ? failedCallLines(found) : []));
  const path = attemptsInARow(attempt);
  const last = path.at(-1) ?? attempt;
  const inner = [...folded(path.flatMap(({ held }) => held.map(heldLine))), ...last.missing.flatMap(missingLines)];
  return [`${ruleName(rule)}${timesText(path.length)}`, ...inner.map(indent)];
}

/** Where the only thing missing has but one attempt, by the same rule, and so on: that rule walks along a path of facts. */
function attemptsInARow(start: FailedAttempt): readonly FailedAttempt[] {
  const path = [start];
  for (let next: FailedAttempt | undefined = start; next;) {
    const [missing, ...others]: readonly MissingCondition[] = next.missing;
    const inner: readonly FailedAttempt[] = missing?.kind === "call" && others.length === 0 ? missing.attempts : [];
    next = inner.length === 1 && inner[0]?.rule && isSameRule(inner[0].rule, start.rule) ? inner[0] : undefined;
    if (next) path.push(next);
  }
  return path;
}

function isSameRule(one: ExplainedRule, other: ExplainedRule | null): boolean {
  return other !== null && placeOf(one) === placeOf(other);
}

function timesText(times: number): string {
  return times === 1 ? "" : `, ${times} times`;
}

function heldLine(held: HeldCondition): string {
  if (held.kind === "condition") return `holds:   ${held.text}`;
  const notes = {
    context: " (a context fact)",
    many: " (in too many ways to try)",
    stored: "",
    policy: "",
    derived: "",
  };
  return `holds:   ${held.call.text}${notes[held.from]}`;
}

function missingLines(found: MissingCondition): string[] {
  if (found.kind === "test")
    return [`fails:   ${found.text}${found.because === null ? "" : ` (${found.because} is true)`}`];
  if (found.again) return [`missing: ${found.call.text}, as above`];
  return [`missing: ${found.call.text}${hintOf(found)}`, ...attemptsLines(found).map(indent)];
}

/** `"read" if "viewer"` (policy.polar:5:3) */
function ruleName(rule: ExplainedRule): string {
  return `${rule.text} (${placeOf(rule)})`;
}

function placeOf({ file, line, column }: ExplainedRule): string {
  return `${file}:${line}:${column}`;
}

function indent(line: string): string {
  return `  ${line}`;
}
