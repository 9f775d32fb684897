/**
 * Whether a database can be trusted: SQLite finds file and indexes sound, and the digest computed anew over everything in it is the one that it
 * carries. The first alone would miss a flipped bit inside a value, and that may be somebody's role; the second never looks into an index. Each
 * takes a second for a million facts, so they are done by two threads. What this binary keeps besides facts (tables of a newer format, closures,
 * degrees) is made here, for copies that nobody writes to.
 */
import type { Limits } from "../../config/limits.ts";
import { findDerivedDamage, repairDerived } from "../../engine/materialized/derived-tables.ts";
import { computeDigest } from "../../engine/state/store-digest.ts";
import type { Connection } from "../../store/connection/connection.ts";
import { openStore } from "../../store/connection/open-store.ts";
import { requireKnownSchema, requireKnownSchemaIn } from "../../store/integrity/schema-check.ts";
import { findState, type StoreState } from "../../store/log/store-state.ts";
import { must } from "../../util/assert.ts";

/** Throws where the file is not what SQLite would have written. */
export function checkStructure(path: string): void {
  const store = openStore(path, { readonly: true });
  try {
    store.exec("PRAGMA cell_size_check = ON");
    requireIntegrity(store);
  } finally {
    store.close();
  }
}

/** The check of what is in a file. It keeps the file open, with the policy compiled, from the first step to the last. */
export class ContentCheck {
  readonly #store: Connection;
  readonly #limits: Limits;
  #problem: string | undefined;

  /**
   * Brings the tables up to date, so nobody else may have begun to read. Throws where the file is no store, of a newer format, or has schema objects
   * that no node makes: that is looked at before anything is written.
   */
  constructor(path: string, limits: Limits) {
    requireKnownSchemaIn(path);
    this.#store = openStore(path, { wal: false });
    this.#limits = limits;
  }

  /** Where the copy stands. Throws where its facts, keys and policy are not those of its digest. Only reads. */
  read(): StoreState {
    const state = must(findState(this.#store), "a store has a state row");
    const digest = this.#store.transaction(() => computeDigest(this.#store));
    if (digest !== state.digest)
      throw new Error(`the data are damaged: their digest is ${digest}, it should be ${state.digest}`);
    this.#problem = findDerivedDamage(this.#store, this.#limits);
    return state;
  }

  /** Makes anew what can be made from sound facts, once the file is known to be sound. Says what was wrong, where something was. */
  repair(): string | undefined {
    repairDerived(this.#store, this.#limits, this.#problem !== undefined);
    return this.#problem && `${this.#problem}; it was made anew from the facts, which are sound`;
  }

  close(): void {
    this.#store.close();
  }
}

function requireIntegrity(store: Connection): void {
  const damage = String(store.prepare("PRAGMA integrity_check(1)").values()[0]?.[0]);
  if (damage !== "ok") throw new Error(`the database is damaged: ${damage}`);
}

/** Whether the copy in use still is what its digest says, while others read and write it. Throws where it is not. */
export function auditDatabase(path: string): void {
  const store = openStore(path, { readonly: true });
  try {
    store.transaction(() => {
      requireKnownSchema(store);
      requireIntegrity(store);
      const { digest } = must(findState(store), "a store has a state row");
      const found = computeDigest(store);
      if (found !== digest) throw new Error(`the data are damaged: their digest is ${found}, it should be ${digest}`);
    });
  } finally {
    store.close();
  }
}
