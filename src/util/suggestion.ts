/** The known name with the smallest edit distance, if the distance is small enough. */
export function suggestion(name: string, known: Iterable<string>): string | undefined {
  let best: { name: string; distance: number } | undefined;
  let tried = 0;
  for (const candidate of known) {
    if ((tried += 1) > candidatesMax) break;
    const most = Math.min(best?.distance ?? Infinity, Math.floor(Math.max(name.length, candidate.length) / 3) + 1);
    if (Math.abs(candidate.length - name.length) >= most || name.length > lengthMax) continue;
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (distance < most) best = { name: candidate, distance };
  }
  return best?.name;
}

/** A bound on the work, so that suggestions do not dominate the check of a large policy. */
const candidatesMax = 1000;

/** Longer names are rarely typing errors, and slow to compare. */
const lengthMax = 60;

/** Insertions, deletions, replacements, and swaps of adjacent letters, which are the most frequent typing error. */
function editDistance(source: string, target: string): number {
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: target.length + 1 }, (_, index) => index);
  for (let row = 1; row <= source.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= target.length; column += 1) {
      const replaced = (previous[column - 1] ?? 0) + (source[row - 1] === target[column - 1] ? 0 : 1);
      const swapped = source[row - 1] === target[column - 2] && source[row - 2] === target[column - 1];
      current.push(
        Math.min(
          replaced,
          (previous[column] ?? 0) + 1,
          (current[column - 1] ?? 0) + 1,
          swapped ? (beforePrevious[column - 2] ?? Infinity) + 1 : Infinity,
        ),
      );
    }
    [beforePrevious, previous] = [previous, current];
  }
  return previous[target.length] ?? 0;
}
