/**
 * Compares the SQL of local authorization with the oracle: the rows that it selects in a real database must be exactly
 * those that the oracle allows if all facts, also those in tables, are facts of the engine.
 */
import { checkPolicy } from "../../src/engine/validation/policy-check.ts";
import { isValueOf, sqlType } from "../../src/local/sql-types.ts";
import type { Query } from "../../src/engine/request/questions.ts";
import type { Fact, Value } from "../../src/store/facts/fact.ts";
import { AppError } from "../../src/util/app-error.ts";
import { must } from "../../src/util/assert.ts";
import { allowQuery } from "../cases/case.ts";
import { openFilledEngine } from "../cases/engine-target.ts";
import { oracle, type Oracle, TooMuchWork } from "../oracle.ts";
import type { AppDatabase } from "./databases.ts";
import { bind, type Split, split } from "./split.ts";

export interface LocalSample {
  readonly policy: string;
  readonly facts: readonly Fact[];
  readonly contextFacts: readonly Fact[];
  readonly places: readonly number[];
  readonly queries?: readonly Query[];
}

/** What is asked: each actor about each action on each resource. */
export interface Triples {
  readonly actors: readonly Value[];
  readonly actions: readonly string[];
  readonly resources: readonly Value[];
}

export interface LocalCounts {
  samples: number;
  triples: number;
  allowed: number;
  /** Triples that only rows decide: the SQL is not TRUE or FALSE. */
  dependent: number;
  /** Questions that have no exact SQL, by the reason. */
  refused: Record<string, number>;
}

export function noLocalCounts(): LocalCounts {
  return { samples: 0, triples: 0, allowed: 0, dependent: 0, refused: {} };
}

/** All differences between the database and the oracle; empty if there are none. */
export async function localDifferences(
  sample: LocalSample,
  triples: Triples,
  database: AppDatabase,
  counts: LocalCounts,
  { now = 1, sqlTypes = {} }: { readonly now?: number; readonly sqlTypes?: Readonly<Record<string, string>> } = {},
): Promise<string[]> {
  const { policy } = checkPolicy([{ name: "fuzz.polar", text: sample.policy }], { runTests: false });
  if (policy === undefined) return [];
  const parts = split(sample.facts, sample.contextFacts, sample.places, (fact) => fitsColumns(fact, sqlTypes));
  const values = [
    ...triples.actors,
    ...triples.resources,
    ...triples.actions.map((id): Value => ({ type: "String", id })),
    ...(sample.queries ?? []).flatMap(({ variables }) =>
      [...variables.values()].flatMap(({ type, ids }) => (ids ?? []).map((id) => ({ type, id }))),
    ),
  ];
  let slow: Oracle;
  try {
    const contextFacts = [...parts.context, ...parts.local];
    slow = oracle(policy, { facts: parts.central, contextFacts, now, values, conditionsMax: 300_000 });
  } catch (error) {
    if (error instanceof TooMuchWork) return [];
    throw error;
  }
  counts.samples += 1;
  return compared(sample, parts, triples, database, slow, counts, now, sqlTypes);
}

/** Whether columns of these types can hold the ids of the fact in exactly this form. */
function fitsColumns({ args }: Fact, sqlTypes: Readonly<Record<string, string>>): boolean {
  return args.every(({ type, id }) => {
    const written = sqlTypes[type];
    const known = written === undefined ? undefined : sqlType("postgres", written);
    return known === undefined || isValueOf(known, id);
  });
}

interface Asked {
  readonly text: string;
  readonly sql: string;
  readonly expected: string;
}

