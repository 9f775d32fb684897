/**
 * How many rows a statement may come to look at, whatever it is asked with: read from SQLite's own plan of it, which says the loops and by which
 * columns each finds its rows, and the degrees of the tables. A product of upper bounds, so mostly far above what happens; what the plan says in
 * words that are not known here may be anything.
 */
import type { Loop } from "../../datalog/ir/select.ts";
import type { PlannedStatement, TableExpression } from "../../datalog/sql/statement.ts";
import type { Connection } from "../../store/connection/connection.ts";
import type { TableStatistics } from "../../store/statistics/table-statistics.ts";

/** What a bound hangs on. */
export interface CostInputs {
  readonly statistics: TableStatistics;
  /** The most values that a question brings in one list: ids to choose from, context facts. */
  readonly listed: number;
}

/** The most rows that a statement may look at, infinite where there is no telling. */
export type CostBound = (sizes: CostInputs) => number;

type BoundedStatement = Pick<PlannedStatement, "sql" | "parameters" | "loops" | "expressions">;

export function costBoundOf(database: Connection, statement: BoundedStatement): CostBound {
  const plan = planOf(database, statement);
  const loops = Map.groupBy(statement.loops, ({ alias }) => alias);
  const expressions = new Map(statement.expressions.map((expression) => [expression.name, expression]));
  return (sizes) => new CostBoundCalculation(loops, expressions, sizes).block(plan).examined;
}

interface QueryPlanStep {
  readonly detail: string;
  readonly steps: QueryPlanStep[];
}

function planOf(database: Connection, { sql, parameters }: BoundedStatement): QueryPlanStep[] {
  const prepared = database.prepare(`EXPLAIN QUERY PLAN ${sql}`);
  try {
    const top: QueryPlanStep = { detail: "", steps: [] };
    const steps = new Map<unknown, QueryPlanStep>([[0, top]]);
    for (const [id, parent, , detail] of prepared.values(...parameters.map(() => null))) {
      const step = { detail: String(detail), steps: [] };
      steps.set(id, step);
      steps.get(parent)?.steps.push(step);
    }
    return top.steps;
  } finally {
    prepared.finalize();
  }
}

/** What a part of a plan gives and looks at. */
interface RowBound {
  readonly rows: number;
  readonly examined: number;
}

const anything: RowBound = { rows: Number.POSITIVE_INFINITY, examined: Number.POSITIVE_INFINITY };

class CostBoundCalculation {
  readonly #loops: ReadonlyMap<string, readonly Loop[]>;
  readonly #expressions: ReadonlyMap<string, TableExpression>;
  readonly #sizes: CostInputs;
  /** Of table expressions, by their names. */
  readonly #rows = new Map<string, number>();

  constructor(
    loops: ReadonlyMap<string, readonly Loop[]>,
    expressions: ReadonlyMap<string, TableExpression>,
    sizes: CostInputs,
  ) {
    this.#loops = loops;
    this.#expressions = expressions;
    this.#sizes = sizes;
  }

  /** Loops one in the other, in the order of the steps; what is asked for each of their rows comes after them. */
  block(steps: readonly QueryPlanStep[]): RowBound {
    let rows = 1;
    let looks = 1;
    let asked = 0;
    for (const { detail, steps: inner } of steps) {
      const [first = "", second = ""] = detail.split(" ");
      if (detail === "SCAN CONSTANT ROW" || detail.startsWith("USE TEMP B-TREE") || first === "BLOOM") continue;
      if (first === "SEARCH" || first === "SCAN") {
        const loop = this.#loop(detail, second);
        looks += rows * Math.max(1, loop.examined);
        rows *= Math.max(1, loop.rows);
      } else if (first === "CO-ROUTINE" || first === "MATERIALIZE") {
        const expression = this.#expression(second, inner);
        this.#rows.set(second, expression.rows);
        looks += expression.examined;
      } else if (/^(CORRELATED )?(SCALAR|LIST) SUBQUERY/.test(detail)) {
        asked += this.block(inner).examined;
      } else if (detail.startsWith("MERGE") || detail === "COMPOUND QUERY") {
        const parts = inner.map((part) => this.block(part.steps));
        looks += rows * sum(parts.map((part) => part.examined));
        rows *= sum(parts.map((part) => part.rows));
      } else return anything;
    }
    return { rows, examined: looks + rows * asked };
  }

