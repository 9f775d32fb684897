/**
 * The rules for a question, compiled once for all questions of its shape. Values of the question that neither the policy
 * nor its specialisation depends on are placeholders there, and each question puts its own values in their place.
 */
import { LRUCache } from "lru-cache";
import type { FactType } from "../datalog/analysis/fact-types.ts";
import { type FlatAtom, type FlatClause, type FlatTerm, mapClauseTerms, NotPlannable } from "../datalog/ir/flat.ts";
import type { Constant, DatalogProgram } from "../datalog/ir/program.ts";
import { openTypes, type PredicateNode } from "../datalog/ir/specialised.ts";
import type { Signatures } from "../datalog/ir/signature.ts";
import { specialise } from "../datalog/pipeline.ts";
import { simplify } from "../datalog/rewrite/simplify.ts";
import { unfoldBody, unfoldNode, type UnfoldOptions } from "../datalog/rewrite/unfold.ts";
import { must } from "../util/assert.ts";
import type { DataBindings } from "./bindings.ts";
import { isPlaceholder, localFactTypes, LocalNodes, placeholder, placeholderNumber } from "./local-facts.ts";
import { LocalTemplates } from "./templates.ts";

/** Calls over terms: constants, values that only the database knows (`param`), and variables. */
export interface LocalGoal {
  readonly calls: readonly { readonly predicate: string; readonly args: readonly FlatTerm[] }[];
  /** The ids that a term may have, if the question names them. */
  readonly ids: ReadonlyMap<FlatTerm, readonly string[]>;
}

export interface ShapeLimits {
  readonly planClausesMax: number;
  readonly planStepsMax: number;
  readonly planNodesMax: number;
  readonly policyTypingsMax: number;
}

export interface ShapeOptions {
  readonly program: DatalogProgram;
  /** The fact types that answers read. */
  readonly facts: readonly FactType[];
  /** The types of the request's context facts. */
  readonly context: readonly FactType[];
  readonly bindings: DataBindings;
  /** What predicates can hold with context facts of these types. */
  readonly signatures: (context: readonly FactType[]) => Signatures;
  /** Whether the policy names the value. */
  readonly isNamed: (value: Constant) => boolean;
  readonly limits: ShapeLimits;
}

/** The rules of one question. */
export interface LocalRules {
  readonly clauses: readonly FlatClause[];
  readonly nodes: LocalNodes;
  readonly clausesOf: (node: PredicateNode) => readonly FlatClause[];
  /** The value that a constant of a node stands for. */
  readonly real: (value: Constant) => Constant;
  /** The values of the lists of ids, by the names of these. */
  readonly ids: ReadonlyMap<string, readonly string[]>;
}

interface Shape {
  readonly clauses: readonly FlatClause[];
  readonly nodes: LocalNodes;
  readonly clausesOf: (node: PredicateNode) => readonly FlatClause[];
}

/** The shapes of one policy and its fact types. */
export class LocalShapes {
  readonly templates: LocalTemplates;
  readonly #entriesMax: number;
  readonly #known = new WeakMap<DataBindings, LRUCache<string, Shape>>();

  /** Keeps at most `entriesMax` shapes and templates for each object of bindings. */
  constructor(entriesMax: number) {
    this.#entriesMax = entriesMax;
    this.templates = new LocalTemplates(entriesMax);
  }

