/**
 * A hedged read: one read that is sent to several nodes until one has a good response. The first node is asked
 * immediately, the next one if that one fails or does not answer for a while. The first good response wins, and the
 * other requests are aborted.
 *
 * The fallback is asked last, because its database may be old: after all other nodes have failed, or if the nodes that
 * are still silent have failed before, or if no node has answered for long.
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
  /** The abort signal of the caller. */
  readonly signal: AbortSignal | undefined;
}

export function raceReads(race: ReadRace): Promise<Response> {
  return new Promise((resolve, reject) => new Race(race, resolve, reject).begin());
}

interface Runner {
  readonly node: NodeAvailability;
  readonly attempt: RequestAttempt;
  readonly startMs: number;
  /** Whether the node was trusted when it was asked. */
  readonly trusted: boolean;
}

class Race {
  readonly #race: ReadRace;
  readonly #resolve: (response: Response) => void;
  readonly #reject: (reason: unknown) => void;
  readonly #queue: NodeAvailability[];
  readonly #running = new Set<Runner>();
  readonly #refusals: Response[] = [];
  readonly #errors: { readonly base: string; readonly error: unknown }[] = [];
  readonly #startMs = performance.now();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(race: ReadRace, resolve: (response: Response) => void, reject: (reason: unknown) => void) {
    this.#race = race;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#queue = queueOf(race);
  }

  begin(): void {
    const { signal } = this.#race;
    if (signal?.aborted === true) return this.#reject(signal.reason);
    signal?.addEventListener("abort", this.#onAbort);
    this.#askNext();
  }

  readonly #onAbort = (): void => {
    this.#end();
    this.#reject(this.#race.signal?.reason);
  };

  /** Asks the next node. If there is none, or if it is too early for the fallback, waits for the running requests. */
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
    void runner.attempt.response.then(
      (response) => this.#received(runner, response),
      (error: unknown) => this.#failed(runner, error),
    );
  }

  #received(runner: Runner, response: Response): void {
    if (!this.#running.delete(runner)) return;
    if (response.status < 500) runner.node.requestSucceeded();
    else runner.node.requestFailed();
    if (!mayDifferOnOtherNodes(response.status)) return this.#win(runner, response);
    this.#refusals.push(response);
    this.#askNext();
  }

  #failed(runner: Runner, error: unknown): void {
    if (!this.#running.delete(runner)) return;
    runner.node.requestFailed();
    this.#errors.push({ base: runner.node.base, error });
    this.#askNext();
  }

  #win(winner: Runner, response: Response): void {
    const nowMs = performance.now();
    for (const { node, startMs } of this.#running) {
      // Asked earlier and still silent: the next request should not wait for it. Only here a freeze is noticed.
      if (startMs <= winner.startMs && nowMs - startMs >= this.#race.hedgeAfterMs) node.requestFailed();
    }
    this.#end();
    this.#resolve(response);
  }

  /** Returns the refusal that is most likely temporary: 503 rather than 409. */
  #fail(): void {
    this.#end();
    const [refusal] = this.#refusals.sort((a, b) => b.status - a.status);
    if (refusal !== undefined) return this.#resolve(refusal);
    const reasons = this.#errors.map(({ base, error }) => `${base}: ${error instanceof Error ? error.message : error}`);
    const last = this.#errors.at(-1)?.error;
    const causes = this.#errors.map(({ error }) => error);
    this.#reject(new NoAnswerError(`no node answered: ${reasons.join("; ")}`, codeOf(last), causes));
  }

  #end(): void {
    clearTimeout(this.#timer);
    this.#race.signal?.removeEventListener("abort", this.#onAbort);
    const losers = [...this.#running];
    this.#running.clear();
    for (const loser of losers) loser.attempt.abort();
  }
}

/** If all nodes rest, the fallback comes second: one node gets a chance before the client accepts an old result. */
function queueOf({ nodes, fallback }: ReadRace): NodeAvailability[] {
  const queue = byAvailability(nodes);
  if (fallback !== undefined) queue.splice(queue[0]?.isResting === true ? 1 : queue.length, 0, fallback);
  return queue;
}

/**
 * Whether another node may have a better response. 5xx is an error of the node. 429: this node is busy. 409: the
 * consistency token belongs to a history that this node does not have, or the page to a list that another node has.
 * Other 4xx are errors of the request, the same on all nodes.
 */
const mayDifferOnOtherNodes = (status: number): boolean => status >= 500 || status === 429 || status === 409;
