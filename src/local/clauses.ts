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
import { conditionTerms, type Constant, mapCondition } from "../datalog/ir/program.ts";
import type { TypeName } from "../datalog/ir/signature.ts";
import type { PredicateNode } from "../datalog/ir/specialised.ts";
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

export type ContextAtom = Extract<FlatAtom, { kind: "fact" | "context" }>;

/** Reads central facts, all of one state. */
export interface CentralReader {
  /**
   * The distinct values of the outputs, in their order; null for every value of its type. Without outputs, one empty row
   * or none. Throws an AppError if there are too many, and NotExpressible if they can't be listed.
   */
  rows(part: CentralPart): readonly (readonly (Constant | null)[])[];
  /** The facts that answer the atom; undefined if there are more than `max`. */
  facts(atom: ContextAtom, max: number): readonly (readonly Constant[])[] | undefined;
}

/** A source with the facts of a call: rows of bindings, and central facts. */
export interface LocalRow {
  readonly args: readonly FlatArgument[];
  readonly bindings: readonly Binding[];
  /** The ids of central facts, which have the same types as the bindings. */
  readonly facts: readonly (readonly string[])[];
  readonly types: readonly string[];
}

/** Values that variables have together. */
export interface CentralValues {
  readonly variables: readonly LocalVariable[];
  readonly rows: readonly (readonly string[])[];
}

/** Where the answers of a recursive node are: a common table expression with the columns `tag` and `c0 …`. */
export interface RecursiveSource {
  readonly table: string;
  readonly tag: number;
  /** The positions that have no column, because every value is an answer. */
  readonly wild: ReadonlySet<number>;
}

export interface LocalRecursion {
  readonly atom: RecursiveAtom;
  readonly source: RecursiveSource;
}

export interface LocalClause {
  readonly head: readonly FlatTerm[];
  readonly rows: readonly LocalRow[];
  readonly values: readonly CentralValues[];
  /** Nodes that read rows. */
  readonly recursive: readonly LocalRecursion[];
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
  /** Where the answers of a node are that reads rows: one source for each pattern of wildcards, none without answers. */
  readonly recursion: (node: PredicateNode) => readonly RecursiveSource[];
  /** The values of the lists of ids, by the names of these. */
  readonly ids: ReadonlyMap<string, readonly string[]>;
  /** Throws if more clauses than this one do not fit. */
  readonly spend: () => void;
}

/** The clauses of the database that surround a clause. */
interface Surroundings {
  /** The variables of the enclosing clauses. */
  readonly outer: ReadonlySet<string>;
  /** The call of the recursion that is being defined. */
  readonly inner: LocalRecursion | undefined;
}

/** The clauses that together are equivalent to the flat clause. `inner` is its call of the recursion it belongs to. */
export function splitClause(
  clause: FlatClause,
  options: SplitOptions,
  outer: ReadonlySet<string> = new Set(),
  inner?: LocalRecursion,
): LocalClause[] {
  return about(clause.origins, () =>
    choices(clause, options).flatMap((choice) => {
      options.spend();
      return withCentralValues(choice, options, { outer, inner });
    }),
  );
}

/** A clause whose context atoms are decided: each is central, or a source with rows. */
interface Choice {
  readonly clause: FlatClause;
  readonly rows: readonly LocalRow[];
}

/** What can answer an atom: a central atom, or rows. */
type Alternative = { readonly atom: FlatAtom } | { readonly row: LocalRow };

interface DecidedAtom {
  /** One for each binding. */
  readonly apart: readonly Alternative[];
  /** One for each list of types. */
  readonly together: () => readonly Alternative[];
}

/**
 * Apart, alternatives use indexes and join central facts before they become values. But each of them multiplies the
 * clauses, so that beyond this number those of an atom become one source.
 */
const choicesMax = 4;
const togetherFactsMax = 1000;

