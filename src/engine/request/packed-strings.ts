/**
 * Many strings as one block of UTF-8. It uses a fraction of the memory of as many strings, its size is known exactly,
 * and threads and processes pass it on unchanged.
 */
export interface PackedStrings {
  readonly block: Uint8Array<ArrayBuffer>;
  /** The end of each string in the block. */
  readonly ends: Uint32Array<ArrayBuffer>;
}

/** The strings are sent in pieces: first the bytes of `ends`, then the block. */
export interface PackedSize {
  readonly count: number;
  readonly bytes: number;
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

/** The piece from the byte `start`, or what `ends` or the block still has after it. Not empty before the last byte. */
export function pieceOf({ block, ends }: PackedStrings, start: number, bytesMax: number): Uint8Array {
  const first = new Uint8Array(ends.buffer, ends.byteOffset, ends.byteLength);
  const [part, at] = start < first.length ? [first, start] : [block, start - first.length];
  // A copy, since a view would be sent with its whole buffer.
  return part.slice(at, at + bytesMax);
}

/** Puts the pieces together, which `next` returns in order. Rejects as `next` does. */
export async function fromPieces(
  { count, bytes }: PackedSize,
  next: (start: number) => Promise<Uint8Array>,
): Promise<PackedStrings> {
  const whole = new Uint8Array(bytes);
  for (let start = 0; start < bytes;) {
    const piece = await next(start);
    whole.set(piece, start);
    start += piece.length;
  }
  const ends = new Uint32Array(whole.buffer, 0, count);
  return { block: whole.subarray(ends.byteLength), ends };
}

export function bytesOf({ block, ends }: PackedStrings): number {
  return block.byteLength + ends.byteLength;
}
