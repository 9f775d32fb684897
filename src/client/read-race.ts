/**
 * One read, asked of several nodes until one has a good answer. The first is asked at once; the next when that one has failed, or has said
 * nothing for a while. Who answers first wins, the others are aborted.
 *
 * The fallback comes last, since its copy may be old: after all others have failed, or when those that are still silent have failed before,
 * or when nobody has answered for long.
 */
import { attempt, codeOf, NoAnswerError, type RequestAttempt, type Fetch } from "./attempt.ts";
import { byAvailability, type NodeAvailability } from "./node-availability.ts";

export interface ReadRace {
  readonly fetch: Fetch;
  readonly nodes: readonly NodeAvailability[];
  readonly fallback: NodeAvailability | undefined;
  readonly requestTo: (node: NodeAvailability) => { readonly url: string; readonly init: RequestInit };
  readonly hedgeAfterMs: number;
  readonly fallbackAfterMs: number;
  readonly timeoutMs: number;
  /** The caller's own, with which it may give up. */
  readonly signal: AbortSignal | undefined;
}

export function raceReads(race: ReadRace): Promise<Response> {
  return new Promise((resolve, reject) => new Race(race, resolve, reject).begin());
}

interface Runner {
  readonly node: NodeAvailability;
  readonly attempt: RequestAttempt;
  readonly startMs: number;
  /** Whether the node was well when it was asked. */
  readonly trusted: boolean;
}

class Race {
  readonly #race: ReadRace;
  readonly #resolve: (answer: Response) => void;
  readonly #reject: (reason: unknown) => void;
  readonly #queue: NodeAvailability[];
  readonly #running = new Set<Runner>();
  readonly #refusals: Response[] = [];
  readonly #errors: { readonly base: string; readonly error: unknown }[] = [];
  readonly #startMs = performance.now();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(race: ReadRace, resolve: (answer: Response) => void, reject: (reason: unknown) => void) {
    this.#race = race;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#queue = queueOf(race);
  }

  begin(): void {
    const { signal } = this.#race;
    if (signal?.aborted === true) return this.#reject(signal.reason);
    signal?.addEventListener("abort", this.#giveUp);
    this.#askNext();
  }

  readonly #giveUp = (): void => {
    this.#end();
    this.#reject(this.#race.signal?.reason);
  };

  /** Asks the next node, or waits for those that were asked where there is none, or where it is too early for the fallback. */
  #askNext(): void {
    clearTimeout(this.#timer);
    const next = this.#queue[0];
    if (next === undefined) {
      if (this.#running.size === 0) this.#fail();
      return;
    }
    const earlyMs = next === this.#race.fallback ? this.#fallbackEarlyMs() : 0;
    if (earlyMs > 0) return this.#askNextAfter(earlyMs);
    this.#queue.shift();
    this.#ask(next);
    this.#askNextAfter(this.#race.hedgeAfterMs);
  }

  #askNextAfter(delayMs: number): void {
    this.#timer = setTimeout(() => this.#askNext(), delayMs);
  }

  #fallbackEarlyMs(): number {
    if (![...this.#running].some(({ trusted }) => trusted)) return 0;
    return this.#startMs + this.#race.fallbackAfterMs - performance.now();
  }

  #ask(node: NodeAvailability): void {
    const { fetch, requestTo, timeoutMs } = this.#race;
    const { url, init } = requestTo(node);
    const startMs = performance.now();
    const runner = { node, attempt: attempt(fetch, url, init, timeoutMs), startMs, trusted: node.isTrusted };
    node.requestStarted();
    this.#running.add(runner);
    void runner.attempt.answer.then(
      (answer) => this.#answered(runner, answer),
      (error: unknown) => this.#failed(runner, error),
    );
  }

  #answered(runner: Runner, answer: Response): void {
    if (!this.#running.delete(runner)) return;
    if (answer.status < 500) runner.node.requestSucceeded();
    else runner.node.requestFailed();
    if (!mayBeBetterElsewhere(answer.status)) return this.#win(runner, answer);
    this.#refusals.push(answer);
    this.#askNext();
  }

  #failed(runner: Runner, error: unknown): void {
    if (!this.#running.delete(runner)) return;
    runner.node.requestFailed();
    this.#errors.push({ base: runner.node.base, error });
    this.#askNext();
  }

  #win(winner: Runner, answer: Response): void {
    const nowMs = performance.now();
    for (const { node, startMs } of this.#running) {
      // Asked before the winner, and still silent: the next request should not wait for it. One that is frozen would never be noticed else.
      if (startMs <= winner.startMs && nowMs - startMs >= this.#race.hedgeAfterMs) node.requestFailed();
    }
    this.#end();
    this.#resolve(answer);
  }

  /** Of several refusals the one that leaves most hope: 503 may pass, 409 would not. */
  #fail(): void {
    this.#end();
    const [refusal] = this.#refusals.sort((a, b) => b.status - a.status);
    if (refusal !== undefined) return this.#resolve(refusal);
    const reasons = this.#errors.map(({ base, error }) => `${base}: ${error instanceof Error ? error.message : error}`);
    const last = this.#errors.at(-1)?.error;
    this.#reject(
      new NoAnswerError(
        `no node answered: ${reasons.join("; ")}`,
        codeOf(last),
        this.#errors.map(({ error }) => error),
      ),
    );
  }

  #end(): void {
    clearTimeout(this.#timer);
    this.#race.signal?.removeEventListener("abort", this.#giveUp);
    const losers = [...this.#running];
    this.#running.clear();
    for (const loser of losers) loser.attempt.abort();
  }
}

/** Where no node is well, the fallback is second: what may be frozen is given one chance, not several, before an old answer is taken. */
function queueOf({ nodes, fallback }: ReadRace): NodeAvailability[] {
  const { ready, resting } = byAvailability(nodes);
  const queue = [...ready, ...resting];
  if (fallback !== undefined) queue.splice(ready.length === 0 ? 1 : queue.length, 0, fallback);
  return queue;
}

/**
 * 5xx is the node's fault. 429: this node is busy. 409: the consistency token is of a history that this node does not have, or the page of a list
 * that another node keeps. What else begins with 4 is the question's own fault and the same everywhere.
 */
const mayBeBetterElsewhere = (status: number): boolean => status >= 500 || status === 429 || status === 409;
