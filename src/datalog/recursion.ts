/**
 * Linear recursion as two common table expressions (magic sets; Beeri and Ramakrishnan 1991). `demand` holds which calls of the strongly
 * connected nodes are needed, walking from the seed through the facts that a rule joins before its recursive call. `answers` then works
 * bottom up, restricted to demanded calls. Both are sets (`UNION`), so cycles in the data end. A node is taken once for each pattern of known
 * arguments (mode), a row's `tag` says which node, mode and wildcard variant it belongs to.
 */
import { must } from "../util/assert.ts";
import { type Atom, type FlatClause, NotEnumerable, NotPlannable, type Term } from "./flat.ts";
import { bindSource, termKey } from "./order.ts";
import {
  type AnswerVariant,
  type PlanRecursion,
  plainRelation,
  refuseRepeatedWildcard,
  resolveClause,
  type Seed,
  seedFor,
  settle,
} from "./resolve-recursion.ts";
import { simplify } from "./simplify.ts";
import type { Node } from "./specialise.ts";
import { type Emission, emitSelect, type Relation, type Select } from "./sql.ts";
import { unfoldNode, type UnfoldOptions } from "./unfold.ts";

type RecursiveAtom = Extract<Atom, { kind: "recursive" }>;

/** A node with a pattern of known arguments. */
interface Moded {
  readonly node: Node;
  readonly mode: string;
  readonly tag: number;
  /** Known arguments are `@position`, columns of the demand; the others variables. */
  readonly args: readonly Term[];
  readonly demand: Relation;
  readonly clauses: readonly ModedClause[];
}

interface ModedClause {
  readonly clause: FlatClause;
  readonly inner: { readonly atom: RecursiveAtom; readonly target: Moded } | undefined;
}

/** A pattern of wildcards among the answers of a moded node. */
interface Variant {
  readonly tag: number;
  readonly wild: ReadonlySet<number>;
}

export interface RecursionOptions {
  readonly emission: Emission;
  readonly unfold: UnfoldOptions;
  /** Takes a common table expression, in order of definition. */
  define(name: string, columns: number, body: string): void;
  name(prefix: string): string;
  /** Plans the recursive nodes of lower components. */
  plan: PlanRecursion;
}

/** Defines the expressions for a recursive node and gives the variants of its answers. Throws `NotPlannable` where recursion is not linear. */
export function planRecursion(
  node: Node,
  mode: string,
  seed: Seed,
  args: readonly Term[],
  options: RecursionOptions,
): AnswerVariant[] {
  try {
    return new Recursion(node, mode, options).plan(seed, args);
  } catch (error) {
    if (error instanceof NotEnumerable)
      throw new NotPlannable("a recursive call with a free variable that only a negation restricts");
    throw error;
  }
}

class Recursion {
  readonly #options: RecursionOptions;
  readonly #demand: string;
  readonly #answers: string;
  readonly #moded = new Map<string, Moded>();
  readonly #root: Moded;
  readonly #variants = new Map<Moded, Map<string, Variant>>();
  #variantCount = 0;

  constructor(node: Node, mode: string, options: RecursionOptions) {
    this.#options = options;
    this.#demand = options.name("demand");
    this.#answers = options.name("answers");
    this.#root = this.#take(node, mode);
  }

