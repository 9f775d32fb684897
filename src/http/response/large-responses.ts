/**
 * Large responses, which are sent in chunks. The bytes that wait for a client are reserved in the node's budget
 * (`byte-budget.ts`); a request that would exceed it gets 503. So clients that do not read cost a bounded amount of
 * memory for a bounded time.
 */
import type { Limits } from "../../config/limits.ts";
import { chunkedResponseBytes, responseChunkBytes } from "../../util/tuning.ts";
import type { AnswerParts } from "../../engine/workers/answer-parts.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { metrics } from "../../telemetry/metrics.ts";
import { AppError } from "../../util/app-error.ts";
import type { ByteBudget, ByteReservation, Peer } from "./byte-budget.ts";
import { OutgoingBody, type ChunkSource } from "./outgoing-body.ts";

/** The client that gets a response. */
export interface Recipient {
  readonly received: Request;
  /** Undefined if the route needs no API key. */
  readonly key: { readonly id: string } | undefined;
  /** Undefined if there is no connection. */
  readonly closeConnection: ((received: Request) => void) | undefined;
}

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
    return this.#body(recipient, {
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
    });
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
    return this.#body(recipient, {
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
    });
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
    return this.#body(recipient, source, this.#limits.snapshotTimeoutMs);
  }

  #reserve({ key }: Recipient, bytes: number, peer: Peer): ByteReservation {
    const reservation = this.#budget.reserve(bytes, key?.id ?? "", peer);
    if (reservation === undefined)
      throw new AppError("not_ready", "too many bytes wait for clients that do not read, try again");
    return reservation;
  }

  #body(
    { received, closeConnection: cut }: Recipient,
    source: ChunkSource,
    stallMs: number = this.#limits.responseStallMs,
  ): ReadableStream<Uint8Array> {
    metrics.largeResponses.inc();
    const body = new OutgoingBody(source, {
      stallMs,
      closeConnection: () => cut?.(received),
      onEnded(ending, cause) {
        metrics.largeResponses.dec();
        metrics.largeResponsesEnded.inc({ reason: ending });
        if (cause !== undefined) logger.warning("a large response was aborted: {error}", { error: cause });
      },
    });
    return body.stream;
  }
}

const encoder = new TextEncoder();
const logger = getLogger("http");
