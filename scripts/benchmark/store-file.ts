/** Creates database files without a node, through the same `applyEvent` that every node uses. */
import type { Effect } from "../../src/log/event/event.ts";
import { applyEvent } from "../../src/log/state/apply.ts";
import { zeroHash, advanceState, createState, readState } from "../../src/store/log/store-state.ts";
import { openStore } from "../../src/store/connection/open-store.ts";
import type { Fact } from "../../src/store/facts/fact.ts";
import type { Connection } from "../../src/store/connection/connection.ts";

/** The maximum number of facts in a batch. */
export const factsPerEvent = 1000;

/** A new file with the durability of a primary, the active policy and no facts. */
export function createFile(path: string, policy: string): Connection {
  const store = openStore(path, { synchronous: "FULL" });
  store.enableWriterCache();
  store.transaction(() => createState(store, "default", zeroHash), "immediate");
  applyEffect(store, { kind: "policy", id: 1, source: policy, filename: null });
  return store;
}

/**
 * A new closed file with the policy and the facts. Its creation is not measured, so many events share a transaction,
 * which stays in memory: with ten million facts in random order, each thousand would otherwise rewrite most of the file.
 */
export function writeFile(path: string, policy: string, facts: Iterable<Fact>): void {
  const store = createFile(path, policy);
  store.exec("PRAGMA synchronous = OFF");
  store.exec("PRAGMA cache_size = -2000000");
  const events = inChunks(facts);
  let isMore = true;
  while (isMore) {
    store.transaction(() => {
      for (let count = 0; isMore && count < eventsPerTransaction; count++) {
        const { value, done } = events.next();
        if (done) isMore = false;
        else applyNext(store, factsEffect(value));
      }
    }, "immediate");
  }
  store.close();
}

const eventsPerTransaction = 1000;

export function applyFacts(store: Connection, facts: Iterable<Fact>): void {
  for (const chunk of inChunks(facts)) applyEffect(store, factsEffect(chunk));
}

/** One event per transaction. */
export function applyEffect(store: Connection, effect: Effect): void {
  store.transaction(() => applyNext(store, effect), "immediate");
}

function applyNext(store: Connection, effect: Effect): void {
  const offset = readState(store).offset + 1;
  const timeMs = Date.now();
  applyEvent(store, { offset, timeMs, traceparent: null, effect });
  advanceState(store, { offset, hash: zeroHash, timeMs });
}

export function factsEffect(facts: readonly Fact[]): Effect {
  const inserted = facts.map(({ predicate, args }) => ({ predicate, args: [...args] }));
  return { kind: "facts", inserted, deleted: [] };
}

export function* inChunks<Item>(items: Iterable<Item>, size = factsPerEvent): Generator<readonly Item[]> {
  let chunk: Item[] = [];
  for (const item of items) {
    chunk.push(item);
    if (chunk.length < size) continue;
    yield chunk;
    chunk = [];
  }
  if (chunk.length > 0) yield chunk;
}
