/**
 * The join order, which the SQL forces with CROSS JOIN. Sources whose arguments are all known come first, then the one
 * with the fewest estimated rows; without an estimate, the one with the most known arguments, facts before answers of
 * recursive nodes, steps along a relation before steps against it. Sources without a known argument come last.
 */
import { must } from "../../util/assert.ts";
import type { FlatArgument } from "../ir/flat.ts";
import type { JoinSource } from "../ir/select.ts";

/** The maximum number of rows of a source for one value of each bound variable; `undefined` if unknown. */
export type Estimate<S extends JoinSource> = (source: S, bound: ReadonlySet<string>) => number | undefined;

/** The name of a term's value in bindings; `undefined` for constants. */
export function bindingName(term: FlatArgument): string | undefined {
  if (term.kind === "var") return `v${term.id}`;
  return term.kind === "param" ? term.name : undefined;
}

/** Whether the value is known, given the bound variables. Parameters are, except columns, which begin with `@`. */
export function isKnown(term: FlatArgument, bound: ReadonlySet<string>): boolean {
  const key = bindingName(term);
  return key === undefined || bound.has(key) || (term.kind === "param" && !key.startsWith("@"));
}

/** Adds the variables that a source binds. */
export function bindSource(source: JoinSource, bound: Set<string>): void {
  for (const arg of source.args) {
    const key = bindingName(arg);
    if (key !== undefined) bound.add(key);
  }
}

/** The names that the sources bind. */
export function boundBy(sources: readonly JoinSource[]): Set<string> {
  const bound = new Set<string>();
  for (const source of sources) bindSource(source, bound);
  return bound;
}

/** Splits `sources` into those connected with bound variables, in join order, and the rest. Adds to `bound`. */
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
    const source = must(rest.splice(next, 1)[0]);
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
  for (let left = sources; left.length > 0;) {
    const { joined, rest } = connected(left, bound, estimate);
    const unconnected = rest.splice(best(rest, bound, estimate), 1);
    for (const source of unconnected) bindSource(source, bound);
    ordered.push(...joined, ...unconnected);
    left = rest;
  }
  return ordered;
}

function isConnected(source: JoinSource | undefined, bound: ReadonlySet<string>): boolean {
  if (!source) return false;
  const open = source.args.filter((arg) => bindingName(arg) !== undefined);
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
  // All its arguments are known, or it is the leading source.
  if (estimate === undefined || score === undefined || score > 900) return found;
  const isLinked = isConnected(sources[found], bound);
  const candidates = [...sources.keys()].filter((index) => isConnected(sources[index], bound) === isLinked);
  const rows = candidates.map((index) => estimate(must(sources[index]), bound));
  if (rows.includes(undefined)) return found;
  const fewest = Math.min(...rows.map((count) => count ?? 0));
  const [first, ...others] = candidates.filter((_, index) => rows[index] === fewest);
  return others.reduce((winner, index) => (must(scores[index]) > must(scores[winner]) ? index : winner), must(first));
}

function scoreOf(source: JoinSource, bound: ReadonlySet<string>): number {
  let known = 0;
  let free = 0;
  let constants = 0;
  for (const arg of source.args) {
    if (bindingName(arg) === undefined) constants++;
    else if (isKnown(arg, bound)) known++;
    else free++;
  }
  if (source.leads && bound.size === 0) return 2000;
  // Most relations lead from many values to few: from a folder to its parent, not to all its children.
  const [first] = source.args;
  const isReverse = free > 0 && first !== undefined && !isKnown(first, bound);
  const cost = (source.computed ? 5 : 0) + (isReverse ? 3 : 0);
  return free === 0 ? 1000 - cost : known * 20 + constants * 2 - free * 4 - cost;
}
