/** Formats a number of bytes in megabytes (10^6), such as `12.3`. */
export function formatMegabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}
