/** The threads of the decision logs: they alone use the files, so that neither a write nor a search delays an answer. */
import { serveSharedWorkers } from "../runtime/shared-thread.ts";
import { systemClock } from "../util/clock.ts";
import { DecisionWriter, decisionCommands, type DecisionCommands, type DecisionLogEvent } from "./decision-writer.ts";

serveSharedWorkers<DecisionCommands, DecisionLogEvent>((emit) => {
  const writer = new DecisionWriter(emit, systemClock);
  return { commands: decisionCommands(writer), stop: () => writer.close() };
});
