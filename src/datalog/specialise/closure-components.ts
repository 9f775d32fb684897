/**
 * Which recursion closures can stand for: a strongly connected component of nodes, each with nothing but a base, and
 * steps to nodes of the component. One closure has the steps of all its nodes, but it knows values and no nodes. So a
 * value's type must say which of the nodes it is at: then a path in it takes no step that the rules of that node don't
 * take. Where two nodes are of the same types (`even if odd of the one before`, and the other way round), one that does
 * not ask for itself is taken out, and whoever asks for it goes on to where it goes: states of an automaton are
 * eliminated like that (Brzozowski and McCluskey 1963). Whatever nodes can't be told apart even so is left to be
 * walked.
 */
import { must } from "../../util/assert.ts";
import { type Closure, closureOver, type ClosureStep } from "../ir/closure.ts";
import { closureStepKey, listKey, typeListKey } from "../ir/key.ts";
import type { ProgramTerm } from "../ir/program.ts";
import type { TypeName } from "../ir/signature.ts";
import type { NodeClause, PredicateNode, SpecialisedCall, SpecialisedLiteral } from "../ir/specialised.ts";
import { compose, inverse, isBackward, openArguments, stepLiterals, stepOf } from "./closure-steps.ts";

export interface Component {
  readonly moving: readonly MovedArgument[];
  /** Without nodes that were taken out: these are no recursion any more when the others are none. */
  readonly members: ReadonlyMap<PredicateNode, Member>;
}

/** An argument of the nodes that steps move, by its number among the open ones. */
export interface MovedArgument {
  readonly position: number;
  readonly closure: Closure;
  /** True where the steps go against the direction of their facts, which a closure never does. */
  readonly isReverse: boolean;
}

export interface Member {
  readonly steps: readonly NodeStep[];
  /** What answers the node without a step. */
  readonly base: readonly NodeClause[];
  /** Facts of the node's predicate, where calls from within the component are answered by them too. */
  readonly facts: readonly NodeClause[];
}

/** A step of a node, the argument that it moves, and the node where it leads. */
export interface NodeStep {
  readonly position: number;
  readonly step: ClosureStep;
  readonly target: PredicateNode;
  /** The step and the argument, to compare. */
  readonly key: string;
}

type Members = ReadonlyMap<PredicateNode, Member>;

/** More arguments that move would multiply each clause by more than it is worth. */
const movingMax = 3;
/** Taking nodes out multiplies steps and bases; past these, walking is the better way. */
const clausesMax = 100;
const stepAtomsMax = 6;

/** The component with these nodes; `undefined` where they have to be walked. */
export function componentOf(nodes: readonly PredicateNode[]): Component | undefined {
  const found = splitNodes(nodes);
  const members = found && withDistinctTypes(found);
  if (!members) return undefined;
  const byPosition = Map.groupBy(
    [...members.values()].flatMap(({ steps: leaps }) => leaps),
    ({ position }) => position,
  );
  const positions = [...byPosition.keys()];
  if (positions.length > movingMax || !positions.every((position) => movesByType(members, position))) return undefined;
  const moving = [...byPosition].map(([position, leaps]) => ({
    position,
    ...closureOf(leaps.map(({ step }) => step)),
  }));
  return { moving, members };
}

/**
 * The clause as a step and then a call of a node that is `wanted`, if it is that. (The text of a step through a closure
 * can be long.)
 */
export function nodeStepOf(
  clause: NodeClause,
  wanted: (target: PredicateNode) => boolean = () => true,
): NodeStep | undefined {
  const [call, ...others] = nodeCalls(clause);
  const found = call && others.length === 0 && wanted(call.node) ? stepOf(clause, call) : undefined;
  return call && found && found !== "nowhere" ? leap(found.position, found.step, call.node) : undefined;
}

/** By position, the types of the open arguments. */
export function openTypes(node: PredicateNode): TypeName[] {
  return node.args.flatMap((arg) => (arg.kind === "open" ? [arg.type] : []));
}

/** `undefined` where a node does anything but steps and then one call within the component. */
function splitNodes(nodes: readonly PredicateNode[]): Members | undefined {
  const within = new Set(nodes);
  const facts = new Map<PredicateNode, NodeClause[]>();
  const split = new Map<PredicateNode, Pick<Member, "steps" | "base">>();
  for (const node of nodes) {
    const leaps: NodeStep[] = [];
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
      if (found !== "nowhere") leaps.push(leap(found.position, found.step, call.node));
    }
    split.set(node, { steps: distinct(leaps), base: base.filter((clause) => !addsNothing(clause, leaps)) });
  }
  return new Map([...split].map(([node, parts]) => [node, { ...parts, facts: facts.get(node) ?? [] }]));
}

/** What answers the call of a node besides the node. */
function factsOf(clause: NodeClause, call: SpecialisedCall): NodeClause[] {
  if (!call.fact && !call.context) return [];
  const body = { types: clause.body.types, literals: [{ ...call, node: undefined }] };
  return [{ ...clause, head: openArguments(call), body }];
}

