/** The writer in a thread of its own, so that a commit never holds up a read. */
import { serveWorker } from "../runtime/worker.ts";
import type { NodeSetting } from "../store/keys.ts";
import type { State } from "../store/state.ts";
import type { WriteMeta, WriteRequest } from "./append.ts";
import type { ReplayRequest } from "./replay.ts";
import { StoreWriter, type OpenRequest } from "./store-writer.ts";

export type WriterCommands = typeof commands;

/** Sent after each commit that moved the position. */
export interface WriterEvent {
  readonly state: State;
}

const writer = new StoreWriter((state) => emit({ state }));

const commands = {
  open: (options: OpenRequest) => writer.open(options),
  write: (request: WriteRequest, meta: WriteMeta) => writer.write(request, meta),
  replay: (request: ReplayRequest) => writer.replay(request),
  readSetting: (key: NodeSetting) => writer.readSetting(key),
  writeSetting: (key: NodeSetting, value: string) => writer.writeSetting(key, value),
  close: () => writer.close(),
};

const emit = serveWorker<WriterCommands, WriterEvent>(commands, () => writer.close());
