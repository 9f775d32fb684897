/**
 * Converts flat clauses to selects. Each recursive atom becomes a source with the answers of two common table
 * expressions (`sql/recursion.ts`), which start from the values that the rest of the clause binds (magic sets). Each
 * pattern of wildcards in these answers gives a clause of its own, so that no join has to search for NULL.
 */
import { must } from "../../util/assert.ts";
import {
  atomVariables,
  clauseVariables,
  type FlatAtom,
  type FlatClause,
  type FlatCondition,
  type FlatTerm,
  NotPlannable,
  type RecursiveAtom,
} from "../ir/flat.ts";
import { conditionTerms } from "../ir/program.ts";
import type { Relation, Select } from "../ir/select.ts";
import type { PredicateNode } from "../ir/specialised.ts";
import { bindingName, boundBy, connected, isKnown } from "./join-order.ts";
import { withWitnesses } from "./open-answers.ts";

/** A source that replaces a recursive atom, and the positions of the arguments that are wildcards. */
export interface AnswerVariant {
  readonly relation: Relation;
  readonly wild: readonly number[];
}

/** The sources of the demanded values of a recursive node. */
export interface Seed {
  readonly relations: readonly Relation[];
  readonly conditions: readonly FlatCondition[];
  /** A term for each known argument, in order. */
  readonly args: readonly FlatTerm[];
}

/** Plans recursive nodes. A mode has `b` for each known argument and `f` for each free one. */
export interface RecursionPlanner {
  /** An estimate of how far the recursion fans out; lower is better. */
  cost(node: PredicateNode, mode: string): number;
  /** The variants of the node's answers for these arguments. */
  answers(node: PredicateNode, mode: string, seed: Seed, args: readonly FlatTerm[]): readonly AnswerVariant[];
  /**
   * A source that has a row if any seed leads to an answer. `undefined` if the demanded calls alone do not decide that.
   * All arguments must be known.
   */
  hits(node: PredicateNode, mode: string, seed: Seed): Relation | undefined;
}

/** A clause with some of its recursive atoms resolved. */
interface PartialSelect {
  readonly clause: FlatClause;
  readonly relations: readonly Relation[];
}

/**
 * The clause as selects, one for each combination of variants. Seeds may read the enclosing sources `outer`, but not
 * `later`: these bind variables, and the caller adds them afterwards. The answers of a goal may be open.
 */
export function resolveClause(
  clause: FlatClause,
  planner: RecursionPlanner,
  outer: readonly Relation[],
  later: readonly Relation[] = [],
  mayBeOpen = false,
): Select[] {
  let partials: PartialSelect[] = [{ clause, relations: clause.atoms.flatMap(plainRelation) }];
  const pending = clause.atoms.filter((atom) => atom.kind === "recursive");
  while (pending.length > 0) {
    const joined = partials[0]?.relations ?? [];
    const known = pending.map((atom) => seedFor(atom, joined, [], outer).seed.args.length);
    const atom = must(pending.splice(known.indexOf(Math.max(...known)), 1)[0]);
    partials = partials.flatMap((partial) => resolveAtom(partial, atom, planner, outer));
  }
  return partials.map(({ clause: partial, relations }) => {
    const sources = [...outer, ...later, ...relations];
    const { clause: flat, open } = mayBeOpen ? withWitnesses(partial, sources) : { clause: partial, open: undefined };
    refuseLostVariables(flat, sources);
    const negations = flat.negations.map((bodies) =>
      bodies.flatMap((body) => resolveClause(body, planner, [...outer, ...relations], later)),
    );
    return { head: flat.head, relations, conditions: flat.conditions, negations, ...(open && { open }) };
  });
}

