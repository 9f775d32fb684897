/** Free space of a file system, and how much of it is kept for what must be written on a disk that is nearly full. */
import { statfsSync } from "node:fs";

export interface DiskSpace {
  /** What this process may use. */
  readonly freeBytes: number;
  readonly totalBytes: number;
}

/** Of the file system that holds `path`; undefined where it does not say. */
export function diskSpaceOf(path: string): DiskSpace | undefined {
  try {
    const { bavail, blocks, bsize } = statfsSync(path);
    // A file system without a limit of its own says 0.
    return blocks === 0 ? undefined : { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
  } catch {
    return undefined;
  }
}

/** A small volume would be all reserve. */
const reserveShareMax = 1 / 4;

/** The reserve in bytes, on a file system of that size. */
export function effectiveReserveBytes({ totalBytes }: DiskSpace, wantedBytes: number): number {
  return Math.min(wantedBytes, Math.floor(totalBytes * reserveShareMax));
}
