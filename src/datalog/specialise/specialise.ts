/**
 * Specialisation of the program for goals: a finite graph of nodes. A node is a predicate with a type or constant for
 * each argument; its clauses are the rules that can derive it, with types. Further passes drop clauses that nothing can
 * answer, collapse copy rules (`"reader" if "writer"`), and mark nodes that reach themselves as recursive.
 */
import { must } from "../../util/assert.ts";
import { findCycles } from "../analysis/components.ts";
import { type FactType, isCovered } from "../analysis/fact-types.ts";
import { budget } from "../analysis/too-large.ts";
import { inferTypings, withDemandedTypes, withoutTypeVariables } from "../analysis/typings.ts";
import type { ArgumentPattern } from "../ir/argument-index.ts";
import { listKey, nodeArgumentKey, stringKey, typeListKey } from "../ir/key.ts";
import {
  type Constant,
  type DatalogProgram,
  literalVariables,
  type ProgramLiteral,
  type ProgramRule,
  type ProgramTerm,
  requiredTypes,
  substitute,
  termVariables,
} from "../ir/program.ts";
import { type Signatures, termType, type TypeName } from "../ir/signature.ts";
import {
  type NodeArgument,
  type NodeClause,
  openArguments,
  openTypes,
  type PredicateNode,
  type SpecialisedBody,
  type SpecialisedCall,
  type SpecialisedLiteral,
} from "../ir/specialised.ts";
import type { ClosureChoice } from "./closures.ts";

/** `context` are the types of the request's context facts. */
export interface SpecialiseOptions {
  readonly program: DatalogProgram;
  readonly facts: readonly FactType[];
  readonly context: readonly FactType[];
  readonly signatures: Signatures;
  /** Whether questions may read a closure. Without it, recursion is not replaced. */
  readonly closures?: ClosureChoice;
  readonly nodesMax: number;
  readonly typingsMax: number;
}

/** Thrown if a goal needs more nodes than the limit. */
export class TooManyNodes extends Error {}

export interface Goal {
  readonly calls: readonly { readonly predicate: string; readonly args: readonly ProgramTerm[] }[];
  /** By variable. */
  readonly types: readonly TypeName[];
}

/** The predicates that goals reach, as nodes, and the calls of each goal, resolved to these nodes. */
export interface NodeGraph {
  readonly nodes: readonly PredicateNode[];
  readonly goals: readonly SpecialisedBody[];
}

/** Specialises the goals and all that they reach. All goals share one graph. Throws `TooManyNodes`. */
export function specialiseGoals(goals: readonly Goal[], options: SpecialiseOptions): NodeGraph {
  const builder = new GraphBuilder(options);
  const bodies = goals.map(({ calls, types }) => {
    const scope = new Set(types.keys());
    return { types, literals: calls.map((call) => builder.resolve({ kind: "call", ...call }, types, scope)) };
  });
  builder.grow();
  return { nodes: builder.nodes, goals: bodies };
}

class GraphBuilder {
  readonly nodes: PredicateNode[] = [];
  readonly #known = new Map<string, PredicateNode>();
  readonly #options: SpecialiseOptions;
  readonly #spend: (typings: number) => void;
  #grown = 0;

  constructor(options: SpecialiseOptions) {
    this.#options = options;
    const spend = budget(options.typingsMax, "types");
    this.#spend = (typings) => spend(typings, undefined);
  }