function resolveAtom(
  partial: PartialSelect,
  atom: RecursiveAtom,
  planner: RecursionPlanner,
  outer: readonly Relation[],
): PartialSelect[] {
  const { clause, relations } = partial;
  const { seed, mode } = bestSeed(atom, partial, planner, outer);
  if (!mode.includes("f") && isApart(clause, relations, atom, seed)) {
    const hits = planner.hits(atom.node, mode, seed);
    if (hits) {
      const conditions = clause.conditions.filter((condition) => !seed.conditions.includes(condition));
      const atoms = clause.atoms.filter((other) => other !== atom);
      const others = relations.filter((relation) => !seed.relations.includes(relation));
      return [{ clause: { ...clause, conditions, atoms }, relations: [...others, hits] }];
    }
  }
  return planner
    .answers(atom.node, mode, seed, atom.args)
    .map((variant) => ({ ...partial, relations: [...relations, variant.relation] }));
}

/** The seed from all sources of the clause, or only from the values of the request: the one with the smaller cost. */
function bestSeed(
  atom: RecursiveAtom,
  { clause, relations }: PartialSelect,
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

/** Whether only the seed of a yes or no shares variables with the atom: then any answer for any seed is enough. */
function isApart(clause: FlatClause, relations: readonly Relation[], atom: RecursiveAtom, seed: Seed): boolean {
  if (clause.head.length > 0 || seed.relations.some((relation) => !relations.includes(relation))) return false;
  const inside = boundBy([...seed.relations, { args: atom.args, computed: true }]);
  const others = relations.filter((relation) => !seed.relations.includes(relation));
  const recursive = clause.atoms.filter((other) => other.kind === "recursive" && other !== atom);
  const rest: FlatClause = {
    head: [],
    atoms: recursive,
    conditions: clause.conditions.filter((condition) => !seed.conditions.includes(condition)),
    negations: clause.negations,
  };
  return ![...clauseVariables(rest), ...others.flatMap(atomVariables)].some((id) => inside.has(`v${id}`));
}

/** The seed and mode of the atom, given the sources that bind its arguments. */
export function seedFor(
  atom: RecursiveAtom,
  relations: readonly Relation[],
  conditions: readonly FlatCondition[],
  outer: readonly Relation[],
): { seed: Seed; mode: string } {
  const bound = boundBy(outer);
  const { joined } = connected(relations, bound);
  const mode = atom.args.map((arg) => (isKnown(arg, bound) ? "b" : "f")).join("");
  const args = atom.args.filter((arg) => isKnown(arg, bound));
  const fromRequest = args.every((arg) => isKnown(arg, new Set()));
  if (fromRequest) return { mode, seed: { relations: [], conditions: [], args } };
  const usable = conditions.filter((condition) => conditionTerms(condition).every((term) => isKnown(term, bound)));
  return { mode, seed: { relations: [...outer, ...joined], conditions: usable, args } };
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

/** Conditions and negations need values. If an answer has a wildcard there, only the evaluator can try values. */
export function refuseLostVariables(clause: FlatClause, sources: readonly Relation[]): void {
  const bound = boundBy(sources);
  const recursive = clause.atoms.flatMap((atom) => (atom.kind === "recursive" ? atom.args : []));
  const lost = new Set(
    recursive.flatMap((term) => (term.kind === "var" && !bound.has(bindingName(term) ?? "") ? [term.id] : [])),
  );
  const needed = clauseVariables({ ...clause, head: [], atoms: [] });
  if ([...needed].some((id) => lost.has(id)))
    throw new NotPlannable("a condition on a value that a recursive call leaves open");
}

/** A row can't express "any value, twice the same": two wildcards mean any two values. Only the evaluator links them. */
export function refuseRepeatedWildcard(head: readonly FlatTerm[], sources: readonly Relation[]): void {
  const bound = boundBy(sources);
  const seen = new Set<number>();
  for (const term of head) {
    if (term.kind !== "var" || bound.has(bindingName(term) ?? "")) continue;
    if (seen.has(term.id)) throw new NotPlannable("a recursive call with two equal answers of any value");
    seen.add(term.id);
  }
}
