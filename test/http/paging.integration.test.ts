/**
 * The pages of a list are consistent: they are the list at the revision of its first page, whatever is written
 * meanwhile and whichever node gives the other pages. Otherwise the client gets an error. `PAGING_STEPS` is the number
 * of steps of the random test for all its seeds, `PAGING_SEED` its only seed.
 */
import { describe, expect, spyOn, test } from "bun:test";
import fc from "fast-check";
import { seedsOf } from "../seeds.ts";
import { converged, eventually, withCluster } from "../replication/cluster.ts";
import { apiOf, clientOf, fact, Org, role, User, value, withPrimary, type Api, sharedPrimary } from "./api.ts";
import {
  askPage,
  batch,
  expectGone,
  firstPage,
  forgeToken,
  ids,
  lendingPolicy,
  listBody,
  load,
  narrower,
  nextPage,
  openToken,
  policy,
  reading,
  restOf,
  seeing,
  wholeList,
  type ListBody,
  type Page,
} from "./listing.ts";

const withCleanPrimary = sharedPrimary();

const lent = (id: string, ends: number) =>
  fact("lent", User("ann"), value("String", "member"), Org(id), value("Integer", String(ends)));

/** Runs `body` at another time of all nodes. */
async function later(ms: number, body: () => Promise<void>): Promise<void> {
  const now = spyOn(Date, "now").mockReturnValue(Date.now() + ms);
  try {
    await body();
  } finally {
    now.mockRestore();
  }
}

const nowSeconds = (): number => Math.floor(Date.now() / 1000);

/** All kinds of writes that change the list. */
const writes: readonly (readonly [string, (api: Api) => Promise<unknown>])[] = [
  ["an id before the position", (api) => batch(api, [role("ann", "member", Org(" "))])],
  ["an id after the position", (api) => batch(api, [role("ann", "member", Org("zz"))])],
  ["a listed id deleted", (api) => batch(api, [], [role("ann", "member", Org("!"))])],
  ["a later id deleted", (api) => batch(api, [], [role("ann", "member", Org("~"))])],
  [
    "all ids deleted but one",
    (api) =>
      batch(
        api,
        [],
        ids.slice(1).map((id) => role("ann", "member", Org(id))),
      ),
  ],
  ["another policy", (api) => api.call("POST", "/api/policy", { body: { src: narrower } })],
  ["everything cleared", (api) => api.call("POST", "/api/clear_data")],
];

describe("a write between two pages leaves the list consistent", () => {
  test.each(writes)("%s", (_, write) =>
    withCleanPrimary(async (api) => {
      for (const body of [reading, seeing]) {
        for (const size of [1, 2, 5, ids.length - 1]) {
          await load(api);
          const whole = await wholeList(api, body);
          expect(whole.includes("*")).toBe(body === seeing);
          const first = await firstPage(api, body, size);
          expect(first.results).toHaveLength(size);
          await write(api);
          expect(await restOf(api, body, first)).toEqual([...whole]);
        }
      }
    }),
  );

  test("a list that fits on one page has no token, and a list without pages no `next_page_token`", () =>
    withCleanPrimary(async (api) => {
      await load(api);
      for (const size of [ids.length, 10_000, 1_000_000_000])
        expect(await firstPage(api, reading, size)).toEqual({
          results: await wholeList(api, reading),
          next_page_token: null,
        });
      expect((await api.call("POST", "/api/list", { body: reading })).json).not.toHaveProperty("next_page_token");
    }));

  test("a page does not exceed the limit, also on a node with a lower limit", () =>
    withPrimary(
      async (api) => {
        await load(api);
        const first = await firstPage(api, reading, 7);
        expect(first.results).toHaveLength(3);
        const parts = openToken(first.next_page_token);
        expect(parts[4]).toBe(3);
        const larger = await nextPage(api, reading, forgeToken(parts.with(4, 7)));
        expect(larger.results).toHaveLength(3);
        expect([...first.results, ...(await restOf(api, reading, larger))]).toEqual([
          ...(await wholeList(api, reading)),
        ]);
      },
      { "advanced.listPageEntriesMax": "3" },
    ));

  test("a list that begins later has the later state, also during an earlier list", () =>
    withCleanPrimary(async (api) => {
      await load(api);
      const begun: { whole: readonly string[]; page: Page }[] = [];
      for (const id of ["g", "h", "h", "i"]) {
        await batch(api, [role("ann", "member", Org(id))]);
        begun.push({ whole: await wholeList(api, reading), page: await firstPage(api, reading, 4) });
      }
      expect(new Set(begun.map(({ whole }) => whole.length)).size).toBe(3);
      for (const { whole, page } of begun.toReversed()) expect(await restOf(api, reading, page)).toEqual([...whole]);
    }));
});

