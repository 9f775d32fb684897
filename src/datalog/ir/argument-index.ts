/**
 * An index of items with arguments (heads of rules, signatures) by the types and values of these. A policy with
 * thousands of rules for `has_role/3` has only a few for one type and name. Candidates need not unify with the request.
 */

export class ArgumentIndex<T> {
  readonly #items: T[] = [];
  readonly #positions: Position[] = [];

  add(item: T, args: readonly ArgumentPattern[]): void {
    const number = this.#items.push(item) - 1;
    args.forEach((arg, position) => {
      const entry = (this.#positions[position] ??= { byType: new Map(), byValue: new Map(), open: [] });
      // An argument of very many types (any actor) would be in very many lists.
      if (!arg.types || arg.types.size > typesMax) return void entry.open.push(number);
      for (const type of arg.types) {
        const lists = entry.byType.getOrInsertComputed(type, () => ({ all: [], withoutValue: [] }));
        lists.all.push(number);
        if (arg.id === undefined) lists.withoutValue.push(number);
        else entry.byValue.getOrInsertComputed(valueKey(type, arg.id), () => []).push(number);
      }
    });
  }

  /** All items that may have these arguments, and perhaps others, in the order in which they were added. */
  candidates(args: readonly ArgumentPattern[]): readonly T[] {
    let best: readonly (readonly number[])[] | undefined;
    let bestSize = this.#items.length;
    args.forEach((arg, position) => {
      const entry = this.#positions[position];
      if (!entry || !arg.types || arg.types.size > typesMax) return;
      const lists = listsFor(entry, arg.types, arg.id);
      const size = lists.reduce((sum, list) => sum + list.length, 0);
      if (size < bestSize) [best, bestSize] = [lists, size];
    });
    if (!best) return this.#items;
    const numbers = best.length === 1 ? (best[0] ?? []) : [...new Set(best.flat())].sort((one, other) => one - other);
    return numbers.map((number) => this.#items[number] as T);
  }
}

/** Whether values exist that match both lists of patterns. */
export function mayUnify(args: readonly ArgumentPattern[], others: readonly ArgumentPattern[]): boolean {
  return args.every(({ types, id }, position) => {
    const other = others[position];
    if (!other) return false;
    if (id !== undefined && other.id !== undefined && id !== other.id) return false;
    return !types || !other.types || !types.isDisjointFrom(other.types);
  });
}

/** Merging the lists of more types costs more than it saves. */
const typesMax = 8;

/** The items by one of their arguments. */
interface Position {
  readonly byType: Map<string, Lists>;
  readonly byValue: Map<string, number[]>;
  /** Items whose argument may have any type. */
  readonly open: number[];
}

interface Lists {
  readonly all: number[];
  readonly withoutValue: number[];
}

function listsFor(entry: Position, types: ReadonlySet<string>, id: string | undefined): (readonly number[])[] {
  const lists: (readonly number[])[] = [entry.open];
  for (const type of types) {
    const known = entry.byType.get(type);
    if (!known) continue;
    if (id === undefined) lists.push(known.all);
    else lists.push(known.withoutValue, entry.byValue.get(valueKey(type, id)) ?? []);
  }
  return lists.filter((list) => list.length > 0);
}

function valueKey(type: string, id: string): string {
  return `${type.length} ${type}${id}`;
}

/** The possible values of an argument: its types (`undefined` for any type), and the id if it is a constant. */
export interface ArgumentPattern {
  readonly types: ReadonlySet<string> | undefined;
  readonly id: string | undefined;
}
