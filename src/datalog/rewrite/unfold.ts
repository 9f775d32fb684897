/**
 * Unfolding (SLD resolution without data): replaces calls of non-recursive nodes by their clauses, until only facts,
 * context facts and recursive nodes are left. An unbound head variable is a wildcard answer, known at compile time.
 * Negations are unfolded last, when the terms around them are final.
 */
import { must, unreachable } from "../../util/assert.ts";
import {
  atomVariables,
  type ClauseOrigin,
  type FlatAtom,
  type FlatClause,
  type FlatCondition,
  type FlatTerm,
  NotPlannable,
} from "../ir/flat.ts";
import { conditionTerms, mapCondition, type ProgramTerm } from "../ir/program.ts";
import type { TypeName } from "../ir/signature.ts";
import {
  openArguments,
  type PredicateNode,
  type SpecialisedBody,
  type SpecialisedCall,
  type SpecialisedLiteral,
  type SpecialisedNegation,
} from "../ir/specialised.ts";

export interface UnfoldOptions {
  /** The maximum number of clauses in the result; more make the goal not plannable. */
  readonly clausesMax: number;
  /** Called for each step of work. Throws `NotPlannable` after too many steps for one statement. */
  readonly spend: () => void;
  /** Returns a new number for a variable, unique within the statement. */
  readonly fresh: () => number;
  /** Whether all clauses get their origins. */
  readonly withOrigins?: boolean;
  /** Whether a call that stored facts and context facts can answer becomes one atom, not two alternatives. */
  readonly mergesFacts?: boolean;
}

interface State {
  readonly bindings: ReadonlyMap<number, FlatTerm>;
  readonly atoms: readonly FlatAtom[];
  readonly conditions: readonly FlatCondition[];
  readonly negations: readonly {
    readonly negation: SpecialisedNegation;
    readonly terms: readonly (FlatTerm | undefined)[];
  }[];
  readonly origins: OriginChain | undefined;
}

/** The rules unfolded so far, the last one first. */
interface OriginChain extends ClauseOrigin {
  readonly previous: OriginChain | undefined;
}

const emptyState: State = { bindings: new Map(), atoms: [], conditions: [], negations: [], origins: undefined };

/**
 * The alternatives of a body. `terms` has the term of each variable, and `head` the terms that the goal asks for. A
 * variable of the head that no atom binds stays in conditions and negations (`open-answers.ts`).
 */
export function unfoldBody(
  body: SpecialisedBody,
  terms: readonly (FlatTerm | undefined)[],
  head: readonly FlatTerm[],
  atoms: readonly FlatAtom[],
  options: UnfoldOptions,
): FlatClause[] {
  return new Unfolding(options, new Set(), true).run(body, terms, head, { ...emptyState, atoms });
}

/**
 * The clauses of a node whose open arguments are the terms `args`. Throws `NotPlannable` if only a negation or a
 * comparison restricts one of them.
 */
export function unfoldNode(node: PredicateNode, args: readonly FlatTerm[], options: UnfoldOptions): FlatClause[] {
  const unfolding = new Unfolding(options, new Set(), false);
  return node.clauses.flatMap((clause) => {
    const terms = unfolding.variables(clause.body.types);
    const head = clause.head.map((term) => toTerm(term, terms));
    const origins = { rule: clause.rule, terms, previous: undefined };
    const state = unify(args, head, { ...emptyState, origins }, new Set());
    return state ? unfolding.run(clause.body, terms, args, state) : [];
  });
}

class Unfolding {
  readonly #options: UnfoldOptions;
  /** Variables of an enclosing clause. They are compared, but never bound. */
  readonly #rigid: ReadonlySet<number>;
  readonly #mayBeOpen: boolean;

  constructor(options: UnfoldOptions, rigid: ReadonlySet<number>, mayBeOpen: boolean) {
    this.#options = options;
    this.#rigid = rigid;
    this.#mayBeOpen = mayBeOpen;
  }

