/** The thread of the decision log: it alone uses the file, so that neither a write nor a search delays an answer. */
import { serveWorker } from "../runtime/worker.ts";
import { systemClock } from "../util/clock.ts";
import { DecisionWriter, decisionCommands, type DecisionCommands, type DecisionLogEvent } from "./decision-writer.ts";

const writer = new DecisionWriter((event) => emit(event), systemClock);
const emit = serveWorker<DecisionCommands, DecisionLogEvent>(decisionCommands(writer), () => writer.close());
