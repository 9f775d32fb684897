/**
 * Things with arguments (heads of rules, signatures), found by what their arguments may be: a policy with thousands of rules for `has_role/3` has
 * few of them for any one type and name. It only narrows the search: what it finds may still not meet.
 */

export class ArgumentIndex<T> {
  readonly #items: T[] = [];
  readonly #places: Place[] = [];

  add(item: T, args: readonly ArgumentPattern[]): void {
    const number = this.#items.push(item) - 1;
    args.forEach((arg, position) => {
      const place = (this.#places[position] ??= { byType: new Map(), byValue: new Map(), open: [] });
      // What may be of very many types (any actor) would be in as many lists.
      if (!arg.types || arg.types.size > typesMax) return void place.open.push(number);
      for (const type of arg.types) {
        const lists = listsOf(place, type);
        lists.all.push(number);
        if (arg.id === undefined) lists.withoutValue.push(number);
        else listAt(place.byValue, valueKey(type, arg.id)).push(number);
      }
    });
  }

  /** In the order in which they were added, those that may have these arguments, and perhaps others. */
  candidates(args: readonly ArgumentPattern[]): readonly T[] {
    let best: readonly (readonly number[])[] | undefined;
    let bestSize = this.#items.length;
    args.forEach((arg, position) => {
      const place = this.#places[position];
      if (!place || !arg.types || arg.types.size > typesMax) return;
      const lists = listsFor(place, arg.types, arg.id);
      const size = lists.reduce((sum, list) => sum + list.length, 0);
      if (size < bestSize) [best, bestSize] = [lists, size];
    });
    if (!best) return this.#items;
    const numbers = best.length === 1 ? (best[0] ?? []) : [...new Set(best.flat())].sort((one, other) => one - other);
    return numbers.map((number) => this.#items[number] as T);
  }
}

/** True where values could be both. */
export function mayUnify(args: readonly ArgumentPattern[], others: readonly ArgumentPattern[]): boolean {
  return args.every(({ types, id }, position) => {
    const other = others[position];
    if (!other) return false;
    if (id !== undefined && other.id !== undefined && id !== other.id) return false;
    return !types || !other.types || !types.isDisjointFrom(other.types);
  });
}

/** Joining the lists of more types than these is not worth it. */
const typesMax = 8;

interface Place {
  readonly byType: Map<string, Lists>;
  readonly byValue: Map<string, number[]>;
  /** Of any type. */
  readonly open: number[];
}

interface Lists {
  readonly all: number[];
  readonly withoutValue: number[];
}

function listsFor(place: Place, types: ReadonlySet<string>, id: string | undefined): (readonly number[])[] {
  const lists: (readonly number[])[] = [place.open];
  for (const type of types) {
    const known = place.byType.get(type);
    if (!known) continue;
    if (id === undefined) lists.push(known.all);
    else lists.push(known.withoutValue, place.byValue.get(valueKey(type, id)) ?? []);
  }
  return lists.filter((list) => list.length > 0);
}

function listsOf({ byType }: Place, type: string): Lists {
  let lists = byType.get(type);
  if (!lists) byType.set(type, (lists = { all: [], withoutValue: [] }));
  return lists;
}

function listAt(lists: Map<string, number[]>, key: string): number[] {
  let list = lists.get(key);
  if (!list) lists.set(key, (list = []));
  return list;
}

function valueKey(type: string, id: string): string {
  return `${type.length} ${type}${id}`;
}

/** What an argument may be: of one of these types (`undefined`: of any), and this one value where the policy writes it out. */
export interface ArgumentPattern {
  readonly types: ReadonlySet<string> | undefined;
  readonly id: string | undefined;
}
