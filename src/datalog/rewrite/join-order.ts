/**
 * Join order, decided here and forced with CROSS JOIN: what is known whole first, then what has the fewest rows for
 * what is known, as far as the store can tell. Where it can't, the atom with the most arguments known, facts before the
 * answers of recursive nodes, steps in the direction of a relation before those against it. Nothing unconnected while
 * something connected is left.
 */
import { must } from "../../util/assert.ts";
import type { FlatArgument } from "../ir/flat.ts";
import type { JoinSource } from "../ir/select.ts";

/** The most rows that a source has where what is bound has one value each; `undefined` where nobody knows. */
export type Estimate<S extends JoinSource> = (source: S, bound: ReadonlySet<string>) => number | undefined;

/** The name under which a term's value is looked up, `undefined` for constants. */
export function termKey(term: FlatArgument): string | undefined {
  if (term.kind === "var") return `v${term.id}`;
  return term.kind === "param" ? term.name : undefined;
}

/**
 * True where the term's value is known, given the variables bound so far. Parameters of the request always are; `@…`
 * are columns.
 */
export function isKnown(term: FlatArgument, bound: ReadonlySet<string>): boolean {
  const key = termKey(term);
  return key === undefined || bound.has(key) || (term.kind === "param" && !key.startsWith("@"));
}

/** Adds what a source binds. */
export function bindSource(source: JoinSource, bound: Set<string>): void {
  for (const arg of source.args) {
    const key = termKey(arg);
    if (key !== undefined) bound.add(key);
  }
}

/** Splits `sources` into those that hang together with what is bound, in join order, and the rest. Adds to `bound`. */
export function connected<S extends JoinSource>(
  sources: readonly S[],
  bound: Set<string>,
  estimate?: Estimate<S>,
): { joined: S[]; rest: S[] } {
  const joined: S[] = [];
  const rest = [...sources];
  for (;;) {
    const next = best(rest, bound, estimate);
    if (next < 0 || !isConnected(rest[next], bound)) return { joined, rest };
    const [source] = rest.splice(next, 1);
    if (!source) return { joined, rest };
    bindSource(source, bound);
    joined.push(source);
  }
}

/** All `sources` in join order. Adds to `bound`. */
export function joinOrder<S extends JoinSource>(
  sources: readonly S[],
  bound: Set<string>,
  estimate?: Estimate<S>,
): S[] {
  const ordered: S[] = [];
  let left = [...sources];
  while (left.length > 0) {
    const { joined, rest } = connected(left, bound, estimate);
    ordered.push(...joined);
    left = rest;
    const next = best(left, bound, estimate);
    const [source] = next < 0 ? [] : left.splice(next, 1);
    if (!source) break;
    bindSource(source, bound);
    ordered.push(source);
  }
  return ordered;
}

function isConnected(source: JoinSource | undefined, bound: ReadonlySet<string>): boolean {
  if (!source) return false;
  const open = source.args.filter((arg) => termKey(arg) !== undefined);
  return open.length === 0 || open.some((arg) => isKnown(arg, bound));
}

function best<S extends JoinSource>(
  sources: readonly S[],
  bound: ReadonlySet<string>,
  estimate: Estimate<S> | undefined,
): number {
  const scores = sources.map((source) => scoreOf(source, bound));
  const found = scores.indexOf(Math.max(...scores));
  const score = scores[found];
  // Whole, or the one that leads.
  if (estimate === undefined || score === undefined || score > 900) return found;
  const isLinked = isConnected(sources[found], bound);
  const candidates = [...sources.keys()].filter((index) => isConnected(sources[index], bound) === isLinked);
  const rows = candidates.map((index) => estimate(must(sources[index]), bound));
  if (rows.includes(undefined)) return found;
  const fewest = Math.min(...rows.map((count) => count ?? 0));
  const [first, ...others] = candidates.filter((_, place) => rows[place] === fewest);
  return others.reduce((winner, index) => (must(scores[index]) > must(scores[winner]) ? index : winner), must(first));
}

function scoreOf(source: JoinSource, bound: ReadonlySet<string>): number {
  let known = 0;
  let free = 0;
  let constants = 0;
  for (const arg of source.args) {
    if (termKey(arg) === undefined) constants++;
    else if (isKnown(arg, bound)) known++;
    else free++;
  }
  if (source.leads && bound.size === 0) return 2000;
  // Relations mostly point from many to few: from a folder to the one above it, not to all that are in it.
  const [first] = source.args;
  const isReverse = free > 0 && first !== undefined && !isKnown(first, bound);
  const cost = (source.computed ? 5 : 0) + (isReverse ? 3 : 0);
  return free === 0 ? 1000 - cost : known * 20 + constants * 2 - free * 4 - cost;
}
