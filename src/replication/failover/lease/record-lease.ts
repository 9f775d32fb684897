/**
 * The lease of the primary as one record in a store with compare-and-swap: a write replaces the record only if it is
 * still the one that was read. The store knows nothing of the expiry (`observed-expiry.ts`).
 */
import { randomBytes } from "node:crypto";
import type { Clock } from "../../../util/clock.ts";
import { EngineCalls, leaseLostError, type EngineCallsOptions } from "./engine-calls.ts";
import type { Lease, LeaseRecord, LeaseState } from "./lease.ts";
import { ObservedExpiry } from "./observed-expiry.ts";
import {
  isHeldBy,
  toLeaseRecord,
  type NextRecord,
  releasedRecord,
  renewedRecord,
  type StoredRecord,
  acquiredRecord,
} from "./stored-record.ts";

/** A record and the version that was read. */
export interface RecordVersion<Origin> {
  /** Undefined if the object exists and holds no record. */
  readonly record: StoredRecord | undefined;
  /** What the store needs for the next write. */
  readonly origin: Origin;
}

export interface RecordStore<Origin> {
  /** Undefined if nothing is stored. */
  read(signal: AbortSignal): Promise<RecordVersion<Origin> | undefined>;
  /** Creates the record, or replaces the given version. Undefined if another node has written first. */
  write(
    record: StoredRecord,
    replaced: RecordVersion<Origin> | undefined,
    signal: AbortSignal,
  ): Promise<RecordVersion<Origin> | undefined>;
}

export interface RecordLeaseOptions extends Omit<EngineCallsOptions, "clock"> {
  readonly node: string;
}

export class RecordLease<Origin> implements Lease {
  readonly engine: string;
  readonly #token = randomBytes(16).toString("hex");
  readonly #node: string;
  readonly #ttlMs: number;
  readonly #store: RecordStore<Origin>;
  readonly #calls: EngineCalls;
  readonly #expiry: ObservedExpiry;
  #writes = 0;
  /** The version that was written or read last. While this node holds the lease, no other node should change it. */
  #known: RecordVersion<Origin> | undefined;

  constructor(store: RecordStore<Origin>, options: RecordLeaseOptions, clock: Clock) {
    this.engine = options.engine;
    this.#node = options.node;
    this.#ttlMs = options.ttlMs;
    this.#store = store;
    this.#calls = new EngineCalls({ ...options, clock });
    this.#expiry = new ObservedExpiry(clock);
  }

  acquire(minTerm: number, { force = false }: { readonly force?: boolean } = {}): Promise<LeaseRecord | undefined> {
    return this.#calls.run("an acquisition", async (signal) => {
      let stored = await this.#read(signal);
      for (;;) {
        const record = stored?.record;
        const isOwn = isHeldBy(record, this.#token);
        if (!(isOwn || force || this.#isFree(record))) return undefined;
        // The record is of an earlier acquisition of this process whose answer was lost.
        const next =
          isOwn && record.term > minTerm
            ? record
            : acquiredRecord(record, { node: this.#node, token: this.#token, minTerm });
        const written = await this.#write(next, stored, signal);
        if (written?.record !== undefined) return toLeaseRecord(written.record);
        signal.throwIfAborted();
        stored = this.#known;
      }
    });
  }

  renew(held: LeaseRecord): Promise<void> {
    return this.#calls.run("a renewal", async (signal) => {
      const isWritten = await this.#change(held, (record) => renewedRecord(record, held), signal);
      if (!isWritten) throw leaseLostError(this.engine, this.#known?.record);
    });
  }

  release(held: LeaseRecord, successor?: string): Promise<void> {
    return this.#calls.run("a release", async (signal) => {
      await this.#change(held, (record) => releasedRecord(record, held, successor), signal);
    });
  }

  holder(): Promise<LeaseState | undefined> {
    return this.#calls.run("a request for its holder", async (signal) => {
      const record = (await this.#read(signal))?.record;
      if (record === undefined) return undefined;
      return { record: toLeaseRecord(record), isHeld: !record.released && !this.#expiry.hasExpired(record.ttlMs) };
    });
  }

  close(): void {
    this.#calls.close();
  }

  #isFree(record: StoredRecord | undefined): boolean {
    if (record === undefined || record.released || record.successor === this.#node) return true;
    return this.#expiry.hasExpired(record.ttlMs);
  }

  /** Writes `body(record)` if the record is still the held one. Resolves with whether it was. */
  async #change(held: LeaseRecord, body: (record: StoredRecord) => NextRecord, signal: AbortSignal): Promise<boolean> {
    // Usually this is the node's own last write. Then one request is enough.
    let stored = this.#isOf(held, this.#known?.record) ? this.#known : await this.#read(signal);
    for (;;) {
      const record = stored?.record;
      if (!this.#isOf(held, record)) return false;
      if ((await this.#write(body(record), stored, signal)) !== undefined) return true;
      signal.throwIfAborted();
      stored = this.#known;
    }
  }

  #isOf(held: LeaseRecord, record: StoredRecord | undefined): record is StoredRecord {
    return record !== undefined && isHeldBy(record, held.token) && record.term === held.term;
  }

  async #read(signal: AbortSignal): Promise<RecordVersion<Origin> | undefined> {
    try {
      return this.#see(await this.#store.read(signal));
    } catch (error) {
      this.#expiry.missed();
      throw error;
    }
  }

  #see(stored: RecordVersion<Origin> | undefined): RecordVersion<Origin> | undefined {
    if (stored?.record !== undefined) this.#expiry.observe(stored.record.renewal, stored.record.ttlMs);
    return (this.#known = stored);
  }

  /**
   * Undefined if another node has written first; then `#known` is its record. If the answer was lost, this reads the
   * record to find out whether the write has arrived.
   */
  async #write(
    record: NextRecord,
    replaced: RecordVersion<Origin> | undefined,
    signal: AbortSignal,
  ): Promise<RecordVersion<Origin> | undefined> {
    const renewal = `${this.#token}-${++this.#writes}`;
    const next: StoredRecord = { ...record, renewal, ttlMs: this.#ttlMs };
    let failure: unknown;
    try {
      const written = await this.#store.write(next, replaced, signal);
      if (written !== undefined) return this.#see(written);
    } catch (error) {
      signal.throwIfAborted();
      failure = error;
    }
    const stored = await this.#read(signal);
    if (stored?.record?.renewal === renewal) return stored;
    if (failure !== undefined) throw failure;
    return undefined;
  }
}
