/** The thread that makes and checks snapshots. */
import { serveWorker } from "../../runtime/worker.ts";
import { snapshotCommands, type SnapshotCommands } from "./snapshot-commands.ts";

const commands = snapshotCommands();

serveWorker<SnapshotCommands>(commands, () => commands.close());
