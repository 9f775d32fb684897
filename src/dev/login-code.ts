/** The one-time code with which the web console of `ostiary dev` logs in, so that nobody has to copy the key. */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { AppError } from "../util/app-error.ts";
import type { Clock } from "../util/clock.ts";

export const loginCodeSeconds = 60;
const wrongCodesMax = 5;

export class LoginCode {
  readonly #clock: Pick<Clock, "monotonicMs">;
  #valid: { readonly digest: Buffer; readonly untilMs: number; wrongCodes: number } | undefined;

  constructor(clock: Pick<Clock, "monotonicMs">) {
    this.#clock = clock;
  }

  /** Returns a new code of 128 bits. The one before is not valid any more. */
  create(): string {
    const code = randomBytes(16).toString("base64url");
    const untilMs = this.#clock.monotonicMs() + loginCodeSeconds * 1000;
    this.#valid = { digest: digestOf(code), untilMs, wrongCodes: 0 };
    return code;
  }

  /** Uses the code up. Throws `unauthorized` if it is wrong, was used, or has expired; five wrong codes end it too. */
  redeem(code: string): void {
    const valid = this.#valid;
    const isInTime = valid !== undefined && this.#clock.monotonicMs() < valid.untilMs;
    const isRight = isInTime && timingSafeEqual(valid.digest, digestOf(code));
    if (valid !== undefined && (isRight || ++valid.wrongCodes >= wrongCodesMax)) this.#valid = undefined;
    if (!isRight)
      throw new AppError(
        "unauthorized",
        "this login code is wrong, was used, or has expired: enter the API key instead",
      );
  }
}

function digestOf(code: string): Buffer {
  return createHash("sha256").update(code).digest();
}
