/**
 * Recursion that reads rows, as a recursive common table expression for each group of nodes that call each other. The
 * `tag` of a row says which node it answers, and which of its arguments are wildcards. Rows form a set (`UNION`), so that
 * cycles in the data end.
 *
 * Answers are computed bottom up, for all values of the open arguments. The constants of the question (the actor, the
 * action) are part of the nodes, so only what follows from them is computed.
 */
import type { FlatClause, RecursiveAtom } from "../datalog/ir/flat.ts";
import { openTypes, type PredicateNode } from "../datalog/ir/specialised.ts";
import { must } from "../util/assert.ts";
import {
  keyOf,
  type LocalClause,
  type LocalRecursion,
  type RecursiveSource,
  splitClause,
  type SplitOptions,
} from "./clauses.ts";
import type { Dialect } from "./dialect.ts";
import type { LocalEmitter, Scope } from "./emit.ts";
import { about, NotExpressible } from "./not-expressible.ts";
import type { SqlNames } from "./sql-names.ts";

export interface RecursionOptions {
  readonly dialect: Dialect;
  readonly split: () => SplitOptions;
  /** The clauses of a node. Their heads are its open arguments. */
  readonly clausesOf: (node: PredicateNode) => readonly FlatClause[];
  readonly emitter: () => LocalEmitter;
}

/** The nodes of a group, as far as they are reached, with the sources of their answers by pattern of wildcards. */
interface Group {
  readonly table: string;
  readonly nodes: Map<PredicateNode, Map<string, RecursiveSource>>;
  tags: number;
}

/** A clause of a node, and its call of another node of the group. */
interface NodeClause {
  readonly node: PredicateNode;
  readonly clause: FlatClause;
  readonly inner: RecursiveAtom | undefined;
}

export class Recursions {
  /** The common table expressions, in order of definition. */
  readonly definitions: string[] = [];
  /** For databases that end a recursion silently: conditions that are true if one more step adds no row. */
  readonly checks: { readonly table: string; readonly isComplete: string }[] = [];
  readonly #options: RecursionOptions;
  /** The sources in each definition, with those of the table expressions that it reads. */
  readonly #sources = new Map<string, number>();
  readonly #groups = new Map<number, Group>();

  constructor(options: RecursionOptions) {
    this.#options = options;
  }

