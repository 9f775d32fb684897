/** A store in memory with applied events, for tests of the engine. */
import { applyEvent } from "../../src/log/state/apply.ts";
import type { Effect } from "../../src/log/event/event.ts";
import type { Connection } from "../../src/store/connection/connection.ts";
import { closureTables } from "../../src/store/facts/closure-tables.ts";
import { eachMatch, factTables } from "../../src/store/facts/fact-tables.ts";
import { openStore } from "../../src/store/connection/open-store.ts";
import { createState } from "../../src/store/log/store-state.ts";
import type { Fact } from "../../src/store/facts/fact.ts";

export function storeWith(...effects: Effect[]): Connection {
  const store = openStore(":memory:");
  createState(store, "test", "test");
  apply(store, ...effects);
  return store;
}

export function apply(store: Connection, ...effects: Effect[]): void {
  effects.forEach((effect, index) => {
    store.transaction(() => applyEvent(store, { offset: index + 1, timeMs: 1, traceparent: null, effect }));
  });
}

/** All stored facts, in no particular order. */
export function allFacts(store: Connection): Fact[] {
  return factTables(store).flatMap(({ predicate, arity }) => [
    ...eachMatch(store, { predicate, args: Array.from({ length: arity }, () => ({ type: null, id: null })) }),
  ]);
}

export const policy = (source: string, id = 1): Effect => ({ kind: "policy", id, source, filename: null });

/** `fact("has_role", "User:ann", "String:reader")` */
export function fact(
  predicate: string,
  ...args: string[]
): { predicate: string; args: { type: string; id: string }[] } {
  const values = args.map((arg) => {
    const colon = arg.indexOf(":");
    return { type: arg.slice(0, colon), id: arg.slice(colon + 1) };
  });
  return { predicate, args: values } satisfies Fact;
}

export const inserted = (...facts: ReturnType<typeof fact>[]): Effect => ({
  kind: "facts",
  inserted: facts,
  deleted: [],
});
export const deleted = (...facts: ReturnType<typeof fact>[]): Effect => ({
  kind: "facts",
  inserted: [],
  deleted: facts,
});

/** The rows of each closure, as `from > to`, sorted. */
export function closureRows(store: Connection): string[][] {
  const rows = store.prepare("SELECT id, value FROM symbol").values();
  const symbols = new Map(rows.map(([id, value]) => [id, String(value)]));
  return closureTables(store).map(({ table }) =>
    store
      .prepare(`SELECT a1, a2 FROM ${table}`)
      .values()
      .map((row) => row.map((id) => symbols.get(id)).join(" > "))
      .sort(),
  );
}
