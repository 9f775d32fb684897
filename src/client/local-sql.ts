/**
 * SQL of local authorization for query builders: turns the response of a node into an SQL object of Drizzle, Kysely or
 * Prisma, so that it can be a part of typed queries.
 *
 * The template tags of these libraries have the same form, so the application passes the one that it uses, and this code
 * imports none of them.
 */

/** The `sql` of Drizzle or Kysely, with a type argument, or `Prisma.sql`. */
export type SqlTag<Sql> = (strings: TemplateStringsArray, ...values: unknown[]) => Sql;

/** The response of a node. With `"parameters": true` in the request it has the values of `$1` or `?`. */
export interface LocalSqlAnswer {
  readonly sql: string;
  readonly parameters?: readonly unknown[];
}

/**
 * Returns the SQL as an object of the library: a condition for `listLocal` and `evaluateLocalFilter`, otherwise a whole
 * query. `answer` is what these functions of the official client return, or the response of the node. The values of
 * parameters stay parameters.
 *
 *     db.select().from(issues).where(localSql(sql<boolean>, await oso.listLocal(user, "read", "Issue", "issues.id")))
 *
 * Throws TypeError if the parameters do not fit the SQL.
 */
export function localSql<Sql>(tag: SqlTag<Sql>, answer: string | LocalSqlAnswer): Sql {
  const { sql, parameters = [] } = typeof answer === "string" ? { sql: answer } : answer;
  const { parts, numbers } = parameters.length === 0 ? { parts: [sql], numbers: [] } : split(sql, parameters.length);
  const strings = Object.assign([...parts], { raw: parts });
  return tag(strings, ...numbers.map((number) => parameters[number]));
}

/** The text between the marks of parameters, and the parameter of each mark, counted from 0. */
interface Split {
  readonly parts: readonly string[];
  readonly numbers: readonly number[];
}

// Quotes and comments, which may contain something like a mark, and then the marks.
const common = `"(?:[^"]|"")*"|\`[^\`]*\`|--[^\\n]*|/\\*[^]*?\\*/`;
const plainString = `'(?:[^']|'')*'`;
const escapedString = `'(?:[^'\\\\]|\\\\[^]|'')*'`;
const dollarQuoted = `(\\$(?:[A-Za-z_]\\w*)?\\$)[^]*?\\1`;
// Names of MySQL and SQLite may contain the sign.
const numberedMark = `(?<![\\p{L}\\p{N}_$])\\$(?<mark>\\d+)`;
const numbered = `\\b[eE]${escapedString}|${plainString}|${dollarQuoted}|${common}|${numberedMark}`;
const unnumbered = (string: string): string => `${string}|${common}|(?<mark>\\?)`;

function split(sql: string, count: number): Split {
  const dollars = splitAt(sql, numbered);
  if (dollars.numbers.length > 0) return checked(dollars, count);
  // In MySQL a backslash escapes a quote, in SQLite it does not.
  const [escaped, plain] = [splitAt(sql, unnumbered(escapedString)), splitAt(sql, unnumbered(plainString))];
  if (escaped.parts.join("\0") !== plain.parts.join("\0"))
    throw new TypeError("the marks of parameters are ambiguous: ask without `parameters`");
  return checked(plain, count);
}

function splitAt(sql: string, pattern: string): Split {
  const [parts, numbers]: [string[], number[]] = [[], []];
  let end = 0;
  for (const match of sql.matchAll(new RegExp(pattern, "gu"))) {
    const mark = match.groups?.["mark"];
    if (mark === undefined) continue;
    parts.push(sql.slice(end, match.index));
    numbers.push(mark === "?" ? numbers.length : Number(mark) - 1);
    end = match.index + match[0].length;
  }
  return { parts: [...parts, sql.slice(end)], numbers };
}

function checked(found: Split, count: number): Split {
  const used = new Set(found.numbers);
  if (used.size === count && found.numbers.every((number) => number >= 0 && number < count)) return found;
  throw new TypeError(`the SQL has marks for ${used.size} parameters, and there are ${count}`);
}
