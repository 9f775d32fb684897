/**
 * A budget for the bytes that a node holds in memory for its peers: request bodies that are not handled yet, and responses that are not sent yet.
 * All requests share it, so no number of clients can make a node hold more. A part is reserved for other nodes: clients that use up their share
 * do not stop replication. A client may take more as long as it would hold no more than is free (`util/slot-pool.ts`): so one API key whose client reads
 * slowly can't take the budget of all others.
 */
import type { Limits } from "../../config/limits.ts";
import { metrics } from "../../telemetry/metrics.ts";

/** Whose bytes they are: other nodes may use the reserved part, too. */
export type Peer = "client" | "node";

/** Bytes taken from the budget. */
export interface ByteReservation {
  readonly bytes: number;
  /** Changes the number of bytes. Returns false, and changes nothing, where the budget has no room for that many. */
  resize(bytes: number): boolean;
  /** Gives all bytes back. A second call does nothing. */
  release(): void;
}

export class ByteBudget {
  readonly #bytesMax: Readonly<Record<Peer, number>>;
  /** By client. */
  readonly #held = new Map<string, number>();
  #used = 0;

  constructor({ bufferedBytesMax, bufferedNodeBytesReserved }: BudgetLimits) {
    this.#bytesMax = {
      client: Math.max(0, bufferedBytesMax - bufferedNodeBytesReserved),
      node: bufferedBytesMax,
    };
  }

  /** The bytes of all leases that were not released. */
  get usedBytes(): number {
    return this.#used;
  }

  /** Undefined where the budget has no room for that many bytes. `holder` is the API key of a client. */
  take(bytes: number, holder: string, peer: Peer = "client"): ByteReservation | undefined {
    const lease = new BudgetReservation((difference) => this.#change(difference, holder, peer));
    return lease.resize(bytes) ? lease : undefined;
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

type BudgetLimits = Pick<Limits, "bufferedBytesMax" | "bufferedNodeBytesReserved">;

class BudgetReservation implements ByteReservation {
  readonly #change: (difference: number) => boolean;
  #bytes = 0;
  #released = false;

  constructor(change: (difference: number) => boolean) {
    this.#change = change;
  }

  get bytes(): number {
    return this.#bytes;
  }

  resize(bytes: number): boolean {
    if (this.#released || !this.#change(bytes - this.#bytes)) return false;
    this.#bytes = bytes;
    return true;
  }

  release(): void {
    this.resize(0);
    this.#released = true;
  }
}
