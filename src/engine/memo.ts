/**
 * Decisions kept for those who ask again. An entry stands as long as no fact of a predicate that its plan reads has changed, which the store
 * counts in the very transaction that answers; where facts were compared with the clock, it stands for that second alone. Questions with context
 * facts are never kept. What is asked least goes first: entries that were not asked for while as many others were are forgotten.
 */
import type { SqlDatabase } from "../runtime/sqlite.ts";
import { statement } from "../store/statements.ts";
import { metrics } from "../telemetry/metrics.ts";
import type { Plan } from "./plans.ts";
import type { AuthorizeQuestion } from "./questions.ts";

type StatementPlan = Extract<Plan, { kind: "statement" }>;

interface Entry {
  readonly allowed: boolean;
  readonly generation: number;
  /** The second in which it stands, in seconds since 1970; `undefined` where the clock does not matter. */
  readonly second: number | undefined;
}

/** Each plan's number, and how often its answers were made void. */
interface Standing {
  readonly number: number;
  generation: number;
}

/** Plans that were dropped meanwhile are among them. */
const plansMax = 10_000;

/** Longer ids are not worth their memory. */
const keyLengthMax = 256;

export class DecisionMemo {
  readonly #entriesMax: number;
  readonly #standings = new Map<StatementPlan, Standing>();
  #young = new Map<string, Entry>();
  #old = new Map<string, Entry>();
  #version = -1;

  /** With 0 it remembers nothing. */
  constructor(entriesMax: number) {
    this.#entriesMax = entriesMax;
  }

  /** Makes void what changes since the last look can have touched. To be called in the transaction of each question. */
  look(database: SqlDatabase, version: number): void {
    if (version === this.#version || this.#entriesMax === 0) return;
    const changed = statement(database, "SELECT id FROM relation WHERE version > ?1").values(this.#version);
    this.#version = version;
    if (changed.length === 0) return;
    const ids = new Set(changed.map((row) => Number(row[0])));
    for (const [plan, standing] of this.#standings) if (!plan.reads.isDisjointFrom(ids)) standing.generation += 1;
  }

  recall(plan: Plan, question: AuthorizeQuestion, now: number): boolean | undefined {
    const key = this.#keyOf(plan, question);
    if (key === undefined) return undefined;
    const entry = this.#find(key);
    const stands =
      entry !== undefined &&
      entry.generation === this.#standings.get(plan as StatementPlan)?.generation &&
      (entry.second === undefined || entry.second === now);
    metrics.decisionMemo.add(1, stands ? hit : miss);
    return stands ? entry.allowed : undefined;
  }

  keeps(plan: Plan, question: AuthorizeQuestion): boolean {
    return this.#keyOf(plan, question) !== undefined;
  }

  remember(plan: Plan, question: AuthorizeQuestion, allowed: boolean, second: number | undefined): void {
    const key = this.#keyOf(plan, question);
    if (key === undefined || plan.kind !== "statement") return;
    this.#put(key, { allowed, generation: this.#standingOf(plan).generation, second });
  }

  /** Forgets everything: the plans are others now. */
  clear(): void {
    this.#standings.clear();
    this.#young.clear();
    this.#old.clear();
  }

  /** `undefined` for what is not kept. */
  #keyOf(plan: Plan, { actor, action, resource, contextFacts }: AuthorizeQuestion): string | undefined {
    if (plan.kind !== "statement" || contextFacts.length > 0 || this.#entriesMax === 0) return undefined;
    // With their lengths, since ids may hold any character; the plan says which types are meant.
    const key = `${this.#standingOf(plan).number} ${actor.id.length} ${resource.id.length} ${actor.id}${resource.id}${action}`;
    return key.length > keyLengthMax ? undefined : key;
  }

  #standingOf(plan: StatementPlan): Standing {
    let standing = this.#standings.get(plan);
    if (!standing && this.#standings.size >= plansMax) this.clear();
    if (!standing) this.#standings.set(plan, (standing = { number: this.#standings.size, generation: 0 }));
    return standing;
  }

  #find(key: string): Entry | undefined {
    const young = this.#young.get(key);
    if (young) return young;
    const old = this.#old.get(key);
    if (old) this.#put(key, old);
    return old;
  }

  #put(key: string, entry: Entry): void {
    this.#young.set(key, entry);
    if (this.#young.size * 2 < this.#entriesMax) return;
    this.#old = this.#young;
    this.#young = new Map();
  }
}

const hit = { result: "hit" } as const;
const miss = { result: "miss" } as const;
