/**
 * The oracle: a naive evaluator that the tests compare every engine with. It is slow and small, so that its correctness
 * is easy to see. It shares no code with `src/engine` and `src/datalog`. It reads the checked policy and evaluates its
 * ground rules over a finite domain, until nothing new follows.
 *
 * The domain contains, for each concrete type, every value of the facts, the policy and the questions, and a few fresh
 * values that represent all other values of the type. Rules can only compare values for equality (and Integers for
 * order), so they treat all values that they don't name alike. What is true for a fresh value is true for every unknown
 * value, and becomes a wildcard. There are several fresh values, because with one the oracle could not distinguish
 * unknown values that must be equal from those that may differ. A fresh Integer has no known order: it satisfies no
 * comparison, and an engine may refuse to list such Integers.
 *
 * `not` needs no strata here: the model is the well-founded one, which alternates between a lower and an upper
 * estimate. For a stratified policy both become equal. Otherwise the oracle reports that the policy is not stratified.
 */
import type { Query } from "../src/engine/request/questions.ts";
import type { Expression, Policy, Rule, Term } from "../src/polar/policy.ts";
import type { Fact, Value } from "../src/store/facts/fact.ts";
import { assert, must, unreachable } from "../src/util/assert.ts";
import { acceptedFacts } from "./oracle/accepted-facts.ts";
import { clausesOf, type Clause, type Step, variablesOfStep } from "./oracle/clauses.ts";
import { createDomain, type Domain, type Ground } from "./oracle/domain.ts";

export interface OracleInput {
  /** Stored facts. Facts that no rule and no `declare` accepts are ignored. */
  readonly facts: readonly Fact[];
  /** Context facts. All of them are used. */
  readonly contextFacts?: readonly Fact[] | undefined;
  /** `@current_unix_time`, in seconds. */
  readonly now: number;
  /** Values of the questions that are not in the facts or the policy. */
  readonly values?: readonly Value[] | undefined;
  /** A random policy may be true for almost everything. After this many conditions the oracle throws `TooMuchWork`. */
  readonly conditionsMax?: number | undefined;
}

export class TooMuchWork extends Error {}

export interface Oracle {
  holds(predicate: string, args: readonly Value[]): boolean;
  /** All true tuples of a predicate. */
  tuples(predicate: string, arity: number): readonly Tuple[];
  /** All ground answers in the domain, also with fresh values, in the order of the query's variables. */
  solutions(query: Query): readonly Tuple[];
  /**
   * Whether the answers can't be listed. Then there is an answer with a value that has no name, and no rule gives the
   * same answer for all values in its place: a negation, a comparison or an equality could exclude some. `undefined` if
   * that takes too much work.
   */
  isOpen(query: Query): boolean | undefined;
  readonly domain: Domain;
}

export type Tuple = readonly Ground[];

export function oracle(policy: Policy, input: OracleInput): Oracle {
  const slow = modelled(policy, input, false);
  let exceptional: Modelled | undefined;
  return {
    ...slow,
    isOpen(query) {
      const values = [...(input.values ?? []), ...unknownIntegers(slow.domain)];
      try {
        exceptional ??= modelled(policy, { ...input, values }, true);
        return hasOpenAnswer(exceptional, slow.domain, query);
      } catch (error) {
        if (error instanceof TooMuchWork) return undefined;
        throw error;
      }
    },
  };
}

/** Integers without a name in each gap between those that have one: comparisons can distinguish them. */
function unknownIntegers(domain: Domain): Value[] {
  return domain
    .ofType("Integer")
    .filter(({ fresh }) => !fresh)
    .flatMap(({ id }) => [BigInt(id) - 1n, BigInt(id) + 1n])
    .map((number) => ({ type: "Integer", id: String(number) }));
}

function hasOpenAnswer({ domain, solutions }: Modelled, named: Domain, query: Query): boolean {
  const answers = solutions(query);
  const keys = new Set(answers.map(keyOf));
  const names = new Set(named.all.filter(({ fresh }) => !fresh).map(({ key }) => key));
  return answers.some((tuple) => {
    const taken = new Map<string, number>();
    if (tuple.some(({ exceptional }) => exceptional) || tuple.every(({ key }) => names.has(key))) return false;
    const general = tuple.map((value) => {
      if (names.has(value.key)) return value;
      const index = taken.get(value.type) ?? 0;
      taken.set(value.type, index + 1);
      return must(domain.exceptions(value.type)[index], "the domain has enough exceptions");
    });
    return !keys.has(keyOf(general));
  });
}

type Modelled = Omit<Oracle, "isOpen">;

