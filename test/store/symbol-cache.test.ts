/**
 * The symbol cache is never wrong: not for similar strings, not when it grows or restarts, and not if an attacker chose
 * the strings.
 */
import { describe, expect, spyOn, test } from "bun:test";
import fc from "fast-check";
import type { Connection } from "../../src/store/connection/connection.ts";
import { openStore } from "../../src/store/connection/open-store.ts";
import { SymbolHashTable } from "../../src/store/connection/symbol-hash-table.ts";
import { findSymbolOfType, intern, internType, warmUpSymbolCache } from "../../src/store/facts/symbols.ts";
import { treeSeed } from "../seeds.ts";

const textsMax = 200_000;

describe("cached symbols", () => {
  test("belong to exactly this string and type", () => {
    const ids = new SymbolHashTable(textsMax);
    const texts = ["", "a", "ab", "ba", "a\0", "ä", "a\u0308", "\u{1f600}", "\ud83d", "\ude00", "A", "x".repeat(64)];
    texts.forEach((text, index) => ids.add(1, text, 2 ** 32 - 1 - index));
    texts.forEach((text, index) => expect(ids.find(1, text)).toBe(2 ** 32 - 1 - index));
    for (const text of texts) expect(ids.find(2, text)).toBeUndefined();
    for (const text of ["b", "aa", "x".repeat(63), "x".repeat(65)]) expect(ids.find(1, text)).toBeUndefined();
    ids.add(2, "a", 1);
    ids.add(2 ** 16 - 1, "a", 2);
    expect([1, 2, 2 ** 16 - 1, 258].map((type) => ids.find(type, "a"))).toEqual([2 ** 32 - 2, 1, 2, undefined]);
  });

  test("exclude long strings and types with high ids", () => {
    const ids = new SymbolHashTable(textsMax);
    ids.add(1, "x".repeat(65), 5);
    ids.add(1, "x", 6);
    ids.add(2 ** 16 + 1, "x", 7);
    expect([ids.find(1, "x".repeat(65)), ids.find(1, "x"), ids.find(2 ** 16 + 1, "x")]).toEqual([
      undefined,
      6,
      undefined,
    ]);
  });

  test("exist for strings of any characters, however many there are", () => {
    const ids = new SymbolHashTable(textsMax);
    const unit = fc.constantFrom(
      "a",
      "b",
      "\0",
      "\x7f",
      "\x80",
      "\xff",
      "\u0100",
      "\u3042",
      "\ud83d",
      "\ude00",
      "\uffff",
    );
    const texts = new Set(fc.sample(fc.string({ unit, maxLength: 12 }), { numRuns: 20_000, seed: treeSeed }));
    [...texts].forEach((text, index) => ids.add(3, text, index * 200_003));
    const found = [...texts].map((text) => ids.find(3, text));
    expect(found.filter((number, index) => number !== undefined && number !== index * 200_003)).toEqual([]);
    expect(found.filter((number) => number === undefined).length).toBeLessThan(texts.size / 1000);
    expect(texts.size).toBeGreaterThan(10_000);
  });

  test("are nearly complete while the cache grows, and about as many as configured once it is full", () => {
    const ids = new SymbolHashTable(textsMax);
    const share = (from: number, to: number): number => {
      let kept = 0;
      for (let number = from; number <= to; number++) {
        const found = ids.find(number % 7, `value-${number}`);
        if (found !== undefined && found !== number) throw new Error(`value-${number} has the number ${found}`);
        kept += Number(found === number);
      }
      return kept / (to - from + 1);
    };
    for (let number = 1; number <= 3 * textsMax; number++) {
      ids.add(number % 7, `value-${number}`, number);
      if ([100, 10_000, textsMax - 1].includes(number)) {
        expect(share(1, number)).toBeGreaterThan(0.999);
        expect(ids.isFull).toBe(false);
      }
      if (number === textsMax + 1000) expect(ids.isFull).toBe(true);
    }
    const kept = share(1, 3 * textsMax) * 3;
    expect(kept).toBeGreaterThan(0.3);
    expect(kept).toBeLessThan(1.2);
    expect(share(3 * textsMax - 100, 3 * textsMax)).toBeGreaterThan(0.9);
  });

  test("do not exist if the cache is off", () => {
    const ids = new SymbolHashTable(0);
    ids.add(1, "a", 1);
    expect([ids.find(1, "a"), ids.isFull]).toEqual([undefined, true]);
  });

  test("are right for strings that were chosen to collide", () => {
    const seed = spyOn(Math, "random").mockReturnValue(0);
    const ids = new SymbolHashTable(textsMax);
    seed.mockRestore();
    const hash = (text: string): number => {
      let mixed = 1;
      for (const unit of text) mixed = Math.imul(mixed ^ unit.charCodeAt(0), 0x01000193);
      return mixed ^ (mixed >>> 15);
    };
    const met = Array.from({ length: 2_000_000 }, (_, index) => `text-${index}`).filter(
      (text) => hash(text) >>> 24 === 7 && (hash(text) & 127) === 5,
    );
    expect(met.length).toBeGreaterThan(40);
    met.forEach((text, index) => ids.add(1, text, index));
    const found = met.map((text) => ids.find(1, text));
    expect(found.slice(0, 32)).toEqual(Array.from({ length: 32 }, (_, index) => index));
    expect(found.slice(32).every((id) => id === undefined)).toBe(true);
  });
});

test("the symbol of a value that was rolled back is forgotten, because another value gets it", () => {
  const store = openStore(":memory:");
  const type = store.transaction(() => internType(store, "User"));
  const transaction = store.begin();
  const id = intern(store, { type: "User", id: "ann" });
  expect(findSymbolOfType(store, type, "ann")).toBe(id);
  expect(findSymbolOfType(store, type, "ann")).toBe(id);
  transaction.rollback();
  expect(store.transaction(() => intern(store, { type: "User", id: "bob" }))).toBe(id);
  expect([findSymbolOfType(store, type, "ann"), findSymbolOfType(store, type, "bob")]).toEqual([undefined, id]);
  store.close();
});

describe("the warm-up", () => {
  const users = Array.from({ length: 1000 }, (_, index) => `user-${index}`);
  const stored = (): { store: Connection; type: number } => {
    const store = openStore(":memory:");
    for (const id of users) intern(store, { type: "User", id });
    return { store, type: internType(store, "User") };
  };

  test("reads the symbols of the store, which then need no lookup", () => {
    const { store, type } = stored();
    const ids = users.map((id) => intern(store, { type: "User", id }));
    const steps = [...warmUpSymbolCache(store)].length;
    expect(steps).toBeGreaterThan(2);
    store.exec("DELETE FROM symbol");
    expect(users.map((id) => findSymbolOfType(store, type, id))).toEqual(ids);
    expect(findSymbolOfType(store, type, "user-1000")).toBeUndefined();
    store.close();
  });

  test("reads as many symbols as fit, and the others are looked up", () => {
    const { store, type } = stored();
    store.resizeSymbolCache(300);
    const known = store.symbolCache;
    const ids = users.map((id) => intern(store, { type: "User", id }));
    for (const _ of warmUpSymbolCache(store)) expect(known.isFull).toBe(false);
    expect(known.isFull).toBe(true);
    expect(users.map((id) => findSymbolOfType(store, type, id))).toEqual(ids);
    store.close();
  });
});
