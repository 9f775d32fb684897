/** The order of strings in answers: by code point, which equals the byte order of UTF-8, in which SQLite sorts. */

export function compareStrings(left: string, right: string): number {
  const length = Math.min(left.length, right.length);
  for (let index = 0; index < length; index++) {
    const difference = rankAt(left, index) - rankAt(right, index);
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}

/** Sorts in place. */
export function sortStrings(strings: string[]): string[] {
  // Without surrogates, code point order equals UTF-16 unit order, which the runtime sorts in a fraction of the time.
  return strings.some((text) => surrogate.test(text)) ? strings.sort(compareStrings) : strings.sort();
}

type StringRow = (string | null)[];

/** Sorts distinct rows by their strings from left to right, `null` first. Sorts in place if no faster way exists. */
export function sortRows(rows: StringRow[]): StringRow[] {
  const [first] = rows;
  if (first?.length === 1) return sortSingles(rows);
  const hasSurrogates = rows.some((row) => row.some((text) => text !== null && surrogate.test(text)));
  const compare = hasSurrogates ? compareStrings : compareUnits;
  return rows.sort((left, right) => compareRows(left, right, compare));
}

/** Strings alone are sorted many times faster than rows. */
function sortSingles(rows: readonly StringRow[]): StringRow[] {
  const strings: string[] = [];
  for (const [text] of rows) if (text !== null && text !== undefined) strings.push(text);
  const sorted: StringRow[] = sortStrings(strings).map((text) => [text]);
  return strings.length < rows.length ? [[null], ...sorted] : sorted;
}

function compareUnits(left: string, right: string): number {
  return left < right ? -1 : 1;
}

function compareRows(left: StringRow, right: StringRow, compare: (text: string, other: string) => number): number {
  for (let index = 0; index < left.length; index++) {
    const [text, other] = [left[index] ?? null, right[index] ?? null];
    if (text === other) continue;
    if (text === null || other === null) return text === null ? -1 : 1;
    return compare(text, other);
  }
  return 0;
}

const surrogate = /[\ud800-\udfff]/;

/** Surrogates encode the highest code points, but some UTF-16 units are greater than surrogates. */
function rankAt(text: string, index: number): number {
  const unit = text.charCodeAt(index);
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x1_0000 : unit;
}