  grow(): void {
    for (; this.#grown < this.nodes.length; this.#grown++) {
      const node = must(this.nodes[this.#grown]);
      const rules = this.#options.program.heads.get(node.predicate);
      const candidates = rules?.candidates(node.args.map(argumentOfNode)) ?? [];
      node.clauses = candidates.flatMap((rule) => this.#clauses(node, rule));
    }
  }

  /** `scope` are the variables that the literal shares with the enclosing body. */
  resolve(literal: ProgramLiteral, types: readonly TypeName[], scope: ReadonlySet<number>): SpecialisedLiteral {
    if (literal.kind === "not") {
      const outer = new Set(literalVariables(literal).filter((variable) => scope.has(variable)));
      return { kind: "not", bodies: this.#negated(literal.body, types, outer), outer };
    }
    if (literal.kind !== "call") return literal;
    const { predicate, args } = literal;
    const argTypes = args.map((arg) => (arg.kind === "var" ? types[arg.index] : termType(arg)));
    const loosely = (accepted: readonly TypeName[]): boolean =>
      accepted.every((type, position) => argTypes[position] === undefined || type === argTypes[position]);
    return {
      kind: "call",
      predicate,
      args,
      fact: isCovered(this.#options.facts, predicate, argTypes),
      context: this.#options.context.some((fact) => fact.predicate === predicate && loosely(fact.types)),
      node: this.#options.program.heads.has(predicate) ? this.#node(predicate, args, argTypes) : undefined,
    };
  }

  #node(predicate: string, args: readonly ProgramTerm[], types: readonly TypeName[]): PredicateNode {
    const patterns = args.map((arg, position): NodeArgument =>
      arg.kind === "const" ? { kind: "const", value: arg.value } : { kind: "open", type: types[position] },
    );
    return this.#known.getOrInsertComputed(listKey([stringKey(predicate), ...patterns.map(nodeArgumentKey)]), () => {
      if (this.nodes.length >= this.#options.nodesMax) throw new TooManyNodes();
      const node: PredicateNode = {
        id: this.nodes.length,
        predicate,
        args: patterns,
        clauses: [],
        copies: new Set(),
        component: 0,
        recursive: false,
        productive: false,
      };
      this.nodes.push(node);
      return node;
    });
  }

  /** The rule as clauses of the node, one for each typing that fits the node. */
  #clauses(node: PredicateNode, rule: ProgramRule): NodeClause[] {
    const match = matchHead(node, rule);
    if (!match) return [];
    const { constants, known } = match;
    const resolve = (term: ProgramTerm): ProgramTerm => {
      const constant = term.kind === "var" ? constants[term.index] : undefined;
      return constant ? { kind: "const", value: constant } : term;
    };
    const body = rule.body.map((literal) => substitute(literal, resolve));
    // A head with the clock is compared with a constant at run time.
    node.args.forEach((arg, position) => {
      const head = must(rule.head[position]);
      if (arg.kind === "const" && head.kind === "now") body.push({ kind: "equal", left: head, right: arg });
    });
    const head = openArguments(node, rule.head).map(resolve);
    const typed = rule.types.flatMap((types, variable) => (types ? [variable] : []));
    const scope = new Set([...head.flatMap(termVariables), ...ownVariables(body), ...typed]);
    const found = inferTypings(rule.types, body, this.#options.signatures, this.#spend, known);
    return withoutTypeVariables(withDemandedTypes(found, body, scope, this.#spend))
      .filter((types) => fitsOpenTypes(node, rule, types))
      .flatMap((types) =>
        this.#withBooleans(types, head, body, scope).map((clause) => ({
          head: clause.head,
          rule,
          body: { types, literals: clause.body.map((literal) => this.resolve(literal, types, scope)) },
        })),
      );
  }

  /**
   * The clause with `true` and with `false` in place of each Boolean of `scope` that not only calls restrict. No other
   * type has so few values that a rule can exclude them all, so that no value is left as a witness.
   */
  #withBooleans(
    types: readonly TypeName[],
    head: readonly ProgramTerm[],
    body: readonly ProgramLiteral[],
    scope: ReadonlySet<number>,
  ): readonly { readonly head: readonly ProgramTerm[]; readonly body: readonly ProgramLiteral[] }[] {
    if (!types.includes("Boolean")) return [{ head, body }];
    const tested = body.flatMap((literal) =>
      literal.kind === "call" || literal.kind === "type" ? [] : literalVariables(literal),
    );
    const asked = head.flatMap(termVariables);
    const repeated = asked.filter((variable, index) => asked.indexOf(variable) < index);
    let choices: ReadonlyMap<number, ProgramTerm>[] = [new Map()];
    for (const variable of new Set([...tested, ...repeated])) {
      if (types[variable] !== "Boolean" || !scope.has(variable)) continue;
      this.#spend(2 * choices.length);
      choices = choices.flatMap((known) =>
        ["true", "false"].map((id) => new Map(known).set(variable, { kind: "const", value: { type: "Boolean", id } })),
      );
    }
    return choices.map((known) => {
      const choose = (term: ProgramTerm): ProgramTerm =>
        (term.kind === "var" ? known.get(term.index) : undefined) ?? term;
      return { head: head.map(choose), body: body.map((literal) => substitute(literal, choose)) };
    });
  }

  /** The typings of a negated conjunction, given the types of the variables around it. */
  #negated(
    body: readonly ProgramLiteral[],
    around: readonly TypeName[],
    outer: ReadonlySet<number>,
  ): SpecialisedBody[] {
    const known = around.map((type, variable) => (outer.has(variable) ? type : undefined));
    const scope = new Set([...outer, ...ownVariables(body)]);
    const allowed: (ReadonlySet<string> | undefined)[] = [];
    for (const variable of body.flatMap(literalVariables)) allowed[variable] ??= undefined;
    for (let variable = 0; variable < Math.max(allowed.length, known.length); variable++)
      allowed[variable] ??= undefined;
    const required = body.flatMap(requiredTypes);
    for (const [term, types] of required) {
      for (const variable of termVariables(term)) {
        allowed[variable] = allowed[variable]?.intersection(types) ?? types;
      }
    }
    if (!required.every(([term, types]) => fitsConstant(term, types))) return [];
    const found = inferTypings(allowed, body, this.#options.signatures, this.#spend, known);
    const own = scope.difference(outer);
    return withoutTypeVariables(withDemandedTypes(found, body, scope, this.#spend)).flatMap((types) => {
      const narrowed = types.flatMap((type, variable): SpecialisedLiteral[] =>
        type !== undefined && outer.has(variable) && known[variable] === undefined
          ? [{ kind: "type", term: { kind: "var", index: variable }, types: new Set([type]) }]
          : [],
      );
      const tests = body.filter((literal) => literal.kind !== "type");
      return this.#withBooleans(types, [], tests, own).map((clause) => {
        const literals = clause.body.map((literal) => this.resolve(literal, types, scope));
        return { types, literals: [...narrowed, ...literals] };
      });
    });
  }
}

