/** Result sets: how many are kept, how large they may be, and how long they live. */
import * as Bun from "bun";
import { expect, test } from "bun:test";
import { ResultSets, type ResultSetLimits } from "../../src/engine/query/result-sets.ts";
import { packStrings } from "../../src/engine/request/packed-strings.ts";

const day = 86_400_000;
const roomy: ResultSetLimits = {
  resultSetsMax: 10,
  resultSetsBytesMax: 1000,
  resultSetTtlMs: day,
  resultSetFinishedTtlMs: 100,
};
const version = { epoch: "0123456789abcdef", offset: 7, second: null };
const abc = ["a", "é", "😀😀", "*"];

function resultSetsWith(limits: Partial<ResultSetLimits> = {}) {
  const clock = { nowMs: 1000 };
  const resultSets = new ResultSets({ ...roomy, ...limits }, () => clock.nowMs);
  const add = (question: string, ids: readonly string[] = abc) =>
    resultSets.add(question, { ...version, ids: packStrings(ids) });
  /**
   * The questions whose result set still exists; more ids follow the first, so that reading it does not finish the
   * list.
   */
  const stored = (...questions: string[]) => questions.filter((question) => resultSets.page(question, version, 0, 1));
  return { clock, resultSets, add, stored };
}

test("pages have any size, and start at any position", () => {
  const { resultSets, add } = resultSetsWith();
  add("q");
  add("ascii", ["x", "yy", "zzz"]);
  for (let start = 0; start < 6; start++) {
    for (const count of [1, 2, 3, 4, 1e9]) {
      add("q");
      const next = start + count < abc.length ? start + count : null;
      expect(resultSets.page("q", version, start, count)).toEqual({ ids: abc.slice(start, start + count), next });
    }
  }
  expect(resultSets.page("ascii", version, 1, 1)).toEqual({ ids: ["yy"], next: 2 });
  // JSON in UTF-8 cannot contain a lone surrogate, so a replacement character stands for it.
  add("halves", ["a\ud83d", "\ude00b", "c"]);
  expect(resultSets.page("halves", version, 0, 9)).toEqual({ ids: ["a\ufffd", "\ufffdb", "c"], next: null });
});

test("another question, revision or second is another result set", () => {
  const { resultSets, add } = resultSetsWith();
  add("q");
  for (const other of [{ epoch: "fedcba9876543210" }, { offset: 8 }, { second: 1 }])
    expect(resultSets.page("q", { ...version, ...other }, 0, 1)).toBeUndefined();
  expect(resultSets.page("p", version, 0, 1)).toBeUndefined();
  expect(resultSets.begin("q", version, 2)?.page).toEqual({ ids: ["a", "é"], next: 2 });
});

test("the oldest is dropped first if there are too many", () => {
  const { add, stored } = resultSetsWith({ resultSetsMax: 2 });
  for (const question of ["a", "b", "c"]) add(question);
  expect(stored("a", "b", "c")).toEqual(["b", "c"]);
  const none = resultSetsWith({ resultSetsMax: 0 });
  none.add("a");
  expect(none.resultSets.isEmpty).toBe(true);
});

test("or too many bytes, and a list that is larger than all room displaces no other", () => {
  // Each id takes four bytes in addition to its own.
  const { add, stored } = resultSetsWith({ resultSetsBytesMax: 100 });
  const ids = (count: number) => Array.from({ length: count }, () => "123456");
  add("a", ids(4));
  add("b", ids(4));
  add("c", ids(2));
  expect(stored("a", "b", "c")).toEqual(["a", "b", "c"]);
  add("d", ids(11));
  expect(stored("a", "b", "c", "d")).toEqual(["a", "b", "c"]);
  add("e", ids(2));
  expect(stored("a", "b", "c", "e")).toEqual(["b", "c", "e"]);
  // Adding it again does not count it twice.
  add("e", ids(3));
  add("e", ids(4));
  expect(stored("b", "c", "e")).toEqual(["b", "c", "e"]);
  add("f", ids(10));
  expect(stored("b", "c", "e", "f")).toEqual(["f"]);
});

test("an expired result set is dropped", () => {
  const { clock, resultSets, add, stored } = resultSetsWith({ resultSetTtlMs: 500 });
  add("a");
  clock.nowMs += 300;
  add("b");
  clock.nowMs += 199;
  expect(stored("a", "b")).toEqual(["a", "b"]);
  clock.nowMs += 1;
  expect(stored("a", "b")).toEqual(["b"]);
  expect(resultSets.begin("a", version, 1)).toBeUndefined();
});

test("a finished result set is dropped soon, unless another client is reading it", () => {
  const { clock, resultSets, add, stored } = resultSetsWith();
  add("a");
  resultSets.begin("a", version, 1);
  resultSets.page("a", version, 3, 1);
  clock.nowMs += 1000;
  expect(stored("a")).toEqual(["a"]);
  // A page past the end finishes nothing.
  resultSets.page("a", version, 4, 1);
  resultSets.page("a", version, 3, 1);
  clock.nowMs += 99;
  // Reading the last page again does not extend its life, beginning again does.
  resultSets.page("a", version, 3, 1);
  expect(stored("a")).toEqual(["a"]);
  resultSets.begin("a", version, 1);
  // A client that gets everything in one page is no longer reading.
  expect(resultSets.begin("a", version, 4)?.page).toEqual({ ids: abc, next: null });
  clock.nowMs += 1000;
  expect(stored("a")).toEqual(["a"]);
  resultSets.page("a", version, 3, 1);
  clock.nowMs += 100;
  expect(stored("a")).toEqual([]);
});

test("memory is released without another request", async () => {
  const resultSets = new ResultSets({ ...roomy, resultSetTtlMs: 20 });
  resultSets.add("a", { ...version, ids: packStrings(abc) });
  expect(resultSets.isEmpty).toBe(false);
  while (!resultSets.isEmpty) await Bun.sleep(5);
});
