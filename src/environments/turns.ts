/**
 * Shares the serving thread between environments. While several environments get requests, each of them may begin a few
 * requests in one turn of the event loop. Further ones wait for the next turns, where the environments take turns, so a
 * flooded environment delays the others by a few requests and not by its whole queue.
 */
import { setImmediate } from "node:timers";
import type { Clock } from "../util/clock.ts";

type Answer = Response | Promise<Response>;

/** Requests of one environment in one turn, when others have requests as well. About a millisecond of decisions. */
const requestsPerTurn = 16;

/** After a longer turn the next one begins half as many requests: they are more expensive than decisions. */
const turnMsMax = 2;

/** For how long an environment counts as active after its last request. */
const activeMs = 1000;

interface Environment {
  begun: number;
  activeUntilMs: number;
  readonly waiting: (() => void)[];
}

export class EnvironmentTurns {
  readonly #clock: Clock;
  readonly #environments = new Map<string, Environment>();
  #hasTurn = false;
  /** When the turn began. */
  #nowMs = 0;
  /** Requests of one environment in this turn: from 1 to `requestsPerTurn`. */
  #share = requestsPerTurn;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Runs `begin` now, or in a later turn if the environment has begun many requests in this one. */
  take(id: string, begin: () => Answer): Answer {
    this.#startTurn();
    const environment = this.#environmentOf(id);
    environment.activeUntilMs = this.#nowMs + activeMs;
    if (environment.waiting.length === 0 && (environment.begun < this.#share || this.#isAlone(id))) {
      environment.begun += 1;
      return begin();
    }
    return new Promise((resolve, reject) => {
      environment.waiting.push(() => {
        try {
          resolve(begin());
        } catch (error) {
          reject(error as Error);
        }
      });
    });
  }

  #environmentOf(id: string): Environment {
    let environment = this.#environments.get(id);
    if (environment === undefined)
      this.#environments.set(id, (environment = { begun: 0, activeUntilMs: 0, waiting: [] }));
    return environment;
  }

  #isAlone(id: string): boolean {
    for (const [other, { activeUntilMs }] of this.#environments)
      if (other !== id && activeUntilMs > this.#nowMs) return false;
    return true;
  }

  #startTurn(): void {
    if (this.#hasTurn) return;
    this.#nowMs = this.#clock.monotonicMs();
    this.#scheduleEnd();
  }

  #scheduleEnd(): void {
    this.#hasTurn = true;
    setImmediate(() => this.#endTurn());
  }

  /** Begins a share of the waiting requests of each environment, and another turn if some are left. */
  #endTurn(): void {
    this.#hasTurn = false;
    const nowMs = this.#clock.monotonicMs();
    const isLong = nowMs - this.#nowMs > turnMsMax;
    this.#share = isLong ? Math.ceil(this.#share / 2) : Math.min(this.#share + 1, requestsPerTurn);
    this.#nowMs = nowMs;
    let hasMore = false;
    for (const [id, environment] of this.#environments) {
      const due = environment.waiting.splice(0, this.#share);
      environment.begun = 0;
      for (const begin of due) begin();
      hasMore ||= environment.waiting.length > 0;
      if (environment.waiting.length === 0 && environment.activeUntilMs < nowMs) this.#environments.delete(id);
    }
    if (hasMore) this.#scheduleEnd();
  }
}
