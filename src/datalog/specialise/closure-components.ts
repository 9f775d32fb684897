/**
 * Finds the recursion that closures can replace: strongly connected components of nodes with only base clauses and
 * steps inside. Their closure relates values, not nodes, so the type of a value must determine its node; otherwise a
 * path could take a step that the rules of the node don't have. Of two nodes with the same types (`even if odd of the
 * one before`, and the other way round), one without a step to itself is eliminated: its callers get its steps and
 * base, as with states of an automaton (Brzozowski and McCluskey 1963). If equal types are left, queries walk the
 * component.
 */
import { must } from "../../util/assert.ts";
import { type Closure, closureOver, type ClosureStep } from "../ir/closure.ts";
import { closureStepKey, listKey, stringKey, typeListKey } from "../ir/key.ts";
import type { ProgramTerm } from "../ir/program.ts";
import type { TypeName } from "../ir/signature.ts";
import { type NodeClause, openArguments, openTypes, type PredicateNode } from "../ir/specialised.ts";
import { compose, inverse, isBackward, type NodeCall, stepLiterals, stepOf } from "./closure-steps.ts";

export interface Component {
  readonly moving: readonly MovedArgument[];
  /** The nodes that are left after elimination. The others are not recursive any more once these are rewritten. */
  readonly members: ReadonlyMap<PredicateNode, Member>;
}

/** An argument that steps change, by its position among the open arguments of the nodes. */
export interface MovedArgument {
  readonly position: number;
  readonly closure: Closure;
  /** True if the steps go against the direction of their facts. The closure contains their inverses then. */
  readonly isReverse: boolean;
}

export interface Member {
  readonly steps: readonly NodeStep[];
  /** The clauses that answer the node without a step. */
  readonly base: readonly NodeClause[];
  /** Facts of the node's predicate, if they also answer calls from inside the component. */
  readonly facts: readonly NodeClause[];
}

/** A step of a node, the argument that it changes, and the node that it leads to. */
export interface NodeStep {
  readonly position: number;
  readonly step: ClosureStep;
  readonly target: PredicateNode;
  /** The key of the argument and the step. */
  readonly key: string;
}

type Members = ReadonlyMap<PredicateNode, Member>;

/** Each changed argument doubles the number of clauses. */
const movingMax = 3;
/** Elimination multiplies steps and base clauses. Beyond these limits, walking is cheaper. */
const clausesMax = 100;
const stepAtomsMax = 6;

/** The component with these nodes, or `undefined` if they have to be walked. */
export function componentOf(nodes: readonly PredicateNode[]): Component | undefined {
  const found = splitNodes(nodes);
  const members = found && withDistinctTypes(found);
  if (!members) return undefined;
  const byPosition = Map.groupBy(
    [...members.values()].flatMap(({ steps }) => steps),
    ({ position }) => position,
  );
  const positions = [...byPosition.keys()];
  if (positions.length > movingMax || !positions.every((position) => movesByType(members, position))) return undefined;
  const moving = [...byPosition].map(([position, steps]): MovedArgument => {
    const isReverse = steps.every(({ step }) => isBackward(step));
    return { position, closure: closureOver(steps.map(({ step }) => (isReverse ? inverse(step) : step))), isReverse };
  });
  return { moving, members };
}

/** The clause as a step and a call of a `wanted` node, if it is one. Keys of steps can be long, so it tests first. */
export function nodeStepOf(
  clause: NodeClause,
  wanted: (target: PredicateNode) => boolean = () => true,
): NodeStep | undefined {
  const [call, ...others] = nodeCalls(clause);
  const found = call && others.length === 0 && wanted(call.node) ? stepOf(clause, call) : undefined;
  return call && found && found !== "nowhere" ? nodeStep(found.position, found.step, call.node) : undefined;
}

/** The steps and base of each node; `undefined` if a clause is something else, such as two calls inside. */
function splitNodes(nodes: readonly PredicateNode[]): Members | undefined {
  const within = new Set(nodes);
  const facts = new Map<PredicateNode, NodeClause[]>();
  const split = new Map<PredicateNode, Pick<Member, "steps" | "base">>();
  for (const node of nodes) {
    const steps: NodeStep[] = [];
    const base: NodeClause[] = [];
    for (const clause of node.clauses) {
      const calls = nodeCalls(clause).filter(({ node: target }) => within.has(target));
      const [call] = calls;
      if (!call) {
        base.push(clause);
        continue;
      }
      const found = calls.length === 1 ? stepOf(clause, call) : undefined;
      if (!found || (found === "nowhere" && call.node !== node)) return undefined;
      facts.set(call.node, factsOf(clause, call));
      if (found !== "nowhere") steps.push(nodeStep(found.position, found.step, call.node));
    }
    split.set(node, { steps: distinct(steps), base: base.filter((clause) => !addsNothing(clause, steps)) });
  }
  return new Map([...split].map(([node, parts]) => [node, { ...parts, facts: facts.get(node) ?? [] }]));
}

