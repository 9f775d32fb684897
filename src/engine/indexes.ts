/**
 * Which orders of a fact table the rules of a policy can use: one for each argument from which a join may come, led by it, then the
 * arguments that rules fix to constants, then the rest. The primary key already gives the order from the first argument.
 */
import type { Program, ProgramLiteral, ProgramRule } from "../datalog/program.ts";
import { literalVariables } from "../datalog/program.ts";

/** By predicate key, orders of column numbers from 0. */
export function indexOrders(program: Program): Map<string, number[][]> {
  const uses = new Map<string, { joined: Set<number>; constant: Set<number>; arity: number }>();
  for (const rule of program.rules) {
    for (const call of calls(rule.body)) {
      const use = uses.get(call.predicate) ?? { joined: new Set(), constant: new Set(), arity: call.args.length };
      uses.set(call.predicate, use);
      call.args.forEach((arg, position) => {
        if (arg.kind !== "var") use.constant.add(position);
        else if (isShared(arg.index, call, rule)) use.joined.add(position);
      });
    }
  }
  return new Map([...uses].map(([predicate, use]) => [predicate, ordersOf(use)]));
}

function ordersOf({
  joined,
  constant,
  arity,
}: {
  joined: Set<number>;
  constant: Set<number>;
  arity: number;
}): number[][] {
  const columns = Array.from({ length: arity }, (_, column) => column);
  // A place that rules also fix to constants holds names of roles or relations: too few to be worth leading an index.
  return [...joined]
    .filter((first) => first !== 0 && !constant.has(first))
    .sort((left, right) => left - right)
    .map((first) => [
      first,
      ...columns.filter((column) => column !== first && constant.has(column)),
      ...columns.filter((column) => column !== first && !constant.has(column)),
    ]);
}

type Call = Extract<ProgramLiteral, { kind: "call" }>;

function calls(body: readonly ProgramLiteral[]): Call[] {
  return body.flatMap((literal) => {
    if (literal.kind === "call") return [literal];
    return literal.kind === "not" ? calls(literal.body) : [];
  });
}

/** True where the variable can be known from somewhere else than this call: the head, another call, a condition. */
function isShared(variable: number, call: Call, rule: ProgramRule): boolean {
  if (rule.head.some((term) => term.kind === "var" && term.index === variable)) return true;
  const mentions = rule.body.flatMap(literalVariables).filter((index) => index === variable).length;
  return mentions > call.args.filter((arg) => arg.kind === "var" && arg.index === variable).length;
}
