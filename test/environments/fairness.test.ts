/**
 * A flooded environment delays the others by a bounded number of its requests, not by its whole queue. Counts are
 * compared, not times: `scripts/bench` measures those.
 */
import { expect, test } from "bun:test";
import { setImmediate } from "node:timers/promises";
import { EnvironmentTurns } from "../../src/environments/turns.ts";
import { systemClock } from "../../src/util/clock.ts";
import { adminKey, withCluster } from "../replication/cluster.ts";
import { ask, createEnvironment, fill, isReader, mayRead } from "./host.ts";

/** Requests of one environment that may begin between two of another one: those of a turn before, and of one after. */
const betweenMax = 32;

class Flood {
  begun = 0;
  readonly answers: Promise<Response>[] = [];
  readonly #turns: EnvironmentTurns;

  constructor(turns: EnvironmentTurns) {
    this.#turns = turns;
  }

  add(requests: number): void {
    for (let index = 0; index < requests; index++) {
      const answer = this.#turns.take("flooded", () => {
        this.begun += 1;
        return new Response(String(this.begun));
      });
      this.answers.push(Promise.resolve(answer));
    }
  }
}

function turnsAt(nowMs: () => number): EnvironmentTurns {
  return new EnvironmentTurns({ ...systemClock, monotonicMs: nowMs });
}

test("while another environment is active, a flooded one begins a few requests in each turn, in order", async () => {
  const turns = turnsAt(() => 0);
  const flood = new Flood(turns);
  const order: string[] = [];
  const askOther = async (): Promise<number> => {
    const before = flood.begun;
    await turns.take("other", () => new Response(order[order.push("other") - 1]));
    return flood.begun - before;
  };
  await askOther();
  flood.add(1000);
  let asked = 0;
  for (let before = 0; flood.begun < 1000; before = flood.begun, asked++) {
    // The other one is never behind the requests that wait.
    expect(await askOther()).toBe(0);
    await setImmediate();
    expect(flood.begun - before).toBeLessThanOrEqual(betweenMax);
  }
  expect(asked).toBeGreaterThan(1000 / betweenMax);
  const texts = await Promise.all(flood.answers.map(async (answer) => (await answer).text()));
  expect(texts).toEqual(Array.from({ length: 1000 }, (_, index) => String(index + 1)));
});

test("expensive requests have smaller turns", async () => {
  let nowMs = 0;
  const turns = turnsAt(() => nowMs);
  await turns.take("other", () => new Response());
  const begun: number[] = [];
  const answers = Array.from({ length: 300 }, () =>
    turns.take("flooded", () => {
      nowMs += 1;
      begun.push(nowMs);
      return new Response();
    }),
  );
  for (let turn = 0; turn < 8; turn++) {
    await turns.take("other", () => new Response());
    await setImmediate();
  }
  const before = begun.length;
  await turns.take("other", () => new Response());
  await setImmediate();
  expect(begun.length - before).toBeLessThanOrEqual(4);
  await Promise.all(answers);
  expect(begun).toHaveLength(300);
});

test("an environment that is alone is not held back, from a second after the last request of another one", async () => {
  let nowMs = 0;
  const turns = turnsAt(() => nowMs);
  const flood = new Flood(turns);
  flood.add(100);
  expect(flood.begun).toBe(100);
  await setImmediate();
  await turns.take("other", () => new Response());
  flood.add(100);
  expect(flood.begun).toBeLessThan(200);
  await Promise.all(flood.answers);
  nowMs = 2000;
  await setImmediate();
  flood.add(100);
  expect(flood.begun).toBe(300);
});

test("a request that fails in a later turn fails alone", async () => {
  const turns = turnsAt(() => 0);
  const flood = new Flood(turns);
  await turns.take("other", () => new Response());
  flood.add(100);
  const failing = turns.take("flooded", () => {
    throw new Error("broken");
  });
  flood.add(100);
  expect(failing).rejects.toThrow("broken");
  await Promise.all(flood.answers);
  expect(flood.begun).toBe(200);
});

test(
  "all requests are answered while another environment is flooded with questions, lists and writes",
  () =>
    withCluster(async (cluster) => {
      const node = await cluster.host("primary", "primary");
      const key = await createEnvironment(node, "flooded");
      await fill(node, key, "ann");
      await fill(node, adminKey, "bob");
      const list = { actor_type: "User", actor_id: "ann", action: "read", resource_type: "Repo", context_facts: [] };
      let isOver = false;
      let written = 0;
      const statuses = new Set<number>();
      const flood = Array.from({ length: 60 }, async (_, index) => {
        while (!isOver) {
          if (index % 3 === 0) expect(await mayRead(node, key, "ann")).toBe(true);
          else if (index % 3 === 1) statuses.add((await ask(node, key, "POST", "/api/list", list)).status);
          else
            statuses.add(
              (await ask(node, key, "POST", "/api/batch", [{ inserts: [isReader(`u${written++}`)] }])).status,
            );
        }
      });
      try {
        for (let asked = 0; asked < 100; asked++) expect(await mayRead(node, adminKey, "bob")).toBe(true);
      } finally {
        isOver = true;
      }
      await Promise.all(flood);
      expect([...statuses]).toEqual([200]);
    }),
  60_000,
);
