/**
 * Admission control of the serving thread. A running SQLite statement cannot be interrupted, so a client must not be
 * able to start a long one there. A query whose cost bound is too high is offloaded to a worker process.
 */
import type { Limits } from "../../config/limits.ts";
import type { Connection } from "../../store/connection/connection.ts";
import type { TableStatistics } from "../../store/statistics/table-statistics.ts";
import { type CostBound, costBoundOf } from "./cost-bound.ts";
import { OffloadRequired } from "./offload-required.ts";
import type { Plan, StatementPlan } from "./planner.ts";

/** The cost bound of a plan as a function, and its values for the current statistics. */
interface PlanBounds {
  readonly costBound: CostBound;
  readonly statistics: TableStatistics;
  /** By the length of the longest list in the question. */
  readonly byLength: Map<number, number>;
}

export class Admission {
  readonly #database: Connection;
  readonly #rowsMax: number;
  readonly #valuesMax: number;
  readonly #planBounds = new WeakMap<StatementPlan, PlanBounds>();

  constructor(database: Connection, limits: Limits) {
    this.#database = database;
    this.#rowsMax = limits.servingThreadQueryRowsMax;
    this.#valuesMax = limits.servingThreadAnswerValuesMax;
  }

  /** Throws `OffloadRequired` if the plan may examine too many rows with a list of `listed` values. */
  admit(plan: Plan, statistics: TableStatistics, listed: number): void {
    if (plan.kind !== "statement") return;
    const bounds = this.#boundsOf(plan, statistics);
    const length = roundedUp(listed);
    let bound = bounds.byLength.get(length);
    if (bound === undefined) bounds.byLength.set(length, (bound = bounds.costBound({ statistics, listed: length })));
    this.admitRows(bound);
  }

  /** Throws `OffloadRequired` if a query that may examine so many rows has to be offloaded. */
  admitRows(bound: number): void {
    // The comparison is also false for NaN, which is no bound.
    if (!(bound <= this.#rowsMax)) throw new OffloadRequired(`it may examine ${bound} rows`);
  }

  /** Throws `OffloadRequired` if an answer that may have so many values has to be offloaded. */
  admitValues(bound: number): void {
    if (!(bound <= this.#valuesMax)) throw new OffloadRequired(`its answer may have ${bound} values`);
  }

  #boundsOf(plan: StatementPlan, statistics: TableStatistics): PlanBounds {
    const cached = this.#planBounds.get(plan);
    if (cached?.statistics === statistics) return cached;
    const costBound = cached?.costBound ?? costBoundOf(this.#database, plan);
    const bounds = { costBound, statistics, byLength: new Map() };
    this.#planBounds.set(plan, bounds);
    return bounds;
  }
}

/** Rounds up to a power of two, so that bounds are cached for few lengths. */
function roundedUp(length: number): number {
  return length <= 1 ? 1 : 2 ** Math.ceil(Math.log2(length));
}
