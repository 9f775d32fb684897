/**
 * Compares the rows of an engine with the answers of the oracle. Rows may overlap (a `*` row and a concrete one), so
 * both are equal if every ground instance of every row is true, and every answer is an instance of a row.
 */
import type { Query, QueryRow } from "../../src/engine/request/questions.ts";
import type { Oracle, Tuple } from "../oracle.ts";
import type { Ground } from "./domain.ts";

export function differences(oracle: Oracle, query: Query, rows: readonly QueryRow[]): string[] {
  const names = [...query.variables.keys()];
  const solutions = oracle.solutions(query);
  const known = new Set(solutions.map(keyOf));
  const wrong = rows.flatMap((row) => {
    const instances = instancesOf(oracle, query, row);
    if (instances === undefined) return [`row ${JSON.stringify(row)} holds a value that is not asked for`];
    const invented = instances.find((instance) => !known.has(keyOf(instance)));
    return invented === undefined
      ? []
      : [`row ${JSON.stringify(row)} is too wide: ${describe(names, invented)} is not true`];
  });
  const missing = solutions.filter((solution) => !rows.some((row) => covers(row, names, solution)));
  const repeated = rows.length - new Set(rows.map((row) => JSON.stringify(names.map((name) => row[name])))).size;
  return [
    ...wrong,
    ...missing.map((solution) => `no row for ${describe(names, solution)}`),
    ...(repeated > 0 ? [`${repeated} rows come twice`] : []),
  ];
}

/** All ground instances of a row; `undefined` if one of its values can't be an answer. */
function instancesOf(oracle: Oracle, query: Query, row: QueryRow): Tuple[] | undefined {
  let instances: Tuple[] = [[]];
  for (const [name, { type, ids }] of query.variables) {
    const id = row[name];
    if (id === undefined || (id === null && ids !== null)) return undefined;
    const values = oracle.domain.ofType(type).filter((value) => id === null || (value.id === id && !value.fresh));
    if (values.length === 0) return undefined;
    instances = instances.flatMap((instance) => values.map((value) => [...instance, value]));
  }
  return instances;
}

function covers(row: QueryRow, names: readonly string[], solution: Tuple): boolean {
  return names.every((name, index) => {
    const value = solution[index];
    return value !== undefined && (row[name] === null || (row[name] === value.id && !value.fresh));
  });
}

function keyOf(tuple: Tuple): string {
  return tuple.map((value: Ground) => value.key).join();
}

function describe(names: readonly string[], tuple: Tuple): string {
  return names
    .map(
      (name, index) => `${name} = ${tuple[index]?.fresh ? "any other " : ""}${tuple[index]?.type}:${tuple[index]?.id}`,
    )
    .join(", ");
}
