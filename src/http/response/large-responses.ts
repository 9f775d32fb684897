/**
 * Large responses, which are sent in chunks as fast as the client reads them. Only one chunk is produced ahead of the
 * client, and a client that reads nothing for a while is disconnected. The bytes that wait for a client are reserved in
 * the node's budget (`byte-budget.ts`); a request that would exceed it gets 503. So clients that do not read cost a
 * bounded amount of memory for a bounded time.
 *
 * If a body cannot be completed, the connection is closed in the middle of it: the client gets a broken response, never
 * one that looks complete but is not.
 */
import type { Limits } from "../../config/limits.ts";
import { chunkedResponseBytes, responseChunkBytes } from "../../util/tuning.ts";
import type { AnswerParts } from "../../engine/workers/answer-parts.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { metrics } from "../../telemetry/metrics.ts";
import { AppError } from "../../util/app-error.ts";
import type { ByteBudget, ByteReservation, Peer } from "./byte-budget.ts";

/** The client that gets a response. */
interface Recipient {
  readonly received: Request;
  /** Undefined if the route is open to everybody. */
  readonly principal: { readonly id: string } | undefined;
  /** Closes the connection, even if the client reads nothing; undefined if there is no connection. */
  readonly closeConnection: ((received: Request) => void) | undefined;
}

interface ChunkSource {
  /** Returns undefined after the last chunk. */
  next(): Promise<Uint8Array | undefined>;
  /** Called once, for every kind of end. */
  close(): void;
}

/** For `/metrics`: with `slow` the client stopped reading, with `failed` the body could not be completed. */
type BodyEndReason = "sent" | "client" | "slow" | "failed";

type StallLimits = Pick<Limits, "responseStallMs" | "snapshotTimeoutMs">;

export class LargeResponses {
  readonly #budget: ByteBudget;
  readonly #limits: StallLimits;

  constructor(budget: ByteBudget, limits: StallLimits) {
    this.#budget = budget;
    this.#limits = limits;
  }

  /** A body of bytes that are in memory. Throws `not_ready` if they exceed the budget. */
  ofBytes(recipient: Recipient, bytes: Uint8Array, peer: Peer = "client"): ReadableStream<Uint8Array> {
    const reservation = this.#reserve(recipient, bytes.byteLength, peer);
    let rest = bytes;
    const source = {
      next() {
        const chunk = rest.subarray(0, responseChunkBytes);
        rest = rest.subarray(responseChunkBytes);
        return Promise.resolve(chunk.byteLength > 0 ? chunk : undefined);
      },
      close() {
        // The stream object can outlive its end.
        rest = new Uint8Array();
        reservation.release();
      },
    };
    return bodyOf(recipient, source, this.#limits.responseStallMs);
  }

  ofText(recipient: Recipient, text: string): ReadableStream<Uint8Array> {
    return this.ofBytes(recipient, encoder.encode(text));
  }

  /** A body that is produced while it is sent. It closes `parts`, also if it throws `not_ready`. */
  ofParts(recipient: Recipient, parts: AnswerParts): ReadableStream<Uint8Array> {
    let reservation: ByteReservation;
    try {
      reservation = this.#reserve(recipient, chunkedResponseBytes, "client");
    } catch (error) {
      parts.close();
      throw error;
    }
    let isLast = false;
    const source = {
      async next() {
        if (isLast) return undefined;
        const part = await parts.next();
        isLast = part.isLast;
        return encoder.encode(part.text);
      },
      close() {
        parts.close();
        reservation.release();
      },
    };
    return bodyOf(recipient, source, this.#limits.responseStallMs);
  }

  /** A body that is read from a file as fast as the client reads; its chunks are small. */
  ofStream(recipient: Recipient, stream: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
    const reader = stream.getReader();
    const source = {
      next: async () => (await reader.read()).value,
      // Closing the file needs no waiting.
      close: () => void reader.cancel().catch(() => {}),
    };
    // A client that writes a snapshot to a slow disk can pause for longer than one that reads a response.
    return bodyOf(recipient, source, this.#limits.snapshotTimeoutMs);
  }

  #reserve({ principal }: Recipient, bytes: number, peer: Peer): ByteReservation {
    const reservation = this.#budget.reserve(bytes, principal?.id ?? "", peer);
    if (reservation === undefined)
      throw new AppError("not_ready", "too many bytes wait for clients that do not read, try again");
    return reservation;
  }
}

/** The stream of the chunks. A client that reads nothing for `stallMs` is disconnected. */
function bodyOf({ received, closeConnection }: Recipient, source: ChunkSource, stallMs: number) {
  let stallTimer: ReturnType<typeof setTimeout> | undefined;
  let ended = false;
  const end = (reason: BodyEndReason, cause?: unknown): void => {
    if (ended) return;
    ended = true;
    clearTimeout(stallTimer);
    source.close();
    metrics.largeResponses.dec();
    metrics.largeResponsesEnded.inc({ reason });
    if (cause !== undefined) logger.warning("a large response was aborted: {error}", { error: cause });
  };
  /** Without the last chunk the client knows that the response is incomplete. */
  const abort = (controller: Controller, reason: BodyEndReason, cause?: unknown): void => {
    end(reason, cause);
    controller.error(new Error("the response cannot be completed"));
    closeConnection?.(received);
  };
  const expectPull = (controller: Controller): void => {
    stallTimer = setTimeout(() => abort(controller, "slow"), stallMs);
  };
  /** The connection can take more. */
  const pull = async (controller: Controller): Promise<void> => {
    clearTimeout(stallTimer);
    try {
      const chunk = await source.next();
      if (ended) return;
      if (chunk === undefined) {
        end("sent");
        controller.close();
      } else {
        controller.enqueue(chunk);
        expectPull(controller);
      }
    } catch (error) {
      if (!ended) abort(controller, "failed", error);
    }
  };
  metrics.largeResponses.inc();
  return new ReadableStream<Uint8Array>({ start: expectPull, pull, cancel: () => end("client") }, { highWaterMark: 0 });
}

type Controller = ReadableStreamDefaultController<Uint8Array>;

const encoder = new TextEncoder();
const logger = getLogger("http");
