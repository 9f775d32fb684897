/** What is kept of ids is never wrong: not for a text that looks much the same, nor when it grows, begins anew, or somebody chose the texts. */
import { describe, expect, spyOn, test } from "bun:test";
import { openStore } from "../../src/store/database.ts";
import { IdsByText } from "../../src/store/ids-by-text.ts";
import { intern, internType, lookUpText } from "../../src/store/symbols.ts";

describe("ids by text", () => {
  test("are those of this very text and type", () => {
    const ids = new IdsByText();
    const texts = ["", "a", "ab", "ba", "a\0", "ä", "a\u0308", "\u{1f600}", "\ud83d", "\ude00", "A", "x".repeat(64)];
    texts.forEach((text, index) => ids.add(1, text, 2 ** 32 + index));
    texts.forEach((text, index) => expect(ids.find(1, text)).toBe(2 ** 32 + index));
    for (const text of texts) expect(ids.find(2, text)).toBeUndefined();
    for (const text of ["b", "aa", "x".repeat(63), "x".repeat(65)]) expect(ids.find(1, text)).toBeUndefined();
    ids.add(2, "a", 2 ** 33);
    expect([ids.find(1, "a"), ids.find(2, "a")]).toEqual([2 ** 32 + 1, 2 ** 33]);
  });

  test("are not kept of long texts", () => {
    const ids = new IdsByText();
    ids.add(1, "x".repeat(65), 5);
    ids.add(1, "x", 6);
    expect([ids.find(1, "x".repeat(65)), ids.find(1, "x")]).toEqual([undefined, 6]);
  });

  test("are nearly all there while it grows, and those that came last once it was full", () => {
    const ids = new IdsByText();
    const share = (from: number, to: number): number => {
      let kept = 0;
      for (let number = from; number <= to; number++) {
        const id = ids.find(number % 7, `value-${number}`);
        if (id !== undefined && id !== number) throw new Error(`value-${number} has the id ${id}`);
        kept += Number(id === number);
      }
      return kept / (to - from + 1);
    };
    for (let number = 1; number <= 600_000; number++) {
      ids.add(number % 7, `value-${number}`, number);
      if ([512, 513, 2 ** 14 + 1, 2 ** 19].includes(number)) expect(share(1, number)).toBeGreaterThan(0.999);
    }
    expect(share(1, 2 ** 19)).toBe(0);
    expect(share(2 ** 19 + 100, 600_000)).toBeGreaterThan(0.999);
  });

  test("are right where somebody has chosen texts that meet", () => {
    const seed = spyOn(Math, "random").mockReturnValue(0);
    const ids = new IdsByText();
    seed.mockRestore();
    const slot = (text: string): number => {
      let hash = 1;
      for (const unit of text) hash = Math.imul(hash ^ unit.charCodeAt(0), 0x01000193);
      return (hash ^ (hash >>> 15)) & 1023;
    };
    const met = Array.from({ length: 200_000 }, (_, index) => `text-${index}`).filter((text) => slot(text) === 5);
    expect(met.length).toBeGreaterThan(100);
    met.slice(0, 100).forEach((text, index) => ids.add(1, text, index));
    const found = met.map((text) => ids.find(1, text));
    expect(found.slice(0, 32)).toEqual(Array.from({ length: 32 }, (_, index) => index));
    expect(found.slice(32).every((id) => id === undefined)).toBe(true);
  });
});

test("the id of a value that was rolled back is forgotten, since another value gets it", () => {
  const store = openStore(":memory:");
  const type = store.transaction(() => internType(store, "User"));
  const transaction = store.begin();
  const id = intern(store, { type: "User", id: "ann" });
  expect(lookUpText(store, type, "ann")).toBe(id);
  expect(lookUpText(store, type, "ann")).toBe(id);
  transaction.rollback();
  expect(store.transaction(() => intern(store, { type: "User", id: "bob" }))).toBe(id);
  expect([lookUpText(store, type, "ann"), lookUpText(store, type, "bob")]).toEqual([undefined, id]);
  store.close();
});
