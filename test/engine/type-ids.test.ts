/**
 * Request-scoped types: they have ids of their own until the store learns them, and many of them slow down no query.
 */
import { expect, test } from "bun:test";
import { TypeIds } from "../../src/engine/request/type-ids.ts";
import { internType } from "../../src/store/facts/symbols.ts";
import { storeWith } from "./store.ts";
import { threadCpuMs } from "../thread-cpu-time.ts";

test("ids are stale as soon as the store learns one of the request-scoped types", () => {
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

test("thousands of request-scoped types do not slow down later questions", () => {
  const types = new TypeIds(storeWith());
  for (let index = 0; index < 9000; index++) types.of(`Type${index}`);
  const startMs = threadCpuMs();
  for (let question = 0; question < 1000; question++) expect(types.isStale()).toBe(false);
  expect(threadCpuMs() - startMs).toBeLessThan(1000);
});
