/**
 * The simulated coordination service that stores the lease of the primary: one record with compare-and-swap, below the
 * real lease code. It may freeze for a while and lose requests and responses, some nodes may not reach it, and the
 * clocks by which nodes observe the lease run a little faster or slower.
 */
import type { Lease, LeaseOptions } from "../../src/replication/lease/lease.ts";
import { RecordLease, type RecordStore, type RecordVersion } from "../../src/replication/lease/record-lease.ts";
import type { StoredRecord } from "../../src/replication/lease/lease.ts";
import type { Clock } from "../../src/util/clock.ts";
import type { Network } from "./network.ts";
import type { Random } from "./random.ts";
import type { Owner, Time } from "./time.ts";

const ratesOfClocks = [0.96, 1, 1.04];

export class SimulatedLeaseService {
  readonly host = "engine";
  /** It does not answer while it is frozen. */
  isDown = false;
  readonly #time: Time;
  readonly #network: Network;
  readonly #random: Random;
  #record: StoredRecord | undefined;
  #revision = 0;

  constructor(time: Time, network: Network, random: Random) {
    this.#time = time;
    this.#network = network;
    this.#random = random;
  }

  open({ node, ttlMs }: LeaseOptions, from: string, owner: Owner, clock: Clock): Lease {
    const call = <T>(work: () => T, signal: AbortSignal): Promise<T> => this.#call(from, owner, work, signal);
    const store: RecordStore<number> = {
      read: (signal) => call(() => this.#record && { record: this.#record, origin: this.#revision }, signal),
      write: (record, replaced, signal) => call(() => this.#write(record, replaced), signal),
    };
    const rate = this.#random.pick(ratesOfClocks);
    const observing = { ...clock, monotonicMs: () => clock.monotonicMs() * rate };
    return new RecordLease(store, { service: "the simulated service", remedy: "wait", node, ttlMs }, observing);
  }

  /** Whether the node had the lease last: it is the primary, or is about to be. */
  isHolder(name: string): boolean {
    return this.#record?.node === name;
  }

  stop(): () => void {
    this.isDown = true;
    return () => (this.isDown = false);
  }

  #write(record: StoredRecord, replaced: RecordVersion<number> | undefined): RecordVersion<number> | undefined {
    this.#network.counts.add("records of the lease written");
    if ((replaced?.origin ?? 0) !== this.#revision) {
      this.#network.counts.add("of these over one that had changed");
      return undefined;
    }
    this.#record = record;
    return { record, origin: ++this.#revision };
  }

  /** The request or its response may be lost. */
  #call<T>(from: string, owner: Owner, work: () => T, signal: AbortSignal): Promise<T> {
    const { lost } = this.#network.weather;
    const unanswered = (): Error => {
      this.#network.counts.add("calls of the coordination service without an answer");
      return new Error("the simulated service gave no answer in time");
    };
    const start = (resolve: (answer: T) => void): void => {
      if (this.#isLost(from, this.host, lost)) return;
      this.#time.at(this.#random.between(1, 20), undefined, () => {
        if (this.isDown) return;
        const answer = work();
        if (this.#isLost(this.host, from, lost)) return;
        this.#time.at(this.#random.between(1, 20), owner, () => resolve(answer));
      });
    };
    return this.#time.abortable(signal, start, unanswered);
  }

  #isLost(from: string, to: string, lost: number): boolean {
    return !this.#network.reaches(from, to) || this.#random.chance(lost);
  }
}
