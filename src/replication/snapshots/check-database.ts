/**
 * Checks whether a database can be trusted: SQLite's integrity check must pass, and the digest computed over the whole
 * content must equal the stored digest. The integrity check alone would miss a flipped bit inside a value, which may be
 * someone's role; the digest does not cover indexes. Each takes a second for a million facts, so two threads share the work.
 * Without other writers it also rebuilds derived data (tables of a newer format, closures, statistics).
 */
import type { Limits } from "../../config/limits.ts";
import { findClosureDamage } from "../../log/derived/closures.ts";
import { repairDerived } from "../../log/derived/derived-tables.ts";
import { computeDigest } from "../../log/state/store-digest.ts";
import type { Connection } from "../../store/connection/connection.ts";
import { openStore } from "../../store/connection/open-store.ts";
import { requireKnownSchema, requireKnownSchemaIn } from "../../store/integrity/schema-check.ts";
import { findState, readState, type StoreState } from "../../store/log/store-state.ts";
import { must } from "../../util/assert.ts";
import { separatelyCheckedRowsMin } from "../../util/tuning.ts";

export function readStore<T>(path: string, read: (store: Connection) => T): T {
  const store = openStore(path, { readonly: true });
  try {
    return read(store);
  } finally {
    store.close();
  }
}

/** Throws if a page of the file is damaged. */
export function checkPages(path: string): void {
  readStore(path, (store) => {
    // Not in `checkTables`: with each of its accesses SQLite would check a mapped page again.
    store.exec("PRAGMA cell_size_check = ON");
    requireOk(store, "quick_check(1)");
  });
}

/** Throws if one of the tables differs from its indexes: SQLite looks up each row in each of them. */
export function checkTables(path: string, tables: readonly string[]): void {
  readStore(path, (store) => {
    for (const table of tables) requireOk(store, `integrity_check(${table})`);
  });
}

/** The check of a file's content. It keeps the file open, with the compiled policy, from the first step to the last. */
export class ContentCheck {
  readonly #store: Connection;
  readonly #limits: Limits;
  #problem: string | undefined;

  /**
   * Migrates a file with too old a format, and with `convert` any older one, so no one else may read it yet. Throws if
   * the file is not a store, is of a newer format, or has schema objects that no node makes; this is checked before
   * anything is written.
   */
  constructor(path: string, limits: Limits, convert = false) {
    requireKnownSchemaIn(path);
    this.#store = openStore(path, { wal: false, convert });
    this.#limits = limits;
  }

  /** The names of all tables, in groups that threads can check at the same time, the largest table first. */
  tableGroups(): string[][] {
    const rows = this.#store
      .prepare(
        `SELECT name, coalesce(most, 0) FROM sqlite_schema LEFT JOIN degree ON table_name = name AND kinds = 'bound'
         WHERE type = 'table' ORDER BY 2 DESC`,
      )
      .values();
    const isLarge = ([, most]: (typeof rows)[number]): boolean => Number(most) >= separatelyCheckedRowsMin;
    const nameOf = ([name]: (typeof rows)[number]): string => String(name);
    const small = rows.filter((row) => !isLarge(row)).map(nameOf);
    return [...rows.filter(isLarge).map((row) => [nameOf(row)]), small];
  }

  /**
   * Returns the state of the database. Throws if the content does not match its digest; with `isDigestLater` that is left
   * to `auditDigest`. Does not write.
   */
  read(isDigestLater = false): StoreState {
    const state = this.#store.transaction(() => (isDigestLater ? readState : requireDigest)(this.#store));
    this.#problem = this.#store.transaction(() => findClosureDamage(this.#store, this.#limits));
    return state;
  }

  /** Rebuilds damaged derived data from the facts, once these are known to be sound. Returns what was wrong. */
  repair(): string | undefined {
    repairDerived(this.#store, this.#limits, this.#problem !== undefined);
    return this.#problem && `${this.#problem}; it was rebuilt from the facts, which are sound`;
  }

  close(): void {
    this.#store.close();
  }
}

function requireOk(store: Connection, check: string): void {
  const damage = String(store.prepare(`PRAGMA ${check}`).values()[0]?.[0]);
  if (damage !== "ok") throw new Error(`the database is damaged: ${damage}`);
}

/** Call it in a transaction. Returns the state. Throws if the facts, keys and policy do not match its digest. */
function requireDigest(store: Connection): StoreState {
  const state = must(findState(store), "a store has a state row");
  const found = computeDigest(store);
  if (found === state.digest) return state;
  throw new Error(`the data are damaged: their digest is ${found}, it should be ${state.digest}`);
}

/** Checks a database in use while others read and write it. Throws if it is damaged or does not match its digest. */
export function auditDatabase(path: string): void {
  readStore(path, (store) =>
    store.transaction(() => {
      requireKnownSchema(store);
      requireOk(store, "integrity_check(1)");
      requireDigest(store);
    }),
  );
}

/** Reads a database in use while others read and write it. Throws if its content does not match its digest. */
export function auditDigest(path: string): void {
  readStore(path, (store) => store.transaction(() => requireDigest(store)));
}