describe("random writes between the pages of many lists", () => {
  const seeds = seedsOf(20_251, "PAGING_SEED");
  const steps = Math.ceil(Number(process.env["PAGING_STEPS"] ?? 600) / seeds.length);

  interface Reading {
    readonly body: ListBody;
    readonly whole: readonly string[];
    found: readonly string[];
    token: string | null;
  }

  test.each(seeds)(
    `${steps} steps with seed %i`,
    (seed) =>
      withCleanPrimary(async (api) => {
        await load(api);
        const dice = fc.sample(fc.tuple(fc.nat(99), fc.nat(99), fc.nat(99)), { numRuns: steps, seed });
        const open: Reading[] = [];
        let finished = 0;
        for (const [what, first, second] of dice) {
          const id = `${ids[first % ids.length]}${second % 3}`;
          const name = second % 2 === 0 ? "member" : "admin";
          if (what < 20) await batch(api, [role("ann", name, Org(id))]);
          else if (what < 35) await batch(api, [], [role("ann", name, Org(id))]);
          else if (what < 36) await api.call("POST", "/api/clear_data");
          else if (what < 38)
            await api.call("POST", "/api/policy", { body: { src: [policy, narrower, lendingPolicy][first % 3] } });
          else if (what < 50 || open.length === 0) {
            const body = first % 3 === 0 ? seeing : reading;
            const whole = await wholeList(api, body);
            const { results, next_page_token: token } = await firstPage(api, body, 1 + (second % 7));
            open.push({ body, whole, found: results, token });
          } else {
            const one = open[first % open.length] as Reading;
            if (one.token !== null) {
              const { results, next_page_token: token } = await nextPage(api, one.body, one.token);
              Object.assign(one, { found: [...one.found, ...results], token });
            }
          }
          for (const one of open.filter(({ token }) => token === null)) {
            expect(one.found).toEqual([...one.whole]);
            open.splice(open.indexOf(one), 1);
            finished += 1;
          }
        }
        for (const { body, whole, found, token } of open)
          expect(await restOf(api, body, { results: found, next_page_token: token })).toEqual([...whole]);
        expect(finished).toBeGreaterThan(steps / 40 - 2);
      }),
    60_000 + steps * 200,
  );
});