function modelled(policy: Policy, input: OracleInput, withExceptions: boolean): Modelled {
  const contextFacts = input.contextFacts ?? [];
  const domain = createDomain(policy, [...input.facts, ...contextFacts], input.values ?? [], input.now, withExceptions);
  const facts = [...input.facts.filter(acceptedFacts(policy, domain)), ...contextFacts];
  const work = { left: input.conditionsMax ?? Infinity };
  const model = wellFoundedModel(policy.rules.flatMap(clausesOf), facts, domain, work);
  return {
    domain,
    holds: (predicate, args) => relation(model, predicate, args.length).byKey.has(keyOf(args.map(domain.ground))),
    tuples: (predicate, arity) => [...relation(model, predicate, arity).byKey.values()],
    solutions(query) {
      const answers = new Map<string, Tuple>();
      const left = withExceptions ? (input.conditionsMax ?? Infinity) : Infinity;
      const world: World = { positive: model, negative: model, domain, work: { left } };
      for (const clause of clausesOf(queryRule(query))) {
        derive(clause, world, (tuple) => answers.set(keyOf(tuple), tuple));
      }
      return [...answers.values()];
    },
  };
}

/** The tuples of one predicate and arity. */
interface Relation {
  readonly byKey: Map<string, Tuple>;
  /** Tuples by position, then by the value at it. */
  readonly byValue: readonly Map<Ground, Tuple[]>[];
}
type Model = Map<string, Relation>;

function wellFoundedModel(clauses: readonly Clause[], facts: readonly Fact[], domain: Domain, work: Work): Model {
  let lower: Model = new Map();
  for (;;) {
    const upper = leastModel(clauses, facts, lower, domain, work);
    if (!clauses.some(({ steps }) => steps.some(({ kind }) => kind === "not"))) return upper;
    const next = leastModel(clauses, facts, upper, domain, work);
    if (size(next) === size(upper)) return next;
    assert(size(next) > size(lower), "the policy is stratified");
    lower = next;
  }
}

/** Everything that follows from the facts if calls under `not` read `negative`. */
function leastModel(
  clauses: readonly Clause[],
  facts: readonly Fact[],
  negative: Model,
  domain: Domain,
  work: Work,
): Model {
  const positive: Model = new Map();
  for (const fact of facts) add(positive, fact.predicate, fact.args.map(domain.ground));
  for (;;) {
    const before = size(positive);
    for (const clause of clauses) {
      const found: Tuple[] = [];
      derive(clause, { positive, negative, domain, work }, (tuple) => found.push(tuple));
      for (const tuple of found) add(positive, clause.predicate, tuple);
    }
    if (size(positive) === before) return positive;
  }
}

function relation(model: Model, predicate: string, arity: number): Relation {
  return model.get(`${predicate}/${arity}`) ?? { byKey: new Map(), byValue: [] };
}

function add(model: Model, predicate: string, tuple: Tuple): void {
  const name = `${predicate}/${tuple.length}`;
  const known = model.get(name) ?? { byKey: new Map(), byValue: tuple.map(() => new Map()) };
  model.set(name, known);
  const key = keyOf(tuple);
  if (known.byKey.has(key)) return;
  known.byKey.set(key, tuple);
  tuple.forEach((value, position) => {
    const values = must(known.byValue[position]);
    const others = values.get(value);
    if (others === undefined) values.set(value, [tuple]);
    else others.push(tuple);
  });
}

/** The tuples that may match, found by one argument with a value. */
function candidates(known: Relation, args: readonly Term[], bindings: Bindings, world: World): Iterable<Tuple> {
  for (const [position, values] of known.byValue.entries()) {
    const value = valueOf(must(args[position]), bindings, world);
    if (value !== undefined) return values.get(value) ?? [];
  }
  return known.byKey.values();
}

function size(model: Model): number {
  return [...model.values()].reduce((sum, { byKey }) => sum + byKey.size, 0);
}

function keyOf(tuple: Tuple): string {
  return tuple.map((value) => value.key).join();
}

/**
 * The two models in which a clause is evaluated. Each `not` exchanges them, so an even number of negations has no
 * effect.
 */
interface World {
  readonly positive: Model;
  readonly negative: Model;
  readonly domain: Domain;
  readonly work: Work;
}

/** How many conditions the oracle may still try. */
interface Work {
  left: number;
}

type Bindings = Map<string, Ground>;

function derive(clause: Clause, world: World, emit: (tuple: Tuple) => void): void {
  const bindings: Bindings = new Map();
  run(clause.steps, 0, bindings, world, () => {
    emit(clause.head.map((term) => must(valueOf(term, bindings, world), "a head variable has a value")));
    return false;
  });
}

