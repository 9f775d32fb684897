/**
 * Comparisons of values that nothing gives. `level(User{"1"}, n: Integer);` says that the level is every integer: there is no list of them to
 * compare, and whether one is small enough would depend on which integers other facts happen to mention. Such rules are refused.
 *
 * A place (predicate and argument) is open where a rule leaves its head variable without a value, and restricted where it compares that
 * variable as well, or hands it on to a restricted place. A restricted place needs its value from outside.
 */
import type { Span } from "../../polar/span.ts";
import {
  callersOf,
  type DatalogProgram,
  literalVariables,
  type ProgramCall,
  type ProgramLiteral,
  type ProgramRule,
  termVariables,
} from "../ir/program.ts";

export interface OpenComparison {
  readonly rule: Span;
}

/** The rules that compare, or let another rule compare, a variable of their own that may be open. */
export function findOpenComparisons(program: DatalogProgram): OpenComparison[] {
  const open = new Set<string>();
  const restricted = new Set<string>();
  const callers = callersOf(program);
  let waiting: ReadonlySet<ProgramRule> = new Set(program.rules);
  while (waiting.size > 0) {
    const grown = new Set<string>();
    for (const rule of waiting) {
      const before = open.size + restricted.size;
      markHead(rule, open, restricted);
      if (open.size + restricted.size > before) grown.add(rule.predicate);
    }
    waiting = new Set([...grown].flatMap((predicate) => callers.get(predicate) ?? []));
  }
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
    open.add(place(rule.predicate, position));
    if (compared.has(term.index)) restricted.add(place(rule.predicate, position));
  });
}

/** Variables that some positive call gives a value to. */
function givenVariables(body: readonly ProgramLiteral[], open: ReadonlySet<string>): Set<number> {
  return new Set(
    calls(body).flatMap((call) =>
      call.args.flatMap((arg, position) => (open.has(place(call.predicate, position)) ? [] : termVariables(arg))),
    ),
  );
}

function comparedVariables(body: readonly ProgramLiteral[], restricted: ReadonlySet<string>): number[] {
  return body.flatMap((literal) => {
    if (literal.kind === "compare" && literal.operator !== "!=") return literalVariables(literal);
    if (literal.kind === "not") return comparedVariables(literal.body, restricted);
    if (literal.kind !== "call") return [];
    return literal.args.flatMap((arg, position) =>
      restricted.has(place(literal.predicate, position)) ? termVariables(arg) : [],
    );
  });
}

/** `given` are the variables around and those that the body gives a value to. */
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

function calls(body: readonly ProgramLiteral[]): ProgramCall[] {
  return body.filter((literal) => literal.kind === "call");
}

function place(predicate: string, position: number): string {
  return `${predicate} ${position}`;
}
