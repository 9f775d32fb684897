/** Questions to the engine of this thread only. What needs a worker process is refused. */
import type { Engine } from "../engine.ts";
import { OffloadRequired } from "../query/offload-required.ts";
import { answerOnServingThread, cachedDecisionOf, type QueryDispatcher } from "./query-dispatcher.ts";

/** Throws OffloadRequired for a question that may take long. */
export function localQueries(engine: () => Engine): Pick<QueryDispatcher, "cachedDecision" | "ask" | "askList"> {
  const answer: QueryDispatcher["ask"] = (kind, question, _holder, note) =>
    answerOnServingThread(engine(), kind, question, note) ?? refuse();
  return {
    cachedDecision: (text, note) => cachedDecisionOf(engine(), text, note),
    ask: answer,
    askList: async (kind, question, { holder, key, note }) => {
      const found = await answer(kind, question, holder, note);
      return (key === undefined ? found : { [key]: found }) as never;
    },
  };
}

function refuse(): never {
  throw new OffloadRequired("a worker process has to answer");
}