/** The facts that answer a call besides its node. */
function factsOf(clause: NodeClause, call: NodeCall): NodeClause[] {
  if (!call.fact && !call.context) return [];
  const body = { types: clause.body.types, literals: [{ ...call, node: undefined }] };
  return [{ ...clause, head: openArguments(call.node, call.args), body }];
}

/** `writer on parent` adds nothing to `reader on parent` if every writer is a reader. */
function addsNothing(clause: NodeClause, steps: readonly NodeStep[]): boolean {
  const found = nodeStepOf(clause);
  return found !== undefined && steps.some(({ key, target }) => key === found.key && target.copies.has(found.target));
}

function nodeStep(position: number, step: ClosureStep, target: PredicateNode): NodeStep {
  return { position, step, target, key: `${position} ${closureStepKey(step)}` };
}

function distinct(steps: readonly NodeStep[]): NodeStep[] {
  return [...new Map(steps.map((one) => [`${one.target.id} ${one.key}`, one])).values()];
}

function nodeCalls({ body }: NodeClause): NodeCall[] {
  return body.literals.filter((one): one is NodeCall => one.kind === "call" && one.node !== undefined);
}

/** Eliminates nodes until no two have the same types. It is deterministic, so all questions read equal closures. */
function withDistinctTypes(members: Members): Members | undefined {
  let left = members;
  for (;;) {
    const alike = Map.groupBy(left, ([node]) => typeListKey(openTypes(node)));
    const several = [...alike.values()].filter((group) => group.length > 1).flat();
    if (several.length === 0) return left;
    const [between] = several
      .filter(([node, { steps }]) => steps.every(({ target }) => target !== node))
      .sort(([left], [right]) => (orderText(left) < orderText(right) ? -1 : 1));
    const fewer = between && eliminate(...between, left);
    if (!fewer) return undefined;
    left = fewer;
  }
}

/**
 * The order of elimination. It decides the closures in data directories, so it is a file format: members and their
 * order must not change.
 */
function orderText({ predicate, args }: PredicateNode): string {
  const texts = args.map((arg) =>
    arg.kind === "const"
      ? { kind: arg.kind, value: { type: arg.value.type, id: arg.value.id } }
      : { kind: arg.kind, type: arg.type },
  );
  return JSON.stringify([predicate, texts]);
}

/** The other nodes, with the node's steps and base instead of steps to it; `undefined` if impossible or too large. */
function eliminate(node: PredicateNode, member: Member, members: Members): Members | undefined {
  const left = new Map<PredicateNode, Member>();
  let clauses = 0;
  for (const [other, { steps, base, facts }] of members) {
    if (other === node) continue;
    const [to, kept] = [steps.filter(isTo), steps.filter((one) => !isTo(one))];
    const pairs = to.flatMap((first) => member.steps.map((second) => ({ first, second })));
    if (pairs.some(({ first, second }) => first.position !== second.position)) return undefined;
    const composed = pairs.map(({ first, second }) =>
      nodeStep(first.position, compose(first.step, second.step), second.target),
    );
    if (composed.some(({ step }) => step.atoms.length > stepAtomsMax)) return undefined;
    const ends = to.flatMap((first) =>
      [...member.base, ...member.facts].map((clause) => prependStep(other, first, clause)),
    );
    left.set(other, { steps: distinct([...kept, ...composed]), base: [...base, ...ends], facts });
    clauses += kept.length + composed.length + base.length + ends.length;
  }
  return clauses > clausesMax ? undefined : left;

  function isTo({ target }: NodeStep): boolean {
    return target === node;
  }
}

/** The clause with the step before it. */
function prependStep(node: PredicateNode, { position, step }: NodeStep, clause: NodeClause): NodeClause {
  const first = clause.body.types.length;
  const from: ProgramTerm = { kind: "var", index: first };
  const to = must(clause.head[position]);
  const between = step.types.slice(2);
  const terms = [from, to, ...between.map((_, index): ProgramTerm => ({ kind: "var", index: first + 1 + index }))];
  return {
    ...clause,
    head: clause.head.with(position, from),
    body: {
      types: [...clause.body.types, openTypes(node)[position], ...between],
      literals: [...clause.body.literals, ...stepLiterals(step, terms)],
    },
  };
}

/**
 * Whether the type of the argument determines its steps, so that a path of the closure is a path of the nodes. A single
 * node may have an argument of any type.
 */
function movesByType(members: Members, position: number): boolean {
  if (members.size === 1) return true;
  const stepsOfType = new Map<TypeName, string>();
  return [...members].every(([node, { steps }]) => {
    const type = openTypes(node)[position];
    const own = steps.flatMap((one) => (one.position === position ? [one.key] : []));
    const key = listKey(own.sort().map(stringKey));
    const known = stepsOfType.get(type) ?? key;
    stepsOfType.set(type, key);
    return type !== undefined && known === key;
  });
}
