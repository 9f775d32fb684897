/**
 * Large responses, which are sent in slices. Bytes that wait for a client are taken from the node's budget (`byte-budget.ts`); beyond it a request
 * is answered with 503. So clients that do not read cost a bounded amount of memory, for a bounded time.
 */
import type { Limits } from "../../config/limits.ts";
import type { AnswerParts } from "../../engine/workers/answer-parts.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { metrics } from "../../telemetry/metrics.ts";
import { AppError } from "../../util/app-error.ts";
import type { ByteBudget, ByteReservation, Peer } from "./byte-budget.ts";
import { OutgoingBody, type ChunkSource } from "./outgoing-body.ts";

/** Longer texts are sent in slices; shorter ones fit into the buffers of a connection. */
export const wholeCharactersMax = 64 * 1024;
const sliceBytes = 64 * 1024;
/** What one body takes of the budget that is made while it is sent: the part that waits, as text and as bytes, and a slice on its way. */
const partedBytes = 512 * 1024;

/** Who gets a response. */
export interface Recipient {
  readonly received: Request;
  /** Undefined where nobody was asked for a key. */
  readonly key: { readonly id: string } | undefined;
  /** Undefined where there is no connection. */
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

  /** A body of bytes that are in memory already. Throws `not_ready` where the budget has no room for them. */
  ofBytes(recipient: Recipient, bytes: Uint8Array, peer: Peer = "client"): ReadableStream<Uint8Array> {
    const lease = this.#reserve(recipient, bytes.byteLength, peer);
    let rest = bytes;
    return this.#body(recipient, {
      next() {
        const slice = rest.subarray(0, sliceBytes);
        rest = rest.subarray(sliceBytes);
        return Promise.resolve(slice.byteLength > 0 ? slice : undefined);
      },
      close() {
        // The stream may outlive its end for a while.
        rest = new Uint8Array();
        lease.release();
      },
    });
  }

  ofText(recipient: Recipient, text: string): ReadableStream<Uint8Array> {
    return this.ofBytes(recipient, encoder.encode(text));
  }

  /** A body that is made while it is sent. Takes care of the parts, also where it throws `not_ready`. */
  ofParts(recipient: Recipient, parts: AnswerParts): ReadableStream<Uint8Array> {
    let lease: ByteReservation;
    try {
      lease = this.#reserve(recipient, partedBytes, "client");
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
        lease.release();
      },
    });
  }

  /** A body that comes from a file as fast as it is taken; its pieces are small. */
  ofStream(recipient: Recipient, stream: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
    const reader = stream.getReader();
    const source = {
      next: async () => (await reader.read()).value,
      // Nobody waits for the file to be closed.
      close: () => void reader.cancel().catch(() => {}),
    };
    // Who writes a snapshot to a slow disk may pause for longer than who reads an answer.
    return this.#body(recipient, source, this.#limits.snapshotTimeoutMs);
  }

  #reserve({ key }: Recipient, bytes: number, peer: Peer): ByteReservation {
    const lease = this.#budget.take(bytes, key?.id ?? "", peer);
    if (lease === undefined)
      throw new AppError("not_ready", "too many bytes wait to be sent to clients that do not read, try again");
    return lease;
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
        if (cause !== undefined) logger.warning("a large response was broken off: {error}", { error: cause });
      },
    });
    return body.stream;
  }
}

const encoder = new TextEncoder();
const logger = getLogger("http");
