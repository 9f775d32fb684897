/**
 * Linear recursion as two common table expressions (magic sets; Beeri and Ramakrishnan 1991). `demand` has the needed
 * calls of the strongly connected nodes: it starts from the seed and follows the facts that a rule joins before its
 * recursive call. `answers` evaluates the rules bottom-up for demanded calls. Both are sets (`UNION`), so they end on
 * cycles in the data. Each pair of a node and a mode (pattern of known arguments) has its own clauses; the `tag` of a
 * row identifies node, mode and wildcard variant.
 *
 * If the question is a yes or no and the demanded call alone decides each recursive call, `answers` is not recursive:
 * any demanded call that a base clause answers is a hit.
 */
import { must } from "../../util/assert.ts";
import { type FlatArgument, type FlatClause, type FlatTerm, NotPlannable, type RecursiveAtom } from "../ir/flat.ts";
import { flatArgumentKey } from "../ir/key.ts";
import type { Relation, Select } from "../ir/select.ts";
import { openTypes, type PredicateNode } from "../ir/specialised.ts";
import { bindingName, bindSource, boundBy, isKnown, joinOrder } from "../rewrite/join-order.ts";
import {
  type AnswerVariant,
  plainRelation,
  type RecursionPlanner,
  refuseLostVariables,
  refuseRepeatedWildcard,
  resolveClause,
  type Seed,
  seedFor,
} from "../rewrite/resolve-recursion.ts";
import { simplify } from "../rewrite/simplify.ts";
import { unfoldNode, type UnfoldOptions } from "../rewrite/unfold.ts";
import { emitSelect, type SqlContext } from "./emit.ts";

/** A node with a mode. */
interface Moded {
  readonly node: PredicateNode;
  readonly mode: string;
  readonly tag: number;
  /** Known arguments are `@position`, which are columns of the demand; the others are variables. */
  readonly args: readonly FlatTerm[];
  readonly demand: Relation;
  readonly clauses: readonly ModedClause[];
}

interface ModedClause {
  readonly clause: FlatClause;
  readonly inner: { readonly atom: RecursiveAtom; readonly target: Moded } | undefined;
}

/** The answers of a moded node with a certain pattern of wildcards. */
interface Variant {
  readonly tag: number;
  readonly wild: ReadonlySet<number>;
}

export interface RecursionOptions {
  readonly context: SqlContext;
  readonly unfold: UnfoldOptions;
  /** Defines a table expression: the union `body` of the selections, which have a tag and `columns` columns. */
  define(name: string, columns: number, body: string, selections: readonly string[]): void;
  name(prefix: string): string;
  /** Plans the recursive nodes of lower components. */
  planner: RecursionPlanner;
}

/** The recursion of one node with one mode. All methods throw `NotPlannable` if SQL can't express it. */
export class Recursion {
  readonly #options: RecursionOptions;
  readonly #fixed: ReadonlyMap<number, FlatTerm>;
  readonly #demand: string;
  readonly #answers: string;
  readonly #moded = new Map<string, Moded>();
  readonly #root: Moded;
  readonly #variants = new Map<Moded, Map<string, Variant>>();
  #variantCount = 0;

  /** `fixed` are the arguments, by position, that the recursion never changes. They need no column. */
  constructor(
    node: PredicateNode,
    mode: string,
    options: RecursionOptions,
    fixed: ReadonlyMap<number, FlatTerm> = new Map(),
  ) {
    this.#options = options;
    this.#fixed = fixed;
    this.#demand = options.name("demand");
    this.#answers = options.name("answers");
    this.#root = this.#take(node, mode);
  }

  /** The recursion for one seed. Values of the request that it never changes are substituted in the rules. */
  static from(node: PredicateNode, mode: string, seed: Seed, options: RecursionOptions): Recursion {
    const fixed = new Map<number, FlatTerm>();
    knownPositions(mode).forEach((position, index) => {
      const arg = must(seed.args[index]);
      if (isKnown(arg, new Set())) fixed.set(position, arg);
    });
    for (;;) {
      const recursion = new Recursion(node, mode, options, new Map(fixed));
      const moving = recursion.#movingArguments();
      if (moving.length === 0) return recursion;
      for (const position of moving) fixed.delete(position);
    }
  }

  #movingArguments(): number[] {
    const inner = [...this.#moded.values()].flatMap(({ clauses }) => clauses.flatMap((entry) => entry.inner ?? []));
    return [...this.#fixed].flatMap(([position, term]) =>
      inner.every(({ atom, target }) => target.mode[position] === "b" && isSame(atom.args[position], term))
        ? []
        : [position],
    );
  }

