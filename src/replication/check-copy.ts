/**
 * Whether a database can be trusted: SQLite finds file and indexes sound, and the digest computed anew over everything in it is the one that it
 * carries. The first alone would miss a flipped bit inside a value, and that may be somebody's role. About 3 s for a million facts. What this
 * binary keeps besides facts (tables of a newer format, closures, degrees) is made here, for copies that nobody writes to.
 */
import type { Limits } from "../config/limits.ts";
import { computeDigest } from "../engine/apply.ts";
import { mendDerived } from "../engine/derived-tables.ts";
import type { SqlDatabase } from "../runtime/sqlite.ts";
import { openStore } from "../store/database.ts";
import { scanFacts } from "../store/scan-facts.ts";
import { findState, type State } from "../store/state.ts";
import { must } from "../util/assert.ts";

/** Where the sound copy stands. Throws where it is not sound, or not a store; `warn` hears of what could be mended from the facts. */
export function checkCopy(path: string, limits: Limits, warn: (problem: string) => void): State {
  const store = openStore(path, { wal: false });
  try {
    requireIntegrity(store);
    const state = must(findState(store), "a store has a state row");
    const digest = computeDigest(store, scanFacts(store));
    if (digest !== state.digest)
      throw new Error(`the data are damaged: their digest is ${digest}, it should be ${state.digest}`);
    const problem = mendDerived(store, limits);
    if (problem !== undefined) warn(`${problem}; it was made anew from the facts, which are sound`);
    return state;
  } finally {
    store.close();
  }
}

function requireIntegrity(store: SqlDatabase): void {
  const damage = String(store.prepare("PRAGMA integrity_check(1)").values()[0]?.[0]);
  if (damage !== "ok") throw new Error(`the database is damaged: ${damage}`);
}

/** Whether the copy in use still is what its digest says, while others read and write it. Throws where it is not. */
export function auditCopy(path: string): void {
  const store = openStore(path, { readonly: true });
  try {
    store.transaction(() => {
      requireIntegrity(store);
      const { digest } = must(findState(store), "a store has a state row");
      const found = computeDigest(store, scanFacts(store));
      if (found !== digest) throw new Error(`the data are damaged: their digest is ${found}, it should be ${digest}`);
    });
  } finally {
    store.close();
  }
}
