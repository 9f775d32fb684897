/**
 * From flat clauses to SQL sources: each recursive atom becomes the answers of a pair of common table expressions that
 * `recursion.ts` makes, seeded with the values that the rest of the clause knows (magic sets). A node may answer with
 * wildcards in some columns; each such variant gives a clause of its own, in which those arguments are unbound, so that
 * no join ever has to look for NULL.
 */
import {
  clauseVariables,
  conditionTerms,
  type FlatAtom,
  type FlatClause,
  type FlatCondition,
  type FlatTerm,
  NotEnumerable,
  NotPlannable,
  type RecursiveAtom,
} from "../ir/flat.ts";
import type { Relation, Select } from "../ir/select.ts";
import type { PredicateNode } from "../ir/specialised.ts";
import { bindSource, connected, isKnown, joinOrder, termKey } from "./join-order.ts";

/**
 * What a recursive atom can be replaced by: a source, and the positions of the arguments that it leaves open as
 * wildcards.
 */
export interface AnswerVariant {
  readonly relation: Relation;
  readonly wild: readonly number[];
}

/** Where the demanded values of a recursive node come from. */
export interface Seed {
  readonly relations: readonly Relation[];
  readonly conditions: readonly FlatCondition[];
  /** One for each argument that is known, in order. */
  readonly args: readonly FlatTerm[];
}

/** Plans recursive nodes for arguments that are known (`b`) or free (`f`). */
export interface RecursionPlanner {
  /** How far the walk would fan out; lower is better. */
  cost(node: PredicateNode, mode: string): number;
  /** The variants of the node's answers, for these arguments. */
  answers(node: PredicateNode, mode: string, seed: Seed, args: readonly FlatTerm[]): readonly AnswerVariant[];
  /**
   * A source that has a row where any seed leads to an answer, if that can be told from the walk alone; all arguments
   * are known.
   */
  hits(node: PredicateNode, mode: string, seed: Seed): Relation | undefined;
}

interface Partial {
  readonly clause: FlatClause;
  readonly relations: readonly Relation[];
}

/**
 * The clause as SQL sources, one `Select` a variant. `outer` are the sources around it, from which seeds may draw;
 * `later` are sources that the caller adds afterwards: they bind variables, but no seed may draw from them.
 */
export function resolveClause(
  clause: FlatClause,
  planner: RecursionPlanner,
  outer: readonly Relation[],
  later: readonly Relation[] = [],
): Select[] {
  const start: Partial = { clause, relations: clause.atoms.flatMap(plainRelation) };
  let partials: Partial[] = [start];
  const pending = clause.atoms.filter((atom) => atom.kind === "recursive");
  while (pending.length > 0) {
    const atom = pending.splice(mostKnown(pending, partials[0]?.relations ?? [], outer), 1)[0];
    if (!atom) break;
    partials = partials.flatMap((partial) => resolveAtom(partial, atom, planner, outer));
  }
  return partials.map((partial) => {
    const { clause: flat } = partial;
    refuseLostVariables(flat, [...outer, ...later, ...partial.relations]);
    return {
      head: flat.head,
      relations: partial.relations,
      conditions: flat.conditions,
      negations: flat.negations.map((bodies) =>
        bodies.flatMap((body) => resolveClause(body, planner, [...outer, ...partial.relations], later)),
      ),
    };
  });
}

function resolveAtom(
  partial: Partial,
  atom: RecursiveAtom,
  planner: RecursionPlanner,
  outer: readonly Relation[],
): Partial[] {
  const { clause, relations } = partial;
  const { seed, mode } = bestSeed(atom, partial, planner, outer);
  if (!mode.includes("f") && isApart(clause, relations, atom, seed)) {
    const hits = planner.hits(atom.node, mode, seed);
    if (hits) {
      const conditions = clause.conditions.filter((condition) => !seed.conditions.includes(condition));
      const atoms = clause.atoms.filter((other) => other !== atom);
      return [
        {
          clause: { ...clause, conditions, atoms },
          relations: [...relations.filter((relation) => !seed.relations.includes(relation)), hits],
        },
      ];
    }
  }
  return planner
    .answers(atom.node, mode, seed, atom.args)
    .map((variant) => ({ ...partial, relations: [...relations, variant.relation] }));
}

