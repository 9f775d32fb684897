/**
 * Micro-batching: queries of one turn of the event loop wait for each other, up to a limit, and isolated queries do not
 * wait.
 */
import { describe, expect, test } from "bun:test";
import { MicroBatcher } from "../../src/http/routes/micro-batching.ts";
import { clientOf, Repo, User, wildcardPolicy, withPrimary } from "./api.ts";

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Sends `count` queries in one turn: how many of them wait, and the order in which all continue. */
async function ask(batcher: MicroBatcher, count: number): Promise<{ waited: number; order: number[] }> {
  const order: number[] = [];
  let waited = 0;
  const asking = Array.from({ length: count }, async (_, index) => {
    const others = batcher.wait();
    if (others !== undefined) {
      waited++;
      await others;
    }
    order.push(index);
  });
  await Promise.all(asking);
  await nextTurn();
  return { waited, order };
}

/** Sends concurrent queries until they are batched. */
async function crowd(batcher: MicroBatcher, size = 4): Promise<void> {
  for (let turn = 0; turn < 30; turn++) if ((await ask(batcher, size)).waited === size) return;
  throw new Error("the queries never waited");
}

describe("an isolated query", () => {
  test("never waits", async () => {
    const batcher = new MicroBatcher();
    for (let turn = 0; turn < 200; turn++) expect(await ask(batcher, 1)).toEqual({ waited: 0, order: [0] });
  });

  test("soon waits no more after concurrent queries have ended", async () => {
    const batcher = new MicroBatcher();
    await crowd(batcher);
    let waited = 0;
    for (let turn = 0; turn < 100; turn++) waited += (await ask(batcher, 1)).waited;
    expect(waited).toBe(4);
  });
});

describe("queries in the same turn", () => {
  test("soon wait for each other, and continue in order", async () => {
    const batcher = new MicroBatcher();
    await crowd(batcher);
    for (let turn = 0; turn < 20; turn++) expect(await ask(batcher, 5)).toEqual({ waited: 5, order: [0, 1, 2, 3, 4] });
  });

  test.each(Array.from({ length: 40 }, (_, index) => index + 2))("soon wait if there are %d", async (size) => {
    await crowd(new MicroBatcher(), size);
  });

  test("wait in batches of eight at most", async () => {
    const batcher = new MicroBatcher();
    await crowd(batcher);
    const went: number[] = [];
    for (let index = 0; index < 20; index++) void batcher.wait()?.then(() => went.push(index));
    await Promise.resolve();
    expect(went).toEqual(Array.from({ length: 16 }, (_, index) => index));
    await nextTurn();
    await nextTurn();
    expect(went).toEqual(Array.from({ length: 20 }, (_, index) => index));
  });

  test("do not wait for queries of the previous turn", async () => {
    const batcher = new MicroBatcher();
    await crowd(batcher);
    const first = batcher.wait();
    void batcher.wait();
    await first;
    await nextTurn();
    expect(batcher.wait()).not.toBe(first);
  });
});

test("concurrent queries over HTTP get their own responses", () =>
  withPrimary(async (api) => {
    await clientOf(api.url).policy(wildcardPolicy);
    await clientOf(api.url).batch((batch) => {
      for (let index = 0; index < 50; index++)
        batch.insert(["has_role", User(`user-${index}`), "member", Repo("main")]);
    });
    const ask = (index: number) =>
      api.call("POST", "/api/authorize", {
        body: {
          actor_type: "User",
          actor_id: `user-${index % 100}`,
          action: "read",
          resource_type: "Repo",
          resource_id: "main",
        },
      });
    for (let round = 0; round < 10; round++) {
      const answers = await Promise.all(Array.from({ length: 64 }, (_, index) => ask(round * 64 + index)));
      answers.forEach(({ status, json }, index) =>
        expect([status, json]).toEqual([200, { allowed: (round * 64 + index) % 100 < 50 }]),
      );
    }
  }));
