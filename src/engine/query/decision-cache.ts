/**
 * The decision cache. An entry is valid until a fact of a predicate that its plan depends on changes; the store counts
 * these changes, and the cache compares the counts in the transaction that answers. If facts were compared with the
 * clock, the entry is valid only in that second. Questions with context facts are never cached. Eviction follows the
 * clock algorithm (Corbató 1968): an entry that was used since the hand passed it stays for another round.
 */
import type { Connection } from "../../store/connection/connection.ts";
import { metrics } from "../../telemetry/metrics.ts";
import type { AuthorizeQuestion } from "../request/questions.ts";
import type { Plan, StatementPlan } from "./planner.ts";

export interface CachedDecision {
  readonly allowed: boolean;
  /** As `AnswerNote.unknown`. */
  readonly unknown: readonly string[];
}

interface Entry extends CachedDecision {
  readonly planVersion: PlanVersion;
  readonly invalidations: number;
  /** The only second since 1970 in which the entry is valid; `undefined` if it does not depend on the time. */
  readonly second: number | undefined;
  /** Whether the entry was used since the hand passed it. */
  wasUsed: boolean;
}

/** Counts how often the decisions of a plan became invalid. */
interface PlanVersion {
  invalidations: number;
}

const newPlanVersion = (): PlanVersion => ({ invalidations: 0 });

/** Includes plans that the planner has evicted meanwhile. */
const plansMax = 10_000;

/** Longer keys are not worth their memory. */
const keyLengthMax = 512;

export class DecisionCache {
  readonly #entriesMax: number;
  readonly #planVersions = new Map<StatementPlan, PlanVersion>();
  readonly #entries = new Map<string, Entry>();
  /** An entry that stays moves to the end of the map, so this iterator never ends while there are entries. */
  #hand = this.#entries.entries();
  #version = -1;

  /** With 0 the cache is off. */
  constructor(entriesMax: number) {
    this.#entriesMax = entriesMax;
  }

  /** Invalidates what a change since the last call can affect. Call it in the transaction of each query. */
  invalidateChanged(database: Connection, version: number): void {
    if (version === this.#version || this.#entriesMax === 0) return;
    const changed = database.statement("SELECT id FROM relation WHERE version > ?1").values(this.#version);
    this.#version = version;
    if (changed.length === 0) return;
    const ids = new Set(changed.map((row) => Number(row[0])));
    for (const [plan, planVersion] of this.#planVersions)
      if (!plan.dependencies.isDisjointFrom(ids)) planVersion.invalidations += 1;
  }

  /** The cached decision, if it is valid at `now` and in the state of the last `invalidateChanged`. */
  find(question: AuthorizeQuestion | string, now: number): CachedDecision | undefined {
    if (this.#entriesMax === 0) return undefined;
    const key = typeof question === "string" ? bodyKey(question) : this.keyOf(question);
    if (key === undefined) return undefined;
    const entry = this.#entries.get(key);
    const isValid =
      entry !== undefined &&
      entry.invalidations === entry.planVersion.invalidations &&
      (entry.second === undefined || entry.second === now);
    if (!isValid) return undefined;
    entry.wasUsed = true;
    metrics.decisionCache.inc(hit);
    return entry;
  }

  /** The key of a decision on the question; `undefined` if the decision is not cached. */
  keyOf(question: AuthorizeQuestion): string | undefined {
    const { contextFacts, text } = question;
    if (contextFacts.length > 0 || this.#entriesMax === 0) return undefined;
    const known = text === undefined ? undefined : bodyKey(text);
    if (known !== undefined) return known;
    const key = questionKey(question);
    return key.length > keyLengthMax ? undefined : key;
  }

  /** Caches a decision under a key from `keyOf`. `second` is as in `Entry`. */
  add(key: string, plan: Plan, decision: CachedDecision, second: number | undefined): void {
    if (plan.kind !== "statement") return;
    metrics.decisionCache.inc(miss);
    const planVersion = this.#planVersionOf(plan);
    if (this.#entries.size >= this.#entriesMax && !this.#entries.has(key)) this.#evictOne();
    this.#entries.set(key, {
      ...decision,
      planVersion,
      invalidations: planVersion.invalidations,
      second,
      wasUsed: false,
    });
  }

  /** Forgets everything, because the plans have changed. */
  clear(): void {
    this.#planVersions.clear();
    this.#entries.clear();
    this.#hand = this.#entries.entries();
  }

  #planVersionOf(plan: StatementPlan): PlanVersion {
    if (this.#planVersions.size >= plansMax && !this.#planVersions.has(plan)) this.clear();
    return this.#planVersions.getOrInsertComputed(plan, newPlanVersion);
  }

  #evictOne(): void {
    for (let round = 0; ; round++) {
      const { value, done } = this.#hand.next();
      if (done) return;
      const [key, entry] = value;
      this.#entries.delete(key);
      // If all entries were used, the search ends after `roundsMax` rounds: it must not delay the query.
      if (!entry.wasUsed || round === roundsMax) return;
      entry.wasUsed = false;
      this.#entries.set(key, entry);
    }
  }
}

/** How many entries the hand passes at most to evict one. */
const roundsMax = 16;

/** A request body as a key: it begins with `{`, and the key of a question begins with a digit. */
function bodyKey(text: string): string | undefined {
  return text.length <= keyLengthMax && text.startsWith("{") ? text : undefined;
}

const hit = { result: "hit" } as const;
const miss = { result: "miss" } as const;

/** The key of a question without context facts. */
export function questionKey({ actor, action, resource }: Omit<AuthorizeQuestion, "contextFacts">): string {
  // One template, since `authorize` makes this key for every question: the lengths tell where each string ends.
  const lengths = `${actor.type.length} ${actor.id.length} ${resource.type.length} ${resource.id.length}`;
  return `${lengths} ${actor.type}${actor.id}${resource.type}${resource.id}${action}`;
}
