/** The thread of the writer, so that a commit never delays a read. */
import { serveWorker } from "../../runtime/worker.ts";
import { closeRawFiles } from "../../store/integrity/raw-files.ts";
import { systemClock } from "../../util/clock.ts";
import { StoreWriter, type WriterEvent } from "./store-writer.ts";
import { writerCommands, writerWorker, type WriterCommands } from "./writer-commands.ts";

const writer = new StoreWriter((event) => emit(event), systemClock);
const emit = serveWorker<WriterCommands, WriterEvent>(writerCommands(writer), stop, writerWorker.encoding);

/** The node closes its other connections first. */
function stop(): void {
  writer.close();
  closeRawFiles();
}