/** `writer on parent` adds nothing to `reader on parent` where every writer is a reader. */
function addsNothing(clause: NodeClause, leaps: readonly NodeStep[]): boolean {
  const found = nodeStepOf(clause);
  return found !== undefined && leaps.some(({ key, target }) => key === found.key && target.copies.has(found.target));
}

function leap(position: number, step: ClosureStep, target: PredicateNode): NodeStep {
  return { position, step, target, key: `${position} ${closureStepKey(step)}` };
}

function distinct(leaps: readonly NodeStep[]): NodeStep[] {
  return [...new Map(leaps.map((one) => [`${one.target.id} ${one.key}`, one])).values()];
}

function nodeCalls(clause: NodeClause): (SpecialisedCall & { readonly node: PredicateNode })[] {
  return clause.body.literals.filter(isNodeCall);
}

function isNodeCall(literal: SpecialisedLiteral): literal is SpecialisedCall & { readonly node: PredicateNode } {
  return literal.kind === "call" && literal.node !== undefined;
}

/**
 * Takes out nodes until no two are of the same types: always the same ones, so that all questions read the same
 * closures.
 */
function withDistinctTypes(members: Members): Members | undefined {
  let left = members;
  for (;;) {
    const alike = Map.groupBy(left, ([node]) => typeListKey(openTypes(node)));
    const several = [...alike.values()].filter((group) => group.length > 1).flat();
    if (several.length === 0) return left;
    const [between] = several
      .filter(([node, { steps: leaps }]) => leaps.every(({ target }) => target !== node))
      .sort(([left], [right]) => compareNodes(left, right));
    const fewer = between && without(...between, left);
    if (!fewer) return undefined;
    left = fewer;
  }
}

/** Data directories keep closures, so the order of nodes must not depend on the version. */
function compareNodes(left: PredicateNode, right: PredicateNode): number {
  const others = orderOf(right);
  for (const [index, text] of orderOf(left).entries()) {
    const other = others[index] ?? "";
    if (text !== other) return text < other ? -1 : 1;
  }
  return 0;
}

/** Constants come before types, and types before arguments of any type. */
function orderOf({ predicate, args }: PredicateNode): string[] {
  const texts = args.map((arg) => {
    if (arg.kind === "const") return `const ${arg.value.type} ${arg.value.id}`;
    return arg.type === undefined ? "open~" : `open ${arg.type}`;
  });
  return [predicate, ...texts];
}

/**
 * The others, with what the node does in place of steps to it; `undefined` where that is no step or becomes too much.
 */
function without(node: PredicateNode, member: Member, members: Members): Members | undefined {
  const left = new Map<PredicateNode, Member>();
  let clauses = 0;
  for (const [other, { steps: leaps, base, facts }] of members) {
    if (other === node) continue;
    const [to, elsewhere] = [leaps.filter(isTo), leaps.filter((one) => !isTo(one))];
    const onwards = to.flatMap((first) => member.steps.map((second) => ({ first, second })));
    if (onwards.some(({ first, second }) => first.position !== second.position)) return undefined;
    const onward = onwards.map(({ first, second }) =>
      leap(first.position, compose(first.step, second.step), second.target),
    );
    if (onward.some(({ step }) => step.atoms.length > stepAtomsMax)) return undefined;
    const ends = to.flatMap((first) =>
      [...member.base, ...member.facts].map((clause) => behindStep(other, first, clause)),
    );
    left.set(other, { steps: distinct([...elsewhere, ...onward]), base: [...base, ...ends], facts });
    clauses += elsewhere.length + onward.length + base.length + ends.length;
  }
  return clauses > clausesMax ? undefined : left;

  function isTo({ target }: NodeStep): boolean {
    return target === node;
  }
}

/** The clause for whoever is one step away from it. */
function behindStep(node: PredicateNode, { position, step }: NodeStep, clause: NodeClause): NodeClause {
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
 * Whether all steps of the argument hang on its own type alone, and lead from a type to another; a single node may be
 * of any.
 */
function movesByType(members: Members, position: number): boolean {
  if (members.size === 1) return true;
  const ways = new Map<TypeName, string>();
  return [...members].every(([node, { steps: leaps }]) => {
    const type = openTypes(node)[position];
    const own = leaps.flatMap((one) => (one.position === position ? [one.key] : []));
    const way = listKey(own.sort());
    const known = ways.get(type) ?? way;
    ways.set(type, way);
    return type !== undefined && known === way;
  });
}

/** The closure of any of the steps. */
function closureOf(found: readonly ClosureStep[]): Pick<MovedArgument, "closure" | "isReverse"> {
  const isReverse = found.every(isBackward);
  return { closure: closureOver(found.map((step) => (isReverse ? inverse(step) : step))), isReverse };
}
