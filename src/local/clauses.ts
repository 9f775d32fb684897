/**
 * Local clauses: flat clauses whose central part is known. Each atom of a flat clause is either a row of a binding, or
 * recursion that reads rows, or central: a stored fact, a context fact, or recursion over these. The engine reads the
 * central atoms, and their values become part of the clause. A central part without answers makes the clause false.
 */
import type { FactType } from "../datalog/analysis/fact-types.ts";
import {
  type FlatArgument,
  type FlatAtom,
  type FlatClause,
  type FlatCondition,
  type FlatTerm,
  mapClauseTerms,
  type RecursiveAtom,
} from "../datalog/ir/flat.ts";
import { conditionTerms } from "../datalog/ir/program.ts";
import type { TypeName } from "../datalog/ir/signature.ts";
import { must } from "../util/assert.ts";
import type { Binding } from "./bindings.ts";
import { bindingsFor, type LocalNodes, mayBeContext } from "./local-facts.ts";
import { about, NotExpressible, type Origins } from "./not-expressible.ts";

/** A conjunction of central atoms, and the conditions on its values. No term is `fresh`. */
export interface CentralPart {
  readonly atoms: readonly FlatAtom[];
  readonly conditions: readonly FlatCondition[];
  /** The variables whose values are asked for. */
  readonly outputs: readonly LocalVariable[];
}

/** A variable of a clause, or a value that only the database knows (`param`). */
export type LocalVariable = Extract<FlatTerm, { kind: "var" | "param" }>;

/** Reads central facts, all of one state. */
export interface CentralReader {
  /**
   * The distinct values of the outputs, in their order; null for every value of its type. Without outputs, one empty row
   * or none. Throws an AppError if there are too many, and NotExpressible if they can't be listed.
   */
  rows(part: CentralPart): readonly (readonly (string | null)[])[];
}

export interface LocalRow {
  readonly binding: Binding;
  readonly args: readonly FlatArgument[];
}

/** Values that variables have together. */
export interface CentralValues {
  readonly variables: readonly LocalVariable[];
  readonly rows: readonly (readonly string[])[];
}

export interface LocalClause {
  readonly head: readonly FlatTerm[];
  readonly rows: readonly LocalRow[];
  readonly values: readonly CentralValues[];
  /** Nodes that read rows. */
  readonly recursive: readonly RecursiveAtom[];
  readonly conditions: readonly FlatCondition[];
  /** No clause of any element is true. */
  readonly negations: readonly (readonly LocalClause[])[];
  readonly origins: Origins | undefined;
}

export interface SplitOptions {
  readonly bindings: readonly Binding[];
  /** The types of the request's context facts. */
  readonly context: readonly FactType[];
  readonly nodes: LocalNodes;
  readonly central: CentralReader;
  /** The values of the lists of ids, by the names of these. */
  readonly ids: ReadonlyMap<string, readonly string[]>;
  /** Throws if more clauses than this one do not fit. */
  readonly spend: () => void;
}

/** The clauses that together are equivalent to the flat clause. `outer` are the variables of the enclosing clauses. */
export function splitClause(
  clause: FlatClause,
  options: SplitOptions,
  outer: ReadonlySet<string> = new Set(),
): LocalClause[] {
  return about(clause.origins, () =>
    choices(clause, options).flatMap((choice) => {
      options.spend();
      return withCentralValues(choice, options, outer);
    }),
  );
}

/** A clause whose context atoms are decided: each is a row of one binding, or a context fact of the request. */
interface Choice {
  readonly clause: FlatClause;
  readonly rows: readonly LocalRow[];
}

function choices(clause: FlatClause, { bindings, context, spend }: SplitOptions): Choice[] {
  let found: Choice[] = [{ clause: { ...clause, atoms: [] }, rows: [] }];
  for (const atom of clause.atoms) {
    const isContext = atom.kind === "context";
    const isCentral = !isContext || mayBeContext(context, atom.predicate, atom.args);
    const bound = isContext ? bindingsFor(bindings, atom.predicate, atom.args) : [];
    found = found.flatMap((choice) => {
      spend();
      const { clause: partial, rows } = choice;
      const central = isCentral ? [{ clause: { ...partial, atoms: [...partial.atoms, atom] }, rows }] : [];
      const local = bound.map((binding) => ({ clause: partial, rows: [...rows, { binding, args: atom.args }] }));
      return [...central, ...local];
    });
  }
  return found.map(withTypesOfRows);
}

