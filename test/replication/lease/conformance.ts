/** The requirements of every implementation of `Lease`, run against a coordination service, with simulated clocks. */
import { describe, expect, test } from "bun:test";
import { createServer, type AddressInfo } from "node:net";
import { once } from "node:events";
import { openLease } from "../../../src/replication/lease/open-lease.ts";
import {
  LeaseLostError,
  type Lease,
  type LeaseOptions,
  type LeaseRecord,
} from "../../../src/replication/lease/lease.ts";
import type { Fetch } from "../../../src/replication/system.ts";
import { nextFailoverTerm } from "../../../src/store/log/terms.ts";
import { SimulatedClock } from "../simulated-clock.ts";
import { lossyFetch } from "./lossy-fetch.ts";

export interface TestedService {
  readonly name: string;
  /** The setting `failover` for a place that no test has used. */
  readonly url: () => string;
  /** The same for a service at another port. */
  readonly urlAt: (port: number) => string;
  readonly isWrite: (url: string, init: RequestInit) => boolean;
  readonly options?: Partial<LeaseOptions>;
}

const ttlMs = 6000;
/** After a failed call, the holder can try again before its lease expires. */
const callMsMax = ttlMs / 3;

export function testLeaseConformance(service: TestedService): void {
  describe(service.name, () => {
    taking(service);
    expiry(service);
    releases(service);
    failures(service);
  });
}

type Open = (place: string, node: string, send?: Fetch) => Lease;

interface Opening {
  /** The clock of all nodes. */
  readonly clock: SimulatedClock;
  readonly open: Open;
  /** The leases of two nodes at a new place. */
  readonly pair: () => [Lease, Lease];
}

function opening({ url, options }: TestedService): Opening {
  const clock = new SimulatedClock();
  const open: Open = (place, node, send = (target, init) => fetch(target, init)) =>
    openLease({ url: place, node, ttlMs, ...options }, { fetch: send, clock });
  const pair = (): [Lease, Lease] => {
    const place = url();
    return [open(place, "a"), open(place, "b")];
  };
  return { clock, open, pair };
}

function taking(service: TestedService): void {
  const { open, pair } = opening(service);
  const { url } = service;

  test("a free lease is acquired, and no other node gets it", async () => {
    const [a, b] = pair();
    expect(await a.holder()).toBeUndefined();
    const held = await acquired(a);
    expect(held).toMatchObject({ node: "a", term: nextFailoverTerm(0), hasHistory: false });
    expect(await b.acquire(0)).toBeUndefined();
    expect(await b.holder()).toEqual({ record: held, isHeld: true });
  });

  test("the term begins after the known one", async () => {
    const [a, b] = pair();
    const known = nextFailoverTerm(nextFailoverTerm(0)) + 7;
    const held = await acquired(a, known);
    expect(held.term).toBe(nextFailoverTerm(known));
    await a.release(held);
    expect((await acquired(b, 1)).term).toBe(nextFailoverTerm(held.term));
  });

  test("force takes it from its holder", async () => {
    const [a, b] = pair();
    const held = await acquired(a);
    const taken = await b.acquire(0, { force: true });
    expect(taken?.term).toBe(nextFailoverTerm(held.term));
    expect(await refused(a.renew(held))).toBeInstanceOf(LeaseLostError);
    expect((await b.holder())?.record.node).toBe("b");
  });

  test("of five simultaneous nodes exactly one gets it, and terms only increase", async () => {
    const place = url();
    const leases = ["a", "b", "c", "d", "e"].map((node) => open(place, node));
    let term = 0;
    for (let round = 0; round < 20; round++) {
      const records = await Promise.all(leases.map((lease) => lease.acquire(0)));
      const winners = records.flatMap((record, index) => (record === undefined ? [] : [{ record, index }]));
      expect(winners).toHaveLength(1);
      const [winner] = winners;
      expect(winner?.record.term).toBeGreaterThan(term);
      term = winner?.record.term ?? 0;
      await leases[winner?.index ?? 0]?.release(winner?.record as LeaseRecord);
    }
  });
}

function expiry(service: TestedService): void {
  const { clock, pair } = opening(service);

  test("renewals keep it beyond its time to live", async () => {
    const [a, b] = pair();
    const held = await acquired(a);
    for (let renewal = 0; renewal < 8; renewal++) {
      clock.pass(ttlMs / 4);
      await a.renew(held);
      expect(await b.acquire(0)).toBeUndefined();
    }
    expect(await a.holder()).toEqual({ record: held, isHeld: true });
  });

  test("it never expires early, and then another node acquires it with a later term", async () => {
    const [a, b] = pair();
    const held = await acquired(a);
    expect(await b.acquire(0)).toBeUndefined();
    clock.pass(ttlMs - 1);
    expect(await b.acquire(0)).toBeUndefined();
    clock.pass(1);
    const taken = await acquired(b);
    expect(taken.term).toBe(nextFailoverTerm(held.term));
    expect(await refused(a.renew(held))).toBeInstanceOf(LeaseLostError);
    await a.release(held); // which changes nothing
    expect(await b.holder()).toEqual({ record: taken, isHeld: true });
    await b.renew(taken);
  });

  test("it is held again after its expiry if no node has acquired it", async () => {
    const [a, b] = pair();
    const held = await acquired(a);
    clock.pass(ttlMs);
    await a.renew({ ...held, hasHistory: true });
    expect(await b.acquire(0)).toBeUndefined();
    expect(await b.holder()).toEqual({ record: { ...held, hasHistory: true }, isHeld: true });
  });
}