/**
 * Tries all ways to satisfy the steps from `index` on and calls `done` for each. It ends, with true, as soon as `done`
 * returns true.
 */
function run(steps: readonly Step[], index: number, bindings: Bindings, world: World, done: () => boolean): boolean {
  const step = steps[index];
  if (step === undefined) return done();
  world.work.left -= 1;
  if (world.work.left < 0) throw new TooMuchWork();
  const next = () => run(steps, index + 1, bindings, world, done);
  switch (step.kind) {
    case "boolean":
      return step.value && next();
    case "each":
      return world.domain.all.some((value) => unify([variable(step.variable)], [value], bindings, world, next));
    case "in":
      return step.values.some((value) =>
        unify([step.term], [world.domain.ground(plain(value))], bindings, world, next),
      );
    case "call":
      for (const tuple of candidates(
        relation(world.positive, step.predicate, step.args.length),
        step.args,
        bindings,
        world,
      )) {
        if (unify(step.args, tuple, bindings, world, next)) return true;
      }
      return false;
    case "equal": {
      const left = valueOf(step.left, bindings, world);
      if (left !== undefined) return unify([step.right], [left], bindings, world, next);
      return unify(
        [step.left],
        [must(valueOf(step.right, bindings, world), "one side has a value")],
        bindings,
        world,
        next,
      );
    }
    case "matches": {
      const { type } = must(bindings.get(step.variable), "the variable has a value");
      return (step.exact ? type === step.type : world.domain.isSubtype(type, step.type)) && next();
    }
    case "compare":
      return compare(step, bindings, world) && next();
    case "not": {
      if (variablesOfStep(step).some((name) => bindings.get(name)?.exceptional === true)) return false;
      const inner: World = { ...world, positive: world.negative, negative: world.positive };
      return !step.alternatives.some((alternative) => run(alternative, 0, bindings, inner, () => true)) && next();
    }
    default:
      return unreachable(step);
  }
}

/** Binds the terms to the values, if possible, calls `next`, and removes the new bindings. */
function unify(terms: readonly Term[], values: Tuple, bindings: Bindings, world: World, next: () => boolean): boolean {
  const bound: string[] = [];
  const fits = terms.every((term, index) => {
    const value = valueOf(term, bindings, world);
    if (value !== undefined) return value === values[index];
    assert(term.kind === "variable", "only a variable has no value");
    bindings.set(term.name, must(values[index]));
    bound.push(term.name);
    return true;
  });
  const result = fits && next();
  for (const name of bound) bindings.delete(name);
  return result;
}

function valueOf(term: Term, bindings: Bindings, world: World): Ground | undefined {
  if (term.kind === "variable") return bindings.get(term.name);
  return term.kind === "now" ? world.domain.now : world.domain.ground(plain(term));
}

function compare(step: Extract<Step, { kind: "compare" }>, bindings: Bindings, world: World): boolean {
  const left = must(valueOf(step.left, bindings, world), "the left side has a value");
  const right = must(valueOf(step.right, bindings, world), "the right side has a value");
  if (left.exceptional || right.exceptional) return false;
  if (step.operator === "!=") return left !== right;
  if (left.type !== "Integer" || right.type !== "Integer" || left.fresh || right.fresh) return false;
  const [a, b] = [BigInt(left.id), BigInt(right.id)];
  switch (step.operator) {
    case "<":
      return a < b;
    case "<=":
      return a <= b;
    case ">":
      return a > b;
    case ">=":
      return a >= b;
    default:
      return unreachable(step.operator);
  }
}

/** A query is a rule with its variables as the head and its calls as the body. Its types are exact. */
function queryRule(query: Query): Rule {
  const conditions: Expression[] = [];
  for (const [name, { type, ids }] of query.variables) {
    conditions.push({ kind: "matches", variable: name, type, exact: true, span: nowhere });
    if (ids === null) continue;
    const values = ids.map((id) => ({ kind: "literal" as const, type, id, span: nowhere }));
    conditions.push({ kind: "in", term: variable(name), values, span: nowhere });
  }
  const calls = query.calls.map(({ predicate, variables }) => ({
    kind: "call" as const,
    predicate,
    args: variables.map(variable),
    span: nowhere,
  }));
  return {
    predicate: "?",
    params: [...query.variables.keys()].map((name) => ({ term: variable(name), type: undefined })),
    body: { kind: "and", operands: [...conditions, ...calls], span: nowhere },
    span: nowhere,
    implicit: false,
  };
}

const nowhere = { file: "query", start: 0, end: 0 };

function variable(name: string): Term {
  return { kind: "variable", name, span: nowhere };
}

function plain(literal: Value): Value {
  return { type: literal.type, id: literal.id };
}
