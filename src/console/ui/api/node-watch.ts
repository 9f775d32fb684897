/**
 * Finds out whether the node answers. Each answer to any request shows that it does. After some time without one it is
 * asked for a sign of life, so that a node that hangs is noticed before the limits of long requests. Pure.
 */

/** So long without an answer is not noticed: while a request waits, while none does, and while the node is silent. */
const quietMsMax = { waiting: 1500, idle: 4000, silent: 1000 } as const;

export class NodeWatch {
  readonly #probe: () => Promise<boolean>;
  readonly #nowMs: () => number;
  readonly #show: (silentSinceMs: number | undefined) => void;
  #silentSinceMs: number | undefined;
  /** Of the last answer, or of the last attempt to get one. */
  #heardMs: number;
  #answers = 0;
  #waiting = 0;
  #probing: Promise<void> | undefined;

  /**
   * `probe` asks the node, and tells in a short time whether it answered. `show` gets the time since when the node is
   * silent, or undefined if it answers.
   */
  constructor(probe: () => Promise<boolean>, nowMs: () => number, show: (silentSinceMs: number | undefined) => void) {
    this.#probe = probe;
    this.#nowMs = nowMs;
    this.#show = show;
    this.#heardMs = nowMs();
  }

  /** A request is on its way, until the result is called. */
  begin(): () => void {
    this.#waiting++;
    return () => this.#waiting--;
  }

  noteAnswer(): void {
    this.#answers++;
    this.#heardMs = this.#nowMs();
    this.#setSilent(undefined);
  }

  /** Call it often. */
  async check(): Promise<void> {
    const quietMs = this.#nowMs() - this.#heardMs;
    const state = this.#silentSinceMs !== undefined ? "silent" : this.#waiting > 0 ? "waiting" : "idle";
    if (quietMs >= quietMsMax[state]) await this.checkNow();
  }

  /** Call it when a request got no answer: it may have been the limit of that request alone. */
  checkNow(): Promise<void> {
    this.#probing ??= this.#ask().finally(() => (this.#probing = undefined));
    return this.#probing;
  }

  async #ask(): Promise<void> {
    const [startMs, answersBefore] = [this.#nowMs(), this.#answers];
    if (await this.#probe()) return this.noteAnswer();
    this.#heardMs = this.#nowMs();
    // The probe may have waited behind other requests.
    if (this.#answers === answersBefore) this.#setSilent(this.#silentSinceMs ?? startMs);
  }

  #setSilent(sinceMs: number | undefined): void {
    this.#silentSinceMs = sinceMs;
    this.#show(sinceMs);
  }
}
