/**
 * Closures: recursion that only walks stored relations, made into a table of its own. `reader on folder if reader on its parent` asks for all
 * folders above; which those are is the transitive closure of `parent`, and no question has to walk it where the store keeps it. A node of the
 * graph is rewritten from "its base, or a step and then itself" to "its base, or the closure of the step and then its base", which is no
 * recursion any more. That is exact where each step moves one argument along stored facts and leaves the others as they are: steps of
 * different arguments then don't see each other, and their closures multiply. Everything else is walked when it is asked.
 */
import { must } from "../util/assert.ts";
import type { Constant, ProgramTerm } from "./program.ts";
import { termVariables } from "./program.ts";
import type { TypeName } from "./signature.ts";
import type { Literal, Node, NodeClause } from "./specialise.ts";

export type StepTerm =
  { readonly kind: "var"; readonly index: number } | { readonly kind: "const"; readonly value: Constant };

/** A conjunction of stored facts that leads from variable 0 to variable 1. */
export interface Step {
  readonly atoms: readonly { readonly predicate: string; readonly args: readonly StepTerm[] }[];
  /** By variable; `undefined` for any type. */
  readonly types: readonly TypeName[];
}

export interface Closure {
  /** The steps as text: equal steps, one closure. As the predicate of a call it is a stored relation from one end to the other. */
  readonly name: string;
  /** Any of them is a step. */
  readonly steps: readonly Step[];
}

/** No predicate of a policy begins like this. */
export function isClosure(predicate: string): boolean {
  return predicate.startsWith("[");
}

/** The predicates of the facts that a closure is made of. */
export function predicatesOf(name: string): Set<string> {
  const steps = JSON.parse(name) as readonly Step[];
  return new Set(steps.flatMap(({ atoms }) => atoms.map(({ predicate }) => predicate)));
}

/** Says of a closure whether the store keeps it. */
export type ClosureChoice = (closure: Closure) => boolean;

/** More arguments that move would multiply each clause by more than it is worth. */
const movingMax = 3;

type Call = Extract<Literal, { kind: "call" }>;

/** An argument of a node that steps move, by its number among the open ones. */
interface Moving {
  readonly position: number;
  readonly closure: Closure;
  /** True where the steps go against the direction of their facts, which a closure never does. */
  readonly isReverse: boolean;
}

/** By position and by their text, the steps that move an argument. */
type Steps = ReadonlyMap<number, ReadonlyMap<string, Step>>;

interface Split {
  readonly moving: readonly Moving[];
  readonly steps: Steps;
  readonly base: readonly NodeClause[];
  /** The node's call of itself: facts of its predicate answer it too. */
  readonly again: { readonly call: Call; readonly clause: NodeClause } | undefined;
}

/** Rewrites the nodes whose closures are kept. `component` as in `Node`. True where any was. */
export function useClosures(nodes: readonly Node[], choose: ClosureChoice): boolean {
  const members = Map.groupBy(nodes, (node) => node.component);
  const rewritten = new Map<Node, Split>();
  for (const node of nodes) {
    const split = node.recursive && members.get(node.component)?.length === 1 ? splitClauses(node) : undefined;
    if (!split) continue;
    const kept = split.moving.map(({ closure }) => choose(closure));
    if (!kept.includes(false)) rewritten.set(node, split);
  }
  for (const [node, split] of rewritten) node.clauses = [...split.base, ...beyond(node, split)];
  for (const node of nodes) node.clauses = throughClosures(node, rewritten);
  return rewritten.size > 0;
}

/** What contains a rewritten node has its clauses, the step among them: a step and then the closure are the closure. */
function throughClosures(node: Node, rewritten: ReadonlyMap<Node, Split>): NodeClause[] {
  const taken = new Set<Node>();
  const clauses = node.clauses.flatMap((clause) => {
    const [call, ...others] = clause.body.literals.filter((literal): literal is Call => isNodeCall(literal));
    const target = others.length === 0 ? call?.node : undefined;
    const split = target && target !== node && node.copies.has(target) ? rewritten.get(target) : undefined;
    if (!call || !target || !split || !isContained(clause, call, split.steps)) return [clause];
    taken.add(target);
    return [];
  });
  return [...clauses, ...[...taken].flatMap((target) => beyond(target, must(rewritten.get(target))))];
}

