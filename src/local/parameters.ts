/**
 * SQL with parameters instead of literals. While SQL is written, a string is a mark that contains it: where a string ends
 * up in the SQL, and how often, is known only at the end. Then the marks become `$1` or `?`, and their strings a list.
 * Tables of values (`VALUES`) keep literals: databases and drivers allow some ten thousand parameters.
 */
import { AppError } from "../util/app-error.ts";
import { must } from "../util/assert.ts";
import type { DataBindings } from "./bindings.ts";
import type { Dialect } from "./dialect.ts";
import type { DialectName } from "./dialect-names.ts";

export interface ParameterSql {
  readonly sql: string;
  /** In the order of `?`; `$1` is the first one. */
  readonly parameters: readonly string[];
}

/** What drivers and protocols allow, with room for the application's own parameters. Further values are literals. */
const parametersMax = 30_000;

/** Neither a bound query nor a name can contain the character. */
const mark = (text: string): string => `\0${Buffer.from(text).toString("hex")}\0`;
const marks = /\0([0-9a-f]*)\0/g;

const marked = new WeakMap<DataBindings, DataBindings>();

/** The bindings for SQL with parameters: the same object for the same bindings. Throws `invalid_request`. */
export function withParameters(bindings: DataBindings): DataBindings {
  return marked.getOrInsertComputed(bindings, () => {
    const own = bindings.dialect === "postgres" ? /\$\d/ : /\?/;
    const taken = bindings.bindings.find(({ query }) => own.test(query));
    if (taken !== undefined)
      throw new AppError(
        "invalid_request",
        `the query of \`${taken.signature.text.trim()}\` has \`${must(own.exec(taken.query))[0]}\`, which marks a parameter: write it in another way, or ask without \`parameters\``,
      );
    return { ...bindings, hasParameters: true };
  });
}

/** The dialect whose strings are marks. */
export function markingDialect(dialect: Dialect): Dialect {
  const string = (text: string): string | undefined =>
    dialect.string(text) === undefined ? undefined : written[dialect.name](mark(text));
  return {
    ...dialect,
    string,
    typedValue(type, id) {
      if (type.form === "integer" && dialect.name !== "postgres") return dialect.typedValue(type, id);
      // A parameter has the collation of the column that it is compared with, as a literal has.
      return dialect.name === "postgres" ? `CAST(${written.postgres(mark(id))} AS ${type.name})` : mark(id);
    },
  };
}

/** A parameter as a string, whatever the driver says of its type and its character set. */
const written: Readonly<Record<DialectName, (mark: string) => string>> = {
  postgres: (text) => `CAST(${text} AS text)`,
  mysql: (text) => `CAST(CONVERT(${text} USING utf8mb4) AS BINARY)`,
  sqlite: (text) => text,
};

/** Replaces the marks. `dialect` writes literals. */
export function resolveMarks(sql: string, dialect: Dialect): ParameterSql {
  const parameters: string[] = [];
  const numbers = new Map<string, number>();
  const isNumbered = dialect.name === "postgres";
  const resolved = sql.replaceAll(marks, (_, hex: string) => {
    const text = Buffer.from(hex, "hex").toString();
    const known = isNumbered ? numbers.get(text) : undefined;
    if (known === undefined && parameters.length >= parametersMax) return must(dialect.string(text));
    const number = known ?? parameters.push(text);
    numbers.set(text, number);
    return isNumbered ? `$${number}` : "?";
  });
  return { sql: resolved, parameters };
}