async function compared(
  { policy, queries = [] }: LocalSample,
  { central, context, local }: Split,
  { actors, actions, resources }: Triples,
  database: AppDatabase,
  slow: Oracle,
  counts: LocalCounts,
  now: number,
  sqlTypes: Readonly<Record<string, string>>,
): Promise<string[]> {
  const { tables, bindings } = bind(local, database.dialect, sqlTypes);
  const byType = Map.groupBy(resources, ({ type }) => type);
  const listed = [...byType].map(([type, values], index) => ({
    type,
    name: `ids${index}`,
    ids: values.map(({ id }) => id).filter((id) => fitsColumns({ predicate: "", args: [{ type, id }] }, sqlTypes)),
  }));
  await database.fill([
    ...tables,
    ...listed.map(({ name, type, ids }) => ({
      name,
      types: [sqlTypes[type] ?? "text"],
      rows: [...ids.map((id) => [id]), [null]],
    })),
  ]);
  using opened = openFilledEngine({ policy, facts: central, now });
  const asked: Asked[] = [];
  const holds = (actor: Value, action: string, resource: Value): boolean =>
    slow.holds("allow", [actor, { type: "String", id: action }, resource]);
  let number = 0;
  for (const actor of actors) {
    for (const action of actions) {
      for (const { type, name, ids } of listed) {
        const list = ids.filter((id) => holds(actor, action, { type, id }));
        counts.triples += ids.length;
        counts.allowed += list.length;
        const question = { actor, action, contextFacts: context, bindings };
        const describe = `${actor.type}:${actor.id} ${action} ${type}`;
        const fragment = sqlOf(counts, () =>
          opened.engine.local.listSql({ ...question, resourceType: type, column: `${name}.a0` }),
        );
        if (fragment !== undefined) {
          if (fragment !== "TRUE" && fragment !== "FALSE") counts.dependent += ids.length;
          // A NULL is no resource, but a condition that does not depend on rows is TRUE for every row.
          const isNullListed = fragment === "TRUE" ? ["NULL"] : [];
          asked.push({
            text: `list ${describe}`,
            sql: listQuery(database, name, fragment),
            expected: [...list.map(hex), ...isNullListed].toSorted().join("|"),
          });
        }
        // A decision for every resource would repeat what lists show.
        const id = must(ids[number++ % ids.length]);
        const sql = sqlOf(counts, () => opened.engine.local.authorizeSql({ ...question, resource: { type, id } }));
        if (sql !== undefined)
          asked.push({ text: `authorize ${describe}:${id}`, sql, expected: list.includes(id) ? "1" : "0" });
      }
    }
  }
  const known = new Set(actions);
  for (const actor of actors) {
    const resource = must(resources[number++ % resources.length]);
    const sql = sqlOf(counts, () =>
      opened.engine.local.actionsSql({ actor, resource, contextFacts: context, bindings }),
    );
    // Without a name for each action, not all can be rows.
    const isEverything = slow
      .solutions(allowQuery(actor, null, { type: resource.type, ids: [resource.id] }, []))
      .some((solution) => solution[1]?.fresh);
    if (sql === undefined || isEverything) continue;
    const names = [...known].map((name) => `'${name.replaceAll("'", "''")}'`).join(", ");
    const expected = actions.filter((action) => holds(actor, action, resource)).map(hex);
    asked.push({
      text: `actions ${actor.type}:${actor.id} ${resource.type}:${resource.id}`,
      sql: joined(database, "actions", `(${sql}) AS answers WHERE actions IN (${names})`),
      expected: [...new Set(expected)].toSorted().join("|"),
    });
  }
  for (const query of queries) {
    const solutions = slow.solutions(query);
    const names = [...query.variables.keys()];
    const contextual = { ...query, contextFacts: context };
    const text = JSON.stringify([query.calls, [...query.variables]]);
    const sql = sqlOf(counts, () => opened.engine.local.selectSql({ query: contextual, columns: new Map(), bindings }));
    if (sql !== undefined) asked.push({ text: `select ${text}`, sql, expected: solutions.length > 0 ? "1" : "0" });
    names.forEach((variable, index) => {
      const values = solutions.map((solution) => must(solution[index]));
      const table = listed.find(({ type }) => type === query.variables.get(variable)?.type);
      if (table !== undefined) {
        const column = `${table.name}.a0`;
        const fragment = sqlOf(counts, () =>
          opened.engine.local.filterSql({ query: contextual, variable, column, bindings }),
        );
        const ids = table.ids.filter((id) => values.some((value) => !value.fresh && value.id === id)).map(hex);
        if (fragment !== undefined)
          asked.push({
            text: `filter ${variable} ${text}`,
            sql: listQuery(database, table.name, fragment),
            expected: [...ids, ...(fragment === "TRUE" ? ["NULL"] : [])].toSorted().join("|"),
          });
      }
      if (values.some(({ fresh }) => fresh)) return;
      const rows = sqlOf(counts, () =>
        opened.engine.local.selectSql({ query: contextual, columns: new Map([[variable, "found"]]), bindings }),
      );
      if (rows !== undefined)
        asked.push({
          text: `select ${variable} ${text}`,
          sql: joined(database, "found", `(${rows}) AS answers`),
          expected: [...new Set(values.map(({ id }) => hex(id)))].toSorted().join("|"),
        });
    });
  }
  return run(asked, database);
}

