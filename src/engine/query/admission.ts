/**
 * Which questions are answered at once, on the thread that serves: a statement of SQLite can't be ended, so whoever may ask must not be able to
 * start one there that takes long. What may look at too many rows, whatever it is asked with, is for elsewhere.
 */
import type { Limits } from "../../config/limits.ts";
import type { Connection } from "../../store/connection/connection.ts";
import type { TableStatistics } from "../../store/statistics/table-statistics.ts";
import { type CostBound, costBoundOf } from "./cost-bound.ts";
import { OffloadRequired } from "./offload-required.ts";
import type { Plan } from "./plans.ts";

interface PlanBounds {
  readonly costBound: CostBound;
  /** By the length of what a question lists. */
  readonly bounds: Map<number, number>;
  degrees: TableStatistics;
}

export class Admission {
  readonly #database: Connection;
  readonly #rowsMax: number;
  readonly #valuesMax: number;
  readonly #known = new WeakMap<Plan, PlanBounds>();

  constructor(database: Connection, limits: Limits) {
    this.#database = database;
    this.#rowsMax = limits.servingThreadQueryRowsMax;
    this.#valuesMax = limits.servingThreadAnswerValuesMax;
  }

  /** Throws `OffloadRequired`. `listed` is the length of the longest list that the question brings. */
  admit(plan: Plan, degrees: TableStatistics, listed: number): void {
    if (plan.kind !== "statement") return;
    let known = this.#known.get(plan);
    if (!known)
      this.#known.set(plan, (known = { costBound: costBoundOf(this.#database, plan), bounds: new Map(), degrees }));
    if (known.degrees !== degrees) {
      known.bounds.clear();
      known.degrees = degrees;
    }
    const length = roundedUp(listed);
    let bound = known.bounds.get(length);
    if (bound === undefined)
      known.bounds.set(length, (bound = known.costBound({ statistics: degrees, listed: length })));
    this.admitRows(bound);
  }

  /** The same for what may look at so many rows. */
  admitRows(bound: number): void {
    // Not a number is no bound either.
    if (!(bound <= this.#rowsMax)) throw new OffloadRequired(`it may look at ${bound} rows`);
  }

  /** The same for an answer that may have so many values. */
  admitValues(bound: number): void {
    if (!(bound <= this.#valuesMax)) throw new OffloadRequired(`its answer may have ${bound} values`);
  }
}

/** To a power of two: bounds are kept for few lengths. */
function roundedUp(length: number): number {
  return length <= 1 ? 1 : 2 ** Math.ceil(Math.log2(length));
}
