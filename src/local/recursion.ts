/**
 * Recursion that reads rows, as a recursive common table expression for each group of nodes that call each other. The
 * `tag` of a row says which node it answers. Rows form a set (`UNION`), so that cycles in the data end.
 *
 * Answers are computed bottom up, for all values of the open arguments. The constants of the question (the actor, the
 * action) are part of the nodes, so only what follows from them is computed.
 */
import type { FlatTerm, RecursiveAtom } from "../datalog/ir/flat.ts";
import { openTypes, type PredicateNode } from "../datalog/ir/specialised.ts";
import { simplify } from "../datalog/rewrite/simplify.ts";
import { unfoldNode, type UnfoldOptions } from "../datalog/rewrite/unfold.ts";
import { must } from "../util/assert.ts";
import { keyOf, type LocalClause, splitClause, type SplitOptions } from "./clauses.ts";
import type { SqlCondition } from "./condition.ts";
import type { Dialect } from "./dialect.ts";
import type { LocalEmitter, RecursiveSource, Scope } from "./emit.ts";
import { about, NotExpressible } from "./not-expressible.ts";
import type { LocalValue } from "./values.ts";

export interface RecursionOptions {
  readonly dialect: Dialect;
  readonly split: SplitOptions;
  readonly unfold: UnfoldOptions;
  readonly emitter: () => LocalEmitter;
}

/** The nodes of a group, as far as they are reached. */
interface Group {
  readonly table: string;
  readonly tags: Map<PredicateNode, number>;
  /** Whether the recursion has a start; without one it has no answers. */
  hasStart: boolean;
}

/** A clause of a node that calls another node of the group. */
interface Step {
  readonly node: PredicateNode;
  readonly clause: LocalClause;
  readonly inner: RecursiveAtom;
}

export class Recursions {
  /** The common table expressions, in order of definition. */
  readonly definitions: string[] = [];
  readonly #options: RecursionOptions;
  readonly #groups = new Map<number, Group>();
  #tables = 0;

  constructor(options: RecursionOptions) {
    this.#options = options;
  }

  source(node: PredicateNode): RecursiveSource | undefined {
    // MariaDB ends a recursion silently after `max_recursive_iterations`.
    if (this.#options.dialect.name === "mysql")
      throw new NotExpressible(`recursion of \`${node.predicate}\` over rows, with \`dialect: mysql\``);
    const known = this.#groups.get(node.component);
    if (known?.tags.has(node) === true) return sourceOf(known, node);
    // A node that only another question of the same group reaches: the group is defined again, with both.
    const group: Group = { table: `ostr${this.#tables++}`, tags: new Map([[node, 0]]), hasStart: false };
    this.#groups.set(node.component, group);
    this.#define(group);
    return sourceOf(group, node);
  }

  #define(group: Group): void {
    const base: Omit<Step, "inner">[] = [];
    const steps: Step[] = [];
    // The map grows while it is iterated.
    for (const node of group.tags.keys()) {
      for (const clause of this.#clausesOf(node)) {
        const [inner, ...others] = clause.recursive.filter((atom) => atom.node.component === node.component);
        if (others.length > 0)
          about(clause.origins, () => {
            throw new NotExpressible(`recursion of \`${node.predicate}\` that calls itself more than once in a rule`);
          });
        if (inner && !group.tags.has(inner.node)) group.tags.set(inner.node, group.tags.size);
        if (inner)
          steps.push({
            node,
            inner,
            clause: { ...clause, recursive: clause.recursive.filter((atom) => atom !== inner) },
          });
        else base.push({ node, clause });
      }
    }
    const width = Math.max(...[...group.tags.keys()].map((node) => openTypes(node).length));
    const starts = base.flatMap(({ node, clause }) => this.#select(group, node, clause, new Map(), width) ?? []);
    group.hasStart = starts.length > 0;
    if (group.hasStart) this.definitions.push(this.#definition(group, width, starts, steps));
  }

  #clausesOf(node: PredicateNode): LocalClause[] {
    const args = openTypes(node).map((type): FlatTerm => ({ kind: "var", id: this.#options.unfold.fresh(), type }));
    const flat = simplify(unfoldNode(node, args, this.#options.unfold));
    return flat.flatMap((clause) => splitClause(clause, this.#options.split));
  }

  #definition(group: Group, width: number, base: readonly string[], steps: readonly Step[]): string {
    const { dialect, emitter } = this.#options;
    const columns = ["tag", ...Array.from({ length: width }, (_, index) => `c${index}`)];
    const start = base.join(" UNION ");
    // PostgreSQL allows one reference only, so all steps read the same one.
    const shared = emitter().alias();
    const walks = steps.flatMap(({ node, clause, inner }) => {
      const alias = dialect.hasLateral ? shared : emitter().alias();
      const scope = new Map<string, LocalValue>();
      const values = emitter().answersOf(alias, openTypes(inner.node));
      const equal: [FlatTerm, number][] = [];
      inner.args.forEach((term, position) => {
        if (term.kind === "var" && !scope.has(keyOf(term))) scope.set(keyOf(term), must(values[position]));
        else equal.push([term, position]);
      });
      const tag = must(group.tags.get(inner.node));
      const from = dialect.hasLateral ? [] : [`${group.table} AS ${alias}`];
      const conditions = [
        `${alias}.tag = ${tag}`,
        ...equal.map(([term, position]) => emitter().equal(must(emitter().value(term, scope)), must(values[position]))),
      ];
      return this.#select(group, node, clause, scope, width, from, conditions) ?? [];
    });
    const recursive = dialect.hasLateral
      ? walks.length === 0
        ? []
        : [
            `SELECT ${columns.map((name) => `ost_step.${name}`).join(", ")} FROM ${group.table} AS ${shared} ` +
              `CROSS JOIN LATERAL (${walks.join(" UNION ALL ")}) AS ost_step(${columns.join(", ")})`,
          ]
      : walks;
    // A recursive expression must have the form `start UNION step`.
    const body = [dialect.hasLateral && base.length > 1 ? `(${start})` : start, ...recursive].join(" UNION ");
    return `${group.table}(${columns.join(", ")}) AS (${body})`;
  }

  #select(
    group: Group,
    node: PredicateNode,
    clause: LocalClause,
    scope: Scope,
    width: number,
    from: readonly string[] = [],
    conditions: readonly SqlCondition[] = [],
  ): string | undefined {
    const { dialect, emitter } = this.#options;
    const tag = must(group.tags.get(node));
    return emitter().select(
      clause,
      scope,
      (inner) => {
        const ids = clause.head.map((term) => {
          const value = emitter().value(term, inner);
          if (value?.kind === "column") return dialect.id(value.id, "String");
          const string = value?.kind === "constant" ? dialect.string(value.id) : undefined;
          if (string === undefined)
            throw new NotExpressible(`recursion of \`${node.predicate}\` with an answer for every value`);
          return dialect.id(string, "String");
        });
        const padding = new Array<string>(width - ids.length).fill(dialect.id("NULL", "String"));
        return [String(tag), ...ids, ...padding];
      },
      from,
      conditions,
    );
  }
}

function sourceOf({ table, tags, hasStart }: Group, node: PredicateNode): RecursiveSource | undefined {
  if (!hasStart) return undefined;
  return { table, tag: must(tags.get(node)) };
}
