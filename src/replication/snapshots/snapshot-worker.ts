/** The threads that make and check snapshots. */
import { serveSharedWorkers } from "../../runtime/shared-thread.ts";
import { snapshotCommands, type SnapshotCommands } from "./snapshot-commands.ts";

serveSharedWorkers<SnapshotCommands>(() => {
  const commands = snapshotCommands();
  return { commands, stop: () => commands.close() };
});
