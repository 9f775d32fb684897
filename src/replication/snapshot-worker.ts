/** Makes and checks snapshots in a thread of its own, because copying a large database blocks whoever does it. */
import type { Limits } from "../config/limits.ts";
import { serveWorker } from "../runtime/worker.ts";
import { buildSnapshot, unpackSnapshot, verifySnapshot, type Snapshot } from "../store/snapshot.ts";
import type { State } from "../store/state.ts";
import { must } from "../util/assert.ts";
import { checkStructure, ContentCheck } from "./check-copy.ts";

export type SnapshotCommands = typeof commands;

let content: ContentCheck | undefined;

const commands = {
  build: (storePath: string, directory: string): Promise<Snapshot> => buildSnapshot(storePath, directory),
  verify: (snapshot: Snapshot): Promise<void> => verifySnapshot(snapshot),
  unpack: (snapshot: Snapshot, target: string, bytesMax: number): Promise<void> =>
    unpackSnapshot(snapshot, target, bytesMax),
  checkStructure,

  /** The steps of one check, in this order. */
  open(path: string, limits: Limits): void {
    content = new ContentCheck(path, limits);
  },
  read: (): State => must(content).read(),
  mend: (): string | undefined => must(content).mend(),
};

serveWorker<SnapshotCommands>(commands, () => content?.close());
