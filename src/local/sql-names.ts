/**
 * The names of tables and columns that the generated SQL defines. Texts of the application stand inside of it: the column
 * of a condition, which may be unqualified, and the queries of the bindings. A name of theirs must keep its meaning, so
 * all generated names begin with a prefix with which no name in these texts begins.
 */

export class SqlNames {
  readonly #prefix: string;
  #aliases = 0;
  #tables = 0;

  /** `taken`: of the texts that stand in the SQL (`takenPrefixes`). */
  constructor(...taken: readonly ReadonlySet<string>[]) {
    let prefix = prefixOf("");
    for (let count = 1; taken.some((some) => some.has(prefix)); count++) prefix = prefixOf(String(count));
    this.#prefix = prefix;
  }

  /** A new alias of a source. */
  alias(): string {
    return `${this.#prefix}${this.#aliases++}`;
  }

  /** A new table of recursive answers. */
  recursiveTable(): string {
    return `${this.#prefix}r${this.#tables++}`;
  }

  /** Whether the SQL reads such a table. It may say so of SQL that has the name in a string. */
  readsRecursion(sql: string): boolean {
    return sql.includes(`${this.#prefix}r`);
  }

  /** A column of a source, counted from 0. */
  column(index: number): string {
    return `${this.#prefix}c${index}`;
  }

  /** A source or a column that there is once. */
  named(name: "check" | "complete" | "found" | "known" | "next" | "one" | "rows" | "step" | "tag" | "all"): string {
    return `${this.#prefix}${name}`;
  }
}

const prefixOf = (count: string): string => `ost${count}_`;

/** The prefixes that `SqlNames` must not use, because names in the text may begin with them. */
export function takenPrefixes(text: string): ReadonlySet<string> {
  const taken = new Set<string>();
  // A digit before a name may end another word: MySQL reads `/*!80000ost_c0 */`, and PostgreSQL 14 `SELECT 1ost_c0`.
  for (const read of readings(text))
    for (const [, count = ""] of folded(read).matchAll(/(?<![\p{L}_$])ost(\d*)_/gu)) taken.add(prefixOf(count));
  return taken;
}

/** Databases compare names without case, and MySQL also without accents. */
function folded(text: string): string {
  return text.normalize("NFKD").replaceAll(/\p{M}/gu, "").toLowerCase().replaceAll("ß", "s");
}

/** PostgreSQL's `U&"\006fst"` with each character that can be the escape character, which may be a letter. */
function readings(text: string): string[] {
  if (!/u&"/i.test(text)) return [text];
  const escape = /([^0-9a-f+'"\s])(?:\+([0-9a-f]{6})|([0-9a-f]{4}))/giu;
  const characters = new Set(Array.from(text.matchAll(escape), ([, character]) => character));
  return [
    text,
    ...Array.from(characters, (used) =>
      text.replaceAll(escape, (all, character?: string, long?: string, short?: string) => {
        const point = Number.parseInt(long ?? short ?? "", 16);
        return character === used && point <= 0x10ffff ? String.fromCodePoint(point) : all;
      }),
    ),
  ];
}
