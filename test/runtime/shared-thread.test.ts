import { afterEach, beforeEach, expect, test } from "bun:test";
import { openSharedChannel } from "../../src/runtime/shared-thread.ts";
import { connectChannel, withEncoding, type WorkerHandle } from "../../src/runtime/worker.ts";
import type { Counted, CountingCommands } from "./counting-worker.ts";

type Counter = WorkerHandle<CountingCommands, Counted>;

const running: Counter[] = [];
let tests = 0;

function counter(threadsMax: number, idleMs?: number): Counter {
  // Each test has threads of its own.
  const entry = new URL(`./counting-worker.ts?${tests}`, import.meta.url);
  const channel = openSharedChannel(entry, threadsMax, idleMs);
  const worker = connectChannel<CountingCommands, Counted>(withEncoding({ clonedCommands: ["bytes"] }, channel));
  running.push(worker);
  return worker;
}

async function threadOf(worker: Counter): Promise<string> {
  return (await worker.call("place")).thread;
}

beforeEach(() => {
  tests++;
});

afterEach(async () => {
  for (const worker of running.splice(0)) await worker.stop();
});

test("workers in one thread have their own state, answers and events", async () => {
  const [one, other] = [counter(1), counter(1)];
  const seen: number[][] = [[], []];
  one.onEvent(({ count }) => seen[0]?.push(count));
  other.onEvent(({ count }) => seen[1]?.push(count));
  const counts = await Promise.all([
    one.call("add", 1),
    other.call("add", 10),
    one.call("add", 2),
    other.call("add", 20),
  ]);
  expect(counts).toEqual([1, 10, 3, 30]);
  expect(seen).toEqual([
    [1, 3],
    [10, 30],
  ]);
  expect(await threadOf(one)).toBe(await threadOf(other));
});

test("cloned messages and transferred buffers reach their worker", async () => {
  const worker = counter(1);
  const buffer = new ArrayBuffer(1000);
  expect(await worker.callWithTransfer([buffer], "bytes", buffer)).toBe(1000);
  expect(buffer.byteLength).toBe(0);
});

test("a new worker gets a thread of its own until there are enough, and then the one with the fewest workers", async () => {
  const workers = [counter(2), counter(2), counter(2), counter(2)];
  const threads = await Promise.all(workers.map(threadOf));
  expect(new Set(threads).size).toBe(2);
  for (const thread of threads) expect(threads.filter((other) => other === thread)).toHaveLength(2);
  await workers[0]?.stop();
  expect(await threadOf(counter(2))).toBe(String(threads[0]));
});

test("a worker that stops finishes its calls, and the others of its thread go on", async () => {
  const [one, other] = [counter(1), counter(1)];
  const slow = one.call("addLater", 5, 50);
  await one.stop();
  expect(await slow).toBe(5);
  expect(await other.call("add", 1)).toBe(1);
  expect((await other.call("place")).stopped).toBe(1);
});

test("a thread without workers serves the next worker, which has a state of its own", async () => {
  const [one, other] = [counter(4), counter(4)];
  await one.call("add", 5);
  const threads = await Promise.all([one, other].map(threadOf));
  await Promise.all([one.stop(), other.stop()]);
  const [third, fourth] = [counter(4), counter(4)];
  expect((await Promise.all([third, fourth].map(threadOf))).toSorted()).toEqual(threads.toSorted());
  expect(await third.call("add", 1)).toBe(1);
  expect(await fourth.call("add", 1)).toBe(1);
});

test("a thread that stays without workers ends, and the next worker starts another", async () => {
  const worker = counter(1, 0);
  const thread = await threadOf(worker);
  await worker.stop();
  await new Promise((resolve) => setTimeout(resolve));
  expect(await threadOf(counter(1))).not.toBe(thread);
});

test("a thread does not end if another worker has begun to use it", async () => {
  const worker = counter(1, 0);
  const thread = await threadOf(worker);
  await worker.stop();
  const next = counter(1, 0);
  await new Promise((resolve) => setTimeout(resolve));
  expect(await threadOf(next)).toBe(thread);
});

test("if the thread fails, all of its workers have ended, and the next one starts another thread", async () => {
  const [one, other] = [counter(1), counter(1)];
  const waiting = other.call("addLater", 1, 60_000).catch((error: Error) => error.message);
  await one.call("crash");
  expect((await one.exited)?.message).toContain("a worker failed");
  expect(await waiting).toContain("a worker failed");
  expect(await counter(1).call("add", 1)).toBe(1);
});
