/**
 * The lease of the primary as one record in a store with compare-and-swap: a write replaces the record only if it is
 * still the one that was read. The store knows nothing of the expiry (`observed-expiry.ts`).
 */
import { randomBytes } from "node:crypto";
import { nextFailoverTerm } from "../../store/log/terms.ts";
import { deadline, type Clock } from "../../util/clock.ts";
import { reasonOf } from "../../util/reason.ts";
import { type Lease, LeaseLostError, type LeaseRecord, type LeaseState, type StoredRecord } from "./lease.ts";
import { ObservedExpiry } from "./observed-expiry.ts";
import { leaseCallTimeoutMs } from "./service-calls.ts";

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

interface RecordLeaseOptions {
  /** The coordination service, for messages. */
  readonly service: string;
  /** What to check after a failure. */
  readonly remedy: string;
  /** The id of this node. */
  readonly node: string;
  readonly ttlMs: number;
}

export class RecordLease<Origin> implements Lease {
  readonly #options: RecordLeaseOptions;
  readonly #token = randomBytes(16).toString("hex");
  readonly #store: RecordStore<Origin>;
  readonly #clock: Clock;
  readonly #closing = new AbortController();
  readonly #expiry: ObservedExpiry;
  #writes = 0;
  /** The version that was written or read last. While this node holds the lease, no other node should change it. */
  #known: RecordVersion<Origin> | undefined;

  constructor(store: RecordStore<Origin>, options: RecordLeaseOptions, clock: Clock) {
    this.#options = options;
    this.#store = store;
    this.#clock = clock;
    this.#expiry = new ObservedExpiry(clock);
  }

  get service(): string {
    return this.#options.service;
  }

  acquire(minTerm: number, { force = false }: { readonly force?: boolean } = {}): Promise<LeaseRecord | undefined> {
    return this.#call("an acquisition", async (signal) => {
      let stored = await this.#read(signal);
      for (;;) {
        const record = stored?.record;
        const isOwn = isHeldBy(record, this.#token);
        if (!(isOwn || force || this.#isFree(record))) return undefined;
        // The record is of an earlier acquisition of this process whose answer was lost.
        const next = isOwn && record.term > minTerm ? record : this.#acquired(record, minTerm);
        const written = await this.#write(next, stored, signal);
        if (written?.record !== undefined) return toLeaseRecord(written.record);
        signal.throwIfAborted();
        stored = this.#known;
      }
    });
  }

  renew(held: LeaseRecord): Promise<void> {
    return this.#call("a renewal", async (signal) => {
      if (await this.#change(held, {}, signal)) return;
      const record = this.#known?.record;
      const by =
        record === undefined ? "its record is gone" : `node \`${record.node}\` had it since, with term ${record.term}`;
      throw new LeaseLostError(`the lease in ${this.service} is lost: ${by}`);
    });
  }

  release(held: LeaseRecord, successor?: string): Promise<void> {
    const change = successor === undefined ? { released: true } : { successor };
    return this.#call("a release", async (signal) => void (await this.#change(held, change, signal)));
  }

  holder(): Promise<LeaseState | undefined> {
    return this.#call("a request for its holder", async (signal) => {
      const record = (await this.#read(signal))?.record;
      if (record === undefined) return undefined;
      return { record: toLeaseRecord(record), isHeld: !record.released && !this.#expiry.hasExpired(record.ttlMs) };
    });
  }

  close(): void {
    this.#closing.abort(new Error("this node is shutting down"));
  }

  /** Rejects with LeaseLostError if `body` does, and otherwise with a message that names the service and a remedy. */
  async #call<Result>(what: string, body: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
    const { service, remedy, ttlMs } = this.#options;
    const timeoutMs = leaseCallTimeoutMs(ttlMs);
    using late = deadline(this.#clock, timeoutMs);
    const signal = AbortSignal.any([late.signal, this.#closing.signal]);
    try {
      signal.throwIfAborted();
      return await body(signal);
    } catch (error) {
      if (error instanceof LeaseLostError) throw error;
      const reason = late.signal.aborted ? `it took longer than ${timeoutMs} ms` : reasonOf(error);
      throw new Error(`${service} gave no usable answer to ${what}: ${reason}; ${remedy}`, { cause: error });
    }
  }

  #isFree(record: StoredRecord | undefined): boolean {
    if (record === undefined || record.released || record.successor === this.#options.node) return true;
    return this.#expiry.hasExpired(record.ttlMs);
  }

  /** The record of this node, after the stored one. Throws if there is no later term, which no cluster reaches. */
  #acquired(stored: StoredRecord | undefined, minTerm: number): NextRecord {
    const term = nextFailoverTerm(stored?.term ?? 0, minTerm);
    if (!Number.isSafeInteger(term))
      throw new Error(
        "its record has a term that is too great to be real; remove the record, and check who may write there",
      );
    const { node } = this.#options;
    return { term, node, token: this.#token, hasHistory: stored?.hasHistory ?? false, released: false };
  }

  /** Writes the record with these changes, if it is still the held one. Resolves with whether it was. */
  async #change(held: LeaseRecord, changes: Partial<NextRecord>, signal: AbortSignal): Promise<boolean> {
    const isHeld = (record: StoredRecord | undefined): record is StoredRecord =>
      isHeldBy(record, held.token) && record.term === held.term;
    // Usually this is the node's own last write. Then one request is enough.
    let stored = isHeld(this.#known?.record) ? this.#known : await this.#read(signal);
    for (;;) {
      const record = stored?.record;
      if (!isHeld(record)) return false;
      const next = { ...record, hasHistory: record.hasHistory || held.hasHistory, ...changes };
      if ((await this.#write(next, stored, signal)) !== undefined) return true;
      signal.throwIfAborted();
      stored = this.#known;
    }
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

  /** Undefined if another node has written first; then `#known` is its record. Reads again if the answer was lost. */
  async #write(
    record: NextRecord,
    replaced: RecordVersion<Origin> | undefined,
    signal: AbortSignal,
  ): Promise<RecordVersion<Origin> | undefined> {
    const renewal = `${this.#token}-${++this.#writes}`;
    let failure: unknown;
    try {
      const written = await this.#store.write({ ...record, renewal, ttlMs: this.#options.ttlMs }, replaced, signal);
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

/** The content of the next write, before it gets a value of `renewal` and a time to live. */
type NextRecord = Omit<StoredRecord, "renewal" | "ttlMs">;

/** Whether a process still holds this record: it wrote the record and has not released it. */
function isHeldBy(stored: StoredRecord | undefined, token: string): stored is StoredRecord {
  return stored !== undefined && stored.token === token && !stored.released && stored.successor === undefined;
}

function toLeaseRecord({ term, node, token, successor, hasHistory }: StoredRecord): LeaseRecord {
  return { term, node, token, successor, hasHistory };
}
