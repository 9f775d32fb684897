/** Explanations as lines for people: a derivation, or the nearest misses, with the text and place of each rule. */
import { stringLiteral } from "../../polar/string-literal.ts";
import { unreachable } from "../../util/assert.ts";
import type { Attempt, Explanation, Held, Miss, Missing, Rule, Step } from "./explanation.ts";

/** A path of more steps than this is shown by its ends. */
const pathStepsMax = 12;
const pathEndSteps = 4;

/** The decision, and all that is told of its reasons. */
export function explanationLines(explanation: Explanation): string[] {
  const { allowed, question, policy, derivation, denial, truncated } = explanation;
  const reasons = [
    ...(policy === null ? ["no policy is loaded, and nothing is allowed without one"] : []),
    ...(derivation ? derivationLines(derivation) : []),
    ...(denial && policy ? missLines(denial) : []),
    ...(truncated ? [`the explanation was cut: ${truncated.message}`] : []),
  ];
  return [`${allowed ? "allowed" : "denied"}: ${question.text}`, ...reasons.map(indent)];
}

/** What makes it true. */
export function derivationLines(step: Step): string[] {
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
      const times = step.times === 1 ? "" : `, ${step.times} times`;
      return [`${step.conclusion.text} by ${ruleName(step.rule)}${times}`, ...inner.map(indent)];
    }
    default:
      return unreachable(step);
  }
}

/** What would have made it true. */
export function missLines(miss: Miss): string[] {
  if (miss.attempts.length > 0 || miss.more) return attemptsLines(miss);
  const hint = miss.did_you_mean === null ? "" : `, did you mean ${stringLiteral(miss.did_you_mean)}?`;
  return [`no rule gives ${miss.call.text}${hint}`];
}

function stepsLines({ steps, times }: Extract<Step, { kind: "rule" }>): string[] {
  if (times === 1 || steps.length <= pathStepsMax) return steps.flatMap(derivationLines);
  const hidden = steps.length - 2 * pathEndSteps;
  return [
    ...steps.slice(0, pathEndSteps).flatMap(derivationLines),
    `… ${hidden} more of the same kind`,
    ...steps.slice(-pathEndSteps).flatMap(derivationLines),
  ];
}

function factName({ from, rule }: Extract<Step, { kind: "fact" }>): string {
  if (from === "policy") return `a fact of the policy${rule ? ` (${placeOf(rule)})` : ""}`;
  return from === "context" ? "a context fact" : "a fact";
}

function attemptsLines({ attempts, more }: Miss): string[] {
  const lines = attempts.flatMap(attemptLines);
  return more ? [...lines, "… and other rules"] : lines;
}

function attemptLines({ rule, held, missing }: Attempt): string[] {
  // The default `allow` has no text to show: what it asks for is what is missing.
  if (!rule) return missing.flatMap((found) => (found.kind === "call" ? missLines(found) : []));
  const inner = [...held.map(heldLine), ...missing.flatMap(missingLines)];
  return [ruleName(rule), ...inner.map(indent)];
}

function heldLine(held: Held): string {
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

function missingLines(found: Missing): string[] {
  if (found.kind === "test")
    return [`fails:   ${found.text}${found.because === null ? "" : ` (${found.because} is true)`}`];
  if (found.again) return [`missing: ${found.call.text}, as above`];
  return [`missing: ${found.call.text}`, ...attemptsLines(found).map(indent)];
}

/** `"read" if "viewer"` (policy.polar:5:3) */
function ruleName(rule: Rule): string {
  return `${rule.text} (${placeOf(rule)})`;
}

function placeOf({ file, line, column }: Rule): string {
  return `${file}:${line}:${column}`;
}

function indent(line: string): string {
  return `  ${line}`;
}
