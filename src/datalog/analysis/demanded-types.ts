/**
 * A variable of any type may still have to be of a certain one: `not not x matches User`. The unknown value that stands for any other is of a type
 * that nothing names, so it can't be the one that is looked for, and such types are tried as well.
 */
import { type ProgramLiteral, termVariables } from "../ir/program.ts";
import { isTypeVariable, type TypeName } from "../ir/signature.ts";

/**
 * Each typing of the body, and what becomes of it by the types that the body asks for within an even number of negations. `scope` are the body's
 * own variables; `spend` is told how many typings this adds, and may throw.
 */
export function withDemandedTypes(
  found: readonly (readonly TypeName[])[],
  body: readonly ProgramLiteral[],
  scope: ReadonlySet<number>,
  spend: (typings: number) => void,
): readonly (readonly TypeName[])[] {
  const demanded = demandedTypes(body, 0).filter(([variable]) => scope.has(variable));
  return demanded.reduce((typings, [variable, types]) => {
    const isOpen = ({ [variable]: present }: readonly TypeName[]) => present === undefined || isTypeVariable(present);
    spend(typings.filter(isOpen).length * types.size);
    return typings.flatMap((typing) =>
      isOpen(typing) ? [typing, ...[...types].map((type) => withType(typing, variable, type))] : [typing],
    );
  }, found);
}

function demandedTypes(
  body: readonly ProgramLiteral[],
  depth: number,
): (readonly [variable: number, types: ReadonlySet<string>])[] {
  return body.flatMap((literal) => {
    if (literal.kind === "not") return demandedTypes(literal.body, depth + 1);
    if (literal.kind !== "type" || depth === 0 || depth % 2 === 1) return [];
    return termVariables(literal.term).map((variable) => [variable, literal.types] as const);
  });
}

/** What is linked with the variable is of its type. */
function withType(typing: readonly TypeName[], variable: number, type: string): readonly TypeName[] {
  const link = typing[variable];
  const changed = typing.map((present) => (present !== undefined && present === link ? type : present));
  changed[variable] = type;
  return changed;
}
