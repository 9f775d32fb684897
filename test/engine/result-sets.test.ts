/** How many lists are kept, how large, and how long. */
import { expect, test } from "bun:test";
import { ResultSets, packListing, type ResultSetLimits } from "../../src/engine/query/result-sets.ts";

const day = 86_400_000;
const roomy: ResultSetLimits = {
  listCursorsMax: 10,
  listCursorsBytesMax: 1000,
  listCursorTtlMs: day,
  listCursorFinishedTtlMs: 100,
};
const name = { epoch: "0123456789abcdef", offset: 7, second: null };
const abc = ["a", "é", "😀😀", "*"];

function keeping(limits: Partial<ResultSetLimits> = {}) {
  const clock = { nowMs: 1000 };
  const listings = new ResultSets({ ...roomy, ...limits }, () => clock.nowMs);
  const keep = (question: string, ids: readonly string[] = abc) =>
    listings.add(question, packListing({ ...name, ids }));
  /** Those of some questions whose first id is still there; more follow it, so that asking finishes nothing. */
  const kept = (...questions: string[]) => questions.filter((question) => listings.page(question, name, 0, 1));
  return { clock, listings, keep, kept };
}

test("pages are what was kept, of any size and from any place", () => {
  const { listings, keep } = keeping();
  keep("q");
  keep("ascii", ["x", "yy", "zzz"]);
  for (let start = 0; start < 6; start++) {
    for (const count of [1, 2, 3, 4, 1e9]) {
      keep("q");
      const next = start + count < abc.length ? start + count : null;
      expect(listings.page("q", name, start, count)).toEqual({ ids: abc.slice(start, start + count), next });
    }
  }
  expect(listings.page("ascii", name, 1, 1)).toEqual({ ids: ["yy"], next: 2 });
  // No JSON in UTF-8 can hold half a character, so it stays apart, as what stands for it.
  keep("halves", ["a\ud83d", "\ude00b", "c"]);
  expect(listings.page("halves", name, 0, 9)).toEqual({ ids: ["a\ufffd", "\ufffdb", "c"], next: null });
});

test("another question, revision or second is another list", () => {
  const { listings, keep } = keeping();
  keep("q");
  for (const other of [{ epoch: "fedcba9876543210" }, { offset: 8 }, { second: 1 }])
    expect(listings.page("q", { ...name, ...other }, 0, 1)).toBeUndefined();
  expect(listings.page("p", name, 0, 1)).toBeUndefined();
  expect(listings.begin("q", name, 2)).toEqual({ ids: ["a", "é"], next: 2 });
});

test("the oldest goes first where there are too many", () => {
  const { keep, kept } = keeping({ listCursorsMax: 2 });
  for (const question of ["a", "b", "c"]) keep(question);
  expect(kept("a", "b", "c")).toEqual(["b", "c"]);
  const none = keeping({ listCursorsMax: 0 });
  none.keep("a");
  expect(none.listings.isEmpty).toBe(true);
});

test("or too many bytes, and what is larger than all room costs nobody anything", () => {
  // Each id takes four bytes beside its own.
  const { keep, kept } = keeping({ listCursorsBytesMax: 100 });
  const ids = (count: number) => Array.from({ length: count }, () => "123456");
  keep("a", ids(4));
  keep("b", ids(4));
  keep("c", ids(2));
  expect(kept("a", "b", "c")).toEqual(["a", "b", "c"]);
  keep("d", ids(11));
  expect(kept("a", "b", "c", "d")).toEqual(["a", "b", "c"]);
  keep("e", ids(2));
  expect(kept("a", "b", "c", "e")).toEqual(["b", "c", "e"]);
  // Kept anew it is not counted twice.
  keep("e", ids(3));
  keep("e", ids(4));
  expect(kept("b", "c", "e")).toEqual(["b", "c", "e"]);
  keep("f", ids(10));
  expect(kept("b", "c", "e", "f")).toEqual(["f"]);
});

test("what is too old is gone", () => {
  const { clock, listings, keep, kept } = keeping({ listCursorTtlMs: 500 });
  keep("a");
  clock.nowMs += 300;
  keep("b");
  clock.nowMs += 199;
  expect(kept("a", "b")).toEqual(["a", "b"]);
  clock.nowMs += 1;
  expect(kept("a", "b")).toEqual(["b"]);
  expect(listings.begin("a", name, 1)).toBeUndefined();
});

test("what is finished goes soon, unless somebody else is on the way", () => {
  const { clock, listings, keep, kept } = keeping();
  keep("a");
  listings.begin("a", name, 1);
  listings.page("a", name, 3, 1);
  clock.nowMs += 1000;
  expect(kept("a")).toEqual(["a"]);
  // Past the end there is nothing that could be finished.
  listings.page("a", name, 4, 1);
  listings.page("a", name, 3, 1);
  clock.nowMs += 99;
  // To ask for the last page again does not prolong it, to begin anew does.
  listings.page("a", name, 3, 1);
  expect(kept("a")).toEqual(["a"]);
  listings.begin("a", name, 1);
  // Who gets all in one page is not on the way any more.
  expect(listings.begin("a", name, 4)).toEqual({ ids: abc, next: null });
  clock.nowMs += 1000;
  expect(kept("a")).toEqual(["a"]);
  listings.page("a", name, 3, 1);
  clock.nowMs += 100;
  expect(kept("a")).toEqual([]);
});

test("memory is given back without anybody asking", async () => {
  const listings = new ResultSets({ ...roomy, listCursorTtlMs: 20 });
  listings.add("a", packListing({ ...name, ids: abc }));
  expect(listings.isEmpty).toBe(false);
  await Bun.sleep(100);
  expect(listings.isEmpty).toBe(true);
});
