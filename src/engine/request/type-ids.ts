/**
 * Ids of types, including types that only a request has. SQL statements contain them, so an id stays the same as long as
 * plans are cached. When the store learns a type that had a request-scoped id, all plans become stale.
 */
import type { Connection } from "../../store/connection/connection.ts";
import { findTypeId, firstTemporaryTypeId, lastTypeId, symbolRange } from "../../store/facts/symbols.ts";

/** More request-scoped types than this make the plans of one policy stale. */
const requestScopedTypesMax = 10_000;

export class TypeIds {
  readonly #database: Connection;
  readonly #requestScoped = new Map<string, number>();
  readonly #stored = new Map<string, number>();
  /** The newest type of the store when it last contained no request-scoped type. */
  #newestSeen = 0;

  constructor(database: Connection) {
    this.#database = database;
  }

  /** The id of a type; a stored type has its stored id. */
  of(type: string): number {
    const known = this.stored(type) ?? this.#requestScoped.get(type);
    if (known !== undefined) return known;
    if (this.#requestScoped.size === 0) this.#newestSeen = lastTypeId(this.#database);
    const id = firstTemporaryTypeId + this.#requestScoped.size;
    this.#requestScoped.set(type, id);
    return id;
  }

  range(type: string): { readonly low: number; readonly high: number } {
    return symbolRange(this.of(type));
  }

  contains(type: string, symbol: number | undefined): boolean {
    if (symbol === undefined) return false;
    const { low, high } = this.range(type);
    return symbol >= low && symbol <= high;
  }

  /** Whether request-scoped ids are no longer right. Called before each query, so it mostly reads only one number. */
  isStale(): boolean {
    if (this.#requestScoped.size === 0) return false;
    if (this.#requestScoped.size > requestScopedTypesMax) return true;
    const newest = lastTypeId(this.#database);
    if (newest === this.#newestSeen) return false;
    for (const type of this.#requestScoped.keys()) if (this.stored(type) !== undefined) return true;
    this.#newestSeen = newest;
    return false;
  }

  /** The id of a type that the store has. The store never removes a type, so an id that was found once stays valid. */
  stored(type: string): number | undefined {
    const cached = this.#stored.get(type);
    if (cached !== undefined) return cached;
    const id = findTypeId(this.#database, type);
    if (id !== undefined) this.#stored.set(type, id);
    return id;
  }
}
