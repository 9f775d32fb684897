/** Explanations as lines of text: a derivation, or the failed attempts, with the text and the position of each rule. */
import { stringLiteral } from "../../polar/string-literal.ts";
import { unreachable } from "../../util/assert.ts";
import type {
  ExplainedRule,
  ExplainedStep,
  Explanation,
  FailedAttempt,
  FailedCall,
  HeldCondition,
  MissingCondition,
} from "./explanation.ts";

/** Of a path with more steps than this, only the first and the last steps are shown. */
const pathStepsMax = 12;
const pathEndSteps = 4;

/** The decision and its reasons. */
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

/** The lines of a derivation. */
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
      // The default `allow` rule has no text, so its conditions are shown in its place.
      if (!step.rule) return inner;
      return [`${step.conclusion.text} by ${ruleName(step.rule)}${timesText(step.times)}`, ...inner.map(indent)];
    }
    default:
      return unreachable(step);
  }
}

/** The lines of a failed call: the conditions that would have made it true. */
export function failedCallLines(failedCall: FailedCall): string[] {
  if (failedCall.attempts.length > 0 || failedCall.more) return attemptsLines(failedCall);
  return [`no rule gives ${failedCall.call.text}${hintOf(failedCall)}`];
}

function hintOf({ did_you_mean: hint }: FailedCall): string {
  return hint === null ? "" : `, did you mean ${stringLiteral(hint)}?`;
}

function stepsLines({ steps, times }: Extract<ExplainedStep, { kind: "rule" }>): string[] {
  if (times === 1) return steps.flatMap(derivationLines);
  return folded(steps.map(derivationLines)).flat();
}

/** Shortens a long path to its first and last steps. */
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
  // The default `allow` rule has no text, so its missing conditions are shown in its place.
  if (!rule) return missing.flatMap((found) => (found.kind === "call" ? failedCallLines(found) : []));
  const path = attemptsInARow(attempt);
  const last = path.at(-1) ?? attempt;
  const inner = [...folded(path.flatMap(({ held }) => held.map(heldLine))), ...last.missing.flatMap(missingLines)];
  return [`${ruleName(rule)}${timesText(path.length)}`, ...inner.map(indent)];
}

/**
 * Follows the only missing condition, as long as its only attempt is by the same rule: such a rule follows a path of
 * facts.
 */
function attemptsInARow(start: FailedAttempt): readonly FailedAttempt[] {
  const [missing, ...others] = start.missing;
  const [next, ...alternatives] = missing?.kind === "call" && others.length === 0 ? missing.attempts : [];
  const goesOn = next?.rule && start.rule && alternatives.length === 0 && placeOf(next.rule) === placeOf(start.rule);
  return goesOn ? [start, ...attemptsInARow(next)] : [start];
}

function timesText(times: number): string {
  return times === 1 ? "" : `, ${times} times`;
}

function heldLine(held: HeldCondition): string {
  if (held.kind === "condition") return `holds:   ${held.text}`;
  const notes = new Map([
    ["context", " (a context fact)"],
    ["many", " (in too many ways to try)"],
  ]);
  return `holds:   ${held.call.text}${notes.get(held.from) ?? ""}`;
}

function missingLines(found: MissingCondition): string[] {
  if (found.kind === "test")
    return [`fails:   ${found.text}${found.because === null ? "" : ` (${found.because} is true)`}`];
  if (found.again) return [`missing: ${found.call.text}, as above`];
  return [`missing: ${found.call.text}${hintOf(found)}`, ...attemptsLines(found).map(indent)];
}

/** `"read" if "viewer"` (policy.polar:5:3) */
export function ruleName(rule: ExplainedRule): string {
  return `${rule.text} (${placeOf(rule)})`;
}

function placeOf({ file, line, column }: ExplainedRule): string {
  return `${file}:${line}:${column}`;
}

function indent(line: string): string {
  return `  ${line}`;
}
