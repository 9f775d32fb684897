/** Which problem of the storage a node reports. */
import { expect, test } from "bun:test";
import { StorageStatus } from "../../src/store/directory/storage-status.ts";

test("why writes are refused is reported before what failed first", () => {
  const storage = new StorageStatus();
  expect(storage.problem).toBeUndefined();
  storage.failed("position", new Error("no such file"), "data/position");
  expect(storage.problem).toBe("the position cannot be recorded");
  storage.set("database", { reason: "full", detail: "no space left" }, "data/store-1.db");
  expect(storage.problem).toStartWith("the database cannot be written: ");
  storage.recovered("database");
  expect(storage.problem).toBe("the position cannot be recorded");
  storage.recovered("position");
  expect(storage.problem).toBeUndefined();
});
