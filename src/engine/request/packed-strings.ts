/**
 * Many strings as one block of UTF-8. It uses a fraction of the memory of as many strings, its size is known exactly,
 * and threads and processes pass it on unchanged.
 */
export interface PackedStrings {
  readonly block: Uint8Array<ArrayBuffer>;
  /** The end of each string in the block. */
  readonly ends: Uint32Array<ArrayBuffer>;
}

export interface ResultPage {
  readonly ids: readonly string[];
  /** The position of the next id; `null` after the last one. */
  readonly next: number | null;
}

export function packStrings(given: readonly string[]): PackedStrings {
  const joined = given.join("");
  const isAscii = Buffer.byteLength(joined) === joined.length;
  // Lone surrogates, which context facts may hold, must not form pairs when the strings are joined.
  const strings = isAscii ? given : given.map((string) => string.toWellFormed());
  const block = new TextEncoder().encode(isAscii ? joined : strings.join(""));
  let end = 0;
  const ends = Uint32Array.from(strings, (string) => (end += isAscii ? string.length : Buffer.byteLength(string)));
  return { block, ends };
}

/** The page of `count` strings from the position `start`. */
export function pageOf({ block, ends }: PackedStrings, start: number, count: number): ResultPage {
  const bytes = Buffer.from(block.buffer, block.byteOffset, block.byteLength);
  const end = Math.min(start + count, ends.length);
  const ids: string[] = [];
  for (let index = start; index < end; index++)
    ids.push(bytes.toString("utf8", ends[index - 1] ?? 0, ends[index] ?? 0));
  return { ids, next: end < ends.length ? end : null };
}

export function bytesOf({ block, ends }: PackedStrings): number {
  return block.byteLength + ends.byteLength;
}
