/**
 * What a node answers with: its engine on the thread that serves, and for what that does not take, one in a process aside, which is ended at its
 * limit. Those who ask for what is answered at once never wait for the others.
 */
import type { Limits } from "../config/limits.ts";
import { formatBytes } from "../config/value.ts";
import { metrics } from "../telemetry/metrics.ts";
import { withSpan } from "../telemetry/tracing.ts";
import { AsideLane } from "./aside-lane.ts";
import type { Engine } from "./engine.ts";
import { TooCostly } from "./in-place.ts";
import { askEngine, type QuestionKind, type Questions } from "./question-kinds.ts";

export class Answers {
  readonly #engine: () => Engine;
  readonly #limits: Limits;
  readonly #lane: AsideLane;

  /** `engine` gives the present one, or throws `not_ready`. */
  constructor(engine: () => Engine, limits: Limits) {
    this.#engine = engine;
    this.#limits = limits;
    const { queriesAsideMax, queryTimeMsMax, queryMemoryBytesMax, slowQueriesMax, slowQueryAfterMs } = limits;
    this.#lane = new AsideLane({
      waitingMax: queriesAsideMax,
      timeMsMax: queryTimeMsMax,
      slow: { afterMs: slowQueryAfterMs, max: slowQueriesMax },
      memoryBytesMax: queryMemoryBytesMax,
      what: "questions that take long",
      late: `answering takes longer than ${queryTimeMsMax} ms: ask for less, or for one value`,
      large: `answering takes more than ${formatBytes(queryMemoryBytesMax)} of memory: ask for less, or for one value`,
    });
  }

  /** The decision on the question that came as `text`, where it is remembered and still stands. */
  recall(text: string): boolean | undefined {
    return this.#engine().recall(text);
  }

  /**
   * A promise for what is answered aside alone: most answers are here at once, and then nobody should have to wait for a promise. Throws, or rejects, as
   * the engine's method of that name does, `query_too_expensive` at the limits, `too_many_requests` where too many take long. `holder` is the API key
   * that asks.
   */
  ask<Kind extends QuestionKind>(
    kind: Kind,
    question: Questions[Kind]["question"],
    holder: string,
  ): Questions[Kind]["answer"] | Promise<Questions[Kind]["answer"]> {
    const engine = this.#engine();
    try {
      return askEngine(engine, kind, question);
    } catch (error) {
      if (!(error instanceof TooCostly)) throw error;
    }
    return this.#askAside(engine, kind, question, holder);
  }

  async #askAside<Kind extends QuestionKind>(
    engine: Engine,
    kind: Kind,
    question: Questions[Kind]["question"],
    holder: string,
  ): Promise<Questions[Kind]["answer"]> {
    metrics.queriesAside.inc({ kind });
    const store = { limits: this.#limits, storePath: engine.path };
    const answer = await withSpan("query aside", {}, () =>
      this.#lane.run(
        holder,
        (cell) => cell.call("answer", { kind, question, ...store }),
        (cell) => cell.call("openEngine", store),
      ),
    );
    return answer as Questions[Kind]["answer"];
  }
}
