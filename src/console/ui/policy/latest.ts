/** Runs work for the latest input of somebody who types: after a pause, one run at a time. Pure but for its timer. */

export class Latest<Input, Output> {
  readonly #pauseMs: number;
  readonly #work: (input: Input, signal: AbortSignal) => Promise<Output>;
  readonly #show: (result: { readonly output: Output } | { readonly error: unknown }) => void;
  readonly #controller = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #next: { readonly input: Input } | undefined;
  #isRunning = false;

  /** `show` gets the result of a run unless there is a newer input. */
  constructor(
    pauseMs: number,
    work: (input: Input, signal: AbortSignal) => Promise<Output>,
    show: (result: { readonly output: Output } | { readonly error: unknown }) => void,
  ) {
    this.#pauseMs = pauseMs;
    this.#work = work;
    this.#show = show;
  }

  /** Replaces an input that still waits. The node would finish a run that is given up, so a run is never overtaken. */
  give(input: Input): void {
    this.#next = { input };
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.#start();
    }, this.#pauseMs);
  }

  /** Ends the present run, and shows nothing more. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#next = undefined;
    this.#controller.abort();
  }

  async #start(): Promise<void> {
    const next = this.#next;
    const { signal } = this.#controller;
    if (this.#isRunning || next === undefined) return;
    this.#isRunning = true;
    this.#next = undefined;
    const result = await this.#work(next.input, signal).then(
      (output) => ({ output }),
      (error: unknown) => ({ error }),
    );
    this.#isRunning = false;
    if (signal.aborted) return;
    if (this.#next === undefined) this.#show(result);
    else if (this.#timer === undefined) await this.#start();
  }
}
