/**
 * What an engine answers from at present: the state of the store that it reads, the plans of the policy that is active in it, and the decisions that
 * are remembered of it. Each question is read of one state, whose time is taken.
 */
import type { Limits } from "../../config/limits.ts";
import type { Connection } from "../../store/connection/connection.ts";
import { type SequenceLock, readSequence } from "../../store/connection/sequence-lock.ts";
import { TableStatistics } from "../../store/statistics/table-statistics.ts";
import { metrics } from "../../telemetry/metrics.ts";
import type { Clock } from "../../util/clock.ts";
import { snapshotState, type SnapshotState } from "../policy/activation.ts";
import { DecisionCache } from "./decision-cache.ts";
import { Planner, type Strategy } from "./plans.ts";
import type { AuthorizeQuestion } from "../request/questions.ts";
import { ReadSnapshot } from "./read-snapshot.ts";

export interface ReadViewOptions {
  readonly limits: Limits;
  readonly strategy: Strategy;
  readonly onServingThread: boolean;
  /** As in `EngineOptions`, these three. */
  readonly changes: SequenceLock | undefined;
  readonly after: Clock["after"] | undefined;
  readonly inTransaction: boolean;
}

/** A question that is being answered. */
export interface ReadHandle {
  /** Names the state that was there when it began, where nothing else is read already. */
  readonly change: number | undefined;
  readonly startMs: number;
  /** Whether it is asked inside of another read. */
  readonly isInner: boolean;
}

export class ReadView {
  readonly decisions: DecisionCache;
  readonly #database: Connection;
  readonly #options: Pick<ReadViewOptions, "limits" | "strategy" | "onServingThread">;
  readonly #changes: SequenceLock | undefined;
  /** None where whoever asks has begun a transaction. */
  readonly #reads: ReadSnapshot | undefined;
  /** The state of which the memo speaks, as `changes` names it. */
  #seen: number | undefined;
  #degrees: { readonly of: TableStatistics; readonly stamp: number } | undefined;
  #plans: { readonly activation: object; readonly planner: Planner } | undefined;

  constructor(database: Connection, { changes, after, inTransaction, ...options }: ReadViewOptions) {
    this.#database = database;
    this.#options = options;
    this.#changes = changes;
    this.decisions = new DecisionCache(options.limits.decisionCacheEntriesMax);
    if (!inTransaction) this.#reads = new ReadSnapshot(database, changes, after);
  }

  /** Runs `body` over one state. */
  read<T>(body: () => T): T {
    return this.#reads ? this.#reads.run(body) : body();
  }

  /** Runs `body` over one state, and takes its time. */
  timed<T>(kind: QueryKind, body: (reading: ReadHandle) => T): T {
    const reading = this.begin();
    try {
      return body(reading);
    } finally {
      this.end(kind, reading);
    }
  }

  /** Begins what `timed` does, for whoever would have to make a closure for that: `end` has to follow, with what this gives. */
  begin(): ReadHandle {
    // Inside of another read the state may be an older one.
    const change = this.#changes && this.#reads?.isReading !== true ? readSequence(this.#changes) : undefined;
    const startMs = performance.now();
    return { change, startMs, isInner: this.#reads?.enter() ?? true };
  }

  end(kind: QueryKind, { startMs, isInner }: ReadHandle): void {
    this.#reads?.leave(isInner);
    metrics.queryDuration.observe(kinds[kind], (performance.now() - startMs) / 1000);
  }

  /** Those of the policy that is active in the state that is read; `undefined` where none is. From then on the memo speaks of this state. */
  plans({ change }: ReadHandle): Planner | undefined {
    this.#seen = undefined;
    const { activation, version, statisticsStamp: degreeStamp } = this.#state();
    if (!activation) return undefined;
    const statistics = this.#degreesAt(degreeStamp);
    this.decisions.invalidateChanged(this.#database, version);
    // What was read belongs to this number, if no change has begun by now.
    if (this.#changes && change === readSequence(this.#changes)) this.#seen = change;
    const known = this.#plans?.activation === activation ? this.#plans.planner : undefined;
    if (known && !known.types.isStale() && !known.isOutdated(statistics)) return known;
    this.#plans?.planner.close();
    this.decisions.clear();
    const { limits, strategy, onServingThread: inPlace } = this.#options;
    const plans = new Planner(this.#database, activation.active, limits, strategy, statistics, inPlace);
    this.#plans = { activation, planner: plans };
    return plans;
  }

  /** As they are in the state that is read. */
  degrees(): TableStatistics {
    return this.#degreesAt(this.#state().statisticsStamp);
  }

  /** What is remembered, if nothing has changed since the last question: then the store need not be asked. */
  cachedDecision(question: AuthorizeQuestion | string, now: number): boolean | undefined {
    if (this.#seen === undefined || !this.#changes || readSequence(this.#changes) !== this.#seen) return undefined;
    return this.decisions.find(question, now);
  }

  close(): void {
    this.#reads?.close();
    this.#plans?.planner.close();
  }

  #degreesAt(stamp: number): TableStatistics {
    if (this.#degrees?.stamp !== stamp) this.#degrees = { of: new TableStatistics(this.#database), stamp };
    return this.#degrees.of;
  }

  #state(): SnapshotState {
    return this.#reads?.state() ?? snapshotState(this.#database);
  }
}

/** Attributes made once: recording is on the path of every question. */
const kinds = {
  authorize: { kind: "authorize" },
  list: { kind: "list" },
  actions: { kind: "actions" },
  query: { kind: "query" },
  facts: { kind: "facts" },
} as const;

export type QueryKind = keyof typeof kinds;
