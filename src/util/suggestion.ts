/** The known name with the smallest edit distance, if the distance is small enough. */
export function suggestion(name: string, known: Iterable<string>): string | undefined {
  if (name.length > lengthMax) return undefined;
  const lowerCase = name.toLowerCase();
  let best: { name: string; distance: number } | undefined;
  let work = 0;
  for (const candidate of known) {
    if ((work += 1) > workMax) break;
    const most = Math.min(best?.distance ?? Infinity, Math.floor(Math.max(name.length, candidate.length) / 3) + 1);
    if (Math.abs(candidate.length - name.length) >= most) continue;
    work += most * candidate.length;
    const distance = editDistance(lowerCase, candidate.toLowerCase(), most);
    if (distance < most) best = { name: candidate, distance };
  }
  return best?.name;
}

/**
 * Roughly the pairs of characters to compare, about two milliseconds of work: suggestions must not dominate the check of
 * a large policy, nor delay other requests.
 */
const workMax = 20_000;

/** Longer names are rarely typing errors, and slow to compare. */
const lengthMax = 60;

/**
 * Insertions, deletions, replacements, and swaps of adjacent letters, which are the most frequent typing error. Returns
 * `most` if there are at least so many.
 */
function editDistance(source: string, target: string, most: number): number {
  const width = target.length + 1;
  // The rows before the last one, the last one, and the current one.
  let rows = [new Uint8Array(width), new Uint8Array(width), new Uint8Array(width)] as const;
  for (let column = 0; column < width; column += 1) rows[1][column] = column;
  for (let row = 1; row <= source.length; row += 1) {
    const [beforePrevious, previous, current] = rows;
    let least = (current[0] = row);
    for (let column = 1; column < width; column += 1) {
      const isSame = source[row - 1] === target[column - 1];
      let distance = (previous[column - 1] ?? 0) + (isSame ? 0 : 1);
      distance = Math.min(distance, Math.min(previous[column] ?? 0, current[column - 1] ?? 0) + 1);
      const isSwapped = column > 1 && source[row - 1] === target[column - 2] && source[row - 2] === target[column - 1];
      if (isSwapped) distance = Math.min(distance, (beforePrevious[column - 2] ?? 0) + 1);
      current[column] = distance;
      least = Math.min(least, distance);
    }
    // Each later row has at least these distances, a swap too.
    if (least > most) return most;
    rows = [previous, current, beforePrevious];
  }
  return rows[1][width - 1] ?? 0;
}
