/**
 * A connection to one database file, and all state that lives as long as the connection: its prepared statements, the
 * values derived from the catalogue, the symbol cache, and the writer cache.
 *
 * INVARIANT: no cache returns what a transaction wrote and then rolled back. The symbol cache and the writer cache are
 * dropped at the first access after a rollback on this connection. Values derived from the catalogue stay, because
 * their owners compare them at each use.
 */
import { defaultLimits } from "../../config/limits.ts";
import { SqliteDatabase, type SqlStatement, type SqlValue } from "../../runtime/sqlite.ts";
import { SymbolHashTable } from "./symbol-hash-table.ts";

/** Names one kind of value in a catalogue cache. The module that derives the value owns the key. */
export interface CatalogueKey<Value> {
  readonly name: string;
  /** Never set: it ties the type of the value to the key. */
  readonly valueType?: Value;
}

/**
 * Values that a module derived from the catalogue: the schema and the rows that describe it (the active policy, its
 * closures, the shapes of statistics). The module stores the source of a value along with it, and compares that at each
 * use, because another connection may change the catalogue.
 */
class CatalogueCache {
  readonly #values = new Map<CatalogueKey<unknown>, unknown>();

  get<Value>(key: CatalogueKey<Value>): Value | undefined {
    return this.#values.get(key) as Value | undefined;
  }

  set<Value>(key: CatalogueKey<Value>, value: Value): void {
    this.#values.set(key, value);
  }
}

export class Connection extends SqliteDatabase {
  /** Whether the file keeps an older format, and the tables of later ones are attached (`added-tables.ts`). */
  hasAddedTables = false;
  /** Names the file of these tables, which the writer can replace. */
  addedTablesInode: number | undefined;
  readonly catalogue = new CatalogueCache();
  readonly #statements = new Map<string, SqlStatement>();
  #symbolCache: SymbolHashTable | undefined;
  #symbolsMax: number = defaultLimits.symbolCacheEntriesMax;
  #writerCache: WriterCache | undefined;
  /** The rollbacks before which nothing is in the caches. */
  #cachedSince = 0;

  /** A prepared statement that stays until the connection is closed. Only for texts from a bounded set. */
  statement(sql: string): SqlStatement {
    let prepared = this.#statements.get(sql);
    if (!prepared) this.#statements.set(sql, (prepared = this.prepare(sql)));
    return prepared;
  }

  /** The number that a `statement` selects; undefined without a row, or for null. */
  number(sql: string, ...parameters: SqlValue[]): number | undefined {
    const found = this.statement(sql).values(...parameters)[0]?.[0];
    return typeof found === "number" ? found : undefined;
  }

  /** Ids of symbols that this connection has looked up (`findSymbolOfType`). */
  get symbolCache(): SymbolHashTable {
    this.#dropAfterRollback();
    return (this.#symbolCache ??= new SymbolHashTable(this.#symbolsMax));
  }

  /** Sets how many symbols the cache holds, about. Another size than before empties it. */
  resizeSymbolCache(symbolsMax: number): void {
    if (symbolsMax === this.#symbolsMax) return;
    this.#symbolsMax = symbolsMax;
    this.#symbolCache = undefined;
  }

  /** Undefined unless this connection is the only writer of its file, so nobody else can invalidate the cache. */
  get writerCache(): WriterCache | undefined {
    this.#dropAfterRollback();
    if (this.#writerCache?.isFull) this.#writerCache.clear();
    return this.#writerCache;
  }

  /** To be called on the connection that alone writes the file. */
  enableWriterCache(): void {
    this.#writerCache = new WriterCache();
  }

  #dropAfterRollback(): void {
    if (this.#cachedSince === this.rollbacks) return;
    this.#cachedSince = this.rollbacks;
    this.#symbolCache = undefined;
    this.#writerCache?.clear();
  }
}

const entriesMax = 200_000;

/**
 * What the only connection that writes a file knows: no other connection can change it, and it only grows. So an entry
 * stays valid until a transaction is rolled back.
 */
export class WriterCache {
  /** Symbols by type and value; null for a value that the store does not have. */
  readonly symbols = new Map<string, Map<string, number | null>>();
  /** Type ids by name. */
  readonly types = new Map<string, number>();
  /** The last symbol of each type, by type id. */
  readonly lastIds = new Map<number, number>();
  /** Relation ids by predicate and arity. */
  readonly relations = new Map<string, number>();
  /** By statistic and by the ids that rows share: how many rows of a fact table share them. Only complete counts. */
  readonly rowCounts = new Map<string, Map<number | string, number>>();
  /** The largest count of each statistic of fact tables, by table, columns and kinds. */
  readonly maxRows = new Map<string, number>();
  /** The number of symbols and row counts. */
  entries = 0;

  get isFull(): boolean {
    return this.entries > entriesMax;
  }

  clear(): void {
    this.symbols.clear();
    this.types.clear();
    this.lastIds.clear();
    this.relations.clear();
    this.rowCounts.clear();
    this.maxRows.clear();
    this.entries = 0;
  }
}
