/**
 * Simplifies flat clauses without a change of meaning: removes repeated atoms, equal clauses, and clauses whose
 * recursive node another one contains; merges clauses that differ in one constant (`role in (reader, writer, admin)`).
 */
import { must } from "../../util/assert.ts";
import { clauseVariables, type FlatArgument, type FlatAtom, type FlatClause } from "../ir/flat.ts";
import { flatArgumentKey, flatAtomKey, flatClauseKey, listKey } from "../ir/key.ts";
import type { Constant } from "../ir/program.ts";
import type { PredicateNode } from "../ir/specialised.ts";

export function simplify(clauses: readonly FlatClause[]): FlatClause[] {
  return mergeConstants(dropSubsumed(unique(clauses.map(dropRepeatedAtoms))));
}

function dropRepeatedAtoms(clause: FlatClause): FlatClause {
  return { ...clause, atoms: [...new Map(clause.atoms.map((atom) => [flatAtomKey(atom), atom])).values()] };
}

function unique(clauses: readonly FlatClause[]): FlatClause[] {
  const seen = new Map<string, FlatClause>();
  for (const clause of clauses) seen.getOrInsert(clauseKey(clause), clause);
  return [...seen.values()];
}

/** The key of a clause up to the names of its variables. `mask` hides an argument of an atom, or an atom's node. */
function clauseKey(
  clause: FlatClause,
  mask?: { readonly atom: number; readonly arg: number } | { readonly atom: number },
): string {
  const numbers = new Map([...clauseVariables(clause)].map((id, index) => [id, index]));
  const argumentKey = (arg: FlatArgument): string =>
    flatArgumentKey(arg.kind === "var" ? { ...arg, id: must(numbers.get(arg.id)) } : arg);
  const atoms = clause.atoms.map((atom, index) => {
    if (mask?.atom !== index) return flatAtomKey(atom, argumentKey);
    if (!("arg" in mask)) return listKey(atom.args.map(argumentKey));
    return flatAtomKey(atom, (arg, position) => (position === mask.arg ? listKey([]) : argumentKey(arg)));
  });
  return listKey([...atoms, flatClauseKey({ ...clause, atoms: [] }, argumentKey)]);
}

/** Removes `writer on folder` if there is the same clause with `reader on folder`, and every writer is a reader. */
function dropSubsumed(clauses: readonly FlatClause[]): FlatClause[] {
  let left = [...clauses];
  const longest = Math.max(0, ...clauses.map((clause) => clause.atoms.length));
  for (let position = 0; position < longest; position++) {
    const groups = new Map<string, Set<PredicateNode>>();
    const keyed = left.map((clause) => {
      const atom = clause.atoms[position];
      if (atom?.kind !== "recursive") return { clause, node: undefined, key: "" };
      const key = clauseKey(clause, { atom: position });
      groups.getOrInsertComputed(key, () => new Set()).add(atom.node);
      return { clause, node: atom.node, key };
    });
    left = keyed
      .filter(({ node, key }) => !node || ![...(groups.get(key) ?? [])].some((other) => contains(other, node)))
      .map(({ clause }) => clause);
  }
  return left;
}

/** If two nodes contain each other (a cycle of copy rules), the one with the lower number contains the other. */
function contains(outer: PredicateNode, inner: PredicateNode): boolean {
  return outer !== inner && outer.copies.has(inner) && (!inner.copies.has(outer) || outer.id < inner.id);
}

function mergeConstants(clauses: readonly FlatClause[]): FlatClause[] {
  let left = [...clauses];
  const longest = Math.max(0, ...clauses.map((clause) => clause.atoms.length));
  for (let atom = 0; atom < longest; atom++) {
    const arity = Math.max(0, ...left.map((clause) => clause.atoms[atom]?.args.length ?? 0));
    for (let arg = 0; arg < arity; arg++) left = mergeAt(left, atom, arg);
  }
  return left;
}

function mergeAt(clauses: readonly FlatClause[], atom: number, arg: number): FlatClause[] {
  const groups = Map.groupBy(clauses, (clause, index) => {
    const type = constantsAt(clause, atom, arg)?.[0]?.type;
    return type === undefined ? `alone ${index}` : `${type} ${clauseKey(clause, { atom, arg })}`;
  });
  return [...groups.values()].flatMap((group) => {
    const [first] = group;
    if (!first || group.length === 1) return group;
    const values = new Map(
      group.flatMap((clause) => constantsAt(clause, atom, arg) ?? []).map((value) => [value.id, value]),
    );
    // Sorted, so that equal sets have equal keys.
    const sorted = [...values].sort(([left], [right]) => (left < right ? -1 : 1)).map(([, value]) => value);
    return [replaceArgument(first, atom, arg, { kind: "oneOf", values: sorted })];
  });
}

function constantsAt(clause: FlatClause, atom: number, arg: number): readonly Constant[] | undefined {
  const found = clause.atoms[atom];
  if (found?.kind !== "fact" && found?.kind !== "context") return undefined;
  const term: FlatArgument | undefined = found.args[arg];
  if (term?.kind === "const") return [term.value];
  return term?.kind === "oneOf" ? term.values : undefined;
}

function replaceArgument(clause: FlatClause, atom: number, arg: number, value: FlatArgument): FlatClause {
  const atoms = clause.atoms.map((present, index): FlatAtom => {
    if (index !== atom || (present.kind !== "fact" && present.kind !== "context")) return present;
    return { ...present, args: present.args.map((term, position) => (position === arg ? value : term)) };
  });
  return { ...clause, atoms };
}