function choices(clause: FlatClause, options: SplitOptions): Choice[] {
  const decided = clause.atoms.map((atom) => decide(atom, options));
  let count = decided.reduce((product, { apart }) => product * apart.length, 1);
  const alternatives = decided.map(({ apart }) => apart);
  const byLength = [...decided.keys()].toSorted(
    (a, b) => must(decided[b]).apart.length - must(decided[a]).apart.length,
  );
  for (const index of byLength) {
    if (count <= choicesMax) break;
    const { apart, together } = must(decided[index]);
    if (apart.length < 2) break;
    const joined = together();
    alternatives[index] = joined;
    count = (count / apart.length) * joined.length;
  }
  let found: Choice[] = [{ clause: { ...clause, atoms: [] }, rows: [] }];
  for (const some of alternatives) {
    found = found.flatMap(({ clause: partial, rows }) =>
      some.map((alternative): Choice => {
        options.spend();
        if ("row" in alternative) return { clause: partial, rows: [...rows, alternative.row] };
        return { clause: { ...partial, atoms: [...partial.atoms, alternative.atom] }, rows };
      }),
    );
  }
  return found.map(withTypesOfRows);
}

function decide(atom: FlatAtom, { bindings, context, central }: SplitOptions): DecidedAtom {
  const only = (alternatives: readonly Alternative[]): DecidedAtom => ({
    apart: alternatives,
    together: () => alternatives,
  });
  if (atom.kind !== "context") return only([{ atom }]);
  const isContext = mayBeContext(context, atom.predicate, atom.args);
  const isStored = atom.orFact === true;
  const kept: ContextAtom | undefined = isContext
    ? atom
    : isStored
      ? { ...atom, kind: "fact", orFact: false }
      : undefined;
  const bound = bindingsFor(bindings, atom.predicate, atom.args);
  if (bound.length === 0) return only(kept ? [{ atom: kept }] : []);
  const facts = kept ? central.facts(kept, togetherFactsMax) : [];
  const rowOf = (some: readonly Binding[], known: readonly (readonly Constant[])[]): Alternative => ({
    row: {
      args: atom.args,
      bindings: some,
      facts: known.map((fact) => fact.map(({ id }) => id)),
      types: some[0]?.types ?? must(known[0]).map(({ type }) => type),
    },
  });
  const asAtom = kept && facts?.length !== 0 ? [{ atom: kept }] : [];
  return {
    apart: [...asAtom, ...bound.map((binding) => rowOf([binding], []))],
    together() {
      const typesOf = (types: readonly string[]): string => JSON.stringify(types);
      const byTypes = Map.groupBy(bound, ({ types }) => typesOf(types));
      const factsByTypes = Map.groupBy(facts ?? [], (fact) => typesOf(fact.map(({ type }) => type)));
      const keys = new Set([...byTypes.keys(), ...factsByTypes.keys()]);
      const rows = [...keys].map((key) => rowOf(byTypes.get(key) ?? [], factsByTypes.get(key) ?? []));
      return facts === undefined ? [...asAtom, ...rows] : rows;
    },
  };
}