function argumentOfNode(arg: NodeArgument): ArgumentPattern {
  if (arg.kind === "const") return { types: new Set([arg.value.type]), id: arg.value.id };
  return { types: arg.type === undefined ? undefined : new Set([arg.type]), id: undefined };
}

/** What the node's arguments give to the variables of the head; `undefined` if they don't unify. */
function matchHead(
  node: PredicateNode,
  rule: ProgramRule,
): { constants: (Constant | undefined)[]; known: TypeName[] } | undefined {
  const constants: (Constant | undefined)[] = [];
  const known: TypeName[] = [];
  for (const [position, arg] of node.args.entries()) {
    const head = must(rule.head[position]);
    const type = arg.kind === "const" ? arg.value.type : arg.type;
    if (head.kind !== "var") {
      if (type !== undefined && termType(head) !== type) return undefined;
      if (arg.kind === "const" && head.kind === "const" && head.value.id !== arg.value.id) return undefined;
      continue;
    }
    const before = known[head.index];
    if (type !== undefined && before !== undefined && before !== type) return undefined;
    known[head.index] = type ?? before;
    if (arg.kind !== "const") continue;
    const other = constants[head.index];
    if (other && other.id !== arg.value.id) return undefined;
    constants[head.index] = arg.value;
  }
  return { constants, known };
}

/**
 * False if the rule gives a certain type to an argument of any type. Callers have a typing with that type and call
 * another node for it, so this node has only the other answers, and the type of a wildcard is always known.
 */
function fitsOpenTypes(node: PredicateNode, rule: ProgramRule, types: readonly TypeName[]): boolean {
  return node.args.every((arg, position) => {
    if (arg.kind === "const" || arg.type !== undefined) return true;
    const term = must(rule.head[position]);
    return term.kind === "var" && types[term.index] === undefined;
  });
}

/** The variables of a conjunction, without those that occur only in its negations. */
function ownVariables(body: readonly ProgramLiteral[]): number[] {
  return body.flatMap((literal) => (literal.kind === "not" ? [] : literalVariables(literal)));
}

function fitsConstant(term: ProgramTerm, types: ReadonlySet<string>): boolean {
  const type = termType(term);
  return type === undefined || types.has(type);
}

