/** Numbers and times as people read them. */

const number = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const percent = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 1 });

/** Three digits for small numbers, all digits for large ones. */
export function formatNumber(value: number): string {
  return Math.abs(value) >= 1000 ? whole.format(value) : number.format(value);
}

export function formatShare(value: number): string {
  return percent.format(value);
}

export function formatDuration(ms: number): string {
  if (ms < 1000) return `${formatNumber(ms)} ms`;
  if (ms < 120_000) return `${formatNumber(ms / 1000)} s`;
  if (ms < 2 * 3_600_000) return `${whole.format(ms / 60_000)} min`;
  if (ms < 2 * 86_400_000) return `${whole.format(ms / 3_600_000)} h`;
  return `${whole.format(ms / 86_400_000)} days`;
}