  /**
   * An estimate of how far the recursion fans out: ten for each step against a relation (from a folder to its
   * children), one for each free argument, because most relations lead from many values to few.
   */
  cost(): number {
    let cost = 0;
    for (const { clauses, demand, args, mode } of this.#moded.values()) {
      cost += mode.split("f").length - 1;
      for (const { clause, inner } of clauses) {
        if (!inner) continue;
        const { seed } = this.#seedOf(clause, inner.atom, demand);
        const walked = seed.relations.filter((relation) => relation !== demand);
        cost += 10 * reverseSteps(walked, demand.args, new Set());
        const open = new Set(args.flatMap((arg) => (arg.kind === "var" ? [bindingName(arg) ?? ""] : [])));
        if (open.size > 0) cost += 10 * reverseSteps(clause.atoms.flatMap(plainRelation), inner.atom.args, open);
      }
    }
    return cost;
  }

  /** Defines the expressions. Returns the variants of the answers for these arguments. */
  answers(seed: Seed, args: readonly FlatTerm[]): AnswerVariant[] {
    this.#defineDemand(seed);
    this.#defineAnswers();
    return [...must(this.#variants.get(this.#root)).values()].map((variant) => this.#answer(variant, args));
  }

  /** A source with a row if any seed leads to an answer; `undefined` if demanded calls alone do not decide that. */
  hits(seed: Seed): Relation | undefined {
    for (const { mode, clauses, demand } of this.#moded.values()) {
      if (mode.includes("f") || !clauses.every((entry) => this.#isWalk(entry, demand))) return undefined;
    }
    this.#defineDemand(seed);
    const { context, define, planner } = this.#options;
    const base = [...this.#moded.values()].flatMap(({ clauses, demand }) =>
      clauses.flatMap(({ clause, inner }) => {
        const selects = inner ? [] : resolveClause(clause, planner, [demand]);
        return selects.map((select) => emitSelect(select, () => "0", context, new Map(), demand));
      }),
    );
    if (base.length === 0) return undefined;
    define(this.#answers, 0, base.join(" UNION ALL "), base);
    return this.#tagged(this.#answers, 0, []);
  }

  /** True if the clause is equivalent to its recursive call: the demand has all its other facts and conditions. */
  #isWalk({ clause, inner }: ModedClause, demand: Relation): boolean {
    if (!inner) return true;
    const { seed } = this.#seedOf(clause, inner.atom, demand);
    const walked = seed.relations.filter((relation) => relation !== demand).length;
    const isWhole = walked === clause.atoms.length - 1 && seed.conditions.length === clause.conditions.length;
    return isWhole && clause.negations.length === 0;
  }

  #take(node: PredicateNode, mode: string): Moded {
    const key = `${node.id} ${mode}`;
    const taken = this.#moded.get(key);
    if (taken) return taken;
    const args = openTypes(node).map((type, position): FlatTerm =>
      mode[position] === "b"
        ? (this.#fixed.get(position) ?? { kind: "param", name: `@${position}`, type })
        : { kind: "var", id: this.#options.unfold.fresh(), type },
    );
    const clauses: ModedClause[] = [];
    const tag = this.#moded.size;
    const known = args.filter((_, position) => mode[position] === "b");
    const demand = { ...this.#tagged(this.#demand, tag, this.#demanded(mode, known)), leads: true };
    const moded: Moded = { node, mode, tag, args, demand, clauses };
    this.#moded.set(key, moded);
    this.#variants.set(moded, new Map());
    for (const clause of simplify(unfoldNode(node, args, this.#options.unfold))) {
      const inner = clause.atoms.filter(
        (atom): atom is RecursiveAtom => atom.kind === "recursive" && atom.node.component === node.component,
      );
      const [atom] = inner;
      if (inner.length > 1) throw new NotPlannable("recursion that is not linear");
      const target = atom && this.#take(atom.node, this.#seedOf(clause, atom, demand).mode);
      clauses.push({ clause, inner: atom && target ? { atom, target } : undefined });
    }
    return moded;
  }

  #seedOf(clause: FlatClause, atom: RecursiveAtom, demand: Relation): { seed: Seed; mode: string } {
    return seedFor(atom, clause.atoms.flatMap(plainRelation), clause.conditions, [demand]);
  }

  /** Whether there is only one call and all its known arguments are fixed, so that the demand has no columns. */
  #isUnit(): boolean {
    const [only, ...others] = this.#moded.values();
    return others.length === 0 && only?.demand.args.length === 0;
  }

  /** The known arguments that have a column in the demand, in order. */
  #demanded(mode: string, known: readonly FlatTerm[]): FlatTerm[] {
    const positions = knownPositions(mode);
    return known.filter((_, index) => !this.#fixed.has(must(positions[index])));
  }

  #tagged(name: string, tag: number, args: readonly FlatTerm[], columns = args.map((_, index) => index)): Relation {
    return { table: { kind: "tagged", name, tag, columns }, args, computed: true };
  }

  #defineDemand(seed: Seed): void {
    const { context, define } = this.#options;
    const width = Math.max(...[...this.#moded.values()].map((moded) => moded.demand.args.length));
    const row = (tag: number) => (head: readonly string[]) => [tag, ...pad(head, width)].join(", ");
    const head = this.#demanded(this.#root.mode, seed.args);
    const start: Select = { head, relations: seed.relations, conditions: seed.conditions, negations: [] };
    const steps = [...this.#moded.values()].flatMap((moded) =>
      moded.clauses.flatMap(({ clause, inner }) => {
        if (!inner) return [];
        const { seed: step } = this.#seedOf(clause, inner.atom, moded.demand);
        const head = this.#demanded(inner.target.mode, step.args);
        // A call that demands only itself adds nothing.
        if (inner.target === moded && head.every((term, index) => isSame(term, must(moded.demand.args[index]))))
          return [];
        const relations = step.relations.filter((relation) => relation !== moded.demand);
        const select: Select = { head, relations, conditions: step.conditions, negations: [] };
        return [emitSelect(select, row(inner.target.tag), context, new Map(), moded.demand)];
      }),
    );
    if (this.#isUnit()) {
      context.units.add(this.#demand);
      return;
    }
    const selections = [emitSelect(start, row(this.#root.tag), context), ...new Set(steps)];
    define(this.#demand, width, selections.join(" UNION "), selections);
  }

  #defineAnswers(): void {
    const { context, define } = this.#options;
    const width = Math.max(...[...this.#moded.values()].map((moded) => moded.args.length));
    const base: string[] = [];
    const steps: string[] = [];
    const resolved = [...this.#moded.values()].flatMap((moded) =>
      moded.clauses.map((entry) => ({ moded, ...entry, selects: this.#resolve(moded, entry) })),
    );
    const done = new Set<string>();
    for (let grown = true; grown;) {
      grown = false;
      resolved.forEach(({ moded, clause, inner, selects }, index) => {
        for (const [number, select] of selects.entries()) {
          for (const variant of inner ? [...must(this.#variants.get(inner.target)).values()] : [undefined]) {
            const key = `${index} ${number} ${variant?.tag ?? ""}`;
            if (done.has(key)) continue;
            done.add(key);
            grown = true;
            const first = inner && variant ? this.#answer(variant, inner.atom.args).relation : undefined;
            const sources = [...select.relations, moded.demand, ...(first ? [first] : [])];
            if (first) refuseLostVariables(clause, sources);
            const tag = this.#variantOf(moded, select.head, sources).tag;
            const columns = (head: readonly string[]): string => [tag, ...pad(head, width)].join(", ");
            const relations = first ? [...select.relations, moded.demand] : select.relations;
            const whole = { ...select, relations };
            (first ? steps : base).push(emitSelect(whole, columns, context, new Map(), first ?? moded.demand));
          }
        }
      });
    }
    // The recursive expression is a set anyway, so its start needs no sort for duplicates.
    if (base.length === 0) return;
    const body = [base.join(" UNION ALL "), ...steps].join(steps.length > 0 ? " UNION " : "");
    define(this.#answers, width, body, [...base, ...steps]);
  }

  #resolve(moded: Moded, { clause, inner }: ModedClause): Select[] {
    const without = { ...clause, atoms: clause.atoms.filter((atom) => atom !== inner?.atom) };
    const later = inner ? [this.#tagged(this.#answers, 0, inner.atom.args)] : [];
    return resolveClause(without, this.#options.planner, [moded.demand], later);
  }

  #variantOf(moded: Moded, head: readonly FlatTerm[], sources: readonly Relation[]): Variant {
    refuseRepeatedWildcard(head, sources);
    const bound = boundBy(sources);
    const wild = head.flatMap((term, position) =>
      term.kind === "var" && !bound.has(bindingName(term) ?? "") ? [position] : [],
    );
    const made = (): Variant => ({ tag: this.#variantCount++, wild: new Set(wild) });
    return must(this.#variants.get(moded)).getOrInsertComputed(wild.join(" "), made);
  }

  #answer(variant: Variant, args: readonly FlatTerm[]): AnswerVariant {
    const columns = args.flatMap((_, position) => (variant.wild.has(position) ? [] : [position]));
    const present = columns.map((position) => must(args[position]));
    return { relation: this.#tagged(this.#answers, variant.tag, present, columns), wild: [...variant.wild] };
  }
}

function pad(columns: readonly string[], width: number): string[] {
  return [...columns, ...new Array<string>(width - columns.length).fill("NULL")];
}

/**
 * The joins of `relations` against their direction, in the join order from `known`; with `open`, only those that bind
 * one of these variables.
 */
function reverseSteps(
  relations: readonly Relation[],
  known: readonly FlatArgument[],
  open: ReadonlySet<string>,
): number {
  const bound = new Set(known.flatMap((term) => bindingName(term) ?? []));
  return joinOrder(relations, new Set(bound)).filter((relation) => {
    const [first] = relation.args;
    const isReverse = first !== undefined && !isKnown(first, bound);
    const binds = relation.args.some((arg) => open.has(bindingName(arg) ?? "") && !isKnown(arg, bound));
    bindSource(relation, bound);
    return isReverse && (open.size === 0 || binds);
  }).length;
}

function knownPositions(mode: string): number[] {
  return [...mode].flatMap((known, position) => (known === "b" ? [position] : []));
}

function isSame(left: FlatArgument | undefined, right: FlatArgument): boolean {
  return left !== undefined && flatArgumentKey(left) === flatArgumentKey(right);
}
