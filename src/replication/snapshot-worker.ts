/** Makes and checks snapshots in a thread of its own. */
import { serveWorker } from "../runtime/worker.ts";
import { snapshotCommands, type SnapshotCommands, type SnapshotEvent } from "./snapshot-commands.ts";

const emit = serveWorker<SnapshotCommands, SnapshotEvent>(
  snapshotCommands((event) => emit(event)),
  () => {},
);