  plan(seed: Seed, args: readonly Term[]): AnswerVariant[] {
    this.#defineDemand(seed);
    this.#defineAnswers();
    return [...must(this.#variants.get(this.#root)).values()].map((variant) => this.#answer(variant, args));
  }

  #take(node: Node, mode: string): Moded {
    const key = `${node.id} ${mode}`;
    const known = this.#moded.get(key);
    if (known) return known;
    const args = nodeTypes(node).map((type, position): Term =>
      mode[position] === "b"
        ? { kind: "param", name: `@${position}`, type }
        : { kind: "var", id: this.#options.unfold.fresh(), type },
    );
    const clauses: ModedClause[] = [];
    const tag = this.#moded.size;
    const demand = this.#tagged(
      this.#demand,
      tag,
      args.filter((_, position) => mode[position] === "b"),
    );
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

  #tagged(name: string, tag: number, args: readonly Term[], columns = args.map((_, index) => index)): Relation {
    return { table: { kind: "tagged", name, tag, columns }, args, computed: true };
  }

  #defineDemand(seed: Seed): void {
    const { emission, define } = this.#options;
    const width = Math.max(...[...this.#moded.values()].map((moded) => moded.demand.args.length));
    const row = (tag: number) => (head: readonly string[]) => [tag, ...pad(head, width)].join(", ");
    const start: Select = { head: seed.args, relations: seed.relations, conditions: seed.conditions, negations: [] };
    const steps = [...this.#moded.values()].flatMap((moded) =>
      moded.clauses.flatMap(({ clause, inner }) => {
        if (!inner) return [];
        const { seed: step } = this.#seedOf(clause, inner.atom, moded.demand);
        // A call that demands only what was demanded already adds nothing.
        if (step.relations.length === 0 && step.args.length === 0 && inner.target === this.#root) return [];
        const relations = step.relations.filter((relation) => relation !== moded.demand);
        const select: Select = { head: step.args, relations, conditions: step.conditions, negations: [] };
        return [emitSelect(select, row(inner.target.tag), emission, new Map(), moded.demand)];
      }),
    );
    define(this.#demand, width, [emitSelect(start, row(this.#root.tag), emission), ...new Set(steps)].join(" UNION "));
  }

  #defineAnswers(): void {
    const { emission, define } = this.#options;
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
            const settled = first ? this.#settleSelect(clause, select, sources) : select;
            const tag = this.#variantOf(moded, settled.head, sources).tag;
            const columns = (head: readonly string[]): string => [tag, ...pad(head, width)].join(", ");
            const whole: Select = {
              ...settled,
              relations: first ? [...select.relations, moded.demand] : select.relations,
            };
            (first ? steps : base).push(emitSelect(whole, columns, emission, new Map(), first ?? moded.demand));
          }
        }
      });
    }
    if (base.length > 0) define(this.#answers, width, [...base, ...steps].join(" UNION "));
  }

  #resolve(moded: Moded, { clause, inner }: ModedClause): Select[] {
    const without = { ...clause, atoms: clause.atoms.filter((atom) => atom !== inner?.atom) };
    const later = inner ? [this.#tagged(this.#answers, 0, inner.atom.args)] : [];
    return resolveClause(without, this.#options.plan, [moded.demand], later);
  }

  /** The recursive answer may leave variables open that conditions or negations mention. */
  #settleSelect(clause: FlatClause, select: Select, sources: readonly Relation[]): Select {
    const bound = new Set<string>();
    for (const source of sources) bindSource(source, bound);
    const settled = settle(clause, sources);
    if (settled === clause) return select;
    if (select.negations.length > 0) throw new NotPlannable("a negation over a wildcard of its own recursion");
    return { ...select, conditions: settled.conditions };
  }

  #variantOf(moded: Moded, head: readonly Term[], sources: readonly Relation[]): Variant {
    refuseRepeatedWildcard(head, sources);
    const bound = new Set<string>();
    for (const source of sources) bindSource(source, bound);
    const wild = head.flatMap((term, position) =>
      term.kind === "var" && !bound.has(termKey(term) ?? "") ? [position] : [],
    );
    const variants = must(this.#variants.get(moded));
    const key = wild.join(" ");
    const known = variants.get(key);
    if (known) return known;
    const variant = { tag: this.#variantCount++, wild: new Set(wild) };
    variants.set(key, variant);
    return variant;
  }

  #answer(variant: Variant, args: readonly Term[]): AnswerVariant {
    const columns = args.flatMap((_, position) => (variant.wild.has(position) ? [] : [position]));
    const present = columns.map((position) => must(args[position]));
    return { relation: this.#tagged(this.#answers, variant.tag, present, columns), wild: [...variant.wild] };
  }
}

function nodeTypes(node: Node): (string | undefined)[] {
  return node.args.flatMap((arg) => (arg.kind === "open" ? [arg.type] : []));
}

function pad(columns: readonly string[], width: number): string[] {
  return [...columns, ...new Array<string>(width - columns.length).fill("NULL")];
}