describe("a list without a cached result set", () => {
  const keepsOne = { "advanced.resultSetsMax": "1" };
  const others = listBody("bob", "see", "Org");

  test.each([
    ["another result set replaced it", keepsOne],
    ["result sets are turned off", { "advanced.resultSetsMax": "0" }],
    ["it is too large", { "advanced.resultSetsBytesMax": "20" }],
    ["it is too old", { "advanced.resultSetTtlMs": "1ms" }],
  ])("%s: continues while nothing is written, and is gone after a write", (_, flags) =>
    withPrimary(async (api) => {
      await load(api);
      await batch(
        api,
        ids.map((id) => role("bob", "member", Org(id))),
      );
      const first = await firstPage(api, reading, 4);
      await firstPage(api, others, 4);
      expect(await restOf(api, reading, first)).toEqual([...(await wholeList(api, reading))]);

      const again = await firstPage(api, reading, 4);
      await firstPage(api, others, 4);
      await batch(api, [role("ann", "member", Org("zz"))]);
      await eventually(async () => expectGone(await askPage(api, reading, again.next_page_token)));
      expect(await firstPage(api, reading, 100)).toMatchObject({ results: { length: ids.length + 1 } });
    }, flags),
  );

  test("a finished list is kept for a moment, in case the last response was lost", () =>
    withPrimary(
      async (api) => {
        await load(api);
        const { next_page_token: token } = await firstPage(api, reading, ids.length - 1);
        await batch(api, [role("ann", "member", Org("zz"))]);
        const last = await nextPage(api, reading, token);
        expect(last.results).toHaveLength(1);
        expect(await nextPage(api, reading, token)).toEqual(last);
      },
      { "advanced.resultSetFinishedTtlMs": "1h" },
    ));

  test("a finished list is not kept for longer than that", () =>
    withPrimary(
      async (api) => {
        await load(api);
        const { next_page_token: token } = await firstPage(api, reading, ids.length - 1);
        await batch(api, [role("ann", "member", Org("zz"))]);
        await nextPage(api, reading, token);
        await eventually(async () => expectGone(await askPage(api, reading, token)));
      },
      { "advanced.resultSetFinishedTtlMs": "1ms" },
    ));

  test("a list continues after a restart if nothing was written", () =>
    withCluster(async (cluster) => {
      const running = await cluster.primary();
      await load(apiOf(running));
      const whole = await wholeList(apiOf(running), reading);
      const first = await firstPage(apiOf(running), reading, 5);
      await running.stop();
      const api = apiOf(await cluster.primary());
      expect(await restOf(api, reading, first)).toEqual([...whole]);
      await firstPage(api, reading, 5);
      await batch(api, [role("ann", "member", Org("zz"))]);
      // After the restart it is computed again and cached like all others.
      const { next_page_token: token } = await nextPage(api, reading, first.next_page_token);
      expect(await restOf(api, reading, await nextPage(api, reading, token))).toEqual([...whole].slice(10));
    }));
});

describe("another node", () => {
  async function start(body: (primary: Api, edge: Api) => Promise<void>, wait = "1m"): Promise<void> {
    await withCluster(
      async (cluster) => {
        const running = await cluster.primary();
        const edge = await cluster.edge("edge", running);
        await load(apiOf(running));
        await converged(edge.node, running.node);
        await body(apiOf(running), apiOf(edge));
      },
      { "advanced.consistencyWait": wait },
    );
  }

  test("continues at the same revision, but not at a later one", () =>
    start(async (primary, edge) => {
      const whole = await wholeList(primary, reading);
      const first = await firstPage(primary, reading, 3);
      const second = await nextPage(edge, reading, first.next_page_token);
      const third = await nextPage(primary, reading, second.next_page_token);
      const begun = [...first.results, ...second.results, ...third.results];
      const early = await firstPage(primary, seeing, 3);
      await batch(edge, [role("ann", "member", Org("zz"))]);
      await converged(edge.node, primary.node);
      // Both have the first list, and only the primary the other one.
      for (const api of [edge, primary])
        expect([
          ...begun,
          ...(await restOf(api, reading, await nextPage(api, reading, third.next_page_token))),
        ]).toEqual([...whole]);
      expectGone(await askPage(edge, seeing, early.next_page_token));
      await restOf(primary, seeing, early);
    }));

  test("that is behind waits until it has the revision", () =>
    start(async (primary, edge) => {
      for (let round = 0; round < 20; round++) {
        await batch(primary, [role("ann", "member", Org(`zz${round}`))]);
        const first = await firstPage(primary, reading, 3);
        expect(await restOf(edge, reading, first)).toEqual([...(await wholeList(primary, reading))]);
      }
    }));

  test("that does not reach the revision in time answers so, and one with another history that the list is gone", () =>
    start(async (primary, edge) => {
      const { next_page_token: token } = await firstPage(primary, reading, 3);
      const [version, epoch, offset, ...rest] = openToken(token);
      for (const api of [primary, edge]) {
        const ahead = await askPage(api, reading, forgeToken([version, epoch, Number(offset) + 1, ...rest]));
        expect([ahead.status, ahead.headers.get("retry-after")]).toEqual([503, "1"]);
        expect(ahead.text).toContain("not yet reached the revision of the `page_token`");
        expectGone(await askPage(api, reading, forgeToken([version, epoch, Number(offset) - 1, ...rest])));
        expectGone(await askPage(api, reading, forgeToken([version, "0123456789abcdef", offset, ...rest])));
      }
    }, "100ms"));

  test("a fallback does not wait", () =>
    withCluster(async (cluster) => {
      const running = await cluster.primary();
      const primary = apiOf(running);
      await load(primary);
      const fallback = apiOf(await cluster.fallback(running, { refresh: "1h" }));
      await eventually(() => expect(fallback.node.health().ok).toBe(true));
      const whole = await wholeList(primary, reading);
      expect(await restOf(fallback, reading, await firstPage(primary, reading, 3))).toEqual([...whole]);
      await batch(primary, [role("ann", "member", Org("zz"))]);
      expectGone(await askPage(fallback, reading, (await firstPage(primary, reading, 3)).next_page_token));
    }));
});

