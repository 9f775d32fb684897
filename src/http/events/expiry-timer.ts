/** A timer for the expiry of an API key, which a rotation can change while a stream is open. */
import type { Clock } from "../../util/clock.ts";

/** Timers of JavaScript cannot be longer. Streams check their key at each heartbeat as well. */
const timerMsMax = 2 ** 31 - 1;

export class ExpiryTimer {
  readonly #clock: Clock;
  readonly #body: () => void;
  #expiresMs: number | undefined;
  #cancel: (() => void) | undefined;

  /** Calls `body` at the expiry that was set last. */
  constructor(clock: Clock, body: () => void) {
    this.#clock = clock;
    this.#body = body;
  }

  /** `expiresMs` is in ms since 1970; undefined if the key never expires. */
  set(expiresMs: number | undefined): void {
    if (expiresMs === this.#expiresMs) return;
    this.cancel();
    this.#expiresMs = expiresMs;
    if (expiresMs === undefined) return;
    this.#cancel = this.#clock.after(Math.min(expiresMs - this.#clock.wallMs(), timerMsMax), this.#body);
  }

  cancel(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }
}
