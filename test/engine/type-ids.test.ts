/** Types that only requests bring: they have numbers of their own until the store comes to know them, and many of them cost nobody anything. */
import { expect, test } from "bun:test";
import { TypeIds } from "../../src/engine/request/type-ids.ts";
import { internType } from "../../src/store/facts/symbols.ts";
import { storeWith } from "./store.ts";
import { threadCpuMs } from "../thread-cpu-time.ts";

test("numbers are stale from the moment on when the store knows one of the types that were brought", () => {
  const store = storeWith();
  internType(store, "User");
  const types = new TypeIds(store);
  expect(types.of("Guest")).not.toBe(types.of("Robot"));
  expect(types.isStale()).toBe(false);
  internType(store, "Visitor");
  expect(types.isStale()).toBe(false);
  internType(store, "Robot");
  expect(types.isStale()).toBe(true);
});

test("thousands of brought types do not slow down the questions after them", () => {
  const types = new TypeIds(storeWith());
  for (let index = 0; index < 9000; index++) types.of(`Type${index}`);
  const startMs = threadCpuMs();
  for (let question = 0; question < 1000; question++) expect(types.isStale()).toBe(false);
  expect(threadCpuMs() - startMs).toBeLessThan(1000);
});
