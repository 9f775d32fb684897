/** Questions about earlier moments: answered as then, with the policy, the facts and the clock of the moment. */
import type { DecisionKind, ExplainQuestion, Questions, SerializedQuestion } from "../engine/request/questions.ts";
import { textOf } from "../engine/workers/query-dispatcher.ts";
import type { Moment } from "./moment.ts";
import type { PastProcess } from "./past-process.ts";
import type { PastAnswer } from "./past-worker.ts";

export class PastQuestions {
  readonly #process: PastProcess;

  constructor(process: PastProcess) {
    this.#process = process;
  }

  /**
   * The answer as JSON, as the member `key` if one is given. `holder` is the API key. Rejects with AppError `gone` and
   * `invalid_request` as `atMoment`, as the engine does, and as `PastProcess.run`.
   */
  answer<Kind extends DecisionKind>(
    moment: Moment,
    kind: Kind,
    question: Questions[Kind]["question"] | SerializedQuestion<Kind>,
    { holder, key }: { readonly holder: string; readonly key: string | undefined },
  ): Promise<PastAnswer> {
    return this.#process.run(holder, (worker) =>
      worker.call("answerAt", { moment, kind, question: textOf(question), key, ...this.#process.stateOptions }),
    );
  }

  /** The explanation as JSON. As `answer`. */
  explain(moment: Moment, question: ExplainQuestion, holder: string): Promise<PastAnswer> {
    return this.#process.run(holder, (worker) =>
      worker.call("explainAt", { moment, question, ...this.#process.stateOptions }),
    );
  }
}
