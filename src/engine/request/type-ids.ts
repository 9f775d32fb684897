/**
 * Numbers of types, also of those that the store does not have but a request brings (in context facts). Statements hold such a number as text,
 * so it stays the same for as long as they are kept, and a type that the store comes to know makes everything planned before stale.
 */
import type { Connection } from "../../store/connection/connection.ts";
import { lastTypeId, symbolRange, firstTemporaryTypeId, findTypeId } from "../../store/facts/symbols.ts";

/** Types that one policy's plans may bring before all of them are dropped. */
const broughtTypesMax = 10_000;

export class TypeIds {
  readonly #database: Connection;
  readonly #brought = new Map<string, number>();
  readonly #stored = new Map<string, number>();
  /** The newest type of the store when no brought one was among its types. */
  #newestSeen = 0;

  constructor(database: Connection) {
    this.#database = database;
  }

  /** The number of a type; a stored type keeps its own. */
  of(type: string): number {
    return this.stored(type) ?? this.#broughtNumber(type);
  }

  range(type: string): { readonly low: number; readonly high: number } {
    return symbolRange(this.of(type));
  }

  contains(type: string, id: number | undefined): boolean {
    if (id === undefined) return false;
    const { low, high } = this.range(type);
    return id >= low && id <= high;
  }

  /** True where numbers that were handed out are no longer right. Asked before each question, so it looks only where the store has new types. */
  isStale(): boolean {
    if (this.#brought.size === 0) return false;
    if (this.#brought.size > broughtTypesMax) return true;
    const newest = lastTypeId(this.#database);
    if (newest === this.#newestSeen) return false;
    for (const type of this.#brought.keys()) if (this.stored(type) !== undefined) return true;
    this.#newestSeen = newest;
    return false;
  }

  /** The number of a type that the store has. It never takes one away, so what it said once holds. */
  stored(type: string): number | undefined {
    const known = this.#stored.get(type);
    if (known !== undefined) return known;
    const number = findTypeId(this.#database, type);
    if (number !== undefined) this.#stored.set(type, number);
    return number;
  }

  #broughtNumber(type: string): number {
    const known = this.#brought.get(type);
    if (known !== undefined) return known;
    if (this.#brought.size === 0) this.#newestSeen = lastTypeId(this.#database);
    const number = firstTemporaryTypeId + this.#brought.size;
    this.#brought.set(type, number);
    return number;
  }
}
