/** What a combobox offers for a written text. Pure. */

const offeredMax = 50;

/** The texts that have the written one: first those that begin with it. The text itself is none. */
export function offeredOf(options: readonly string[], written: string): string[] {
  const wanted = written.trim().toLowerCase();
  const found = [...new Set(options)].filter(
    (option) => option !== written && (wanted === "" || option.toLowerCase().includes(wanted)),
  );
  const rank = (option: string): number => (option.toLowerCase().startsWith(wanted) ? 0 : 1);
  return found.toSorted((one, other) => rank(one) - rank(other)).slice(0, offeredMax);
}
