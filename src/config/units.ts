/** Durations and sizes as people write them. Plain functions: worker threads load them without the schemas of settings. */

const durationUnits = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1000, ms: 1 };
export const durationPattern = /^(?:0|\d+(?:ms|s|m|h|d))$/;

/** Milliseconds. The text matches `durationPattern`. */
export function parseDuration(text: string): number {
  return parseWithUnit(text, durationUnits);
}

/** The shortest form: `1800000` is `30m`. */
export function formatDuration(ms: number): string {
  return formatWithUnit(ms, durationUnits) ?? "0";
}

const byteUnits = { GiB: 1024 ** 3, MiB: 1024 ** 2, KiB: 1024 };
export const bytesPattern = /^\d+(?:KiB|MiB|GiB)?$/;

/** The text matches `bytesPattern`. */
export function parseBytes(text: string): number {
  return parseWithUnit(text, byteUnits);
}

export function formatBytes(value: number): string | number {
  return formatWithUnit(value, byteUnits) ?? value;
}

/** The sizes of units, the largest first. */
type Units = Readonly<Record<string, number>>;

function parseWithUnit(text: string, units: Units): number {
  const [number = "", unit = ""] = text.match(/\d+|\D+/g) ?? [];
  return Number(number) * (units[unit] ?? 1);
}

/** With the largest unit that gives a whole number; undefined if there is none. */
function formatWithUnit(value: number, units: Units): string | undefined {
  const entry = Object.entries(units).find(([, size]) => value >= size && value % size === 0);
  return entry && `${value / entry[1]}${entry[0]}`;
}
