/**
 * Shares the serving thread between environments. While several environments get requests, each of them may begin a few
 * requests in a turn: a millisecond, or longer if the event loop is busy. Further ones wait for the next turns, which
 * then are those of the event loop, so a flooded environment delays the others by a few requests and not by its whole
 * queue. An immediate for each turn of the loop would take a seventh of the time of all requests.
 */
import { setImmediate } from "node:timers";
import type { Clock } from "../util/clock.ts";

type Answer = Response | Promise<Response>;

/** Requests of one environment in one turn, when others have requests as well. About a millisecond of decisions. */
const requestsPerTurn = 16;

const turnMs = 1;

/** After a longer turn of the loop the next one begins half as many requests: they are more expensive than decisions. */
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
  /** Cancels the end of the turn by the clock. Undefined without a turn. */
  #cancelEnd: (() => void) | undefined;
  #endsWithLoop = false;
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
    if (!this.#endsWithLoop) this.#endWithLoop();
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
    if (this.#cancelEnd !== undefined || this.#endsWithLoop) return;
    this.#nowMs = this.#clock.monotonicMs();
    this.#cancelEnd = this.#clock.after(turnMs, () => this.#endTurn());
  }

  #endWithLoop(): void {
    // A timer that is due before the immediate would begin a second chain of turns.
    this.#cancelEnd?.();
    this.#cancelEnd = undefined;
    this.#endsWithLoop = true;
    setImmediate(() => this.#endTurn());
  }

  /** Begins a share of the waiting requests of each environment, and another turn if some are left. */
  #endTurn(): void {
    const wasOfLoop = this.#endsWithLoop;
    this.#cancelEnd = undefined;
    this.#endsWithLoop = false;
    const nowMs = this.#clock.monotonicMs();
    const isLong = wasOfLoop && nowMs - this.#nowMs > turnMsMax;
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
    if (hasMore) this.#endWithLoop();
  }
}
