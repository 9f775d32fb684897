/** Splits facts between the central store, the context and tables of an application, and writes the data bindings. */
import { formatYaml } from "../../src/runtime/yaml.ts";
import { type DataBindings, parseBindings } from "../../src/local/bindings.ts";
import type { DialectName } from "../../src/local/dialect-names.ts";
import type { Fact, Value } from "../../src/store/facts/fact.ts";
import type { AppTable } from "./databases.ts";

export interface Split {
  readonly central: readonly Fact[];
  readonly context: readonly Fact[];
  readonly local: readonly Fact[];
}

/** `places` decides where each fact is: 0 in the store, 1 in the context, all others in tables if they fit there. */
export function split(
  facts: readonly Fact[],
  context: readonly Fact[],
  places: readonly number[],
  fits: (fact: Fact) => boolean,
): Split {
  const placed = facts.map((fact, index) => {
    const place = places[index % places.length] ?? 2;
    return { fact, place: place > 1 && !fits(fact) ? 0 : place };
  });
  const at = (wanted: (place: number) => boolean): Fact[] =>
    placed.filter(({ place }) => wanted(place)).map(({ fact }) => fact);
  return {
    central: at((place) => place === 0),
    context: [...context, ...at((place) => place === 1)],
    local: at((place) => place > 1),
  };
}

export interface Bound {
  readonly tables: readonly AppTable[];
  readonly bindings: DataBindings;
  readonly yaml: string;
}

/** Other texts of the value, which are the same fact. */
function otherTexts({ type, id }: Value): readonly string[] {
  if (type === "Boolean") return id === "true" ? ["TRUE", "t", "1", "Yes"] : ["False", "f", "0", "N"];
  if (type !== "Integer") return [];
  return id.startsWith("-") ? [`-00${id.slice(1)}`] : [`0${id}`, `+${id}`, ...(id === "0" ? ["-0"] : [])];
}

export const bindingLimits = { bindingsBytesMax: 100_000, bindingsMax: 200, identifierBytesMax: 512 };

/**
 * A table and a signature for each kind of fact. Every second kind with a String has a signature for each string, with
 * the string in it instead of a column. All tables also have repeated rows, rows with NULL, and rows with
 * other texts of the same values.
 */
export function bind(
  local: readonly Fact[],
  dialect: DialectName,
  sqlTypes: Readonly<Record<string, string>> = {},
): Bound {
  const kinds = Map.groupBy(local, (fact) => JSON.stringify([fact.predicate, ...fact.args.map(({ type }) => type)]));
  const tables: AppTable[] = [{ name: "no_rows", types: ["text"], rows: [] }];
  // Bindings need a signature, even if all facts are elsewhere.
  const facts: Record<string, { query: string }> = { "has_nothing(User:_)": { query: "SELECT a0 FROM no_rows" } };
  for (const [number, [, members]] of [...kinds].entries()) {
    const [first] = members;
    if (first === undefined) continue;
    const name = `t${number}`;
    const rows = members.map(({ args }): (string | null)[] => args.map(({ id }) => id));
    const nulls = rows
      .slice(0, 3)
      .flatMap((row) => row.map((_, column) => row.map((id, at) => (at === column ? null : id))));
    const others = members
      .slice(0, 2)
      .flatMap(({ args }) =>
        args.flatMap((value, column) =>
          (sqlTypes[value.type] === undefined ? otherTexts(value) : []).map((text) =>
            args.map(({ id }, at) => (at === column ? text : id)),
          ),
        ),
      );
    tables.push({
      name,
      types: first.args.map(({ type }) => sqlTypes[type] ?? "text"),
      rows: [...rows, ...rows.slice(0, 2), ...nulls, ...others],
    });
    const position = first.args.findIndex(({ type }) => type === "String");
    const isFixed = number % 2 === 1 && position >= 0;
    const fixed = isFixed ? new Set(members.map(({ args }) => args[position]?.id ?? "")) : new Set([""]);
    for (const text of fixed) {
      const written = first.args.map(({ type }, at) =>
        isFixed && at === position ? `String:${JSON.stringify(text)}` : `${type}:_`,
      );
      const columns = first.args.flatMap((_, at) => (isFixed && at === position ? [] : [`a${at}`]));
      const where = isFixed ? ` WHERE a${position} = '${text.replaceAll("'", "''")}'` : "";
      if (columns.length === 0) continue;
      facts[`${first.predicate}(${written.join(", ")})`] = {
        query: `SELECT ${columns.join(", ")} FROM ${name}${where};`,
      };
    }
  }
  const yaml = formatYaml({ dialect, facts, sql_types: sqlTypes });
  return { tables, yaml, bindings: parseBindings(yaml, bindingLimits) };
}
