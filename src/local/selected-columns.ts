/** Counts the columns that a query selects, without a database. */
import type { DialectName } from "./dialect-names.ts";
import { nextPart } from "./query-text.ts";

/** What can follow the list of columns. */
const ends: ReadonlySet<string> = new Set([
  ...["from", "where", "group", "having", "window", "union", "intersect", "except"],
  ...["order", "limit", "offset", "fetch", "for"],
]);

/** `query` has passed `checkQuery`. Returns undefined if only the database knows the number, as with `*`. */
export function selectedColumns(query: string, dialect: DialectName): number | undefined {
  const words = outerWords(query, dialect);
  const start = words.indexOf("select");
  if (start < 0 || words[0] === group) return undefined;
  const rest = words.slice(start + 1);
  const end = rest.findIndex((word) => ends.has(word));
  const list = end < 0 ? rest : rest.slice(0, end);
  const first = list.findIndex((word, index) => !isModifier(word, list[index - 1]));
  // `*` and `t.*` are columns, `a * b` is not.
  const isStar = (word: string, index: number): boolean =>
    word === "*" && (index === first || [",", "."].includes(list[index - 1] ?? ""));
  return list.some(isStar) ? undefined : list.filter((word) => word === ",").length + 1;
}

/** Whether the word belongs to `ALL`, `DISTINCT` or `DISTINCT ON (…)`. */
function isModifier(word: string, before: string | undefined): boolean {
  if (before === undefined) return word === "all" || word === "distinct";
  return (before === "distinct" && word === "on") || (before === "on" && word === group);
}

const group = "()";

/** Words in lower case and single characters outside of parentheses. Each pair of parentheses is one word. */
function outerWords(query: string, dialect: DialectName): string[] {
  const words: string[] = [];
  for (let [at, depth] = [0, 0]; at < query.length;) {
    const part = nextPart(query, at, dialect);
    if (part.kind === "unclosed") return words;
    const text =
      /^\w+/.exec(query.slice(at, part.end === at + 1 ? undefined : part.end))?.[0] ?? query.slice(at, part.end);
    if (part.kind === "open" || text === "[") {
      if (depth === 0) words.push(group);
      depth += 1;
    } else if (part.kind === "close" || text === "]") depth -= 1;
    else if (depth === 0 && !/^(?:\s|--|\/\*|#)/.test(text)) words.push(text.toLowerCase());
    at += text.length;
  }
  return words;
}
