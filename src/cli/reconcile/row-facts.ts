/** Facts from the rows of a query, according to the signature of the query (`local/signature.ts`). */
import { hasForms, idOfText } from "../../local/column-values.ts";
import type { Signature } from "../../local/signature.ts";
import type { Fact, Value } from "../../store/facts/fact.ts";
import { must } from "../../util/assert.ts";

/**
 * The fact for the columns of a row, one for each `_`. Returns a text if a column cannot be a value: it continues
 * "column 2".
 */
export function factOf({ predicate, args }: Signature, row: readonly (string | null)[]): Fact | string {
  let column = 0;
  const values: Value[] = [];
  for (const { type, id } of args) {
    if (id !== null) {
      values.push({ type, id });
      continue;
    }
    const text = row[column];
    column += 1;
    if (text === null || text === undefined) return `${column} is NULL: leave such rows out of the query`;
    const value = idOfText(type, text);
    if (value === undefined) return `${column} is \`${text}\`, which is no ${hasForms(type) ? type : "id"}`;
    values.push({ type, id: value });
  }
  return { predicate, args: values };
}

/** A key that two facts share only if they are equal. */
export function factKey({ predicate, args }: Fact): string {
  return JSON.stringify([predicate, ...args.flatMap(({ type, id }) => [type, id])]);
}

export function factOfKey(key: string): Fact {
  const [predicate, ...parts] = JSON.parse(key) as string[];
  const args = Array.from({ length: parts.length / 2 }, (_, index) => ({
    type: must(parts[2 * index]),
    id: must(parts[2 * index + 1]),
  }));
  return { predicate: must(predicate), args };
}
