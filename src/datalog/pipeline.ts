/**
 * The compiler pipeline from a checked policy to SQL: all passes in order. Every caller runs them through the functions
 * below. A trace, if there is one, receives the program after each pass: `ostiary plan --passes` prints it.
 *
 * The passes from "order joins" to "build decision tree" are for a yes or no. For a list, the emitter orders the joins
 * of each clause itself, and only answers that are constants of rules get a decision tree.
 */
import type { Policy } from "../polar/policy.ts";
import { type FactType, type FactTypeLimits, inferFactTypes } from "./analysis/fact-types.ts";
import { findOpenComparisons, type OpenComparison } from "./analysis/open-comparison.ts";
import { findNegativeCycles, type NegativeCycle } from "./analysis/rule-graph.ts";
import { inferSignatures } from "./analysis/typings.ts";
import { type FlatClause, NotPlannable } from "./ir/flat.ts";
import type { DatalogProgram } from "./ir/program.ts";
import type { Select, SqlCatalogue } from "./ir/select.ts";
import type { Signatures } from "./ir/signature.ts";
import type { SpecialisedBody } from "./ir/specialised.ts";
import { createUniverse, type Universe } from "./ir/universe.ts";
import type { PassTrace } from "./print/pass-trace.ts";
import { expandConstantLists } from "./rewrite/constant-lists.ts";
import { normalise, type SizeLimits } from "./rewrite/normalise.ts";
import { mergeReflexiveClosures } from "./rewrite/reflexive-closures.ts";
import { simplify } from "./rewrite/simplify.ts";
import { unfoldBody } from "./rewrite/unfold.ts";
import { useClosures } from "./specialise/closures.ts";
import {
  collapseCopies,
  type Goal,
  markRecursion,
  removeUnproductive,
  specialiseGoals,
  type SpecialiseOptions,
} from "./specialise/specialise.ts";
import { decisionTree, orderWithSharedPrefixes } from "./sql/decision-tree.ts";
import { emitDecision } from "./sql/decision.ts";
import type { SqlContext } from "./sql/emit.ts";
import { type PlannedStatement, StatementBuilder, type StatementGoal, type StatementLimits } from "./sql/statement.ts";

/** Each pass with the reason for it. */
export const passes = {
  normalise: "turns each rule into conjunctions, because a join has no `or`",
  "infer fact types": "finds the facts that may be stored, because a node refuses all others",
  "infer signatures": "finds the types that each predicate can hold, because other types need no code",
  specialise:
    "makes one node for each predicate with fixed types and constants, because these select tables and indexes",
  "remove unproductive": "drops clauses that nothing can answer, because each would be a join without rows",
  "collapse copies":
    "gives a node the clauses of the nodes that it only copies, because a role hierarchy needs no join",
  "mark recursion": "finds nodes that reach themselves, because these can't be unfolded",
  "use closures": "replaces recursion over stored facts by a stored closure, because one lookup is cheaper than a walk",
  unfold: "replaces calls by the clauses of their nodes, because SQL joins tables and not rules",
  simplify: "merges clauses that differ in one constant and drops contained ones, because each clause costs a lookup",
  "resolve recursion": "turns recursive atoms into common table expressions, restricted to demanded calls (magic sets)",
  "order joins":
    "puts the source with the fewest rows first, and equal sources of several clauses, because these can be shared",
  "merge reflexive closures":
    "joins a clause about a value and one about its closure, because one scan can answer both",
  "expand constant lists":
    "makes one lookup of each constant or one scan of all, because SQLite builds a table for an `IN`",
  "build decision tree": "shares equal sources and tests between clauses, because then each is looked up once",
  "emit SQL": "writes the statement that SQLite runs",
} as const;

export type PassName = keyof typeof passes;

/** What all questions about one policy share. */
export interface CompiledProgram {
  readonly universe: Universe;
  readonly program: DatalogProgram;
  readonly factTypes: readonly FactType[];
  /** What each predicate can hold without context facts. */
  readonly signatures: Signatures;
}

export type ProgramLimits = SizeLimits & FactTypeLimits;

