/** Checks data bindings: their text alone, against a policy, and against the database of the application. */
import { checkFactSchema } from "../../policy/fact-schema.ts";
import type { ActivePolicy } from "../../policy/active-policy.ts";
import { unknownNames } from "../../policy/unknown-names.ts";
import type { Binding, DataBindings } from "../../local/bindings.ts";
import { lookupSql } from "../../local/lookup.ts";
import { selectedColumns } from "../../local/selected-columns.ts";
import { columnsOf } from "../../local/signature.ts";
import { type SqlType, sqlType } from "../../local/sql-types.ts";
import { reasonOf } from "../../util/reason.ts";
import { factOf } from "../reconcile/row-facts.ts";
import type { ApplicationDatabase } from "./application-database.ts";

export interface BindingProblem {
  /** With an error, questions fail or miss facts. With a warning, they may be slow, or facts may be missing. */
  readonly severity: "error" | "warning";
  /** Such as `facts.is_public(Issue:_)`. */
  readonly place: string;
  readonly message: string;
}

/** What a database says about the columns of a binding. */
export interface BoundColumn {
  readonly signature: string;
  /** The type in the policy. */
  readonly type: string;
  /** The type in the database; empty if it is not known. */
  readonly sqlType: string;
  /** Whether an index finds the rows with a value of the column. */
  readonly isIndexed: boolean;
}

interface Check {
  readonly problems: BindingProblem[];
  readonly binding: Binding;
  readonly place: string;
}

const placeOf = ({ signature }: Binding): string => `facts.${signature.text}`;

/** How many columns the queries select, as far as their texts say it. */
export function checkTexts({ bindings, dialect }: DataBindings): BindingProblem[] {
  return bindings.flatMap((binding) => {
    const count = selectedColumns(binding.query, dialect);
    return count === undefined ? [] : columnProblem(binding, count);
  });
}

function columnProblem(binding: Binding, count: number): BindingProblem[] {
  const expected = columnsOf(binding.signature);
  if (count === expected) return [];
  const message = `the query selects ${plural(count, "column")}, and the signature has ${expected} \`_\`: select one column for each \`_\`, in order`;
  return [{ severity: "error", place: placeOf(binding), message }];
}

/** Whether the rules use facts with these signatures, and whether the policy has the types of `sql_types`. */
export function checkPolicyUse({ bindings, sqlTypes }: DataBindings, active: ActivePolicy): BindingProblem[] {
  const unused = bindings.flatMap((binding): BindingProblem[] => {
    const { predicate, args } = binding.signature;
    const place = placeOf(binding);
    const asked = args.map(({ type, id }) => (id === null ? { type } : { type, id }));
    const unknown = unknownNames({ predicate, args: asked }, active);
    if (unknown.length > 0) return unknown.map((message) => ({ severity: "error", place, message }));
    const fact = { predicate, args: args.map(({ type, id }) => ({ type, id: id ?? "_" })) };
    const found = checkFactSchema(fact, active);
    if (found === undefined) return [];
    return [
      {
        severity: "error",
        place,
        message: `${found.problem.replaceAll('"_"', "_")}; ${found.fix.replaceAll('"_"', "_")}`,
      },
    ];
  });
  const types = [...sqlTypes.keys()].flatMap((type): BindingProblem[] => {
    if (bindings.some((binding) => binding.types.includes(type)) || active.types.has(type)) return [];
    const message = "neither a signature nor the policy has this type";
    return [{ severity: "warning", place: `sql_types.${type}`, message }];
  });
  return [...unused, ...types];
}

export interface DatabaseReport {
  readonly problems: readonly BindingProblem[];
  readonly columns: readonly BoundColumn[];
}

