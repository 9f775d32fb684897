/**
 * Ids of values that questions have named before. A value's id never changes and is never given to another, so what was found once holds for as
 * long as the file is open; what was not found is asked for again. Who is asked for least goes first, as in the decision memo.
 */
import type { SqlDatabase } from "../runtime/sqlite.ts";
import type { Value } from "../store/fact.ts";
import { lookUp } from "../store/symbols.ts";

/** About 10 MB. */
const idsMax = 100_000;

type Ids = Map<string, Map<string, number>>;

export class KnownValues {
  readonly #database: SqlDatabase;
  #young: Ids = new Map();
  #old: Ids = new Map();
  #count = 0;

  /** Of a connection that only reads: what is written in a transaction may yet be taken back. */
  constructor(database: SqlDatabase) {
    this.#database = database;
  }

  /** `undefined` where the store does not have the value. */
  idOf(value: Value): number | undefined {
    const { type, id } = value;
    const known = this.#young.get(type)?.get(id);
    if (known !== undefined) return known;
    const found = this.#old.get(type)?.get(id) ?? lookUp(this.#database, value);
    if (found !== undefined) this.#keep(type, id, found);
    return found;
  }

  #keep(type: string, id: string, found: number): void {
    if (++this.#count * 2 > idsMax) {
      this.#old = this.#young;
      this.#young = new Map();
      this.#count = 1;
    }
    const ids = this.#young.get(type) ?? new Map<string, number>();
    this.#young.set(type, ids.set(id, found));
  }
}
