/**
 * The part of an explanation that depends on rows of the application's database: `ostiary explain --bindings`, and with
 * `--db` the rows that decided.
 */
import type { LocalAlternative, LocalExplanation } from "../../engine/explain/explanation.ts";
import { ruleName } from "../../engine/explain/explanation-text.ts";
import type { Fact } from "../../store/facts/fact.ts";
import { AppError } from "../../util/app-error.ts";
import { reasonOf } from "../../util/reason.ts";
import { type ApplicationDatabase, openApplicationDatabase } from "../../cli/bindings/application-database.ts";
import { formatFact, type WrittenPattern } from "../../cli/parse-fact.ts";

/** What the database says. */
export interface LocalRows {
  /** The decision with the rows. */
  readonly allowed: boolean;
  /** In the order of the alternatives of the explanation. */
  readonly alternatives: readonly {
    readonly holds: boolean;
    /** The rows, as facts: each element has those that make the alternative true together. At most some elements. */
    readonly facts: readonly (readonly Fact[])[];
  }[];
}

/** How many combinations of rows are named for an alternative. */
const combinationsMax = 3;

/** Runs the SQL of the explanation in the database. Throws `invalid_request`, and UsageError for a wrong address. */
export async function readLocalRows(local: LocalExplanation, address: string): Promise<LocalRows> {
  const database = await openApplicationDatabase(address);
  try {
    if (database.dialect !== local.dialect)
      throw new AppError(
        "invalid_request",
        `the data bindings have \`dialect: ${local.dialect}\`, and the database of \`--db\` needs \`dialect: ${database.dialect}\``,
      );
    const allowed = await isTrue(database, local.sql);
    const alternatives: LocalRows["alternatives"][number][] = [];
    for (const alternative of local.alternatives) {
      const holds = await isTrue(database, `SELECT ${alternative.condition} AS holds`);
      alternatives.push({ holds, facts: holds ? await factsOf(database, alternative) : [] });
    }
    return { allowed, alternatives };
  } catch (error) {
    if (error instanceof AppError) throw error;
    throw new AppError("invalid_request", `the database of \`--db\` refuses the SQL: ${reasonOf(error)}`, {
      cause: error,
    });
  } finally {
    await database.close();
  }
}

async function isTrue(database: ApplicationDatabase, sql: string): Promise<boolean> {
  const [row] = await database.rows(sql, 1);
  return ["true", "1"].includes(row?.[0] ?? "");
}

async function factsOf(database: ApplicationDatabase, { rows, rows_sql: sql }: LocalAlternative): Promise<Fact[][]> {
  if (sql === null) return [];
  const columns = rows.flatMap(({ args }) => args.flatMap(({ column }) => column ?? []));
  const selected = columns.length === 0 ? "1" : columns.join(", ");
  const found = await database.rows(`SELECT ${selected} FROM (${sql}\n) AS ost_explained`, combinationsMax);
  return found.map((row) => {
    const valueOf = new Map(columns.map((column, index) => [column, row[index] ?? "_"]));
    return rows.map(({ predicate, args }) => ({
      predicate,
      args: args.map(({ type, id, column }) => ({ type, id: (column === null ? id : valueOf.get(column)) ?? "_" })),
    }));
  });
}

/** Lines about the rows; `found` only if the database was asked. */
export function localLines(local: LocalExplanation, found: LocalRows | undefined): string[] {
  if (local.decision !== "depends")
    return [`no row of the bound queries can change this: ${local.decision === "allow" ? "allowed" : "denied"}`];
  if (found === undefined)
    return [
      "the rows of the bound queries decide; it is allowed if",
      ...local.alternatives.flatMap(neededLines),
      ...moreLines(local),
    ];
  const lines = local.alternatives.flatMap((alternative, index) => {
    const { holds = false, facts = [] } = found.alternatives[index] ?? {};
    return holds ? foundLines(alternative, facts) : [];
  });
  if (found.allowed)
    return ["allowed with the rows of the database", ...lines, ...(lines.length === 0 ? moreLines(local) : [])];
  return [
    "denied with the rows of the database; it would be allowed if",
    ...local.alternatives.flatMap(neededLines),
    ...moreLines(local),
  ];
}

function foundLines({ rules, rows }: LocalAlternative, facts: LocalRows["alternatives"][number]["facts"]): string[] {
  const named = facts.flatMap((combination, index) => [
    ...(index === 0 ? [] : ["or"]),
    ...combination.map((fact, row) => rowLine(fact, rows[row]?.signature ?? "")),
  ]);
  return nested(rules, named);
}

function neededLines({ rules, rows, condition }: LocalAlternative): string[] {
  return nested(rules, rows.length === 0 ? [condition] : rows.map((row) => rowLine(row, row.signature)));
}

function rowLine(fact: WrittenPattern, signature: string): string {
  return `${formatFact(fact)} is a row of ${signature}`;
}

/** Each rule inside of the one before it, and the lines inside of the last. */
function nested(rules: LocalAlternative["rules"], lines: readonly string[]): string[] {
  const named = rules.map((rule, depth) => `${"  ".repeat(depth + 1)}by ${ruleName(rule)}`);
  return [...named, ...lines.map((line) => "  ".repeat(rules.length + 1) + line)];
}

function moreLines({ more }: LocalExplanation): string[] {
  return more ? ["  … and other rules"] : [];
}
