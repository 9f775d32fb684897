/** Whether a database can be trusted, and nothing had to be mended in it. */
import { expect } from "bun:test";
import { defaultLimits } from "../../src/config/limits.ts";
import { checkStructure, ContentCheck } from "../../src/replication/snapshots/check-database.ts";
import type { StoreState } from "../../src/store/log/store-state.ts";

/** Nobody else may be using it. Gives where it stands. */
export function expectVerified(path: string): StoreState {
  checkStructure(path);
  const check = new ContentCheck(path, defaultLimits);
  try {
    const state = check.read();
    expect(check.repair()).toBeUndefined();
    return state;
  } finally {
    check.close();
  }
}
