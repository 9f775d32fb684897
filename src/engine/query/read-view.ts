/**
 * A read view: a read snapshot of the store, with the planner of the policy that is active in it, the statistics of the
 * tables, and the cached decisions that are valid in it. The duration of each query is recorded.
 */
import type { Limits } from "../../config/limits.ts";
import type { Connection } from "../../store/connection/connection.ts";
import { readSequence, type SequenceLock } from "../../store/connection/sequence-lock.ts";
import { TableStatistics } from "../../store/statistics/table-statistics.ts";
import { metrics } from "../../telemetry/metrics.ts";
import type { Clock } from "../../util/clock.ts";
import { type Activation, type AnswerPosition, snapshotState, type SnapshotState } from "../../policy/activation.ts";
import { type ReadFactTypes, readFactTypes } from "../../policy/head-facts.ts";
import type { AuthorizeQuestion } from "../request/questions.ts";
import { type CachedDecision, DecisionCache } from "./decision-cache.ts";
import { Planner, type Strategy } from "./planner.ts";
import { ReadSnapshot } from "./read-snapshot.ts";
import type { KeyedShape } from "./shapes.ts";

export interface ReadViewOptions {
  readonly limits: Limits;
  /** `evaluator` answers everything with the tabled evaluator; tests use it to compare the two ways. */
  readonly strategy: Strategy;
  /** Whether this is the serving thread: then a query that may take long throws `OffloadRequired`. */
  readonly onServingThread: boolean;
  /** The sequence lock of the store. With it, a cached decision needs no look into the store. */
  readonly changes: SequenceLock | undefined;
  /** Calls back later: releases a read snapshot that no query has used for a moment. */
  readonly after: Clock["after"] | undefined;
  /** The caller has begun a transaction. Answers of several engines on one connection then belong to one state. */
  readonly inTransaction: boolean;
}

/** A query that is running. */
export interface ReadHandle {
  readonly startMs: number;
  /** Whether the query runs inside of another read. */
  readonly isNested: boolean;
}

export class ReadView {
  readonly decisions: DecisionCache;
  readonly #database: Connection;
  readonly #options: Pick<ReadViewOptions, "limits" | "strategy" | "onServingThread">;
  readonly #changes: SequenceLock | undefined;
  /** `undefined` if the caller has begun a transaction itself. */
  readonly #snapshot: ReadSnapshot | undefined;
  /** The sequence number of the state in which the cached decisions are valid, and its position. */
  #decisionsSequence: number | undefined;
  #decisionsPosition: AnswerPosition | undefined;
  #position: AnswerPosition | undefined;
  #statistics: { readonly of: TableStatistics; readonly stamp: number } | undefined;
  #factTypes: { readonly of: ReadFactTypes; readonly from: readonly [Activation, TableStatistics] } | undefined;
  #planner: { readonly activation: object; readonly planner: Planner } | undefined;
  /** What the first planner expects. */
  #expected: readonly KeyedShape[] = [];

  constructor(database: Connection, { changes, after, inTransaction, ...options }: ReadViewOptions) {
    this.#database = database;
    this.#options = options;
    this.#changes = changes;
    this.decisions = new DecisionCache(options.limits.decisionCacheEntriesMax);
    if (!inTransaction) this.#snapshot = new ReadSnapshot(database, changes, after);
  }

  /** The position of the last answer: of the state that was read last, or that a cached decision is valid in. */
  get position(): AnswerPosition | undefined {
    return this.#position;
  }

  /** Reads the position of the present state, for an answer that may not need the data. */
  notePosition(): void {
    this.#state();
  }

  /** Runs `body` over one state. */
  read<T>(body: () => T): T {
    const isNested = this.#snapshot?.acquire() ?? true;
    try {
      return body();
    } finally {
      this.#snapshot?.release(isNested);
    }
  }

  /** Runs `body` over one state and records its duration. */
  timed<T>(kind: QueryKind, body: (handle: ReadHandle) => T): T {
    const handle = this.begin();
    try {
      return body(handle);
    } finally {
      this.end(kind, handle);
    }
  }

