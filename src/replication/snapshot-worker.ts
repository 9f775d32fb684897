/** Makes and checks snapshots in a thread of its own, because copying a large database blocks whoever does it. */
import { serveWorker } from "../runtime/worker.ts";
import { buildSnapshot, unpackSnapshot, type Snapshot } from "../store/snapshot.ts";
import type { State } from "../store/state.ts";
import { checkCopy } from "./check-copy.ts";

export type SnapshotCommands = typeof commands;

const commands = {
  build: (storePath: string, directory: string): Promise<Snapshot> => buildSnapshot(storePath, directory),
  unpack: (snapshot: Snapshot, target: string, bytesMax: number): Promise<State> =>
    unpackSnapshot(snapshot, target, bytesMax, checkCopy),
  check: (storePath: string): State => checkCopy(storePath),
};

serveWorker(commands, () => {});