/** All that the sources before it can tell, or only what the request says: whichever walk fans out less. */
function bestSeed(
  atom: RecursiveAtom,
  { clause, relations }: Partial,
  planner: RecursionPlanner,
  outer: readonly Relation[],
): { seed: Seed; mode: string } {
  const full = seedFor(atom, relations, clause.conditions, outer);
  const given = atom.args.filter((arg) => isKnown(arg, new Set()));
  if (given.length === 0 || full.seed.relations.length === 0) return full;
  const mode = atom.args.map((arg) => (isKnown(arg, new Set()) ? "b" : "f")).join("");
  if (planner.cost(atom.node, full.mode) <= planner.cost(atom.node, mode)) return full;
  return { mode, seed: { relations: [], conditions: [], args: given } };
}

/**
 * True where a yes or no is asked and nothing but the seed has to do with the atom's values: then any seed's answer
 * will do.
 */
function isApart(clause: FlatClause, relations: readonly Relation[], atom: RecursiveAtom, seed: Seed): boolean {
  if (clause.head.length > 0 || seed.relations.some((relation) => !relations.includes(relation))) return false;
  const inside = new Set<string>();
  for (const source of [...seed.relations, { args: atom.args, computed: true }]) bindSource(source, inside);
  const others = relations.filter((relation) => !seed.relations.includes(relation));
  const recursive = clause.atoms.filter((other) => other.kind === "recursive" && other !== atom);
  const rest: FlatClause = {
    head: [],
    atoms: recursive,
    conditions: clause.conditions.filter((condition) => !seed.conditions.includes(condition)),
    negations: clause.negations,
  };
  const outside = [...clauseVariables(rest)].map((id) => `v${id}`);
  for (const { args } of others) for (const arg of args) if (arg.kind === "var") outside.push(`v${arg.id}`);
  return !outside.some((key) => inside.has(key));
}

/** Which arguments of the atom the sources before it can tell, and from where. */
export function seedFor(
  atom: RecursiveAtom,
  relations: readonly Relation[],
  conditions: readonly FlatCondition[],
  outer: readonly Relation[],
): { seed: Seed; mode: string } {
  const bound = new Set<string>();
  for (const relation of joinOrder(outer, new Set())) bindSource(relation, bound);
  const { joined } = connected(relations, bound);
  const mode = atom.args.map((arg) => (isKnown(arg, bound) ? "b" : "f")).join("");
  const args = atom.args.filter((arg) => isKnown(arg, bound));
  const fromRequest = args.every((arg) => isKnown(arg, new Set()));
  if (fromRequest) return { mode, seed: { relations: [], conditions: [], args } };
  const usable = conditions.filter((condition) => conditionTerms(condition).every((term) => isKnown(term, bound)));
  return { mode, seed: { relations: [...outer, ...joined], conditions: usable, args } };
}

function mostKnown(
  atoms: readonly RecursiveAtom[],
  relations: readonly Relation[],
  outer: readonly Relation[],
): number {
  let best = 0;
  let most = -1;
  atoms.forEach((atom, index) => {
    const known = seedFor(atom, relations, [], outer).seed.args.length;
    if (known > most) [best, most] = [index, known];
  });
  return best;
}

/** The source of an atom that is not recursive. */
export function plainRelation(atom: FlatAtom): Relation[] {
  switch (atom.kind) {
    case "recursive":
      return [];
    case "ids":
      return [{ table: { kind: "ids", param: atom.param }, args: atom.args, computed: false }];
    default:
      return [{ table: { kind: atom.kind, predicate: atom.predicate }, args: atom.args, computed: false }];
  }
}

/**
 * Conditions and negations need the values of their variables: where an answer leaves one open, only the evaluator can
 * try which would do.
 */
export function refuseLostVariables(clause: FlatClause, sources: readonly Relation[]): void {
  const bound = new Set<string>();
  for (const source of sources) bindSource(source, bound);
  const recursive = clause.atoms.flatMap((atom) => (atom.kind === "recursive" ? atom.args : []));
  const lost = new Set(
    recursive.flatMap((term) => (term.kind === "var" && !bound.has(termKey(term) ?? "") ? [term.id] : [])),
  );
  const needed = clauseVariables({ ...clause, head: [], atoms: [] });
  if ([...needed].some((id) => lost.has(id)))
    throw new NotPlannable("a condition on a value that a recursive call leaves open");
}

/** "Any value, but twice the same" has no form as an answer: two wildcards would say that any two values will do. */
export function refuseRepeatedWildcard(head: readonly FlatTerm[], sources: readonly Relation[]): void {
  const bound = new Set<string>();
  for (const source of sources) bindSource(source, bound);
  const seen = new Set<number>();
  for (const term of head) {
    if (term.kind !== "var" || bound.has(termKey(term) ?? "")) continue;
    if (seen.has(term.id)) throw new NotEnumerable();
    seen.add(term.id);
  }
}