/** Removes clauses with a call that nothing can answer, and such goals: they become `undefined`. */
export function removeUnproductive({ nodes, goals }: NodeGraph): readonly (SpecialisedBody | undefined)[] {
  markProductive(nodes);
  for (const node of nodes) node.clauses = node.clauses.filter(isProductive).map(prune);
  return goals.map((body) => (isProductive({ body }) ? prune({ body }).body : undefined));
}

function markProductive(nodes: readonly PredicateNode[]): void {
  for (let changed = true; changed;) {
    changed = false;
    for (const node of nodes) {
      if (node.productive || !node.clauses.some(isProductive)) continue;
      node.productive = true;
      changed = true;
    }
  }
}

function isProductive(clause: { readonly body: SpecialisedBody }): boolean {
  return clause.body.literals.every((literal) => literal.kind !== "call" || canAnswer(literal));
}

function canAnswer(call: SpecialisedCall): boolean {
  return call.fact || call.context || (call.node?.productive ?? false);
}

/** Removes unproductive nodes from calls, and bodies that can't be true from negations. */
function prune<C extends { readonly body: SpecialisedBody }>(clause: C): C {
  const literals = clause.body.literals.flatMap((literal): SpecialisedLiteral[] => {
    if (literal.kind === "call")
      return [literal.node?.productive === false ? { ...literal, node: undefined } : literal];
    if (literal.kind !== "not") return [literal];
    const bodies = literal.bodies.filter((body) => isProductive({ body })).map((body) => prune({ body }).body);
    return bodies.length > 0 ? [{ ...literal, bodies }] : [];
  });
  return { ...clause, body: { ...clause.body, literals } };
}

/** Replaces a copy clause by the clauses of the copied node, so that role hierarchies cost nothing at query time. */
export function collapseCopies(nodes: readonly PredicateNode[]): void {
  const sources = new Map(
    nodes.map((node) => [node, node.clauses.flatMap((clause) => copySource(node, clause) ?? [])]),
  );
  const own = new Map(nodes.map((node) => [node, node.clauses.filter((clause) => !copySource(node, clause))]));
  for (const node of nodes) {
    const reached = new Set([node]);
    for (const copied of reached) for (const source of sources.get(copied) ?? []) reached.add(source.node);
    node.copies = reached;
  }
  for (const node of nodes) {
    const facts = [...node.copies].flatMap((copied) => (sources.get(copied) ?? []).map((source) => source.rest));
    node.clauses = [
      ...[...node.copies].flatMap((copied) => own.get(copied) ?? []),
      ...facts.flatMap((rest) => rest ?? []),
    ];
  }
}

/** The node to which the clause only passes its arguments, and facts of that call; `undefined` for other clauses. */
function copySource(
  node: PredicateNode,
  clause: NodeClause,
): { node: PredicateNode; rest: NodeClause | undefined } | undefined {
  const [call, ...others] = clause.body.literals;
  if (others.length > 0 || call?.kind !== "call" || !call.node) return undefined;
  const open = openArguments(call.node, call.args);
  const isCopy =
    open.length === clause.head.length &&
    new Set(clause.head.flatMap(termVariables)).size === open.length &&
    open.every((arg, position) => {
      const head = clause.head[position];
      return arg.kind === "var" && head?.kind === "var" && arg.index === head.index;
    }) &&
    typeListKey(openTypes(node)) === typeListKey(openTypes(call.node));
  if (!isCopy) return undefined;
  const rest =
    call.fact || call.context
      ? { ...clause, body: { ...clause.body, literals: [{ ...call, node: undefined }] } }
      : undefined;
  return { node: call.node, rest };
}

export function markRecursion(nodes: readonly PredicateNode[]): void {
  const successors = new Map(nodes.map((node) => [node, node.clauses.flatMap((clause) => calledNodes(clause.body))]));
  const { components, cyclic } = findCycles(nodes, (node) => must(successors.get(node)));
  for (const node of nodes) {
    node.component = must(components.get(node));
    node.recursive = cyclic.has(node);
  }
}

function calledNodes(body: SpecialisedBody): PredicateNode[] {
  return body.literals.flatMap((literal) => {
    if (literal.kind === "call") return literal.node ? [literal.node] : [];
    return literal.kind === "not" ? literal.bodies.flatMap(calledNodes) : [];
  });
}