/** The rows have types, so a variable of any type gets that of the row. */
function withTypesOfRows({ clause, rows }: Choice): Choice {
  const types = new Map<number, TypeName>();
  for (const { types: own, args } of rows) {
    args.forEach((arg, position) => {
      if (arg.kind === "var" && arg.type === undefined) types.set(arg.id, own[position]);
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

function withCentralValues({ clause, rows }: Choice, options: SplitOptions, around: Surroundings): LocalClause[] {
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
    ...around.outer,
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
  return alternatives.flatMap((values) =>
    recursions(recursive, options, around.inner).map((sources) =>
      decided({ ...clause, conditions }, { rows, values, sources }, options, around.outer),
    ),
  );
}

/** The combinations of the sources of the atoms. */
function recursions(
  atoms: readonly RecursiveAtom[],
  options: SplitOptions,
  inner: LocalRecursion | undefined,
): (readonly LocalRecursion[])[] {
  let found: (readonly LocalRecursion[])[] = [[]];
  for (const atom of atoms) {
    const isInner = inner?.atom === atom || (inner !== undefined && inner.atom.node.component === atom.node.component);
    const sources = isInner ? [inner.source] : options.recursion(atom.node);
    found = found.flatMap((some) => sources.map((source) => [...some, { atom, source }]));
  }
  return found;
}

interface Sources {
  readonly rows: readonly LocalRow[];
  readonly values: readonly CentralValues[];
  readonly sources: readonly LocalRecursion[];
}

/** The clause over these sources. Nothing may be left of its atoms. */
function decided(
  clause: FlatClause,
  { rows, values, sources }: Sources,
  options: SplitOptions,
  outer: ReadonlySet<string>,
): LocalClause {
  const bound = new Set([
    ...outer,
    ...keysOf(rows.flatMap(({ args }) => args)),
    ...keysOf(values.flatMap(({ variables }) => variables)),
    ...keysOf(sources.flatMap(boundArguments)),
  ]);
  const { conditions, negations } = withWitnesses(clause, bound);
  return {
    ...{ head: clause.head, rows, values, recursive: sources, conditions, origins: clause.origins },
    negations: negations.map((bodies) => bodies.flatMap((body) => splitClause(body, options, bound))),
  };
}

/** The arguments that have a column. */
export function boundArguments({ atom, source }: LocalRecursion): FlatTerm[] {
  return atom.args.filter((_, position) => !source.wild.has(position));
}

/**
 * The conditions and negations without the variables that the answers leave open, because every value of the type is an
 * answer. The best witness is a value that no fact has, unless a negation is inside of the negation: then only some
 * fact's value may be one.
 */
function withWitnesses(clause: FlatClause, bound: ReadonlySet<string>): Pick<FlatClause, "conditions" | "negations"> {
  const own = [...clause.head, ...clause.atoms.flatMap(({ args }) => args)];
  const open = new Set(keysOf(own).filter((key) => !bound.has(key)));
  const { conditions, negations } = clause;
  if (open.size === 0) return { conditions, negations };
  const isOpen = (term: FlatArgument): boolean => keysOf([term]).some((key) => open.has(key));
  const asked = new Set(keysOf(clause.head));
  const witness = (term: FlatTerm): FlatTerm => {
    if (term.kind !== "var" || !isOpen(term)) return term;
    if (term.type === "Boolean" || asked.has(keyOf(term))) throw leftOpen();
    return { kind: "fresh", type: term.type };
  };
  return {
    conditions: conditions.map((condition) => {
      const terms = conditionTerms(condition);
      if (!terms.some(isOpen)) return condition;
      const isOrder = condition.kind === "compare" && condition.operator !== "!=";
      const hasTwo = terms.length > 1 && terms.every((term) => term.kind === "fresh" || isOpen(term));
      if (isOrder || hasTwo || condition.kind === "equal") throw leftOpen();
      return mapCondition(condition, witness);
    }),
    negations: negations.map((bodies) =>
      bodies.map((body) => {
        const mentions = (terms: readonly FlatArgument[]): boolean => terms.some(isOpen);
        const keys = keysOfClause(body);
        if (keys.isDisjointFrom(open)) return body;
        const isNested = body.negations.flat().some((inner) => !keysOfClause(inner).isDisjointFrom(open));
        const excludes = body.conditions.some(
          (condition) =>
            mentions(conditionTerms(condition)) && !(condition.kind === "type" || condition.kind === "equal"),
        );
        const equatesTwo = body.conditions.some((condition) => {
          const terms = conditionTerms(condition);
          return terms.length > 1 && terms.every((term) => term.kind === "fresh" || isOpen(term));
        });
        if (isNested || excludes || equatesTwo) throw leftOpen();
        return mapClauseTerms(body, witness);
      }),
    ),
  };
}

function leftOpen(): NotExpressible {
  return new NotExpressible("a `not` or a comparison needs a value that the rules leave open");
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

/** The values of the part, one element for each pattern of wildcards and types; none if the part has no answer. */
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
  const byPattern = Map.groupBy(rows, (row) =>
    JSON.stringify(row.map((value, index) => value && (outputs[index]?.type === undefined ? value.type : 1))),
  );
  return [...byPattern.values()].map((group) => {
    const first = must(group[0]);
    const positions = outputs.flatMap((_, position) => (first[position] ? [position] : []));
    return {
      variables: positions.map((position) => ({ ...must(outputs[position]), type: must(first[position]).type })),
      rows: group.map((row) => positions.map((position) => must(row[position]).id)),
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
