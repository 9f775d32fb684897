/**
 * Whether the sender of an open stream may still have it: the API key or the token can be removed or replaced, or can
 * expire, at any time. The stream is notified when the key expires, so that it ends at once.
 */
import type { Clock } from "../../util/clock.ts";
import { AppError } from "../../util/app-error.ts";
import type { Exchange, ExchangeParts } from "../middleware/exchange.ts";
import { ExpiryTimer } from "./expiry-timer.ts";

type StreamExchange = Pick<Exchange, "principal"> & { readonly parts: Pick<ExchangeParts, "findKey" | "people"> };

export class StreamAccess {
  readonly #exchange: StreamExchange;
  readonly #authorization: string;
  readonly #expiry: ExpiryTimer;

  /** `authorization` is the header of the admitted request. `onExpired` is called when its key expires. */
  constructor(exchange: StreamExchange, authorization: string, clock: Clock, onExpired: () => void) {
    this.#exchange = exchange;
    this.#authorization = authorization;
    this.#expiry = new ExpiryTimer(clock, onExpired);
  }

  /** Throws AppError `unauthorized` if the stream has to end. */
  require(): void {
    const { parts, principal } = this.#exchange;
    const { people, findKey } = parts;
    if (principal?.kind === "person") {
      if (people?.isCurrent(principal) !== true)
        throw new AppError("unauthorized", "the token of this stream has expired, or its key was replaced");
      return;
    }
    const key = findKey(this.#authorization);
    // A key that is configured again can have got another role.
    if (key === undefined || key.role !== principal?.role)
      throw new AppError("unauthorized", "the API key of this stream was removed");
    this.#expiry.set(key.expiresMs);
  }

  /** Has to be called when the stream has ended. */
  end(): void {
    this.#expiry.cancel();
  }
}
