/**
 * The SQL statements that fill and update one closure's table. Steps are emitted in the same way as queries. `?`
 * parameters are symbols.
 */
import type { Closure, ClosureStep, StepTerm } from "../../datalog/ir/closure.ts";
import type { FlatCondition, FlatTerm } from "../../datalog/ir/flat.ts";
import type { Relation, Select, SqlCatalogue } from "../../datalog/ir/select.ts";
import { emitSelect, type SqlContext, StatementParameters } from "../../datalog/sql/emit.ts";
import { must } from "../../util/assert.ts";

/** A start and an end. */
export type Pair = readonly [from: number, to: number];

export interface Parametrised {
  readonly sql: string;
  /** The variables of the step whose symbols are the parameters, in order. */
  readonly variables: readonly number[];
}

/** The scratch tables in which the starts and ends of a change are gathered. They belong to the writing connection. */
export const scratchTables = `CREATE TEMP TABLE IF NOT EXISTS closure_from (c0 INTEGER PRIMARY KEY);
CREATE TEMP TABLE IF NOT EXISTS closure_to (c0 INTEGER PRIMARY KEY);
CREATE TEMP TABLE IF NOT EXISTS closure_walk (c0 INTEGER, c1 INTEGER, PRIMARY KEY (c0, c1)) WITHOUT ROWID`;

/** All scratch tables, which the writing connection clears after each change. */
export const scratchTableNames = ["closure_from", "closure_to", "closure_walk"];

export class ClosureSql {
  /** Fills the empty table from the facts, with at most `?1` rows. */
  readonly fill: string;
  /** The rows that the table should have, at most `?1`. */
  readonly all: string;
  /** The distinct starts of steps, at most `?1`. */
  readonly starts: string;
  /** Fills the table with the rows that the gathered starts reach, at most `?1`. */
  readonly fillFrom: string;
  /** Whether a step makes the pair `?1`, `?2`. */
  readonly stepHolds: string;
  /** One row if the table contains the pair `?1`, `?2`. */
  readonly contains: string;
  /** Gathers `?1` and everything that reaches it, except what reaches `?2` already. */
  readonly gatherNewFrom: string;
  /** Gathers `?1` and everything that reaches it. */
  readonly gatherFrom: string;
  /** Gathers `?1` and everything that it reaches. */
  readonly gatherTo: string;
  /** Adds all pairs of the gathered starts and ends. */
  readonly join: string;
  /** Deletes all pairs of the gathered starts and ends. */
  readonly part: string;
  /**
   * Walks from each gathered start along the steps, through other gathered starts, to the first symbol that is none; at
   * most `?1` rows.
   */
  readonly walk: string;
  /** Inserts the rows that the walk found, and everything that the symbols beyond the gathered starts reach. */
  readonly rejoin: string;
  readonly #closure: Closure;
  readonly #names: SqlCatalogue;

  constructor(closure: Closure, table: string, names: SqlCatalogue) {
    this.#closure = closure;
    this.#names = names;
    this.all = this.#walk();
    this.fill = `INSERT INTO ${table} ${this.all}`;
    this.starts = this.#starts();
    this.fillFrom = `INSERT INTO ${table} ${this.#walk("closure_from", "anything")}`;
    this.stepHolds = this.#holds();
    this.contains = `SELECT 1 FROM ${table} WHERE a1 = ?1 AND a2 = ?2`;
    this.gatherNewFrom = `INSERT INTO closure_from SELECT ?1 UNION SELECT a1 FROM ${table} AS t WHERE a2 = ?1
      AND NOT EXISTS (SELECT 1 FROM ${table} WHERE a1 = t.a1 AND a2 = ?2)`;
    this.gatherFrom = `INSERT INTO closure_from SELECT ?1 UNION SELECT a1 FROM ${table} WHERE a2 = ?1`;
    this.gatherTo = `INSERT INTO closure_to SELECT ?1 UNION SELECT a2 FROM ${table} WHERE a1 = ?1`;
    this.join = `INSERT OR IGNORE INTO ${table} SELECT f.c0, t.c0 FROM closure_from AS f CROSS JOIN closure_to AS t`;
    this.part = `DELETE FROM ${table} WHERE a1 IN (SELECT c0 FROM closure_from) AND a2 IN (SELECT c0 FROM closure_to)`;
    this.walk = `INSERT INTO closure_walk ${this.#walk("closure_from", "starts")}`;
    const isLost = (column: string): string => `${column} IN (SELECT c0 FROM closure_to)`;
    this.rejoin = `INSERT OR IGNORE INTO ${table} SELECT c0, c1 FROM closure_walk WHERE ${isLost("c1")}
      UNION SELECT w.c0, t.a2 FROM closure_walk AS w CROSS JOIN ${table} AS t
      WHERE t.a1 = w.c1 AND w.c1 NOT IN (SELECT c0 FROM closure_from) AND ${isLost("t.a2")}`;
  }