  /** What a loop looks at, and what of it is of the kinds that the statement wants. */
  #loop(detail: string, alias: string): RowBound {
    if (detail.includes("USING INTEGER PRIMARY KEY (rowid=?)")) return { rows: 1, examined: 1 };
    const named = alias === "json_each" ? this.#sizes.listed : this.#rows.get(alias);
    if (named !== undefined) return { rows: named, examined: named };
    const loops = this.#loops.get(alias);
    if (!loops) return anything;
    const equal = columnsIn(detail, /\ba(\d+)=\?/g);
    // SQLite goes by these columns alone; what the others are is seen only then.
    const used = new Set([...equal, ...columnsIn(detail, /\ba(\d+)[<>]\?/g)]);
    const bounds = loops.map(({ table, ranges: within }): RowBound => {
      if (table === undefined) return { rows: 0, examined: 0 };
      const listed = table === "json_each" ? this.#sizes.listed : this.#rows.get(table);
      if (listed !== undefined) return { rows: listed, examined: listed };
      const { statistics: degrees } = this.#sizes;
      const seen = within.map((ranges, index) => (used.has(index + 1) ? ranges : undefined));
      return { rows: degrees.most(table, equal, within), examined: degrees.most(table, equal, seen) };
    });
    return {
      rows: Math.max(...bounds.map(({ rows }) => rows)),
      examined: Math.max(...bounds.map(({ examined: looks }) => looks)),
    };
  }

  #expression(name: string, steps: readonly QueryPlanStep[]): RowBound {
    const [setup, ...recursive] = steps;
    if (setup?.detail !== "SETUP") return this.block(steps);
    const expression = this.#expressions.get(name);
    if (!expression) return anything;
    // Rows are distinct, and their values come out of what is read. Each is gone on from once.
    this.#rows.set(name, 1);
    const begun = this.block(setup.steps);
    const different = expression.columns.map((terms, column) => this.#different(terms, name, column, steps));
    const rows = expression.tags * different.reduce((product, values) => product * values, 1);
    return { rows, examined: begun.examined + rows * sum(recursive.map((step) => this.block(step.steps).examined)) };
  }

  /** How many different values the terms of a column can have. */
  #different(terms: ReadonlySet<string>, name: string, column: number, steps: readonly QueryPlanStep[]): number {
    const values = [...terms].map((term) => {
      if (/^(\d+|NULL|\(\?\d+ \+ 0\))$/.test(term)) return 1;
      const [, alias = "", from] = /^(t\d+)\.[ac](\d+)$/.exec(term) ?? [];
      const tables = (this.#loops.get(alias) ?? []).map(({ table }) => table);
      const [table] = tables;
      if (table === undefined || tables.length > 1 || table === "json_each") return this.#values(steps);
      if (table === name) return Number(from) === column ? 0 : this.#values(steps);
      return this.#rows.get(table) ?? this.#sizes.statistics.rows(table);
    });
    return Math.max(1, sum(values));
  }

  /** How many different values there can be in what the steps read, and in what the request brings. */
  #values(steps: readonly QueryPlanStep[]): number {
    const { statistics: degrees, listed } = this.#sizes;
    const widths = new Map<string, number>();
    for (const { table, ranges: within } of this.#loopsOf(steps))
      if (table !== undefined && table !== "json_each") widths.set(table, Math.max(1, within.length));
    return 1 + listed + sum([...widths].map(([table, width]) => this.#rows.get(table) ?? width * degrees.rows(table)));
  }

  #loopsOf(steps: readonly QueryPlanStep[]): Loop[] {
    return steps.flatMap(({ detail, steps: inner }) => {
      const alias = /^(?:SEARCH|SCAN) (\w+)/.exec(detail)?.[1] ?? "";
      return [...(this.#loops.get(alias) ?? []), ...this.#loopsOf(inner)];
    });
  }
}

function columnsIn(detail: string, pattern: RegExp): number[] {
  return [...detail.matchAll(pattern)].map(([, column]) => Number(column));
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
