/** How long the holder of a lease may act as the primary, by a clock that the test sets. */
import { expect, test } from "bun:test";
import type { TermConfirmation } from "../../src/replication/failover/leadership.ts";
import { LeaseLeadership } from "../../src/replication/failover/lease-leadership.ts";
import { type Lease, LeaseLostError, type LeaseRecord } from "../../src/replication/lease/lease.ts";
import { settle, SimulatedClock } from "./simulated-clock.ts";

const ttlMs = 6000;
/** The last sixth of the time to live is not used. */
const validMs = ttlMs - ttlMs / 6;
const record: LeaseRecord = { term: 3, node: "a", token: "t", hasHistory: false };

type Renewal = "renewed" | "lost" | "failed" | "slow";

/** A process with its clock. The test can let time pass, suspend the process, and stop its clock as well. */
class Holder {
  renewal: Renewal = "renewed";
  confirmation: TermConfirmation = { edges: 0, isSuperseded: false };
  confirmations = 0;
  readonly clock = new SimulatedClock();
  readonly renewals: LeaseRecord[] = [];
  readonly released: (string | undefined)[] = [];
  readonly lost: string[] = [];
  readonly leadership: LeaseLeadership;
  #answer: (() => void) | undefined;

  constructor(ack: number, { leads = true } = {}) {
    const lease: Lease = {
      service: "the test's service",
      acquire: async () => record,
      renew: (held) => this.#renew(held),
      release: async (_held, successor) => void this.released.push(successor),
      holder: async () => undefined,
      close() {},
    };
    this.leadership = new LeaseLeadership(lease, ttlMs, this.clock, record, 0);
    if (!leads) return;
    const confirm = async (): Promise<TermConfirmation> => {
      this.confirmations++;
      return this.confirmation;
    };
    this.leadership.start({ confirm, ack: () => ack, onLost: (reason) => void this.lost.push(reason) });
  }

  get isValid(): boolean {
    return this.leadership.problem === undefined;
  }

  answerSlowly(): Promise<void> {
    this.#answer?.();
    return settle();
  }

