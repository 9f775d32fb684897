/** The worker processes of hosted environments: shared fairly, and without a trace of the environment before. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "bun:test";
import { defaultLimits } from "../../src/config/limits.ts";
import { HostedProcesses } from "../../src/engine/workers/hosted-processes.ts";
import { WorkerQueue, type WorkerQueueOptions } from "../../src/engine/workers/worker-queue.ts";
import { openStore } from "../../src/store/connection/open-store.ts";
import { createState } from "../../src/store/log/store-state.ts";
import { inEnvironment } from "../../src/telemetry/current-environment.ts";
import { workerProcessesOf } from "../runtime/worker-processes.ts";
import { apply, fact, inserted, policy } from "./store.ts";

type Queues = (environment: string | undefined, changes?: Partial<WorkerQueueOptions>) => WorkerQueue;

/** Makes queues of environments that share processes. */
function sharedQueues(): Queues {
  const hosted = new HostedProcesses();
  return (environment, changes) =>
    inEnvironment(
      environment,
      () =>
        new WorkerQueue({
          hosted,
          waitingMax: 100,
          timeMsMax: 60_000,
          // A process is reused while it takes at most a quarter.
          memoryBytesMax: 4 * 1024 ** 3,
          description: "jobs",
          timeoutMessage: "the job takes too long",
          memoryMessage: "the job takes too much memory",
          ...changes,
        }),
    );
}

/** Jobs that run until they are ended. */
class Jobs {
  /** The names of those that have started and not ended, in the order of their start. */
  readonly running: string[] = [];
  readonly #end = new Map<string, () => void>();
  readonly #results: Promise<unknown>[] = [];

  /** Adds jobs, each of another API key. Resolves when all that may start have started. */
  async add(queue: WorkerQueue, ...names: readonly string[]): Promise<void> {
    for (const name of names) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#end.set(name, resolve);
      const work = async (): Promise<void> => {
        this.running.push(name);
        await promise;
        this.running.splice(this.running.indexOf(name), 1);
      };
      this.#results.push(queue.run(name, work));
    }
    await settled();
  }

  async end(name: string): Promise<void> {
    this.#end.get(name)?.();
    await settled();
  }

  async endAll(): Promise<void> {
    for (const end of this.#end.values()) end();
    await Promise.all(this.#results);
  }
}

/** A slot that is free is used in the same turn of the event loop. */
function settled(): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, 0));
}

test("an environment alone has all of its limit, and others have room beside it", async () => {
  const [queues, jobs] = [sharedQueues(), new Jobs()];
  const [shop, bank, club] = ["shop", "bank", "club"].map((id) => queues(id, { runningMax: 2 }));
  await jobs.add(shop!, "s1", "s2", "s3", "s4");
  expect(jobs.running).toEqual(["s1", "s2"]);
  await jobs.add(bank!, "b1", "b2");
  expect(jobs.running).toEqual(["s1", "s2", "b1"]);
  await jobs.add(club!, "c1");
  expect(jobs.running).toEqual(["s1", "s2", "b1", "c1"]);
  await jobs.endAll();
});

test("a free slot goes to the environment that waits, not to the one that returns it", async () => {
  const [queues, jobs] = [sharedQueues(), new Jobs()];
  const [shop, bank, club] = ["shop", "bank", "club"].map((id) => queues(id));
  await jobs.add(shop!, "s1", "s2", "s3");
  await jobs.add(bank!, "b1", "b2");
  await jobs.add(club!, "c1");
  expect(jobs.running).toEqual(["s1", "b1"]);
  await jobs.end("s1");
  expect(jobs.running).toEqual(["b1", "c1"]);
  await jobs.end("b1");
  expect(jobs.running).toEqual(["c1", "s2"]);
  await jobs.end("c1");
  expect(jobs.running).toEqual(["s2", "b2"]);
  await jobs.endAll();
});

test("the default environment takes no part in it", async () => {
  const [queues, jobs] = [sharedQueues(), new Jobs()];
  const [own, shop, bank] = [undefined, "shop", "bank"].map((id) => queues(id));
  await jobs.add(shop!, "s1");
  await jobs.add(bank!, "b1");
  await jobs.add(own!, "d1", "d2");
  expect(jobs.running).toEqual(["s1", "b1", "d1"]);
  await jobs.end("d1");
  expect(jobs.running).toEqual(["s1", "b1", "d2"]);
  await jobs.endAll();
});

test("a slow job is refused if other environments have all slots for slow jobs", async () => {
  const [queues, jobs] = [sharedQueues(), new Jobs()];
  const [shop, bank, club] = ["shop", "bank", "club"].map((id) => queues(id, { slow: { afterMs: 20, max: 1 } }));
  for (const [queue, name] of [
    [shop!, "s1"],
    [bank!, "b1"],
  ] as const) {
    await jobs.add(queue, name);
    // This one gets its turn when the other has become slow.
    await queue.run("next", () => Promise.resolve());
  }
  const unending = club!.run("c1", async (worker) => {
    throw await worker.exited;
  });
  await expect(unending).rejects.toThrow("too many jobs: this environment holds 0 of 2 slots, none is free");
  await jobs.endAll();
});

test("idle processes serve all hosted environments, and remember nothing of the one before", async () => {
  const folder = mkdtempSync(join(tmpdir(), "ostiary-hosted-"));
  const storePath = join(folder, "data.db");
  const source = `actor User {}
    resource Door { permissions = ["enter"]; }
    allow(user: User, "enter", door: Door) if has_permission(user, "enter", door);`;
  /** An environment that was deleted can be created again, and has the same path then. */
  const createDatabase = (user: string): void => {
    rmSync(folder, { recursive: true });
    mkdirSync(folder);
    const store = openStore(storePath);
    createState(store, "test", "test");
    apply(store, policy(source), inserted(fact("has_permission", `User:${user}`, "String:enter", "Door:1")));
    store.close();
  };
  const mayEnter = (queue: WorkerQueue, user: string): Promise<unknown> => {
    const actor = { type: "User", id: user };
    const question = { actor, action: "enter", resource: { type: "Door", id: "1" }, contextFacts: [] };
    const request = { kind: "authorize", question, storePath, limits: defaultLimits } as const;
    return queue.run("key", async (worker) => (await worker.call("answer", request)).answer);
  };
  const before = new Set(workerProcessesOf(process.pid).map(({ pid }) => pid));
  try {
    const queues = sharedQueues();
    createDatabase("ann");
    const first = queues("shop");
    expect([await mayEnter(first, "ann"), await mayEnter(first, "bob")]).toEqual([true, false]);
    createDatabase("bob");
    const second = queues("shop");
    expect([await mayEnter(second, "ann"), await mayEnter(second, "bob")]).toEqual([false, true]);
    createDatabase("cid");
    const other = queues("bank");
    expect([await mayEnter(other, "ann"), await mayEnter(other, "cid")]).toEqual([false, true]);
    expect(workerProcessesOf(process.pid).filter(({ pid }) => !before.has(pid))).toHaveLength(1);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