/** Runs each query, and compares its columns with the signature, `sql_types` and the indexes. */
export async function checkDatabase(bindings: DataBindings, database: ApplicationDatabase): Promise<DatabaseReport> {
  const problems: BindingProblem[] = [];
  if (bindings.dialect !== database.dialect) {
    const message = `it is \`${bindings.dialect}\`, and the database needs \`dialect: ${database.dialect}\``;
    return { problems: [{ severity: "error", place: "dialect", message }], columns: [] };
  }
  const columns: BoundColumn[] = [];
  for (const binding of bindings.bindings) {
    const check: Check = { problems, binding, place: placeOf(binding) };
    try {
      const types = await database.columns(binding.query);
      const wrong = columnProblem(binding, types.length);
      problems.push(...wrong);
      if (wrong.length > 0) continue;
      await checkRows(check, database);
      columns.push(...(await checkColumns(check, types, bindings, database)));
    } catch (error) {
      problems.push({
        severity: "error",
        place: check.place,
        message: `the database refuses the query: ${reasonOf(error)}`,
      });
    }
  }
  return { problems, columns };
}

/** How many rows of a query are read, to find those that are no facts. */
const sampleRows = 1000;

async function checkRows(
  { problems, binding: { query, signature }, place }: Check,
  database: ApplicationDatabase,
): Promise<void> {
  const rows = await database.rows(query, sampleRows);
  const invalid = rows.flatMap((row) => factOf(signature, row)).filter((fact) => typeof fact === "string");
  const [first] = invalid;
  if (first === undefined) return;
  const message = `${invalid.length} of the first ${plural(rows.length, "row")} are no facts, for example: column ${first}`;
  problems.push({ severity: "warning", place, message });
}

const valueTypes: ReadonlySet<string> = new Set(["String", "Integer", "Boolean"]);

async function checkColumns(
  { problems, binding, place }: Check,
  types: readonly string[],
  bindings: DataBindings,
  database: ApplicationDatabase,
): Promise<BoundColumn[]> {
  const found: BoundColumn[] = [];
  const { dialect, sqlTypes } = bindings;
  const open = binding.signature.args.flatMap(({ type, id }) => (id === null ? [type] : []));
  for (const [index, type] of open.entries()) {
    const written = types[index] ?? "";
    const columnPlace = `${place}, column ${index + 1} (${type})`;
    const [declared, actual] = [sqlTypes.get(type), sqlType(dialect, written)];
    if (declared !== undefined && !fits(declared, actual, written)) {
      const remedy = actual === undefined ? "leave it out" : `write \`${type}: ${actual.name}\``;
      const message = `it is ${written}, and \`sql_types.${type}\` is ${declared.name}: ${remedy}, or cast the column`;
      problems.push({ severity: "error", place: columnPlace, message });
      continue;
    }
    const isIndexed = await database.isSearch(lookupSql(binding, index, bindings));
    found.push({ signature: binding.signature.text, type, sqlType: written, isIndexed });
    if (isIndexed || valueTypes.has(type)) continue;
    problems.push({ severity: "warning", place: columnPlace, message: slowness(type, declared, actual, written) });
  }
  return found;
}

/** Whether columns can be compared as `sql_types` says. Databases convert between the integer types. */
function fits(declared: SqlType, actual: SqlType | undefined, written: string): boolean {
  // SQLite has values of any type in any column, and no type for an expression.
  return actual === undefined ? written === "" : declared.form === actual.form;
}

function slowness(type: string, declared: SqlType | undefined, actual: SqlType | undefined, written: string): string {
  const effect = "no index finds its rows, so questions that look for a value of it read the whole table";
  if (declared !== undefined) return `${effect}: create an index on the column`;
  if (actual !== undefined)
    return `${effect}: add \`${type}: ${actual.name}\` to \`sql_types\`, and an index on the column`;
  return `${effect}: ${written === "" ? "its type" : written} has no exact comparison with an index, so another type of column would be faster`;
}

function plural(count: number, noun: string): string {
  return count === 1 ? `1 ${noun}` : `${count} ${noun}s`;
}
