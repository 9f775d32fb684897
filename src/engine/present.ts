/**
 * What an engine answers from at present: the state of the store that it reads, the plans of the policy that is active in it, and the decisions that
 * are remembered of it. Each question is read of one state, whose time is taken.
 */
import type { Limits } from "../config/limits.ts";
import type { SqlDatabase } from "../runtime/sqlite.ts";
import { type Changes, presentChange } from "../store/changes.ts";
import { Degrees } from "../store/degrees.ts";
import { metrics } from "../telemetry/metrics.ts";
import type { Clock } from "../util/clock.ts";
import { presentOf, type PresentState } from "./active-policies.ts";
import { DecisionMemo } from "./memo.ts";
import { Plans, type Strategy } from "./plans.ts";
import type { AuthorizeQuestion } from "./questions.ts";
import { Reads } from "./reads.ts";

export interface PresentOptions {
  readonly limits: Limits;
  readonly strategy: Strategy;
  readonly inPlace: boolean;
  /** As in `EngineOptions`, these three. */
  readonly changes: Changes | undefined;
  readonly after: Clock["after"] | undefined;
  readonly inTransaction: boolean;
}

/** A question that is being answered. */
export interface Reading {
  /** Names the state that was there when it began, where nothing else is read already. */
  readonly change: number | undefined;
  readonly startMs: number;
  /** Whether it is asked inside of another read. */
  readonly isInner: boolean;
}

export class Present {
  readonly memo: DecisionMemo;
  readonly #database: SqlDatabase;
  readonly #options: Pick<PresentOptions, "limits" | "strategy" | "inPlace">;
  readonly #changes: Changes | undefined;
  /** None where whoever asks has begun a transaction. */
  readonly #reads: Reads | undefined;
  /** The state of which the memo speaks, as `changes` names it. */
  #seen: number | undefined;
  #degrees: { readonly of: Degrees; readonly stamp: number } | undefined;
  #plans: { readonly activation: object; readonly plans: Plans } | undefined;

  constructor(database: SqlDatabase, { changes, after, inTransaction, ...options }: PresentOptions) {
    this.#database = database;
    this.#options = options;
    this.#changes = changes;
    this.memo = new DecisionMemo(options.limits.decisionMemoEntriesMax);
    if (!inTransaction) this.#reads = new Reads(database, changes, after);
  }

  /** Runs `body` over one state. */
  read<T>(body: () => T): T {
    return this.#reads ? this.#reads.run(body) : body();
  }

  /** Runs `body` over one state, and takes its time. */
  timed<T>(kind: Kind, body: (reading: Reading) => T): T {
    const reading = this.begin();
    try {
      return body(reading);
    } finally {
      this.end(kind, reading);
    }
  }

  /** Begins what `timed` does, for whoever would have to make a closure for that: `end` has to follow, with what this gives. */
  begin(): Reading {
    // Inside of another read the state may be an older one.
    const change = this.#changes && this.#reads?.isReading !== true ? presentChange(this.#changes) : undefined;
    const startMs = performance.now();
    return { change, startMs, isInner: this.#reads?.enter() ?? true };
  }

  end(kind: Kind, { startMs, isInner }: Reading): void {
    this.#reads?.leave(isInner);
    metrics.queryDuration.observe(kinds[kind], (performance.now() - startMs) / 1000);
  }

  /** Those of the policy that is active in the state that is read; `undefined` where none is. From then on the memo speaks of this state. */
  plans({ change }: Reading): Plans | undefined {
    this.#seen = undefined;
    const { activation, version, degreeStamp } = this.#state();
    if (!activation) return undefined;
    const degrees = this.#degreesAt(degreeStamp);
    this.memo.look(this.#database, version);
    // What was read belongs to this number, if no change has begun by now.
    if (this.#changes && change === presentChange(this.#changes)) this.#seen = change;
    const known = this.#plans?.activation === activation ? this.#plans.plans : undefined;
    if (known && !known.types.isStale() && !known.isOutgrown(degrees)) return known;
    this.#plans?.plans.close();
    this.memo.clear();
    const { limits, strategy, inPlace } = this.#options;
    const plans = new Plans(this.#database, activation.active, limits, strategy, degrees, inPlace);
    this.#plans = { activation, plans };
    return plans;
  }

  /** As they are in the state that is read. */
  degrees(): Degrees {
    return this.#degreesAt(this.#state().degreeStamp);
  }

  /** What is remembered, if nothing has changed since the last question: then the store need not be asked. */
  remembered(question: AuthorizeQuestion | string, now: number): boolean | undefined {
    if (this.#seen === undefined || !this.#changes || presentChange(this.#changes) !== this.#seen) return undefined;
    return this.memo.recall(question, now);
  }

  close(): void {
    this.#reads?.close();
    this.#plans?.plans.close();
  }

  #degreesAt(stamp: number): Degrees {
    if (this.#degrees?.stamp !== stamp) this.#degrees = { of: new Degrees(this.#database), stamp };
    return this.#degrees.of;
  }

  #state(): PresentState {
    return this.#reads?.state() ?? presentOf(this.#database);
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

export type Kind = keyof typeof kinds;
