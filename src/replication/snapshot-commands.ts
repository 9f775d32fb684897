/** What can be done with snapshots and whole copies in a thread aside, because copying or reading a large database blocks whoever does it. */
import type { Limits } from "../config/limits.ts";
import { buildSnapshot, unpackSnapshot, type Snapshot } from "../store/snapshot.ts";
import type { State } from "../store/state.ts";
import { auditCopy, checkCopy } from "./check-copy.ts";

export type SnapshotCommands = ReturnType<typeof snapshotCommands>;

/** What is worth a line in the log, which the main thread writes. */
export interface SnapshotEvent {
  readonly warning: string;
}

export function snapshotCommands(emit: (event: SnapshotEvent) => void) {
  const warn = (warning: string): void => emit({ warning });
  return {
    build: (storePath: string, directory: string): Promise<Snapshot> => buildSnapshot(storePath, directory),
    unpack: (snapshot: Snapshot, target: string, limits: Limits): Promise<State> =>
      unpackSnapshot(snapshot, target, limits.snapshotBytesMax, (path) => checkCopy(path, limits, warn)),
    check: (storePath: string, limits: Limits): State => checkCopy(storePath, limits, warn),
    audit: (storePath: string): void => auditCopy(storePath),
  };
}