  run(
    body: SpecialisedBody,
    terms: readonly (FlatTerm | undefined)[],
    head: readonly FlatTerm[],
    state: State,
  ): FlatClause[] {
    return this.#conjunction(body.literals, terms, state).map((done) => {
      try {
        return this.#finish(head, done);
      } catch (error) {
        if (error instanceof NotPlannable) error.origins ??= originsOf(done.origins, (term) => term);
        throw error;
      }
    });
  }

  variables(types: readonly TypeName[]): FlatTerm[] {
    return types.map((type): FlatTerm => ({ kind: "var", id: this.#options.fresh(), type }));
  }

  #conjunction(
    literals: readonly SpecialisedLiteral[],
    terms: readonly (FlatTerm | undefined)[],
    start: State,
  ): State[] {
    let states: State[] = [start];
    for (const literal of literals) {
      states = states.flatMap((state) => this.#literal(literal, terms, state));
      if (states.length > this.#options.clausesMax) throw new NotPlannable("too many clauses");
    }
    return states;
  }

  #literal(literal: SpecialisedLiteral, terms: readonly (FlatTerm | undefined)[], state: State): State[] {
    this.#options.spend();
    switch (literal.kind) {
      case "call":
        return this.#call(literal, terms, state);
      case "not":
        return [{ ...state, negations: [...state.negations, { negation: literal, terms }] }];
      case "equal": {
        const unified = unify([toTerm(literal.left, terms)], [toTerm(literal.right, terms)], state, this.#rigid);
        return unified ? [unified] : [];
      }
      case "compare": {
        const { operator } = literal;
        const [left, right] = [toTerm(literal.left, terms), toTerm(literal.right, terms)];
        return [withCondition(state, { kind: "compare", operator, left, right })];
      }
      case "type": {
        const term = toTerm(literal.term, terms);
        return [withCondition(state, { kind: "type", term, types: [...literal.types].sort() })];
      }
      default:
        return unreachable(literal);
    }
  }

  #call(call: SpecialisedCall, terms: readonly (FlatTerm | undefined)[], state: State): State[] {
    const args = call.args.map((arg) => toTerm(arg, terms));
    const results: State[] = [];
    const withAtom = (atom: FlatAtom): number => results.push({ ...state, atoms: [...state.atoms, atom] });
    const orFact = this.#options.mergesFacts === true && call.fact && call.context;
    if (call.fact && !orFact) withAtom({ kind: "fact", predicate: call.predicate, args });
    if (call.context) withAtom({ kind: "context", predicate: call.predicate, args, ...(orFact && { orFact }) });
    const { node } = call;
    if (!node) return results;
    const open = openArguments(node, args);
    if (node.recursive) withAtom({ kind: "recursive", node, args: open });
    else {
      for (const clause of node.clauses) {
        const inner = this.variables(clause.body.types);
        const head = clause.head.map((term) => toTerm(term, inner));
        const unified = unify(open, head, state, this.#rigid);
        const origins = { rule: clause.rule, terms: inner, previous: state.origins };
        if (unified) results.push(...this.#conjunction(clause.body.literals, inner, { ...unified, origins }));
        if (results.length > this.#options.clausesMax) throw new NotPlannable("too many clauses");
      }
    }
    return results;
  }

  /** Applies the bindings and unfolds the negations. */
  #finish(head: readonly FlatTerm[], state: State): FlatClause {
    const resolve = (term: FlatTerm): FlatTerm => resolveTerm(term, state.bindings);
    const atoms = state.atoms.map((atom) => ({
      ...atom,
      args: atom.args.map((arg) => (arg.kind === "oneOf" ? arg : resolve(arg))),
    })) as FlatAtom[];
    const finalHead = head.map(resolve);
    const bound = this.#rigid.union(new Set(atoms.flatMap(atomVariables)));
    const asked = new Set(finalHead.flatMap((term) => (term.kind === "var" ? [term.id] : [])));
    /** An unbound variable represents every value. A value that occurs in no fact is the best witness for it. */
    const witness = (term: FlatTerm): FlatTerm => {
      const final = resolve(term);
      if (final.kind !== "var" || bound.has(final.id)) return final;
      if (!asked.has(final.id)) return { kind: "fresh", type: final.type };
      if (!this.#mayBeOpen)
        throw new NotPlannable("a recursive call with a free variable that only a negation restricts");
      return final;
    };
    const rigid = bound.union(asked);
    return {
      head: finalHead,
      atoms,
      conditions: state.conditions.map((condition) => {
        const final = mapCondition(condition, witness);
        if (final.kind !== "type") refuseTwoWitnesses(final.left, final.right);
        return final;
      }),
      negations: state.negations.map(({ negation, terms }) => {
        const shared = terms.map((term, variable) =>
          term && negation.outer.has(variable) ? witness(term) : undefined,
        );
        const bodies = negation.bodies.flatMap((body) => this.#negated(body, shared, rigid));
        refuseNestedWitness(shared, bodies);
        return bodies;
      }),
      ...(this.#hasOrigins(head) && { origins: originsOf(state.origins, resolve) }),
    };
  }

  #hasOrigins(head: readonly FlatTerm[]): boolean {
    return this.#options.withOrigins === true || (head.length > 0 && this.#mayBeOpen);
  }

  /** `shared` has the terms of the variables that the body shares with the enclosing clause. */
  #negated(body: SpecialisedBody, shared: readonly (FlatTerm | undefined)[], rigid: ReadonlySet<number>): FlatClause[] {
    const terms = body.types.map(
      (type, variable): FlatTerm => shared[variable] ?? { kind: "var", id: this.#options.fresh(), type },
    );
    return new Unfolding(this.#options, rigid, this.#mayBeOpen).run(body, terms, [], emptyState);
  }
}

function originsOf(last: OriginChain | undefined, resolve: (term: FlatTerm) => FlatTerm): ClauseOrigin[] {
  const origins: ClauseOrigin[] = [];
  for (let origin = last; origin; origin = origin.previous)
    origins.unshift({ rule: origin.rule, terms: origin.terms.map(resolve) });
  return origins;
}

function withCondition(state: State, condition: FlatCondition): State {
  return { ...state, conditions: [...state.conditions, condition] };
}

/**
 * A value that occurs in no fact is the best witness against a condition, unless that condition contains a `not` or
 * requires a different value: then only some fact's value may be one, and the evaluator has to try.
 */
function refuseNestedWitness(shared: readonly (FlatTerm | undefined)[], bodies: readonly FlatClause[]): void {
  if (!shared.some((term) => term?.kind === "fresh")) return;
  const isNested = bodies.some(
    ({ atoms, negations, conditions }) =>
      negations.length > 0 || atoms.some(({ kind }) => kind === "recursive") || conditions.some(excludesWitness),
  );
  if (isNested) throw new NotPlannable("a value that occurs in no fact, under more than one negation");
}

function excludesWitness(condition: FlatCondition): boolean {
  const isUnequal = condition.kind === "compare" && condition.operator === "!=";
  return isUnequal && conditionTerms(condition).some(({ kind }) => kind === "fresh");
}

function toTerm(term: ProgramTerm, terms: readonly (FlatTerm | undefined)[]): FlatTerm {
  return term.kind === "var" ? must(terms[term.index]) : term;
}

function resolveTerm(term: FlatTerm, bindings: ReadonlyMap<number, FlatTerm>): FlatTerm {
  let current = term;
  while (current.kind === "var") {
    const next = bindings.get(current.id);
    if (!next) return current;
    current = next;
  }
  return current;
}

/** Makes the terms pairwise equal: by binding variables, or by a condition if both sides are known only at run time. */
function unify(
  left: readonly FlatTerm[],
  right: readonly FlatTerm[],
  state: State,
  rigid: ReadonlySet<number>,
): State | undefined {
  const bindings = new Map(state.bindings);
  const conditions = [...state.conditions];
  for (const [position, term] of left.entries()) {
    const first = resolveTerm(term, bindings);
    const second = resolveTerm(must(right[position]), bindings);
    if (isSame(first, second)) continue;
    refuseTwoWitnesses(first, second);
    const type = meetTypes(flatTermType(first), flatTermType(second));
    if (type === false) return undefined;
    if (isFree(second, rigid)) bind(second, first, type, bindings, conditions, rigid);
    else if (isFree(first, rigid)) bind(first, second, type, bindings, conditions, rigid);
    else if (first.kind === "const" && second.kind === "const") return undefined;
    else conditions.push({ kind: "equal", left: first, right: second });
  }
  return { ...state, bindings, conditions };
}

type Variable = Extract<FlatTerm, { kind: "var" }>;

function isFree(term: FlatTerm, rigid: ReadonlySet<number>): term is Variable {
  return term.kind === "var" && !rigid.has(term.id);
}

/** Binds `variable` to `target`, with the more specific type; a condition, if the type of the target can't change. */
function bind(
  variable: Variable,
  target: FlatTerm,
  type: TypeName,
  bindings: Map<number, FlatTerm>,
  conditions: FlatCondition[],
  rigid: ReadonlySet<number>,
): void {
  if (type === undefined || flatTermType(target) === type) {
    bindings.set(variable.id, target);
  } else if (isFree(target, rigid)) {
    bindings.set(target.id, variable);
  } else {
    bindings.set(variable.id, target);
    conditions.push({ kind: "type", term: target, types: [type] });
  }
}

function flatTermType(term: FlatTerm): TypeName {
  switch (term.kind) {
    case "const":
      return term.value.type;
    case "now":
      return "Integer";
    default:
      return term.type;
  }
}

function meetTypes(left: TypeName, right: TypeName): TypeName | false {
  if (left === undefined) return right;
  return right === undefined || left === right ? left : false;
}

function isSame(left: FlatTerm, right: FlatTerm): boolean {
  switch (left.kind) {
    case "var":
      return right.kind === "var" && left.id === right.id;
    case "const":
      return right.kind === "const" && left.value.type === right.value.type && left.value.id === right.value.id;
    case "param":
      return right.kind === "param" && left.name === right.name;
    case "now":
      return right.kind === "now";
    case "fresh":
      return false;
  }
}

/** Only the evaluator can decide whether two values that occur in no fact are equal. */
function refuseTwoWitnesses(left: FlatTerm, right: FlatTerm): void {
  if (left.kind === "fresh" && right.kind === "fresh")
    throw new NotPlannable("an equality of two values that occur in no fact");
}