  /** The pairs that the step makes of a fact that matches its atom `index`. */
  pairsOver(step: ClosureStep, index: number): Parametrised {
    const parameters = new StatementParameters();
    const others = step.atoms.filter((_, position) => position !== index).flatMap(variablesOf);
    // The statement must have no parameter for a variable that it does not use.
    const known = new Set([0, 1, ...others]).intersection(new Set(variablesOf(must(step.atoms[index]))));
    const outer = new Map([...known].map((number) => [`v${number}`, parameters.number(String(number))]));
    const relations = step.atoms.flatMap((atom, position) => (position === index ? [] : [stepRelation(step, atom)]));
    const select = selectOf([0, 1], step, relations);
    const columns = (head: readonly string[]): string => `DISTINCT ${head.join(", ")}`;
    const sql = emitSelect(select, columns, { ...this.#emission(), parameters }, outer);
    return { sql, variables: parameters.names().map(Number) };
  }

  #holds(): string {
    const emission = this.#emission();
    const outer = new Map([
      ["v0", "(?1 + 0)"],
      ["v1", "(?2 + 0)"],
    ]);
    const cases = this.#closure.steps.map((step) => {
      const relations = step.atoms.map((atom) => stepRelation(step, atom));
      // Only a condition checks the types of given symbols: facts of the same predicate may connect other types.
      const conditions = [0, 1].flatMap((index) => typeCondition(endOf(step, index)));
      const select = { ...selectOf([], step, relations), conditions };
      return `EXISTS (${emitSelect(select, () => "1", emission, outer)})`;
    });
    return `SELECT ${cases.join(" OR ")}`;
  }

  #starts(): string {
    const emission = this.#emission();
    const begun = this.#closure.steps.map((step) => this.#step(step, [0], [], emission));
    return `WITH begun(c0) AS (${begun.join(" UNION ALL ")}) SELECT DISTINCT c0 FROM begun LIMIT ?1`;
  }

  /**
   * The pairs that steps make from all starts, or from those in the table `starts`, through any symbol or only through
   * those. A step continues only from values of its own type.
   */
  #walk(starts?: string, over: "starts" | "anything" = "anything"): string {
    const emission = this.#emission();
    const fromStarts = (step: ClosureStep): Relation[] =>
      starts === undefined ? [] : [namedTable(starts, [endOf(step, 0)])];
    const through = (step: ClosureStep): Relation[] => (over === "starts" ? fromStarts(step) : []);
    const walked = (step: ClosureStep): Relation => namedTable("walk", [variable(origin), endOf(step, 0)]);
    const first = this.#closure.steps.map((step) => this.#step(step, [0, 1], fromStarts(step), emission));
    const next = this.#closure.steps.map((step) =>
      this.#step(step, [origin, 1], [walked(step), ...through(step)], emission),
    );
    const walk = [...first, ...next].join(" UNION ");
    return `SELECT c0, c1 FROM (WITH RECURSIVE walk(c0, c1) AS (${walk} LIMIT ?1) SELECT c0, c1 FROM walk)`;
  }

  #step(step: ClosureStep, head: readonly number[], before: readonly Relation[], emission: SqlContext): string {
    const [first, ...others] = before;
    const relations = [...others, ...step.atoms.map((atom) => stepRelation(step, atom))];
    return emitSelect(selectOf(head, step, relations), (columns) => columns.join(", "), emission, new Map(), first);
  }

  #emission(): SqlContext {
    let aliases = 0;
    return {
      catalogue: this.#names,
      parameters: new StatementParameters(),
      alias: () => `t${aliases++}`,
      units: new Set(),
    };
  }
}

function variablesOf({ args }: ClosureStep["atoms"][number]): number[] {
  return args.flatMap((arg) => (arg.kind === "var" ? [arg.index] : []));
}

function selectOf(head: readonly number[], step: ClosureStep, relations: readonly Relation[]): Select {
  const terms = head.map((index) => (index === origin ? variable(origin) : endOf(step, index)));
  return { head: terms, relations, conditions: [], negations: [] };
}

/** The variable for the start of a walk; no step has a variable with this number. */
const origin = 1_000_000;

function variable(id: number): FlatTerm {
  return { kind: "var", id, type: undefined };
}

/** Variable 0 (start) or 1 (end) of the step. */
function endOf(step: ClosureStep, index: number): FlatTerm {
  return termOf(step, { kind: "var", index });
}

function typeCondition(term: FlatTerm): FlatCondition[] {
  const type = term.kind === "var" ? term.type : undefined;
  return type === undefined ? [] : [{ kind: "type", term, types: [type] }];
}

function namedTable(name: string, args: readonly FlatTerm[]): Relation {
  return { table: { kind: "named", name }, args, computed: false };
}

function stepRelation(step: ClosureStep, { predicate, args }: ClosureStep["atoms"][number]): Relation {
  return { table: { kind: "fact", predicate }, args: args.map((arg) => termOf(step, arg)), computed: false };
}

function termOf(step: ClosureStep, term: StepTerm): FlatTerm {
  return term.kind === "const" ? term : { kind: "var", id: term.index, type: step.types[term.index] };
}