describe("a time-dependent list", () => {
  const lending = listBody("ann", "read", "Org");

  test("has the second of its first page, on all nodes", () =>
    withCluster(async (cluster) => {
      const running = await cluster.primary();
      const primary = apiOf(running);
      await load(primary, ids.slice(0, 4), lendingPolicy);
      const edge = await cluster.edge("edge", running);
      const ends = nowSeconds() + 60;
      await batch(
        primary,
        ["k", "l", "m"].map((id) => lent(id, ends)),
      );
      await converged(edge.node, running.node);
      const whole = await wholeList(primary, lending);
      expect(whole).toHaveLength(7);
      const first = await firstPage(primary, lending, 5);
      await later(61_000, async () => {
        expect(await wholeList(primary, lending)).toHaveLength(4);
        expect(await restOf(apiOf(edge), lending, first)).toEqual([...whole]);
        expect(await restOf(primary, lending, first)).toEqual([...whole]);
        expect(await firstPage(primary, lending, 5)).toMatchObject({ results: { length: 4 }, next_page_token: null });
      });
    }));

  test("cannot be continued at another time", () =>
    withCleanPrimary(async (api) => {
      await load(api, ids, lendingPolicy);
      await batch(api, [lent("k", nowSeconds() + 86_400)]);
      const before = nowSeconds();
      const first = await firstPage(api, lending, 3);
      const parts = openToken(first.next_page_token);
      expect(Number(parts[3])).toBeWithin(before, nowSeconds() + 1);
      for (const second of [nowSeconds() + 3600, Number.MAX_SAFE_INTEGER, nowSeconds() - 3600, 0, null])
        expectGone(await askPage(api, lending, forgeToken(parts.with(3, second))));
      const whole = await wholeList(api, lending);
      expect(await restOf(api, lending, first)).toEqual([...whole]);
      await later(3_600_000, async () => expectGone(await askPage(api, lending, first.next_page_token)));
    }));
});

describe("the official client", () => {
  test(
    "reads all pages during writes",
    () =>
      withCleanPrimary(async (api) => {
        const name = (index: number): string => `o${String(index).padStart(6, "0")}`;
        const members = Array.from({ length: 25_000 }, (_, index) => name(2 * index));
        await load(api, []);
        for (let start = 0; start < members.length; start += 1000)
          await batch(
            api,
            members.slice(start, start + 1000).map((id) => role("ann", "member", Org(id))),
          );
        const oso = clientOf(api.url);
        expect(await oso.list(User("ann"), "read", "Org")).toEqual(members);

        // Each write moves one id from the front to the back, so all revisions have the same size, and the ids show the
        // revision.
        let written = 0;
        let isOver = false;
        const moving = (async () => {
          for (; !isOver; written++) {
            const [gone, come] = [members[written] ?? "", name(50_001 + written)];
            await batch(api, [role("ann", "member", Org(come))], [role("ann", "member", Org(gone))]);
          }
        })();
        const context = [["has_role", User("ann"), "member", Org("zz")]] as never;
        for (let round = 0; round < 10; round++) {
          const before = written;
          const isLast = round % 2 === 1;
          const listed = await oso.list(User("ann"), "read", "Org", isLast ? context : []);
          const moved = members.indexOf(listed[0] ?? "");
          expect(moved).toBeWithin(before, written + 2);
          const come = Array.from({ length: moved }, (_, index) => name(50_001 + index));
          expect(listed).toEqual([...members.slice(moved), ...come, ...(isLast ? ["zz"] : [])]);
        }
        isOver = true;
        await moving;
        expect(written).toBeGreaterThan(10);
      }),
    300_000,
  );
});
