/**
 * Whether a database can be trusted: SQLite finds file and indexes sound, and the digest computed anew over everything in it is the one that it
 * carries. The first alone would miss a flipped bit inside a value, and that may be somebody's role. About 3 s for a million facts.
 */
import { computeDigest } from "../engine/apply.ts";
import { openStore } from "../store/database.ts";
import { scanFacts } from "../store/scan-facts.ts";
import { findState, type State } from "../store/state.ts";
import { must } from "../util/assert.ts";

/** Where the sound copy stands. Throws where it is not sound, or not a store. */
export function checkCopy(path: string): State {
  const store = openStore(path, { readonly: true });
  try {
    const problem = String(store.prepare("PRAGMA integrity_check(1)").values()[0]?.[0]);
    if (problem !== "ok") throw new Error(`the database is damaged: ${problem}`);
    const state = must(findState(store), "a store has a state row");
    const digest = computeDigest(store, scanFacts(store));
    if (digest !== state.digest)
      throw new Error(`the data are damaged: their digest is ${digest}, it should be ${state.digest}`);
    return state;
  } finally {
    store.close();
  }
}