  #renew(held: LeaseRecord): Promise<void> {
    this.renewals.push(held);
    switch (this.renewal) {
      case "renewed":
        return Promise.resolve();
      case "lost":
        return Promise.reject(new LeaseLostError("node b has it"));
      case "failed":
        return Promise.reject(new Error("no quorum"));
      case "slow":
        return new Promise((resolve) => (this.#answer = resolve));
    }
  }
}

test("a renewed lease stays valid, and records from then on that a history has begun", async () => {
  const holder = new Holder(0);
  for (let passed = 0; passed < 60_000; passed += 500) {
    await holder.clock.passSettled(500);
    expect(holder.isValid).toBe(true);
  }
  expect(holder.renewals.length).toBe(1 + 60_000 / (ttlMs / 3));
  expect(holder.renewals[0]).toEqual({ ...record, hasHistory: true });
});

test("the lease of a candidate records no history", async () => {
  const holder = new Holder(0, { leads: false });
  await holder.clock.passSettled(3000);
  expect(holder.renewals).toEqual([record]);
});

test("without an engine it becomes invalid before the lease expires there, counted from the request of the last renewal", async () => {
  const holder = new Holder(0);
  holder.renewal = "slow";
  // Requested after a third of the time to live, answered a second later.
  await holder.clock.passSettled(3000);
  await holder.answerSlowly();
  holder.renewal = "failed";
  await holder.clock.passSettled(2000 + validMs - 3000 - 1);
  expect(holder.isValid).toBe(true);
  await holder.clock.passSettled(1);
  expect(holder.leadership.problem).toContain("could not be renewed at the test's service");
  expect(() => holder.leadership.requireValid()).toThrow("send the write again");
  holder.renewal = "renewed";
  await holder.clock.passSettled(600);
  expect(holder.isValid).toBe(true);
});

test("without an engine, it stays valid if as many edges as a write needs confirm it", async () => {
  const holder = new Holder(2);
  holder.renewal = "failed";
  holder.confirmation = { edges: 2, isSuperseded: false };
  await holder.clock.passSettled(30_000);
  expect(holder.isValid).toBe(true);
  holder.confirmation = { edges: 1, isSuperseded: false };
  await holder.clock.passSettled(ttlMs);
  expect(holder.isValid).toBe(false);
});

test("a confirmation of edges is as old as the request: they may vote for a successor in the next moment", async () => {
  const holder = new Holder(1);
  holder.confirmation = { edges: 1, isSuperseded: false };
  await holder.clock.passSettled(1000);
  expect(holder.leadership.ageMs).toBeUndefined();
  holder.renewal = "failed";
  await holder.clock.passSettled(validMs);
  expect(holder.isValid).toBe(true);
  expect(holder.leadership.ageMs).toBeGreaterThanOrEqual(0);
  expect(holder.leadership.ageMs).toBeLessThanOrEqual(ttlMs / 12);
  holder.renewal = "renewed";
  await holder.clock.passSettled(ttlMs / 12);
  expect(holder.leadership.ageMs).toBeUndefined();
  holder.renewal = "lost";
  await holder.clock.passSettled(ttlMs / 3);
  expect(holder.leadership.ageMs).toBeNull();
});

test("edges are asked at the same time as an engine that failed before", async () => {
  const holder = new Holder(1);
  holder.confirmation = { edges: 1, isSuperseded: false };
  holder.renewal = "failed";
  await holder.clock.passSettled(2500);
  const asked = holder.confirmations;
  expect(asked).toBeGreaterThan(0);
  holder.renewal = "slow";
  await holder.clock.passSettled(ttlMs / 12);
  expect(holder.confirmations).toBe(asked + 1);
});

test.each([
  ["if writes need no edges", 0, { edges: 2, isSuperseded: false }],
  ["that know of a later term", 2, { edges: 2, isSuperseded: true }],
] as const)("without an engine, it is not kept valid by edges %s", async (_name, ack, confirmation) => {
  const holder = new Holder(ack);
  holder.renewal = "failed";
  holder.confirmation = confirmation;
  await holder.clock.passSettled(ttlMs);
  expect(holder.isValid).toBe(false);
});

test("it is lost immediately if another node has it", async () => {
  const holder = new Holder(1);
  await holder.clock.passSettled(1000);
  holder.renewal = "lost";
  await holder.clock.passSettled(1000);
  expect(holder.isValid).toBe(false);
  expect(holder.lost).toEqual(["node b has it"]);
  await holder.clock.passSettled(60_000);
  expect(holder.renewals.length).toBe(2);
  expect(holder.lost.length).toBe(1);
});

test.each(["running", "stopped"] as const)(
  "after the process was suspended, with its clock %s, it is invalid until it is renewed and peers agree",
  async (clock) => {
    const holder = new Holder(1);
    await holder.clock.passSettled(2000);
    holder.renewal = "slow";
    holder.clock.standStill(2500, { clock });
    // The deadline has not passed by that clock.
    expect(holder.leadership.problem).toContain("was suspended");
    await holder.clock.passSettled(10);
    await holder.answerSlowly();
    // Not confirmed yet.
    expect(holder.leadership.problem).toContain("was suspended");
    holder.renewal = "renewed";
    holder.confirmation = { edges: 1, isSuperseded: true };
    await holder.clock.passSettled(600);
    expect(holder.leadership.problem).toContain("was suspended");
    holder.confirmation = { edges: 1, isSuperseded: false };
    await holder.clock.passSettled(600);
    expect(holder.isValid).toBe(true);
  },
);

test("a process that is suspended again while it asks has to ask again", async () => {
  const holder = new Holder(0);
  await holder.clock.passSettled(2000);
  holder.renewal = "slow";
  holder.clock.standStill(2500, { clock: "stopped" });
  expect(holder.isValid).toBe(false);
  await settle();
  holder.clock.standStill(3_600_000, { clock: "stopped" });
  await holder.answerSlowly();
  expect(holder.leadership.problem).toContain("was suspended");
  holder.renewal = "renewed";
  await holder.answerSlowly();
  await holder.clock.passSettled(600);
  expect(holder.isValid).toBe(true);
});

test("a released lease is invalid, and is not renewed any more", async () => {
  const holder = new Holder(0, { leads: false });
  await holder.leadership.release("b");
  await holder.leadership.release();
  expect(holder.released).toEqual(["b"]);
  expect(holder.isValid).toBe(false);
  await holder.clock.passSettled(60_000);
  expect(holder.renewals).toEqual([]);
});