function releases(service: TestedService): void {
  const { clock, open, pair } = opening(service);
  const { url } = service;

  test("a released lease is free immediately, and its record stays", async () => {
    const [a, b] = pair();
    const held = await acquired(a);
    await a.renew({ ...held, hasHistory: true });
    await a.release(held);
    expect(await b.holder()).toEqual({ record: { ...held, hasHistory: true }, isHeld: false });
    expect(await refused(a.renew(held))).toBeInstanceOf(LeaseLostError);
    expect(await acquired(b)).toMatchObject({ term: nextFailoverTerm(held.term), node: "b", hasHistory: true });
  });

  test("a lease that is released to a successor is free for that node immediately", async () => {
    const place = url();
    const [a, b, c] = [open(place, "a"), open(place, "b"), open(place, "c")];
    const held = await acquired(a);
    await a.release(held, "b");
    expect(await c.acquire(0)).toBeUndefined();
    expect(await a.acquire(0)).toBeUndefined();
    const taken = await acquired(b);
    expect(taken.term).toBe(nextFailoverTerm(held.term));
    expect(taken.successor).toBeUndefined();
  });

  test("if the successor does not come, others get it after the expiry", async () => {
    const [a, b] = pair();
    const held = await acquired(a);
    await a.release(held, "x");
    expect((await b.holder())?.record.successor).toBe("x");
    clock.pass(ttlMs);
    expect((await acquired(b)).term).toBe(nextFailoverTerm(held.term));
  });
}

function failures(service: TestedService): void {
  const { clock, open, pair } = opening(service);
  const { name, url, urlAt, isWrite } = service;

  test("a node adopts its own acquisition if the answer was lost", async () => {
    const [place, lossy] = [url(), lossyFetch(isWrite, clock)];
    const [a, b] = [open(place, "a", lossy.fetch), open(place, "b")];
    lossy.loses = "all from the next write on";
    expect(String(await refused(a.acquire(0)))).toContain("no usable answer");
    const state = await b.holder();
    expect(state).toMatchObject({ record: { node: "a" }, isHeld: true });
    expect(await b.acquire(0)).toBeUndefined();
    lossy.loses = "nothing";
    const held = await acquired(a);
    expect(held).toEqual(state?.record as LeaseRecord);
    await a.renew(held);
    // Not with a term that is known to have been used.
    expect((await acquired(a, held.term)).term).toBe(nextFailoverTerm(held.term));
  });

  test("a write whose answer was lost is found by reading", async () => {
    const lossy = lossyFetch(isWrite, clock);
    const lease = open(url(), "a", lossy.fetch);
    lossy.loses = "one write";
    const held = await acquired(lease);
    lossy.loses = "one write";
    await lease.renew(held);
    lossy.loses = "one write";
    await lease.release(held);
    expect(await lease.holder()).toEqual({ record: held, isHeld: false });
  });

  test("a renewal whose answer was lost is harmless", async () => {
    const [place, lossy] = [url(), lossyFetch(isWrite, clock)];
    const a = open(place, "a", lossy.fetch);
    const held = await acquired(a);
    lossy.loses = "answers";
    await refused(a.renew({ ...held, hasHistory: true }));
    lossy.loses = "nothing";
    await a.renew({ ...held, hasHistory: true });
    expect(await a.holder()).toEqual({ record: { ...held, hasHistory: true }, isHeld: true });
  });

  test("calls of a stopped or silent service fail in time, and name the service", async () => {
    using silent = await listenSilently(() => clock.pass(callMsMax));
    for (const place of [urlAt(1), urlAt(silent.port)]) {
      const lease = open(place, "a");
      const held = { term: 1, node: "a", token: "t", hasHistory: false };
      for (const call of [() => lease.acquire(0), () => lease.renew(held), () => lease.holder()]) {
        const askedMs = clock.monotonicMs();
        const error = await refused(call());
        expect(error).not.toBeInstanceOf(LeaseLostError);
        expect(String(error)).toContain(name.split(" ")[0] ?? "");
        expect(clock.monotonicMs() - askedMs).toBeLessThanOrEqual(callMsMax);
      }
    }
  });

  test("after it was closed, it sends no more requests", async () => {
    const [a] = pair();
    a.close();
    expect(String(await refused(a.holder()))).toContain("shutting down");
  });
}

export async function acquired(lease: Lease, minTerm = 0): Promise<LeaseRecord> {
  const record = await lease.acquire(minTerm);
  if (record === undefined) throw new Error("the lease was not free");
  return record;
}

export async function refused(promise: Promise<unknown>): Promise<unknown> {
  return await promise.then(
    () => {
      throw new Error("it succeeded");
    },
    (error: unknown) => error,
  );
}

/** Accepts connections and does not answer. */
async function listenSilently(onConnection: () => void): Promise<Disposable & { readonly port: number }> {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    onConnection();
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return { port: (server.address() as AddressInfo).port, [Symbol.dispose]: () => void server.close() };
}
