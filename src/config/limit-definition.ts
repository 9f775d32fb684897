/** The definition of one limit: plain data, with the helpers that make it. */

export interface LimitDefinition {
  /** The unit: none, bytes or milliseconds. */
  readonly kind: "count" | "size" | "time";
  readonly defaultValue: number;
  readonly min: number;
  readonly max: number;
  /** What it bounds, and why one would change it: for `--help`, or for the reader of the constant. */
  readonly description: string;
}

export const KiB = 1024;
export const MiB = 1024 * KiB;
export const GiB = 1024 * MiB;
export const day = 86_400_000;

export function count(defaultValue: number, description: string, { min = 1 } = {}): LimitDefinition {
  return { kind: "count", defaultValue, min, max: 1_000_000_000, description };
}

export function size(defaultValue: number, description: string, { min = 1 } = {}): LimitDefinition {
  return { kind: "size", defaultValue, min, max: 1024 * GiB, description };
}

export function time(defaultValue: number, description: string, { min = 1, max = day } = {}): LimitDefinition {
  return { kind: "time", defaultValue, min, max, description };
}
