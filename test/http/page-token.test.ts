/**
 * A page token gives the pages of its own question, to clients with a key, and nothing else; no token causes an
 * internal error.
 */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { seedsOf } from "../seeds.ts";
import { role, Org, sharedPrimary } from "./api.ts";
import {
  askPage,
  batch,
  firstPage,
  forgeToken,
  ids,
  load,
  nextPage,
  openToken,
  reading,
  restOf,
  wholeList,
  type ListBody,
  type Page,
} from "./listing.ts";

/** A token of a position that does not come is refused soon. */
const withCleanPrimary = sharedPrimary({ "advanced.consistencyWait": "5ms" });

describe("context facts", () => {
  const one = role("ann", "member", Org("x1"));
  const two = role("ann", "member", Org("x2"));

  test("are a part of the question, in any order", () =>
    withCleanPrimary(async (api) => {
      await load(api);
      const body = { ...reading, context_facts: [one, two] };
      const whole = await wholeList(api, body);
      expect(whole).toContain("x2");
      const first = await firstPage(api, body, 3);
      await batch(api, [role("ann", "member", Org("aa"))]);
      for (const context_facts of [
        [two, one],
        [one, two, one],
        [one, two],
      ]) {
        const other = { ...reading, context_facts };
        expect((await nextPage(api, other, first.next_page_token)).results).toEqual(whole.slice(3, 6));
      }
      for (const context_facts of [undefined, [], [one], [one, role("ann", "member", Org("x3"))]]) {
        const other = await askPage(api, { ...reading, context_facts } as ListBody, first.next_page_token);
        expect([other.status, other.json]).toMatchObject([
          400,
          { message: expect.stringContaining("another question") },
        ]);
      }
      expect(await restOf(api, body, first)).toEqual([...whole]);
    }));

  test("of one client are invisible to another", () =>
    withCleanPrimary(async (api) => {
      await load(api);
      await firstPage(api, { ...reading, context_facts: [one] }, 3);
      const first = await firstPage(api, reading, 3);
      expect(await restOf(api, reading, first)).not.toContain("x1");
    }));
});

describe("a token", () => {
  test("contains no id, and has no use without a key", () =>
    withCleanPrimary(async (api) => {
      await load(api, ["secret-1", "secret-2", "secret-3"]);
      const { next_page_token: token } = await firstPage(api, reading, 1);
      expect(JSON.stringify(openToken(token))).not.toMatch(/secret|ann|Org/);
      for (const authorization of ["", "Bearer e_test_admin_0123456789abcdef0123456789abcdee"]) {
        const body = { ...reading, page_token: token };
        const answer = await api.call("POST", "/api/list", { body, headers: { authorization } });
        expect([answer.status, answer.text]).toEqual([401, expect.not.stringContaining("secret")]);
      }
    }));

  test("with a wrong format is refused", () =>
    withCleanPrimary(async (api) => {
      await load(api);
      const { next_page_token: token } = await firstPage(api, reading, 3);
      const parts = openToken(token);
      const wrong = [
        ...[1, 3, "2", null].map((version) => parts.with(0, version)),
        ...["", "0123", 5, "x".repeat(16), null].map((epoch) => parts.with(1, epoch)),
        ...[-1, 1.5, 1e300, "2", null].map((offset) => parts.with(2, offset)),
        ...[-1, 0.5, "2"].map((second) => parts.with(3, second)),
        ...[0, -1, 1e300, 1.5, null].map((size) => parts.with(4, size)),
        ...[-1, ids.length, 1e15, 2 ** 53, 1e300, 1.5, null, "1", {}].map((start) => parts.with(5, start)),
        [1, 3, "01234567890", "c"],
        parts.slice(1),
        [...parts, 1],
        {},
        null,
        7,
      ].map(forgeToken);
      for (const page_token of [...wrong, "2", "%", "a".repeat(100_000), `${token}x`.slice(3)]) {
        const answer = await api.call("POST", "/api/list", { body: { ...reading, page_token } });
        expect([page_token, answer.status, answer.json]).toEqual([
          page_token,
          400,
          { message: expect.stringContaining("`page_token` is malformed"), code: "invalid_request" },
        ]);
      }
      for (const page_token of [7, {}, ["a"]])
        expect((await api.call("POST", "/api/list", { body: { ...reading, page_token } })).status).toBe(400);
      expect((await nextPage(api, reading, token)).results).toHaveLength(3);
    }));

  const seeds = seedsOf(7);
  test.each(seeds)("with random changes never causes an internal error, seed %i", (seed) =>
    withCleanPrimary(async (api) => {
      await load(api);
      const { next_page_token: token } = await firstPage(api, reading, 3);
      const whole = await wholeList(api, reading);
      await fc.assert(
        fc.asyncProperty(fc.nat(6), fc.jsonValue(), async (index, part) => {
          const answer = await askPage(api, reading, forgeToken(openToken(token).with(index, part)));
          expect([200, 400, 409, 503]).toContain(answer.status);
          if (answer.status === 200) for (const id of (answer.json as Page).results) expect(whole).toContain(id);
        }),
        { numRuns: 300 / seeds.length, seed },
      );
    }),
  );
});
