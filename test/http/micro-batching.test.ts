/** Who waits for whom: those who ask in the same turn of the event loop, few of them, and nobody who asks alone. */
import { describe, expect, test } from "bun:test";
import { MicroBatcher } from "../../src/http/routes/micro-batching.ts";
import { clientOf, Repo, User, wildcardPolicy, withPrimary } from "./api.ts";

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** So many ask in one turn: how many of them wait, and in which order all of them go on. */
async function ask(turns: MicroBatcher, count: number): Promise<{ waited: number; order: number[] }> {
  const order: number[] = [];
  let waited = 0;
  const asking = Array.from({ length: count }, async (_, index) => {
    const others = turns.wait();
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

/** Asks together until they wait for each other. */
async function crowd(turns: MicroBatcher, size = 4): Promise<void> {
  for (let turn = 0; turn < 30; turn++) if ((await ask(turns, size)).waited === size) return;
  throw new Error("they never waited");
}

describe("who asks alone", () => {
  test("never waits", async () => {
    const turns = new MicroBatcher();
    for (let turn = 0; turn < 200; turn++) expect(await ask(turns, 1)).toEqual({ waited: 0, order: [0] });
  });

  test("does not wait again soon after a crowd has gone", async () => {
    const turns = new MicroBatcher();
    await crowd(turns);
    let waited = 0;
    for (let turn = 0; turn < 100; turn++) waited += (await ask(turns, 1)).waited;
    expect(waited).toBe(4);
  });
});

describe("those who ask in the same turn", () => {
  test("soon wait for each other, and go on in the order in which they came", async () => {
    const turns = new MicroBatcher();
    await crowd(turns);
    for (let turn = 0; turn < 20; turn++) expect(await ask(turns, 5)).toEqual({ waited: 5, order: [0, 1, 2, 3, 4] });
  });

  test.each(Array.from({ length: 40 }, (_, index) => index + 2))("soon wait where they are %d", async (size) => {
    await crowd(new MicroBatcher(), size);
  });

  test("wait for eight at most", async () => {
    const turns = new MicroBatcher();
    await crowd(turns);
    const went: number[] = [];
    for (let index = 0; index < 20; index++) void turns.wait()?.then(() => went.push(index));
    await Promise.resolve();
    expect(went).toEqual(Array.from({ length: 16 }, (_, index) => index));
    await nextTurn();
    await nextTurn();
    expect(went).toEqual(Array.from({ length: 20 }, (_, index) => index));
  });

  test("wait for nobody of the turn before", async () => {
    const turns = new MicroBatcher();
    await crowd(turns);
    const first = turns.wait();
    void turns.wait();
    await first;
    await nextTurn();
    expect(turns.wait()).not.toBe(first);
  });
});

test("a crowd over HTTP: everybody gets the own answer", () =>
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
