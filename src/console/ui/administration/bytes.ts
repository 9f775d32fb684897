/** Sizes of files as text. Pure. */

const units = ["bytes", "kB", "MB", "GB", "TB"] as const;
const number = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

export function formatBytes(bytes: number): string {
  const power = bytes < 1000 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3));
  return `${number.format(bytes / 1000 ** power)} ${units[power]}`;
}
