/** Makes and checks snapshots in a thread of its own. */
import { serveWorker } from "../../runtime/worker.ts";
import { snapshotCommands, type SnapshotCommands } from "./snapshot-commands.ts";

const commands = snapshotCommands();

serveWorker<SnapshotCommands>(commands, () => commands.close());