function splitClauses(node: Node): Split | undefined {
  const steps = new Map<number, Map<string, Step>>();
  const base: NodeClause[] = [];
  let again: Split["again"];
  for (const clause of node.clauses) {
    const calls = clause.body.literals.filter((literal) => literal.kind === "call" && literal.node === node);
    const [call] = calls as Call[];
    if (!call) {
      base.push(clause);
      continue;
    }
    const found = calls.length === 1 ? stepOf(clause, call) : undefined;
    if (!found) return undefined;
    again = { call, clause };
    if (found === "nowhere") continue;
    const known = steps.get(found.position) ?? new Map<string, Step>();
    steps.set(found.position, known.set(JSON.stringify(found.step), found.step));
  }
  if (steps.size > movingMax) return undefined;
  const moving = [...steps].map(([position, found]) => ({ position, ...closureOf([...found.values()]) }));
  return { moving, steps, base: base.filter((clause) => !addsNothing(node, clause, steps)), again };
}

function closureOf(found: readonly Step[]): Pick<Moving, "closure" | "isReverse"> {
  const isReverse = found.every(goesBack);
  const steps = found
    .map((step) => (isReverse ? turned(step) : step))
    .map((step) => ({ step, text: JSON.stringify(step) }))
    .sort((left, right) => (left.text < right.text ? -1 : 1));
  const name = `[${steps.map(({ text }) => text).join(",")}]`;
  return { closure: { name, steps: steps.map(({ step }) => step) }, isReverse };
}

/** Facts mostly lead from their first argument on: who is in a team is found from the member, not from the team. */
function goesBack({ atoms }: Step): boolean {
  const leads = (end: number): boolean =>
    atoms.some(({ args: [first] }) => first?.kind === "var" && first.index === end);
  return leads(1) && !leads(0);
}

function turned({ atoms, types: [from, to, ...others] }: Step): Step {
  const turn = (arg: StepTerm): StepTerm =>
    arg.kind === "var" && arg.index < 2 ? { kind: "var", index: 1 - arg.index } : arg;
  const renamed = atoms.map(({ predicate, args }) => ({ predicate, args: args.map(turn) }));
  return { atoms: renamed, types: [to, from, ...others] };
}

/** `writer on parent` adds nothing to `reader on parent` where every writer is a reader. */
function addsNothing(node: Node, clause: NodeClause, steps: Steps): boolean {
  const [call, ...others] = clause.body.literals.filter((literal): literal is Call => isNodeCall(literal));
  return (
    others.length === 0 && call?.node !== undefined && node.copies.has(call.node) && isContained(clause, call, steps)
  );
}

function isNodeCall(literal: Literal): boolean {
  return literal.kind === "call" && literal.node !== undefined;
}

/** Whether the clause is one of the steps and then the call. */
function isContained(clause: NodeClause, call: Call, steps: Steps): boolean {
  const found = stepOf(clause, call);
  return (
    found !== undefined && found !== "nowhere" && steps.get(found.position)?.has(JSON.stringify(found.step)) === true
  );
}

/**
 * The step of a clause that is `call` and a walk along stored facts to it; `nowhere` where the call is the head itself. `undefined` where it is
 * anything else: context facts, a condition, a step that reads one of the arguments which stay.
 */
