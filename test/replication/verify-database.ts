/** Checks that a database is sound, and that nothing had to be repaired. */
import { expect } from "bun:test";
import { defaultLimits } from "../../src/config/limits.ts";
import { checkPages, checkTables, ContentCheck } from "../../src/replication/snapshots/check-database.ts";
import type { StoreState } from "../../src/store/log/store-state.ts";

/** No one else may use the file. Returns its state. */
export function expectVerified(path: string): StoreState {
  const check = new ContentCheck(path, defaultLimits);
  try {
    checkStructure(check, path);
    const state = check.read();
    expect(check.repair()).toBeUndefined();
    return state;
  } finally {
    check.close();
  }
}

/** Throws if the structure of the file is damaged. */
export function checkStructure(check: ContentCheck, path: string): void {
  checkPages(path);
  for (const tables of check.tableGroups()) checkTables(path, tables);
}