  /** Throws `NotPlannable`, `TooManyNodes` and `TooLarge`. */
  rules({ calls, ids }: LocalGoal, head: readonly FlatTerm[], options: ShapeOptions): LocalRules {
    const values: Constant[] = [];
    const numbers = new Map<string, number>();
    const placed = (term: FlatTerm): FlatTerm => {
      if (term.kind !== "const" || isKept(term.value, options)) return term;
      const { type, id } = term.value;
      const number = numbers.getOrInsertComputed(JSON.stringify([type, id]), () => values.push(term.value) - 1);
      return { kind: "const", value: placeholder(type, number) };
    };
    const goal = calls.map(({ predicate, args }) => ({ predicate, args: args.map(placed) }));
    const listed = [...ids.keys()];
    const key = JSON.stringify([
      goal,
      head,
      listed,
      options.context.map(({ predicate, types }) => [predicate, ...types]),
    ]);
    const shapes = this.#known.getOrInsertComputed(
      options.bindings,
      () => new LRUCache({ maxSize: this.#entriesMax, sizeCalculation: () => 1 }),
    );
    const shape = shapes.get(key) ?? shapeOf(goal, head, listed, options);
    if (key.length <= keyLengthMax) shapes.set(key, shape);
    const real = (value: Constant): Constant => (isPlaceholder(value) ? must(values[placeholderNumber(value)]) : value);
    const ours = (clauses: readonly FlatClause[]) => clauses.map((clause) => withValues(clause, real));
    return {
      clauses: ours(shape.clauses),
      nodes: shape.nodes,
      clausesOf: (node) => ours(shape.clausesOf(node)),
      real,
      ids: new Map([...ids.values()].map((given, index) => [`ids:${index}`, given])),
    };
  }
}

/** Longer shapes come from requests with many calls. */
const keyLengthMax = 4096;

/** The rules may depend on the value itself. */
function isKept(value: Constant, { isNamed }: ShapeOptions): boolean {
  return value.type === "Integer" || value.type === "Boolean" || isNamed(value);
}

function withValues(clause: FlatClause, real: (value: Constant) => Constant): FlatClause {
  const term = (one: FlatTerm): FlatTerm => (one.kind === "const" ? { kind: "const", value: real(one.value) } : one);
  const own = (one: FlatClause): FlatClause => ({
    ...one,
    atoms: one.atoms.map((atom) => ({
      ...atom,
      args: atom.args.map((arg) => (arg.kind === "oneOf" ? { ...arg, values: arg.values.map(real) } : arg)),
    })) as FlatAtom[],
    negations: one.negations.map((bodies) => bodies.map(own)),
  });
  return mapClauseTerms(own(clause), term);
}

function shapeOf(
  calls: LocalGoal["calls"],
  head: readonly FlatTerm[],
  listed: readonly FlatTerm[],
  options: ShapeOptions,
): Shape {
  const { bindings, program, facts, limits } = options;
  const terms: FlatTerm[] = [];
  const numbers = new Map<string, number>();
  const number = (term: FlatTerm): number =>
    numbers.getOrInsertComputed(JSON.stringify(term), () => terms.push(term) - 1);
  const goal = {
    calls: calls.map(({ predicate, args }) => ({
      predicate,
      args: args.map((term) => (term.kind === "const" ? term : { kind: "var" as const, index: number(term) })),
    })),
    types: terms.map((term) => (term.kind === "var" || term.kind === "param" ? term.type : undefined)),
  };
  let [variables, steps] = [1 + Math.max(0, ...terms.map((term) => (term.kind === "var" ? term.id : 0))), 0];
  const unfold: UnfoldOptions = {
    clausesMax: limits.planClausesMax,
    fresh: () => variables++,
    withOrigins: true,
    mergesFacts: true,
    spend: () => {
      if (++steps > limits.planStepsMax) throw new NotPlannable("planning takes too long");
    },
  };
  const nodes = new LocalNodes(bindings.bindings);
  const unfolded = new Map<PredicateNode, readonly FlatClause[]>();
  const clausesOf = (node: PredicateNode): readonly FlatClause[] =>
    unfolded.getOrInsertComputed(node, () => {
      const args = openTypes(node).map((type): FlatTerm => ({ kind: "var", id: variables++, type }));
      return simplify(unfoldNode(node, args, unfold));
    });
  const context = [...options.context, ...localFactTypes(bindings)];
  const body = specialise(goal, {
    ...{ program, facts, context, signatures: options.signatures(context) },
    nodesMax: limits.planNodesMax,
    typingsMax: limits.policyTypingsMax,
  });
  if (body === undefined) return { clauses: [], nodes, clausesOf };
  const atoms = listed.map((term, index) => ({ kind: "ids" as const, param: `ids:${index}`, args: [term] }));
  return { clauses: simplify(unfoldBody(body, terms, head, atoms, unfold)), nodes, clausesOf };
}
