/** Explanations as lines for people: a derivation, or the nearest misses, with the text and place of each rule. */
import { stringLiteral } from "../../polar/string-literal.ts";
import { lineStarts, positionAt, type Source } from "../../polar/source.ts";
import type { Span } from "../../polar/span.ts";
import { formatAtom } from "./atom.ts";
import type { Step } from "./derivation.ts";
import type { Attempt, Miss } from "./nearest-miss.ts";

const linesMax = 24;
const ruleLengthMax = 100;

/** What makes it true. */
export function derivationLines(step: Step, sources: readonly Source[]): string[] {
  return cut(stepLines(step, sources));
}

/** What would have made it true. */
export function missLines(miss: Miss, sources: readonly Source[]): string[] {
  return cut(attemptsOrNothing(miss, sources));
}

function stepLines(step: Step, sources: readonly Source[]): string[] {
  if (step.kind === "condition") return [`${step.text} holds`];
  if (step.kind === "fact") return [`${formatAtom(step.atom)} is a fact`];
  const inner = step.steps.flatMap((child) => stepLines(child, sources));
  if (step.implicit) return inner;
  return [`${formatAtom(step.atom)} by ${ruleName(step.rule, sources)}`, ...inner.map(indent)];
}

function attemptsLines({ attempts, more }: Miss, sources: readonly Source[]): string[] {
  const lines = attempts.flatMap((attempt) => attemptLines(attempt, sources));
  return more ? [...lines, "… and other rules"] : lines;
}

function attemptLines({ rule, implicit, held, missing }: Attempt, sources: readonly Source[]): string[] {
  const inner = [
    ...held.map((text) => `holds:   ${text}`),
    ...missing.flatMap((found) => {
      if (found.kind === "test")
        return [`fails:   ${found.text}${found.because === undefined ? "" : ` (${found.because} is true)`}`];
      return [`missing: ${found.text}`, ...attemptsLines(found, sources).map(indent)];
    }),
  ];
  // The default `allow` has no text to show: what it asks for is what is missing.
  if (implicit) return missing.flatMap((found) => (found.kind === "call" ? attemptsOrNothing(found, sources) : []));
  return [ruleName(rule, sources), ...inner.map(indent)];
}

function attemptsOrNothing(miss: Miss, sources: readonly Source[]): string[] {
  if (miss.attempts.length > 0) return attemptsLines(miss, sources);
  const hint = miss.suggestion === undefined ? "" : `, did you mean ${stringLiteral(miss.suggestion)}?`;
  return [`no rule gives ${miss.text}${hint}`];
}

/** `"read" if "viewer"` (policy.polar:5:3) */
function ruleName(span: Span, sources: readonly Source[]): string {
  const text = sources.find((source) => source.name === span.file)?.text ?? "";
  const { line, column } = positionAt(lineStarts(text), span.start);
  return `${ruleText(span, sources)} (${span.file}:${line}:${column})`;
}

/** The rule as written, on one line, without its semicolon, cut where it is long. */
export function ruleText(span: Span, sources: readonly Source[]): string {
  const text = sources.find((source) => source.name === span.file)?.text ?? "";
  const whole = text
    .slice(span.start, span.end)
    .replace(/#[^\n"]*(?=\n)/g, "")
    .replace(/\s+/g, " ")
    .replace(/ ?;$/, "");
  return whole.length > ruleLengthMax ? `${whole.slice(0, ruleLengthMax)}…` : whole;
}

function cut(lines: readonly string[]): string[] {
  return lines.length > linesMax
    ? [...lines.slice(0, linesMax), `… ${lines.length - linesMax} more lines`]
    : [...lines];
}

function indent(line: string): string {
  return `  ${line}`;
}
