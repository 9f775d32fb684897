/** The free space of a file system, and the part that is reserved for essential writes on a nearly full disk. */
import { statfsSync } from "node:fs";

export interface DiskSpace {
  /** The space that this process may use. */
  readonly freeBytes: number;
  readonly totalBytes: number;
}

/** The space of the file system that holds `path`; undefined if the system does not report it. */
export function diskSpaceOf(path: string): DiskSpace | undefined {
  try {
    const { bavail, blocks, bsize } = statfsSync(path);
    // A file system without a size of its own reports 0.
    return blocks === 0 ? undefined : { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
  } catch {
    return undefined;
  }
}

/** Otherwise the reserve could be a whole small volume. */
const reserveShareMax = 1 / 4;

/** The reserve in bytes on a file system of this size. */
export function effectiveReserveBytes({ totalBytes }: DiskSpace, wantedBytes: number): number {
  return Math.min(wantedBytes, Math.floor(totalBytes * reserveShareMax));
}