  get #names(): SqlNames {
    return this.#options.emitter().names;
  }

  /** One source for each pattern of wildcards in the answers; none if the node has no answers. */
  sources(node: PredicateNode): readonly RecursiveSource[] {
    const known = this.#groups.get(node.component)?.nodes.get(node);
    if (known) return [...known.values()];
    // A node that only another question of the same group reaches: the group is defined again, with both.
    const group: Group = { table: this.#names.recursiveTable(), nodes: new Map([[node, new Map()]]), tags: 0 };
    this.#define(group);
    this.#groups.set(node.component, group);
    return [...must(group.nodes.get(node)).values()];
  }

  #define(group: Group): void {
    const clauses: NodeClause[] = [];
    // The map grows while it is iterated.
    for (const node of group.nodes.keys()) {
      for (const clause of this.#options.clausesOf(node)) {
        const [inner, ...others] = clause.atoms.filter(
          (atom): atom is RecursiveAtom => atom.kind === "recursive" && atom.node.component === node.component,
        );
        if (others.length > 0)
          about(clause.origins, () => {
            throw new NotExpressible(`recursion of \`${node.predicate}\` that calls itself more than once in a rule`);
          });
        if (inner && !group.nodes.has(inner.node)) group.nodes.set(inner.node, new Map());
        clauses.push({ node, clause, inner });
      }
    }
    const width = Math.max(...[...group.nodes.keys()].map((node) => openTypes(node).length));
    const split = this.#options.split();
    const starts = clauses.flatMap(({ node, clause, inner }) =>
      inner ? [] : splitClause(clause, split).flatMap((local) => this.#select(group, node, local, width) ?? []),
    );
    if (starts.length === 0) return;
    // All steps of a database with LATERAL read the same reference.
    const { dialect } = this.#options;
    const shared = dialect.hasLateral ? this.#names.alias() : undefined;
    const steps: string[] = [];
    const done = new Set<string>();
    for (let isGrown = true; isGrown;) {
      isGrown = false;
      for (const [index, { node, clause, inner }] of clauses.entries()) {
        for (const source of inner ? [...must(group.nodes.get(inner.node)).values()] : []) {
          const key = `${index} ${source.tag}`;
          if (!inner || done.has(key)) continue;
          done.add(key);
          isGrown = true;
          const call: LocalRecursion = { atom: inner, source };
          for (const local of splitClause(clause, split, new Set(), call)) {
            const rest = {
              ...local,
              recursive: local.recursive.filter(({ atom }) => atom.node.component !== node.component),
            };
            const alias = shared ?? this.#names.alias();
            const select = this.#select(group, node, rest, width, { call, alias, isSource: shared === undefined });
            if (select !== undefined && !steps.includes(select)) steps.push(select);
          }
        }
      }
    }
    this.#write(group, width, starts, steps, shared);
  }

  #write(group: Group, width: number, starts: readonly string[], steps: readonly string[], shared?: string): void {
    const { table } = group;
    const { dialect } = this.#options;
    const names = this.#names;
    const columns = [names.named("tag"), ...Array.from({ length: width }, (_, index) => names.column(index))];
    const [step, all] = [names.named("step"), names.named("all")];
    const [known, next] = [names.named("known"), names.named("next")];
    const listed = columns.join(", ");
    const start = starts.join(" UNION ");
    const recursive =
      shared === undefined || steps.length === 0
        ? steps
        : [
            `SELECT ${columns.map((name) => `${step}.${name}`).join(", ")} FROM ${table} AS ${shared} ` +
              `CROSS JOIN LATERAL (${steps.join(" UNION ALL ")}) AS ${step}(${listed})`,
          ];
    // PostgreSQL requires the form `start UNION step`.
    const body = [shared !== undefined && starts.length > 1 ? `(${start})` : start, ...recursive].join(" UNION ");
    this.definitions.push(`${table}(${listed}) AS (${body})`);
    // All steps read one source.
    this.#sources.set(table, this.#sourcesOf(body) - Math.max(0, steps.length - 1));
    if (dialect.cutsRecursion && steps.length > 0) {
      const found = `SELECT ${columns.map((name) => `${known}.${name}`).join(", ")} FROM ${dialect.recursion(table, known)}`;
      const count = `SELECT COUNT(*) FROM (${[found, ...steps].join(" UNION ")}) AS ${next}`;
      this.checks.push({ table, isComplete: `(${count}) = (SELECT COUNT(*) FROM ${dialect.recursion(table, all)})` });
    }
  }

  /** The selection of the answers of a clause. Registers their pattern of wildcards. */
  #select(
    group: Group,
    node: PredicateNode,
    clause: LocalClause,
    width: number,
    step?: { readonly call: LocalRecursion; readonly alias: string; readonly isSource: boolean },
  ): string | undefined {
    const { dialect, emitter } = this.#options;
    const first = step && emitter().firstCall(step.call, step.alias);
    if (step?.isSource === true) first?.from.push(dialect.recursion(group.table, step.alias));
    const columns = (scope: Scope): string[] | undefined => {
      const wild = clause.head.flatMap((term, position) => (emitter().value(term, scope) ? [] : [position]));
      refuseRepeated(clause, wild, node);
      const ids: string[] = [];
      for (const [position, term] of clause.head.entries()) {
        const value = wild.includes(position) ? undefined : emitter().value(term, scope);
        if (value?.kind === "column") ids.push(dialect.stored(value.id));
        else if (value === undefined) ids.push(dialect.stored("NULL"));
        else {
          const string = value.kind === "constant" ? dialect.string(value.id) : undefined;
          // The database has no value that is equal to this one.
          if (string === undefined) return undefined;
          ids.push(dialect.stored(string));
        }
      }
      const padding = new Array<string>(width - ids.length).fill(dialect.stored("NULL"));
      const tag = `${this.#tagOf(group, node, wild)} AS ${this.#names.named("tag")}`;
      return [tag, ...[...ids, ...padding].map((id, index) => `${id} AS ${this.#names.column(index)}`)];
    };
    // A negation may read the answers.
    return emitter().strictly(() => emitter().select(clause, new Map(), columns, first));
  }

  #tagOf(group: Group, node: PredicateNode, wild: readonly number[]): number {
    const made = (): RecursiveSource => ({ table: group.table, tag: group.tags++, wild: new Set(wild) });
    return must(group.nodes.get(node)).getOrInsertComputed(wild.join(" "), made).tag;
  }

  /** The SQL, in which the `prefix` is. Throws `NotExpressible` if it has too many sources for the database. */
  limited(sql: string): string {
    const { sourcesMax, name } = this.#options.dialect;
    if (sourcesMax !== undefined && this.#sourcesOf(sql) - this.#sourcesOf(this.prefix) > sourcesMax)
      throw new NotExpressible(`more than ${sourcesMax} sources of rows, with \`dialect: ${name}\``);
    return sql;
  }

  #sourcesOf(sql: string): number {
    let count = 0;
    for (const [, table = ""] of sql.matchAll(/\b(?:FROM|JOIN)\b(?: (\w+) AS)?/gi))
      count += 1 + (this.#sources.get(table) ?? 0);
    return count;
  }

  /** `WITH RECURSIVE …`, or nothing. */
  get prefix(): string {
    return this.definitions.length === 0 ? "" : `WITH RECURSIVE ${this.definitions.join(", ")} `;
  }

  /** The rows with these columns, or the error of `checked`, also if there are no rows. */
  completeRows(columns: readonly string[], rows: string): string {
    const source = `(${rows}) AS ${this.#names.named("rows")}`;
    if (this.checks.length === 0) return `${this.prefix}SELECT ${columns.join(", ")} FROM ${source}`;
    // The check is the first table that is read. LIMIT makes it a table of its own.
    const [name, complete] = [this.#names.named("check"), this.#names.named("complete")];
    const check = `(SELECT ${this.checked("1")} AS ${complete} LIMIT 1) AS ${name}`;
    const tables = `${check} CROSS JOIN ${source}`;
    return `${this.prefix}SELECT STRAIGHT_JOIN ${columns.join(", ")} FROM ${tables} WHERE ${name}.${complete} = 1`;
  }

  /**
   * The value, or an error of the database ("Subquery returns more than 1 row") if a recursion was cut: then its table has
   * more rows than one.
   */
  checked(value: string): string {
    const [tag, all] = [this.#names.named("tag"), this.#names.named("all")];
    return this.checks.reduce(
      (inner, { table, isComplete }) =>
        `CASE WHEN ${isComplete} THEN ${inner} ELSE (SELECT ${tag} FROM ${this.#options.dialect.recursion(table, all)}) END`,
      value,
    );
  }
}

/** A row can't express "any value, twice the same". */
function refuseRepeated(clause: LocalClause, wild: readonly number[], node: PredicateNode): void {
  const names = wild.map((position) => {
    const term = must(clause.head[position]);
    return term.kind === "var" || term.kind === "param" ? keyOf(term) : "";
  });
  if (new Set(names).size < names.length)
    throw new NotExpressible(`recursion of \`${node.predicate}\` with two equal answers of any value`);
}
