/** The rows of API keys: what they contain comes back, and no node of 0.1.0 finds a row with a grant by the id of its key. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { keyElement } from "../../src/log/state/digest.ts";
import { openStore } from "../../src/store/connection/open-store.ts";
import * as schema from "../../src/store/connection/schema.ts";
import { allSecrets, findSecrets, hashKey, parseApiKey, secretIn } from "../../src/store/keys/api-keys.ts";
import { type ApiKeyRow, isExpired, keyIdOf, type KeySecret, rowOf, secretOf } from "../../src/store/keys/key-grant.ts";
import { seededRuns } from "../seeds.ts";

const hash = "0".repeat(64);
const key: KeySecret = { id: "a1", name: "key", hash, timeMs: 1, role: "write" };
const names = fc.option(fc.uniqueArray(fc.string({ minLength: 1, unit: "grapheme" }), { minLength: 1, maxLength: 4 }), {
  nil: undefined,
});
const grant = fc.record({
  role: fc.constantFrom("admin", "write", "read"),
  expiresMs: fc.option(fc.integer({ min: 0, max: 8.64e15 }), { nil: undefined }),
  restriction: fc.option(fc.record({ predicates: names, types: names }), { nil: undefined }),
  isReplaced: fc.boolean(),
  hasExpired: fc.boolean(),
  earlier: fc.array(fc.stringMatching(/^[0-9a-f]{16}$/), { maxLength: 3 }),
});

const isPlain = ({ id }: ApiKeyRow): boolean => id === keyIdOf(id);

test.each(seededRuns(20_251, 100))(
  "a row gives back the secret, and its id covers the whole grant, with seed $seed",
  ({ seed, runs }) => {
    fc.assert(
      fc.property(fc.stringMatching(/^[A-Za-z0-9-]{1,64}$/), grant, (id, given) => {
        const secret: KeySecret = { ...key, id, ...given };
        const row = rowOf(secret);
        const back = secretOf(row);
        const { predicates, types } = given.restriction ?? {};
        const limits = { predicates: predicates?.toSorted(), types: types?.toSorted() };
        expect(back).toMatchObject({ id, role: given.role });
        expect(back?.expiresMs).toBe(given.expiresMs);
        expect(back?.restriction).toEqual((predicates ?? types) === undefined ? undefined : limits);
        expect([back?.isReplaced ?? false, back?.hasExpired ?? false]).toEqual([given.isReplaced, given.hasExpired]);
        expect(back?.earlier ?? []).toEqual(given.earlier);
        const isUnlimited =
          (given.expiresMs ?? predicates ?? types) === undefined &&
          !given.isReplaced &&
          !given.hasExpired &&
          given.earlier.length === 0;
        expect(isPlain(row)).toBe(isUnlimited);
        expect(row.role).toBe(isUnlimited ? given.role : "read");
        // The form in which 0.1.0 reads the id of a key from a request.
        expect(parseApiKey(`e_test_${row.id}_0123456789abcdef`)?.id).toBe(isUnlimited ? id : undefined);
        // Equal digests mean equal grants.
        const other: KeySecret = { ...secret, role: given.role === "read" ? "write" : "read" };
        expect(keyElement(rowOf(other))).not.toBe(keyElement(row));
      }),
      { numRuns: runs, seed },
    );
  },
);

test("a grant that this release does not understand permits nothing", () => {
  const ends = [
    "{",
    "{}",
    "{null",
    '{"role":"owner"}',
    '{"role":"write","hours":"9-17"}',
    '{"role":"write","types":[]}',
    '{"role":"write","expires":"never"}',
    '{"role":"write","expired":false}',
  ];
  for (const end of ends) expect([end, secretOf({ ...key, id: `a1${end}` })]).toEqual([end, undefined]);
  expect(secretOf({ ...key, id: 'a1{"role":"write"}' })?.role).toBe("write");
});

test("the secrets of a key are found by its id, the present one first, and those of no other key", () => {
  const store = openStore(":memory:");
  const hashOf = (text: string) => hashKey(text);
  const ids = ["a", "a1", "a1-", "a10", "a2", "A1", "-", "admin"];
  for (const id of ids) {
    const present = { ...key, id, hash: hashOf(id), expiresMs: id === "a1" ? 5 : undefined };
    for (const secret of [{ ...present, hash: hashOf(`${id}/old`), expiresMs: 9, isReplaced: true }, present])
      store.orm.insert(schema.apiKey).values(rowOf(secret)).run();
  }
  for (const id of ids) {
    const found = findSecrets(store, id);
    expect(found.map((secret) => [secret.id, secret.hash])).toEqual([
      [id, hashOf(id)],
      [id, hashOf(`${id}/old`)],
    ]);
    expect(secretIn(found, hashOf(`${id}/old`))?.isReplaced).toBe(true);
    expect(secretIn(found, hashOf("other"))).toBeUndefined();
  }
  for (const id of ["", "a3", "a1{", 'a1{"role":"write"}', "%", "_", "a1{\0", "\u{10FFFF}"])
    expect([id, findSecrets(store, id)]).toEqual([id, []]);
  expect(allSecrets(store)).toHaveLength(2 * ids.length);
});

test("an expired secret is refused at its expiry, and always once the log says so", () => {
  const secret = { ...key, expiresMs: 1000 };
  expect([999, 1000, Number.MAX_SAFE_INTEGER].map((nowMs) => isExpired(secret, nowMs))).toEqual([false, true, true]);
  expect(isExpired({ ...secret, hasExpired: true }, 0)).toBe(true);
  expect(isExpired(key, Number.MAX_SAFE_INTEGER)).toBe(false);
});
