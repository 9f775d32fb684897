/** Answers that are shared by all who ask the same within a second, so that many open consoles cost as much as one. */
import type { Clock } from "../../util/clock.ts";
import type { SurveyedNode, Wanted } from "../transport/reports.ts";

const validMs = 1000;
const answersMax = 64;

export class RecentAnswers {
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #answers = new Map<string, { readonly atMs: number; readonly nodes: Promise<readonly SurveyedNode[]> }>();

  constructor(clock: Pick<Clock, "monotonicMs">) {
    this.#clock = clock;
  }

  /** The answer to `wanted`, from `ask` unless there is one of the last second. */
  get(wanted: Wanted, ask: () => Promise<readonly SurveyedNode[]>): Promise<readonly SurveyedNode[]> {
    const nowMs = this.#clock.monotonicMs();
    const key = `${wanted.offset} ${wanted.trace}`;
    const known = this.#answers.get(key);
    if (known !== undefined && nowMs - known.atMs < validMs) return known.nodes;
    for (const [old, { atMs }] of this.#answers)
      if (nowMs - atMs >= validMs || this.#answers.size >= answersMax) this.#answers.delete(old);
    const nodes = ask();
    this.#answers.set(key, { atMs: nowMs, nodes });
    // A failure is not shared.
    nodes.catch(() => this.#answers.delete(key));
    return nodes;
  }
}
