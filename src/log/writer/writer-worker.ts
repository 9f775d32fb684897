/** The threads of the writers, so that a commit never delays a read. */
import { serveSharedWorkers } from "../../runtime/shared-thread.ts";
import { systemClock } from "../../util/clock.ts";
import { StoreWriter, type WriterEvent } from "./store-writer.ts";
import { writerCommands, writerWorker, type WriterCommands } from "./writer-commands.ts";

serveSharedWorkers<WriterCommands, WriterEvent>((emit) => {
  const writer = new StoreWriter(emit, systemClock);
  return { commands: writerCommands(writer), stop: () => writer.stop() };
}, writerWorker.encoding);