/** The rows of a binding have types, so a variable of any type gets that of the row. */
function withTypesOfRows({ clause, rows }: Choice): Choice {
  const types = new Map<number, TypeName>();
  for (const { binding, args } of rows) {
    args.forEach((arg, position) => {
      if (arg.kind === "var" && arg.type === undefined) types.set(arg.id, binding.types[position]);
    });
  }
  if (types.size === 0) return { clause, rows };
  const typed = (term: FlatTerm): FlatTerm =>
    term.kind === "var" && types.has(term.id) ? { ...term, type: term.type ?? types.get(term.id) } : term;
  return {
    clause: mapClauseTerms(clause, typed),
    rows: rows.map((row) => ({ ...row, args: row.args.map((arg) => (arg.kind === "oneOf" ? arg : typed(arg))) })),
  };
}

function withCentralValues({ clause, rows }: Choice, options: SplitOptions, outer: ReadonlySet<string>): LocalClause[] {
  const isLocal = (atom: FlatAtom): atom is RecursiveAtom => atom.kind === "recursive" && options.nodes.has(atom.node);
  const recursive = clause.atoms.filter(isLocal);
  const central = clause.atoms.filter((atom) => !isLocal(atom) && atom.kind !== "ids");
  const given = clause.atoms.flatMap((atom) => (atom.kind === "ids" ? [givenValues(atom, options)] : []));
  if (given.includes(undefined)) return [];
  const listed = given.filter((values) => values !== undefined);
  const parts = partsOf(central, clause.conditions);
  const inParts = new Set(parts.flatMap(({ conditions }) => conditions));
  const conditions = clause.conditions.filter((condition) => !inParts.has(condition));
  const elsewhere = new Set([
    ...outer,
    ...keysOf(clause.head),
    ...listed.flatMap(({ variables }) => keysOf(variables)),
    ...rows.flatMap(({ args }) => keysOf(args)),
    ...recursive.flatMap(({ args }) => keysOf(args)),
    ...conditions.flatMap((condition) => keysOf(conditionTerms(condition))),
    ...clause.negations.flatMap((bodies) => bodies.flatMap((body) => [...keysOfClause(body)])),
  ]);
  let alternatives: (readonly CentralValues[])[] = [listed];
  for (const part of parts) {
    const variants = variantsOf(part, elsewhere, options);
    if (variants.length === 0) return [];
    alternatives = alternatives.flatMap((values) => variants.map((variant) => [...values, variant]));
  }
  const known = new Set([...outer, ...keysOf([...rows, ...recursive].flatMap(({ args }) => args))]);
  return alternatives.map((values) => {
    const bound = known.union(new Set(values.flatMap(({ variables }) => keysOf(variables))));
    refuseOpenVariables(clause, conditions, bound);
    const negations = clause.negations.map((bodies) => bodies.flatMap((body) => splitClause(body, options, bound)));
    return { head: clause.head, rows, values, recursive, conditions, negations, origins: clause.origins };
  });
}

/** Central answers and the head may leave open a variable that a condition or a negation needs. */
function refuseOpenVariables(
  clause: FlatClause,
  conditions: readonly FlatCondition[],
  bound: ReadonlySet<string>,
): void {
  const needed = new Set([
    ...conditions.flatMap((condition) => keysOf(conditionTerms(condition))),
    ...clause.negations.flatMap((bodies) => bodies.flatMap((body) => [...keysOfClause(body)])),
  ]);
  const own = [...clause.head, ...clause.atoms.flatMap(({ args }) => args)].flatMap((term) => keysOf([term]));
  if (own.some((key) => needed.has(key) && !bound.has(key)))
    throw new NotExpressible("a `not` or a comparison needs a value that the rules leave open");
}

