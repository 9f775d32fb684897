/** A number of bytes for people: `12.3` of a million each. */
export function formatMegabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}