  /** The first half of `timed`, for the hot path, which cannot afford a closure. Pass the result to `end`. */
  begin(): ReadHandle {
    const startMs = performance.now();
    return { startMs, isNested: this.#snapshot?.acquire() ?? true };
  }

  /** The second half of `timed`. */
  end(kind: QueryKind, { startMs, isNested }: ReadHandle): void {
    this.#snapshot?.release(isNested);
    metrics.queryDuration.observe(kinds[kind], (performance.now() - startMs) / 1000);
  }

  /** The planner of the active policy, if any. Afterwards all cached decisions are valid in this snapshot. */
  planner({ isNested }: ReadHandle): Planner | undefined {
    // The state of a nested query may be older than the current one.
    const sequence = isNested ? undefined : this.#snapshot?.sequence;
    this.#decisionsSequence = undefined;
    const { position, activation, version, statisticsStamp } = this.#state();
    if (!activation) return undefined;
    const statistics = this.#statisticsAt(statisticsStamp);
    const facts = this.#factTypesAt(activation, statistics);
    this.decisions.invalidateChanged(this.#database, version);
    // The snapshot belongs to the sequence number from before the read only if no change has begun since.
    if (this.#changes && sequence === readSequence(this.#changes)) {
      this.#decisionsSequence = sequence;
      this.#decisionsPosition = position;
    }
    const current = this.#planner?.activation === activation ? this.#planner.planner : undefined;
    if (current && !current.types.isStale() && !current.isOutdated(facts, statistics)) return current;
    const { expected } = this;
    this.#planner?.planner.close();
    this.decisions.clear();
    const { limits, strategy, onServingThread } = this.#options;
    const planner = new Planner(this.#database, facts, limits, strategy, statistics, { onServingThread, expected });
    this.#planner = { activation, planner };
    return planner;
  }

  /** Runs `body` with the planner of the active policy, if any, for no question. */
  withPlanner(body: (planner: Planner) => void): void {
    const isNested = this.#snapshot?.acquire() ?? true;
    try {
      const planner = this.planner({ startMs: 0, isNested });
      if (planner !== undefined) body(planner);
    } finally {
      this.#snapshot?.release(isNested);
    }
  }

  /** The shapes of questions that were asked for, the last ones first. Set them before the first question. */
  get expected(): readonly KeyedShape[] {
    return this.#planner?.planner.expected ?? this.#expected;
  }

  set expected(shapes: readonly KeyedShape[]) {
    this.#expected = shapes;
  }

  /** Adds shapes that were asked for elsewhere. */
  expect(shapes: readonly KeyedShape[]): void {
    if (this.#planner === undefined) this.#expected = [...shapes, ...this.#expected];
    else this.#planner.planner.expect(shapes);
  }

  statistics(): TableStatistics {
    return this.#statisticsAt(this.#state().statisticsStamp);
  }

  /** What answers read now; `undefined` if no policy is active. */
  factTypes(): ReadFactTypes | undefined {
    const { activation, statisticsStamp } = this.#state();
    return activation && this.#factTypesAt(activation, this.#statisticsAt(statisticsStamp));
  }

  /** A cached decision, if the store has not changed since the last query: then no snapshot is needed. */
  cachedDecision(question: AuthorizeQuestion | string, now: number): CachedDecision | undefined {
    const valid = this.#decisionsSequence;
    if (valid === undefined || !this.#changes || readSequence(this.#changes) !== valid) return undefined;
    const decision = this.decisions.find(question, now);
    if (decision !== undefined) this.#position = this.#decisionsPosition;
    return decision;
  }

  close(): void {
    this.#snapshot?.close();
    this.#planner?.planner.close();
  }

  #statisticsAt(stamp: number): TableStatistics {
    if (this.#statistics?.stamp !== stamp) this.#statistics = { of: new TableStatistics(this.#database), stamp };
    return this.#statistics.of;
  }

  #factTypesAt(activation: Activation, statistics: TableStatistics): ReadFactTypes {
    const known = this.#factTypes;
    if (known?.from[0] === activation && known.from[1] === statistics) return known.of;
    const of = readFactTypes(this.#database, activation.active, statistics);
    this.#factTypes = { of, from: [activation, statistics] };
    return of;
  }

  #state(): SnapshotState {
    const state = this.#snapshot?.state() ?? snapshotState(this.#database);
    this.#position = state.position;
    return state;
  }
}

/** The attributes are made only once, because every query records its duration. */
const kinds = {
  authorize: { kind: "authorize" },
  list: { kind: "list" },
  actions: { kind: "actions" },
  query: { kind: "query" },
  facts: { kind: "facts" },
} as const;

export type QueryKind = keyof typeof kinds;
