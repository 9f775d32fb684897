/**
 * A budget for the bytes that a node holds in memory for other programs: request bodies that are not handled yet, and
 * responses that are not sent yet. All requests share it, so no number of clients can make a node hold more. A part is
 * reserved for other nodes, so that clients cannot stop replication. An API key can reserve more bytes as long as it
 * holds no more than are free (as in `util/slot-pool.ts`), so one slow client cannot use the budget of all others.
 */
import type { Limits } from "../../config/limits.ts";
import { metrics } from "../../telemetry/metrics.ts";

/** The owner of bytes: other nodes can also use the reserved part. */
export type Peer = "client" | "node";

/** Bytes of the budget. */
export interface ByteReservation {
  /** Changes the number of bytes. Returns false and changes nothing if the budget is exceeded. */
  resize(bytes: number): boolean;
  /** Returns all bytes to the budget. A second call does nothing. */
  release(): void;
}

export class ByteBudget {
  readonly #bytesMax: Readonly<Record<Peer, number>>;
  /** The bytes of each API key. */
  readonly #held = new Map<string, number>();
  #used = 0;

  constructor({
    bufferedBytesMax,
    bufferedNodeBytesReserved,
  }: Pick<Limits, "bufferedBytesMax" | "bufferedNodeBytesReserved">) {
    this.#bytesMax = { client: Math.max(0, bufferedBytesMax - bufferedNodeBytesReserved), node: bufferedBytesMax };
  }

  /** The bytes of all reservations. */
  get usedBytes(): number {
    return this.#used;
  }

  /** Reserves bytes; returns undefined if the budget is exceeded. `holder` is the API key of a client. */
  reserve(bytes: number, holder: string, peer: Peer = "client"): ByteReservation | undefined {
    let reserved = 0;
    let released = false;
    const resize = (wanted: number): boolean => {
      if (released || !this.#change(wanted - reserved, holder, peer)) return false;
      reserved = wanted;
      return true;
    };
    const release = (): void => {
      resize(0);
      released = true;
    };
    return resize(bytes) ? { resize, release } : undefined;
  }

  #change(difference: number, holder: string, peer: Peer): boolean {
    const bytes = (this.#held.get(holder) ?? 0) + difference;
    const needed = peer === "client" ? bytes : difference;
    if (difference > 0 && needed > this.#bytesMax[peer] - this.#used) return false;
    this.#used += difference;
    if (peer === "client" && bytes > 0) this.#held.set(holder, bytes);
    if (peer === "client" && bytes === 0) this.#held.delete(holder);
    metrics.bufferedBytes.inc(difference);
    return true;
  }
}
