/** When a node considers a lease expired, by a clock that the test sets. */
import { expect, test } from "bun:test";
import { ObservedExpiry } from "../../src/replication/lease/observed-expiry.ts";

const ttlMs = 6000;

class Observer {
  #nowMs = 0;
  readonly #expiry = new ObservedExpiry({ monotonicMs: () => this.#nowMs });

  get hasExpired(): boolean {
    return this.#expiry.hasExpired(ttlMs);
  }

  /** Reads the record once a second. */
  reads(version: string, seconds: number): void {
    for (let second = 0; second < seconds; second++) {
      this.#expiry.observe(version, ttlMs);
      this.#nowMs += 1000;
    }
  }

  /** The store does not answer. */
  isSilent(seconds: number): void {
    for (let second = 0; second < seconds; second++) {
      this.#expiry.missed();
      this.#nowMs += 1000;
    }
  }

  /** The node sends no requests to the store. */
  isBusy(seconds: number): void {
    this.#nowMs += 1000 * seconds;
  }
}

test("a record that does not change for the time to live has expired, and one that changes has not", () => {
  const observer = new Observer();
  observer.reads("1", 5);
  observer.reads("2", 5);
  expect(observer.hasExpired).toBe(false);
  observer.reads("2", 1);
  expect(observer.hasExpired).toBe(true);
  observer.reads("3", 1);
  expect(observer.hasExpired).toBe(false);
});

test("a node that has just started observes for a whole time to live", () => {
  const observer = new Observer();
  observer.isSilent(60);
  observer.reads("1", 5);
  expect(observer.hasExpired).toBe(false);
  observer.reads("1", 1);
  expect(observer.hasExpired).toBe(true);
});

test("after the store was silent, its holder has half of the time to live for a renewal", () => {
  const observer = new Observer();
  observer.reads("1", 1);
  observer.isSilent(60);
  observer.reads("1", 2);
  expect(observer.hasExpired).toBe(false);
  observer.reads("1", 1);
  expect(observer.hasExpired).toBe(true);
});

test("a node that sent no requests has not observed a silence", () => {
  const observer = new Observer();
  observer.reads("1", 1);
  observer.isBusy(4);
  observer.reads("1", 2);
  expect(observer.hasExpired).toBe(true);
});

test("a short silence does not delay the expiry, and one soon after a change does not advance it", () => {
  const observer = new Observer();
  observer.reads("1", 1);
  observer.isSilent(2);
  observer.reads("1", 3);
  expect(observer.hasExpired).toBe(true);
  observer.reads("2", 1);
  observer.isSilent(3);
  observer.reads("2", 1);
  expect(observer.hasExpired).toBe(false);
});
