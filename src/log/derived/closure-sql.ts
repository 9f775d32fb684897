/**
 * The SQL statements that fill and update one closure's table. Steps are emitted in the same way as queries. `?`
 * parameters are symbols.
 */
import type { Closure, ClosureStep, StepTerm } from "../../datalog/ir/closure.ts";
import type { FlatTerm } from "../../datalog/ir/flat.ts";
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

export type ClosureSql = ReturnType<typeof closureSql>;

/** The statements for a closure with this table. The catalogue names the tables and symbols of its steps. */
export function closureSql({ steps }: Closure, table: string, catalogue: SqlCatalogue) {
  const isLost = (column: string): string => `${column} IN (SELECT c0 FROM closure_to)`;
  return {
    /** The rows that the table should have, at most `?1`. */
    all: walk(steps, catalogue, "all", "all"),
    /** The distinct starts of steps, at most `?1`. */
    starts: startsOf(steps, catalogue),
    /** Fills the table with the rows that the gathered starts reach, at most `?1`. */
    fillFrom: `INSERT INTO ${table} ${walk(steps, catalogue, "gathered", "all")}`,
    /** Whether a step makes the pair `?1`, `?2`. */
    stepHolds: stepHolds(steps, catalogue),
    /** One row if the table contains the pair `?1`, `?2`. */
    contains: `SELECT 1 FROM ${table} WHERE a1 = ?1 AND a2 = ?2`,
    /** Gathers `?1` and everything that reaches it, except what reaches `?2` already. */
    gatherNewFrom: `INSERT INTO closure_from SELECT ?1 UNION SELECT a1 FROM ${table} AS t WHERE a2 = ?1
      AND NOT EXISTS (SELECT 1 FROM ${table} WHERE a1 = t.a1 AND a2 = ?2)`,
    /** Gathers `?1` and everything that reaches it. */
    gatherFrom: `INSERT INTO closure_from SELECT ?1 UNION SELECT a1 FROM ${table} WHERE a2 = ?1`,
    /** Gathers `?1` and everything that it reaches. */
    gatherTo: `INSERT INTO closure_to SELECT ?1 UNION SELECT a2 FROM ${table} WHERE a1 = ?1`,
    /** Adds all pairs of the gathered starts and ends. */
    join: `INSERT OR IGNORE INTO ${table} SELECT f.c0, t.c0 FROM closure_from AS f CROSS JOIN closure_to AS t`,
    /** Deletes all pairs of the gathered starts and ends. */
    part: `DELETE FROM ${table} WHERE a1 IN (SELECT c0 FROM closure_from) AND a2 IN (SELECT c0 FROM closure_to)`,
    /**
     * Walks from each gathered start along the steps, through other gathered starts, to the first symbol that is none;
     * at most `?1` rows.
     */
    walk: `INSERT INTO closure_walk ${walk(steps, catalogue, "gathered", "gathered")}`,
    /** Inserts the rows that the walk found, and everything that the symbols beyond the gathered starts reach. */
    rejoin: `INSERT OR IGNORE INTO ${table} SELECT c0, c1 FROM closure_walk WHERE ${isLost("c1")}
      UNION SELECT w.c0, t.a2 FROM closure_walk AS w CROSS JOIN ${table} AS t
      WHERE t.a1 = w.c1 AND w.c1 NOT IN (SELECT c0 FROM closure_from) AND ${isLost("t.a2")}`,
  };
}

/** The pairs that the step makes of a fact that matches its atom `index`. */
export function pairsOver(step: ClosureStep, index: number, catalogue: SqlCatalogue): Parametrised {
  const parameters = new StatementParameters();
  const others = step.atoms.filter((_, position) => position !== index);
  // The statement must have no parameter for a variable that it does not use.
  const known = new Set([0, 1, ...others.flatMap(variablesOf)]).intersection(
    new Set(variablesOf(must(step.atoms[index]))),
  );
  const outer = new Map([...known].map((number) => [`v${number}`, parameters.number(String(number))]));
  const relations = others.map((atom) => stepRelation(step, atom));
  const columns = (head: readonly string[]): string => `DISTINCT ${head.join(", ")}`;
  const sql = emitSelect(selectOf([0, 1], step, relations), columns, { ...contextOf(catalogue), parameters }, outer);
  return { sql, variables: parameters.names().map(Number) };
}

type Steps = readonly ClosureStep[];

function stepHolds(steps: Steps, catalogue: SqlCatalogue): string {
  const context = contextOf(catalogue);
  const outer = new Map([
    ["v0", "(?1 + 0)"],
    ["v1", "(?2 + 0)"],
  ]);
  const cases = steps.map((step) => {
    const relations = step.atoms.map((atom) => stepRelation(step, atom));
    // Only a condition checks the types of given symbols: facts of the same predicate may connect other types.
    const conditions = [0, 1].flatMap((index) => {
      const type = step.types[index];
      return type === undefined ? [] : [{ kind: "type", term: endOf(step, index), types: [type] } as const];
    });
    return `EXISTS (${emitSelect({ ...selectOf([], step, relations), conditions }, () => "1", context, outer)})`;
  });
  return `SELECT ${cases.join(" OR ")}`;
}

function startsOf(steps: Steps, catalogue: SqlCatalogue): string {
  const context = contextOf(catalogue);
  const begun = steps.map((step) => emitStep(step, [0], [], context));
  return `WITH begun(c0) AS (${begun.join(" UNION ALL ")}) SELECT DISTINCT c0 FROM begun LIMIT ?1`;
}

/**
 * The pairs that steps make from all starts or from the gathered ones, through all symbols or only through gathered
 * starts. A step continues only from values of its own type.
 */
function walk(steps: Steps, catalogue: SqlCatalogue, from: "all" | "gathered", over: "all" | "gathered"): string {
  const context = contextOf(catalogue);
  const within = (step: ClosureStep, symbols: "all" | "gathered"): Relation[] =>
    symbols === "all" ? [] : [namedTable("closure_from", [endOf(step, 0)])];
  const walked = (step: ClosureStep): Relation => namedTable("walk", [variable(origin), endOf(step, 0)]);
  const first = steps.map((step) => emitStep(step, [0, 1], within(step, from), context));
  const next = steps.map((step) => emitStep(step, [origin, 1], [walked(step), ...within(step, over)], context));
  const walks = [...first, ...next].join(" UNION ");
  return `SELECT c0, c1 FROM (WITH RECURSIVE walk(c0, c1) AS (${walks} LIMIT ?1) SELECT c0, c1 FROM walk)`;
}

function emitStep(
  step: ClosureStep,
  head: readonly number[],
  before: readonly Relation[],
  context: SqlContext,
): string {
  const [first, ...others] = before;
  const relations = [...others, ...step.atoms.map((atom) => stepRelation(step, atom))];
  return emitSelect(selectOf(head, step, relations), (columns) => columns.join(", "), context, new Map(), first);
}

function contextOf(catalogue: SqlCatalogue): SqlContext {
  let aliases = 0;
  return { catalogue, parameters: new StatementParameters(), alias: () => `t${aliases++}`, units: new Set() };
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

function namedTable(name: string, args: readonly FlatTerm[]): Relation {
  return { table: { kind: "named", name }, args, computed: false };
}

function stepRelation(step: ClosureStep, { predicate, args }: ClosureStep["atoms"][number]): Relation {
  return { table: { kind: "fact", predicate }, args: args.map((arg) => termOf(step, arg)), computed: false };
}

function termOf(step: ClosureStep, term: StepTerm): FlatTerm {
  return term.kind === "const" ? term : { kind: "var", id: term.index, type: step.types[term.index] };
}
