/**
 * Cost bounds of statements: how many rows a statement may examine, whatever its parameters are. A bound is computed
 * from the plan that SQLite reports (`EXPLAIN QUERY PLAN`), which lists the loops and the columns by which each loop
 * finds its rows, and from the statistics of the tables. It is a product of upper bounds, so it is mostly far above the
 * real cost. A plan step in unknown words is unbounded.
 */
import type { Loop } from "../../datalog/ir/select.ts";
import type { PlannedStatement, TableExpression } from "../../datalog/sql/statement.ts";
import type { Connection } from "../../store/connection/connection.ts";
import type { TableStatistics } from "../../store/statistics/table-statistics.ts";

/** What a bound depends on. */
export interface CostInputs {
  readonly statistics: TableStatistics;
  /** The length of the longest list in the question: ids to choose from, or context facts. */
  readonly listed: number;
}

/** The maximum number of rows that a statement may examine; infinite if it is not known. */
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

/** The maximum number of rows that a part of a plan returns and examines. */
interface RowBound {
  readonly rows: number;
  readonly examined: number;
}

const unbounded: RowBound = { rows: Number.POSITIVE_INFINITY, examined: Number.POSITIVE_INFINITY };

class CostBoundCalculation {
  readonly #loops: ReadonlyMap<string, readonly Loop[]>;
  readonly #expressions: ReadonlyMap<string, TableExpression>;
  readonly #sizes: CostInputs;
  /** The row bounds of common table expressions, by name. */
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

  /** Nested loops, in the order of the steps. The subqueries for each of their rows come after them. */
  block(steps: readonly QueryPlanStep[]): RowBound {
    let rows = 1;
    let looks = 1;
    let subqueries = 0;
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
        subqueries += this.block(inner).examined;
      } else if (detail.startsWith("MERGE") || detail === "COMPOUND QUERY") {
        const parts = inner.map((part) => this.block(part.steps));
        looks += rows * sum(parts.map((part) => part.examined));
        rows *= sum(parts.map((part) => part.rows));
      } else return unbounded;
    }
    return { rows, examined: looks + rows * subqueries };
  }

  /** The bound of one loop: all rows that it examines, and those with the types that the statement wants. */
  #loop(detail: string, alias: string): RowBound {
    if (detail.includes("USING INTEGER PRIMARY KEY (rowid=?)")) return { rows: 1, examined: 1 };
    const expressionRows = alias === "json_each" ? this.#sizes.listed : this.#rows.get(alias);
    if (expressionRows !== undefined) return { rows: expressionRows, examined: expressionRows };
    const loops = this.#loops.get(alias);
    if (!loops) return unbounded;
    const equal = columnsIn(detail, /\ba(\d+)=\?/g);
    // SQLite searches only by these columns; it checks all other columns of a row afterwards.
    const used = new Set([...equal, ...columnsIn(detail, /\ba(\d+)[<>]\?/g)]);
    const bounds = loops.map(({ table, ranges: within }): RowBound => {
      if (table === undefined) return { rows: 0, examined: 0 };
      const listed = table === "json_each" ? this.#sizes.listed : this.#rows.get(table);
      if (listed !== undefined) return { rows: listed, examined: listed };
      const { statistics } = this.#sizes;
      const searched = within.map((ranges, index) => (used.has(index + 1) ? ranges : undefined));
      return { rows: statistics.maxRows(table, equal, within), examined: statistics.maxRows(table, equal, searched) };
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
    if (!expression) return unbounded;
    // A recursive expression: its rows are distinct, consist of values from the tables that it reads, and are expanded
    // once each.
    this.#rows.set(name, 1);
    const initial = this.block(setup.steps);
    const distinct = expression.columns.map((terms, column) => this.#distinctOf(terms, name, column, steps));
    const rows = expression.tags * distinct.reduce((product, values) => product * values, 1);
    return { rows, examined: initial.examined + rows * sum(recursive.map((step) => this.block(step.steps).examined)) };
  }

  /** How many distinct values the terms of a column can have. */
  #distinctOf(terms: ReadonlySet<string>, name: string, column: number, steps: readonly QueryPlanStep[]): number {
    const values = [...terms].map((term) => {
      if (/^(\d+|NULL|\(\?\d+ \+ 0\))$/.test(term)) return 1;
      const [, alias = "", from] = /^(t\d+)\.[ac](\d+)$/.exec(term) ?? [];
      const tables = (this.#loops.get(alias) ?? []).map(({ table }) => table);
      const [table] = tables;
      if (table === undefined || tables.length > 1 || table === "json_each") return this.#distinctIn(steps);
      if (table === name) return Number(from) === column ? 0 : this.#distinctIn(steps);
      return this.#rows.get(table) ?? this.#sizes.statistics.rows(table);
    });
    return Math.max(1, sum(values));
  }

  /** How many distinct values the tables of the steps and the request can have. */
  #distinctIn(steps: readonly QueryPlanStep[]): number {
    const { statistics, listed } = this.#sizes;
    const widths = new Map<string, number>();
    for (const { table, ranges: within } of this.#loopsOf(steps))
      if (table !== undefined && table !== "json_each") widths.set(table, Math.max(1, within.length));
    return (
      1 + listed + sum([...widths].map(([table, width]) => this.#rows.get(table) ?? width * statistics.rows(table)))
    );
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