/** The ids that the question names for a variable; undefined if the term is a constant that is not among them. */
function givenValues(
  { param, args: [term] }: Extract<FlatAtom, { kind: "ids" }>,
  { ids }: SplitOptions,
): CentralValues | undefined {
  const values = must(ids.get(param));
  switch (term?.kind) {
    case "var":
    case "param":
      return values.length === 0 ? undefined : { variables: [term], rows: values.map((id) => [id]) };
    case "const":
      return values.includes(term.value.id) ? { variables: [], rows: [[]] } : undefined;
    default:
      throw new NotExpressible("a list of ids for the clock");
  }
}

/** Groups atoms that share variables. A group also has the conditions on its variables only. */
function partsOf(atoms: readonly FlatAtom[], conditions: readonly FlatCondition[]): Omit<CentralPart, "outputs">[] {
  let groups: { readonly atoms: readonly FlatAtom[]; readonly keys: ReadonlySet<string> }[] = [];
  for (const atom of atoms) {
    const keys = new Set(keysOf(atom.args));
    const joined = groups.filter((group) => !group.keys.isDisjointFrom(keys));
    groups = [
      ...groups.filter((group) => group.keys.isDisjointFrom(keys)),
      {
        atoms: [...joined.flatMap((group) => group.atoms), atom],
        keys: joined.reduce((all, group) => all.union(group.keys), keys),
      },
    ];
  }
  return groups.map(({ atoms: grouped, keys }) => ({
    atoms: grouped,
    conditions: conditions.filter((condition) => {
      const terms = conditionTerms(condition);
      const own = keysOf(terms);
      return own.length > 0 && own.every((key) => keys.has(key)) && terms.every(({ kind }) => kind !== "fresh");
    }),
  }));
}

/** The values of the part, one element for each pattern of wildcards; none if the part has no answer. */
function variantsOf(
  part: Omit<CentralPart, "outputs">,
  elsewhere: ReadonlySet<string>,
  { central }: SplitOptions,
): CentralValues[] {
  // No fact has a fresh value.
  if (part.atoms.some(({ args }) => args.some(({ kind }) => kind === "fresh"))) {
    if (part.atoms.some(({ kind }) => kind === "recursive"))
      throw new NotExpressible("recursion over a value that no fact has");
    return [];
  }
  const variables = new Map<string, LocalVariable>();
  for (const { args } of part.atoms) {
    for (const arg of args) if (arg.kind === "var" || arg.kind === "param") variables.set(keyOf(arg), arg);
  }
  const outputs = [...variables].flatMap(([key, variable]) =>
    elsewhere.has(key) || variable.kind === "param" ? [variable] : [],
  );
  const rows = central.rows({ ...part, outputs });
  const byPattern = Map.groupBy(rows, (row) => row.map((id) => (id === null ? "*" : ".")).join(""));
  return [...byPattern].map(([pattern, group]) => {
    const positions = outputs.flatMap((_, position) => (pattern[position] === "*" ? [] : [position]));
    return {
      variables: positions.map((position) => must(outputs[position])),
      rows: group.map((row) => positions.map((position) => must(row[position]))),
    };
  });
}

/** The name of a variable in scopes. */
export function keyOf(variable: LocalVariable): string {
  return variable.kind === "var" ? `v${variable.id}` : `@${variable.name}`;
}

function keysOf(args: readonly { readonly kind: string }[]): string[] {
  return (args as readonly FlatTerm[]).flatMap((arg) =>
    arg.kind === "var" || arg.kind === "param" ? [keyOf(arg)] : [],
  );
}

function keysOfClause({ head, atoms, conditions, negations }: FlatClause): Set<string> {
  return new Set([
    ...keysOf(head),
    ...atoms.flatMap(({ args }) => keysOf(args)),
    ...conditions.flatMap((condition) => keysOf(conditionTerms(condition))),
    ...negations.flatMap((bodies) => bodies.flatMap((body) => [...keysOfClause(body)])),
  ]);
}