function stepOf(
  clause: NodeClause,
  call: Call,
): { readonly position: number; readonly step: Step } | "nowhere" | undefined {
  const { head, body } = clause;
  const open = call.args.filter((_, position) => call.node?.args[position]?.kind === "open");
  const variables = head.flatMap(termVariables);
  if (open.length !== head.length || new Set(variables).size !== head.length) return undefined;
  const moved = open.flatMap((term, position) => (isVariable(term, variables[position]) ? [] : [position]));
  const [position] = moved;
  if (position === undefined) return "nowhere";
  const [from, to] = [variables[position], open[position]];
  if (moved.length > 1 || from === undefined || to?.kind !== "var" || variables.includes(to.index)) return undefined;
  const atoms = body.literals.filter((literal) => literal !== call);
  if (!atoms.every(isStored)) return undefined;
  const used = new Set(atoms.flatMap(({ args }) => args.flatMap(termVariables)));
  const staying = variables.filter((variable) => variable !== from);
  if (!used.has(from) || !used.has(to.index) || staying.some((variable) => used.has(variable))) return undefined;
  return { position, step: canonical(atoms, [from, to.index], body.types) };
}

function isVariable(term: ProgramTerm, index: number | undefined): boolean {
  return term.kind === "var" && term.index === index;
}

function isStored(literal: Literal): literal is Call {
  const isFact = literal.kind === "call" && literal.fact && !literal.context && literal.node === undefined;
  return isFact && literal.args.every((arg) => arg.kind !== "now");
}

/** The ends become variables 0 and 1, others follow in order of use. */
function canonical(atoms: readonly Call[], ends: readonly number[], types: readonly TypeName[]): Step {
  const numbers = new Map(ends.map((variable, index) => [variable, index]));
  const number = (variable: number): number => {
    const known = numbers.get(variable);
    if (known !== undefined) return known;
    numbers.set(variable, numbers.size);
    return numbers.size - 1;
  };
  const term = (arg: ProgramTerm): StepTerm[] => {
    if (arg.kind === "now") return [];
    return [arg.kind === "var" ? { kind: "var", index: number(arg.index) } : { kind: "const", value: arg.value }];
  };
  const renamed = atoms.map(({ predicate, args }) => ({ predicate, args: args.flatMap(term) }));
  return { atoms: renamed, types: [...numbers.keys()].map((variable) => types[variable]) };
}

/** The base behind the closures of any of the arguments that move, and facts of the node's predicate as well. */
function beyond(node: Node, { moving, base, again }: Split): NodeClause[] {
  const starts = again ? [...base, ...factsOf(again)] : base;
  return choices(moving).flatMap((chosen) =>
    chosen.length === 0 ? [] : starts.map((clause) => behind(node, clause, chosen)),
  );
}

function choices(moving: readonly Moving[]): (readonly Moving[])[] {
  return moving.reduce<(readonly Moving[])[]>(
    (chosen, next) => [...chosen, ...chosen.map((present) => [...present, next])],
    [[]],
  );
}

/** What answers the node's call of itself besides the node, as a clause. */
function factsOf({ call, clause }: NonNullable<Split["again"]>): NodeClause[] {
  if (!call.fact && !call.context) return [];
  const head = call.args.filter((_, position) => call.node?.args[position]?.kind === "open");
  return [{ ...clause, head, body: { types: clause.body.types, literals: [{ ...call, node: undefined }] } }];
}

/** The clause for whoever is one or more steps away from it, in each of the arguments `chosen`. */
function behind(node: Node, clause: NodeClause, chosen: readonly Moving[]): NodeClause {
  const open = node.args.flatMap((arg) => (arg.kind === "open" ? [arg.type] : []));
  const head = [...clause.head];
  const types = [...clause.body.types];
  const literals = [...clause.body.literals];
  for (const { position, closure, isReverse } of chosen) {
    const to = head[position];
    if (!to) continue;
    const from: ProgramTerm = { kind: "var", index: types.length };
    types.push(open[position]);
    literals.push({
      kind: "call",
      predicate: closure.name,
      args: isReverse ? [to, from] : [from, to],
      fact: true,
      context: false,
      node: undefined,
    });
    head[position] = from;
  }
  return { ...clause, head, body: { types, literals } };
}
