/**
 * A connection to one database file, and all state that lives as long as the connection: its prepared statements, the
 * values derived from the catalogue (the active policy, its closures, the shapes of statistics), the symbol cache, and
 * the writer cache.
 *
 * INVARIANT: no cache returns what a transaction wrote and then rolled back. The symbol cache and the writer cache are
 * dropped at the first access after a rollback on this connection. Values derived from the catalogue stay, because their
 * owners compare them at each use.
 */
import { defaultLimits } from "../../config/limits.ts";
import type { Orm, SqliteDatabase, SqlStatement, Transaction, TransactionMode } from "../../runtime/sqlite.ts";
import { SymbolHashTable } from "./symbol-hash-table.ts";
import { WriterCache } from "./writer-cache.ts";

/** Names one kind of value in a catalogue cache. The module that derives the value owns the key. */
export interface CatalogueKey<Value> {
  readonly name: string;
  /** Never set: it ties the type of the value to the key. */
  readonly valueType?: Value;
}

/**
 * Values that a module derived from the catalogue: the schema and the rows that describe it. The owner of a key stores
 * what the value was derived from along with it, and compares that at each use, because another connection may change
 * the catalogue.
 */
export class CatalogueCache {
  readonly #values = new Map<CatalogueKey<unknown>, unknown>();

  get<Value>(key: CatalogueKey<Value>): Value | undefined {
    return this.#values.get(key) as Value | undefined;
  }

  set<Value>(key: CatalogueKey<Value>, value: Value): void {
    this.#values.set(key, value);
  }
}

export class Connection implements SqliteDatabase {
  readonly catalogue = new CatalogueCache();
  readonly #sqlite: SqliteDatabase;
  readonly #statements = new Map<string, SqlStatement>();
  #symbolCache: SymbolHashTable | undefined;
  #symbolsMax: number = defaultLimits.symbolCacheEntriesMax;
  #symbolCacheRollbacks = 0;
  #writerCache: WriterCache | undefined;
  #writerCacheRollbacks = 0;

  constructor(sqlite: SqliteDatabase) {
    this.#sqlite = sqlite;
  }

  get path(): string {
    return this.#sqlite.path;
  }

  get inTransaction(): boolean {
    return this.#sqlite.inTransaction;
  }

  get rollbacks(): number {
    return this.#sqlite.rollbacks;
  }

  get orm(): Orm {
    return this.#sqlite.orm;
  }

  /** A prepared statement that stays until the connection is closed. Only for texts from a bounded set. */
  statement(sql: string): SqlStatement {
    let prepared = this.#statements.get(sql);
    if (!prepared) this.#statements.set(sql, (prepared = this.#sqlite.prepare(sql)));
    return prepared;
  }

  /** A new prepared statement. The caller finalizes it, or the close of the connection does. */
  prepare(sql: string): SqlStatement {
    return this.#sqlite.prepare(sql);
  }

  exec(sql: string): void {
    this.#sqlite.exec(sql);
  }

  transaction<T>(body: () => T, mode?: TransactionMode): T {
    return this.#sqlite.transaction(body, mode);
  }

  begin(mode?: TransactionMode): Transaction {
    return this.#sqlite.begin(mode);
  }

  close(): void {
    this.#sqlite.close();
  }

  /** Ids of symbols that this connection has looked up (`facts/symbol-cache.ts`). */
  get symbolCache(): SymbolHashTable {
    if (this.#symbolCache === undefined || this.#symbolCacheRollbacks !== this.rollbacks) {
      this.#symbolCache = new SymbolHashTable(this.#symbolsMax);
      this.#symbolCacheRollbacks = this.rollbacks;
    }
    return this.#symbolCache;
  }

  /** Sets how many symbols the cache holds, about. Another size than before empties it. */
  resizeSymbolCache(symbolsMax: number): void {
    if (symbolsMax === this.#symbolsMax) return;
    this.#symbolsMax = symbolsMax;
    this.#symbolCache = undefined;
  }

  /**
   * Undefined unless this connection is the only writer of its file: only then nobody else can invalidate the cache.
   */
  get writerCache(): WriterCache | undefined {
    const cache = this.#writerCache;
    if (cache !== undefined && (this.#writerCacheRollbacks !== this.rollbacks || cache.isFull)) {
      this.#writerCacheRollbacks = this.rollbacks;
      cache.clear();
    }
    return cache;
  }

  /** To be called on the connection that alone writes the file. */
  enableWriterCache(): void {
    this.#writerCache = new WriterCache();
    this.#writerCacheRollbacks = this.rollbacks;
  }
}