function listQuery(database: AppDatabase, table: string, fragment: string): string {
  return joined(database, "a0", `${table} WHERE ${fragment}`);
}

/** The ids of a column in hexadecimal, which every database sorts alike, as one text. */
function joined({ dialect }: AppDatabase, column: string, from: string): string {
  // SQLite's `hex` makes an empty text of NULL.
  const idsOf = (bytes: string): string =>
    `(SELECT CASE WHEN ${column} IS NULL THEN 'NULL' ELSE ${bytes} END AS id FROM ${from})`;
  switch (dialect) {
    case "postgres": {
      const ids = idsOf(`encode(convert_to(CAST(${column} AS text), 'UTF8'), 'hex')`);
      return `SELECT COALESCE(string_agg(id, '|' ORDER BY id COLLATE "C"), '') FROM ${ids} AS found`;
    }
    case "mysql": {
      const ids = idsOf(`LOWER(HEX(CONVERT(${column} USING utf8mb4)))`);
      return `SELECT COALESCE(GROUP_CONCAT(id ORDER BY id SEPARATOR '|'), '') FROM ${ids} AS found`;
    }
    case "sqlite": {
      const ids = idsOf(`lower(hex(CAST(${column} AS text)))`);
      return `SELECT COALESCE((SELECT group_concat(id, '|') FROM (SELECT id FROM ${ids} ORDER BY id)), '')`;
    }
  }
}

function hex(id: string): string {
  return Buffer.from(id).toString("hex");
}

function sqlOf(counts: LocalCounts, ask: () => string): string | undefined {
  try {
    return ask();
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    counts.refused[error.message] = (counts.refused[error.message] ?? 0) + 1;
    return undefined;
  }
}

/** For a server each statement costs a round trip. SQLite has a limit for the subqueries of one statement. */
const questionsAtATime = { sqlite: 1, postgres: 50, mysql: 1 };

async function run(asked: readonly Asked[], database: AppDatabase): Promise<string[]> {
  const problems: string[] = [];
  const count = questionsAtATime[database.dialect];
  for (let start = 0; start < asked.length; start += count) {
    const some = asked.slice(start, start + count);
    const sql = `SELECT ${some.map((one) => `(${one.sql})`).join(", ")}`;
    const [row] = await database.rows(sql).catch(async (error: unknown) => {
      for (const one of some)
        await database.rows(one.sql).catch((cause: unknown) => {
          throw new Error(`${one.text}: ${String(cause)}\n${one.sql}`, { cause });
        });
      throw error;
    });
    some.forEach(({ text, expected, sql: own }, index) => {
      const got = row?.[index];
      if (got !== expected)
        problems.push(`${text}: ${JSON.stringify(got)}, should be ${JSON.stringify(expected)}\n  ${own}`);
    });
  }
  return problems;
}
