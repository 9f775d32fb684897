/**
 * Decisions kept for those who ask again. An entry stands as long as no fact of a predicate that its plan reads has changed, which the store
 * counts in the very transaction that answers; where facts were compared with the clock, it stands for that second alone. Questions with context
 * facts are never kept. What is asked least goes first, as a clock of pages finds it (Corbató 1968): whoever was asked for since the hand passed
 * stays for another round.
 */
import type { Connection } from "../../store/connection/connection.ts";
import { metrics } from "../../telemetry/metrics.ts";
import type { Plan, StatementPlan } from "./plans.ts";
import { questionKey } from "../request/keys.ts";
import type { AuthorizeQuestion } from "../request/questions.ts";

interface Entry {
  readonly allowed: boolean;
  readonly standing: PlanVersion;
  readonly generation: number;
  /** The second in which it stands, in seconds since 1970; `undefined` where the clock does not matter. */
  readonly second: number | undefined;
  /** Whether it was asked for since the hand passed. */
  wasAsked: boolean;
}

/** How often the answers of a plan were made void. */
interface PlanVersion {
  generation: number;
}

/** Plans that were dropped meanwhile are among them. */
const plansMax = 10_000;

/** Longer questions are not worth their memory. */
const keyLengthMax = 512;

export class DecisionCache {
  readonly #entriesMax: number;
  readonly #standings = new Map<StatementPlan, PlanVersion>();
  readonly #entries = new Map<string, Entry>();
  /** Goes through the entries, to whose end those go that stay, and so it never ends while there are any. */
  #hand = this.#entries.entries();
  #version = -1;

  /** With 0 it remembers nothing. */
  constructor(entriesMax: number) {
    this.#entriesMax = entriesMax;
  }

  /** Makes void what changes since the last look can have touched. To be called in the transaction of each question. */
  invalidateChanged(database: Connection, version: number): void {
    if (version === this.#version || this.#entriesMax === 0) return;
    const changed = database.statement("SELECT id FROM relation WHERE version > ?1").values(this.#version);
    this.#version = version;
    if (changed.length === 0) return;
    const ids = new Set(changed.map((row) => Number(row[0])));
    for (const [plan, standing] of this.#standings) if (!plan.reads.isDisjointFrom(ids)) standing.generation += 1;
  }

  /** The decision, if it stands in the state of the last look and at `now`. */
  find(question: AuthorizeQuestion | string, now: number): boolean | undefined {
    if (this.#entriesMax === 0) return undefined;
    const key = typeof question === "string" ? stringKey(question) : this.keyOf(question);
    if (key === undefined) return undefined;
    const entry = this.#entries.get(key);
    const stands =
      entry !== undefined &&
      entry.generation === entry.standing.generation &&
      (entry.second === undefined || entry.second === now);
    if (!stands) return undefined;
    entry.wasAsked = true;
    metrics.decisionCache.inc(hit);
    return entry.allowed;
  }

  /** Under what a decision on the question is kept; `undefined` for what is not kept. */
  keyOf(question: AuthorizeQuestion): string | undefined {
    const { contextFacts, text } = question;
    if (contextFacts.length > 0 || this.#entriesMax === 0) return undefined;
    const known = text === undefined ? undefined : stringKey(text);
    if (known !== undefined) return known;
    const key = questionKey(question);
    return key.length > keyLengthMax ? undefined : key;
  }

  /** Under `key`, as `keyOf` gives it. `second` is the one in which the decision stands, where it hangs on the clock. */
  add(key: string, plan: Plan, allowed: boolean, second: number | undefined): void {
    if (plan.kind !== "statement") return;
    metrics.decisionCache.inc(miss);
    const standing = this.#standingOf(plan);
    this.#put(key, { allowed, standing, generation: standing.generation, second, wasAsked: false });
  }

  /** Forgets everything: the plans are others now. */
  clear(): void {
    this.#standings.clear();
    this.#entries.clear();
    this.#hand = this.#entries.entries();
  }

  #standingOf(plan: StatementPlan): PlanVersion {
    const known = this.#standings.get(plan);
    if (known) return known;
    if (this.#standings.size >= plansMax) this.clear();
    const standing = { generation: 0 };
    this.#standings.set(plan, standing);
    return standing;
  }

  #put(key: string, entry: Entry): void {
    if (this.#entries.size >= this.#entriesMax && !this.#entries.has(key)) this.#forgetOne();
    this.#entries.set(key, entry);
  }

  #forgetOne(): void {
    for (let round = 0; ; round++) {
      const { value, done } = this.#hand.next();
      if (done) return;
      const [key, entry] = value;
      this.#entries.delete(key);
      // Where all were asked for, none is looked for longer than a question may wait.
      if (!entry.wasAsked || round === roundsMax) return;
      entry.wasAsked = false;
      this.#entries.set(key, entry);
    }
  }
}

/** How many that stay are looked at for one that goes. */
const roundsMax = 16;

/** Where a text begins as JSON of an object does, it is no key that is made here. */
function stringKey(text: string): string | undefined {
  return text.length <= keyLengthMax && text.startsWith("{") ? text : undefined;
}

const hit = { result: "hit" } as const;
const miss = { result: "miss" } as const;