/** Throws `TooLarge`. */
export function compileProgram(policy: Policy, limits: ProgramLimits, trace?: PassTrace<PassName>): CompiledProgram {
  const universe = createUniverse(policy);
  const program = normalise(policy, universe, limits);
  trace?.program("normalise", program);
  const factTypes = inferFactTypes(policy, program, universe, limits);
  trace?.types("infer fact types", factTypes);
  const signatures = inferSignatures(program, factTypes, limits.typingsMax);
  trace?.types(
    "infer signatures",
    [...signatures].flatMap(([predicate, list]) => list.all().map((types) => ({ predicate, types }))),
  );
  return { universe, program, factTypes, signatures };
}

/** The pass "infer signatures" for a request with context facts of these types. */
export function contextSignatures(
  { program, factTypes }: Pick<CompiledProgram, "program" | "factTypes">,
  context: readonly FactType[],
  typingsMax: number,
): Signatures {
  return inferSignatures(program, [...factTypes, ...context], typingsMax);
}

/** Analyses that find rules without a meaning. They change nothing, so an accepted policy does not need them. */
export function checkProgram(program: DatalogProgram): {
  readonly negativeCycles: readonly NegativeCycle[];
  readonly openComparisons: readonly OpenComparison[];
} {
  return { negativeCycles: findNegativeCycles(program), openComparisons: findOpenComparisons(program) };
}

/** The goal as a body over nodes, or `undefined` if nothing can answer it. Throws `TooManyNodes` and `TooLarge`. */
export function specialise(
  goal: Goal,
  options: SpecialiseOptions,
  trace?: PassTrace<PassName>,
): SpecialisedBody | undefined {
  const [body] = specialiseAll([goal], options, trace);
  return body;
}

/** Offers `options.closures` each closure that one of the goals could read. */
export function findClosures(goals: readonly Goal[], options: SpecialiseOptions): void {
  specialiseAll(goals, options);
}

function specialiseAll(
  goals: readonly Goal[],
  options: SpecialiseOptions,
  trace?: PassTrace<PassName>,
): readonly (SpecialisedBody | undefined)[] {
  const graph = specialiseGoals(goals, options);
  trace?.nodes("specialise", graph.goals);
  const bodies = removeUnproductive(graph);
  const print = (pass: PassName): void => trace?.nodes(pass, bodies);
  print("remove unproductive");
  collapseCopies(graph.nodes);
  print("collapse copies");
  markRecursion(graph.nodes);
  print("mark recursion");
  if (options.closures && useClosures(graph.nodes, options.closures)) markRecursion(graph.nodes);
  print("use closures");
  return bodies;
}

/** Throws `NotPlannable` if no single statement fits. */
export function planStatement(
  goal: StatementGoal,
  catalogue: SqlCatalogue,
  limits: StatementLimits,
  trace?: PassTrace<PassName>,
): PlannedStatement {
  const builder = new StatementBuilder(catalogue, limits, goal.firstVariable, decide);
  const clauses = flatten(goal, builder, trace);
  if (clauses.length > limits.clausesMax) throw new NotPlannable("too many clauses");
  const selects = builder.resolve(clauses);
  trace?.selects("resolve recursion", selects, builder.definitions);
  const body =
    goal.head.length === 0
      ? `SELECT CASE WHEN ${decide(selects, builder.context, trace)} THEN 1 ELSE 0 END`
      : builder.rows(selects, goal.head.length);
  const statement = builder.statement(goal, selects, body);
  trace?.sql("emit SQL", statement.sql);
  return statement;
}

function flatten(goal: StatementGoal, builder: StatementBuilder, trace?: PassTrace<PassName>): FlatClause[] {
  const unfolded = unfoldBody(goal.body, goal.terms, goal.head, goal.ids, builder.unfoldOptions());
  trace?.clauses("unfold", unfolded);
  const clauses = simplify(unfolded);
  trace?.clauses("simplify", clauses);
  return clauses;
}

/** Clauses as one SQL expression, 1 or 0: a whole yes or no, or the condition of an answer that a rule contains. */
function decide(selects: readonly Select[], context: SqlContext, trace?: PassTrace<PassName>): string {
  if (selects.length === 0) return "0";
  const { catalogue, units } = context;
  const ordered = orderWithSharedPrefixes(selects, catalogue);
  trace?.selects("order joins", ordered);
  const merged = mergeReflexiveClosures(ordered, catalogue);
  trace?.selects("merge reflexive closures", merged);
  const expanded = merged.flatMap((select) => expandConstantLists(select, catalogue));
  trace?.selects("expand constant lists", expanded);
  const tree = decisionTree(expanded, units);
  trace?.tree("build decision tree", tree);
  return emitDecision(tree, context);
}
