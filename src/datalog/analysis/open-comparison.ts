/**
 * Detects comparisons of variables without a value. `level(User{"1"}, n: Integer);` makes every integer a level. They
 * can't be enumerated, and the answer would depend on which integers other facts contain. Such rules are errors.
 *
 * An argument of a predicate is open if a rule gives its head variable no value. It is restricted if that rule also
 * compares the variable or passes it to a restricted argument: then the caller has to give the value.
 */
import type { Span } from "../../polar/span.ts";
import {
  type DatalogProgram,
  literalVariables,
  type ProgramLiteral,
  type ProgramRule,
  termVariables,
  untilStable,
} from "../ir/program.ts";

export interface OpenComparison {
  readonly rule: Span;
}

/** The rules that compare an open variable, or pass one to a restricted argument. */
export function findOpenComparisons(program: DatalogProgram): OpenComparison[] {
  const open = new Set<string>();
  const restricted = new Set<string>();
  untilStable(program, (rule) => {
    const before = open.size + restricted.size;
    markHead(rule, open, restricted);
    return open.size + restricted.size > before;
  });
  return program.rules.flatMap((rule) => {
    const given = new Set([...rule.head.flatMap(termVariables), ...givenVariables(rule.body, open)]);
    return violates(rule.body, given, open, restricted) ? [{ rule: rule.span }] : [];
  });
}

function markHead(rule: ProgramRule, open: Set<string>, restricted: Set<string>): void {
  const given = givenVariables(rule.body, open);
  const compared = new Set(comparedVariables(rule.body, restricted));
  rule.head.forEach((term, position) => {
    if (term.kind !== "var" || given.has(term.index)) return;
    open.add(argumentName(rule.predicate, position));
    if (compared.has(term.index)) restricted.add(argumentName(rule.predicate, position));
  });
}

/** The variables that get a value from a positive call. */
function givenVariables(body: readonly ProgramLiteral[], open: ReadonlySet<string>): Set<number> {
  const calls = body.filter((literal) => literal.kind === "call");
  return new Set(
    calls.flatMap(({ predicate, args }) =>
      args.flatMap((arg, position) => (open.has(argumentName(predicate, position)) ? [] : termVariables(arg))),
    ),
  );
}

function comparedVariables(body: readonly ProgramLiteral[], restricted: ReadonlySet<string>): number[] {
  return body.flatMap((literal) => {
    if (literal.kind === "compare" && literal.operator !== "!=") return literalVariables(literal);
    if (literal.kind === "not") return comparedVariables(literal.body, restricted);
    if (literal.kind !== "call") return [];
    return literal.args.flatMap((arg, position) =>
      restricted.has(argumentName(literal.predicate, position)) ? termVariables(arg) : [],
    );
  });
}

/** `given` are the variables with a value, from the enclosing rule or from this body. */
function violates(
  body: readonly ProgramLiteral[],
  given: ReadonlySet<number>,
  open: ReadonlySet<string>,
  restricted: ReadonlySet<string>,
): boolean {
  const own = body.filter((literal) => literal.kind !== "not");
  if (comparedVariables(own, restricted).some((variable) => !given.has(variable))) return true;
  return body.some((literal) => {
    if (literal.kind !== "not") return false;
    return violates(literal.body, new Set([...given, ...givenVariables(literal.body, open)]), open, restricted);
  });
}

function argumentName(predicate: string, position: number): string {
  return `${predicate} ${position}`;
}
