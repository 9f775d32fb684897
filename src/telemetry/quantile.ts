/**
 * A quantile of a histogram, as `histogram_quantile` of Prometheus estimates it: values are assumed to be spread evenly
 * inside a bucket.
 */

/**
 * The value below which the share `q` of all values lies; undefined without values. `bounds` are the upper bounds of the
 * buckets, `counts` their sizes and, as the last one, the number of values above all bounds. Of those nothing more is
 * known, so the result is at most the last bound.
 */
export function quantile(bounds: readonly number[], counts: readonly number[], q: number): number | undefined {
  const wanted = q * counts.reduce((sum, count) => sum + count, 0);
  if (wanted <= 0) return undefined;
  let below = 0;
  for (const [bucket, upper] of bounds.entries()) {
    const count = counts[bucket] ?? 0;
    const lower = bounds[bucket - 1] ?? 0;
    if (count > 0 && below + count >= wanted) return lower + ((upper - lower) * (wanted - below)) / count;
    below += count;
  }
  return bounds.at(-1);
}
