/** The writer in a thread of its own, so that a commit never holds up a read. */
import { serveWorker } from "../../runtime/worker.ts";
import { systemClock } from "../../util/clock.ts";
import { StoreWriter } from "./store-writer.ts";
import { writerCommands, type WriterCommands, type WriterEvent } from "./writer-commands.ts";

const writer = new StoreWriter((moved) => emit(moved), systemClock);
const emit = serveWorker<WriterCommands, WriterEvent>(writerCommands(writer), () => writer.close());
