/**
 * The cache of the only connection that writes a file: ids of symbols and types, tables of predicates, and row counts
 * of the statistics. No other connection can change these, and they only grow, so an entry stays valid until a
 * transaction is rolled back.
 */
const entriesMax = 200_000;

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
