/** Makes and checks snapshots in a thread of its own, because copying a large database blocks whoever does it. */
import { serveWorker } from "../runtime/worker.ts";
import { buildSnapshot, checkStore, unpackSnapshot, type Snapshot } from "../store/snapshot.ts";
import type { State } from "../store/state.ts";

export type SnapshotCommands = typeof commands;

const commands = {
  build: (storePath: string, directory: string): Promise<Snapshot> => buildSnapshot(storePath, directory),
  unpack: (snapshot: Snapshot, target: string, bytesMax: number): Promise<State> =>
    unpackSnapshot(snapshot, target, bytesMax),
  check: (storePath: string): State => checkStore(storePath),
};

serveWorker(commands, () => {});
