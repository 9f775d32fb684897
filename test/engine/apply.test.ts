/**
 * Applying events: the same events give the same state, the incremental digest equals the computed one, and a policy
 * change keeps the facts.
 */
import { expect, test } from "bun:test";
import { computeDigest } from "../../src/log/state/store-digest.ts";
import { Engine } from "../../src/engine/engine.ts";
import type { Effect } from "../../src/log/event/event.ts";
import type { Connection } from "../../src/store/connection/connection.ts";
import { readState } from "../../src/store/log/store-state.ts";
import { apply, deleted, fact, inserted, policy, storeWith } from "./store.ts";

const roles = `actor User {} resource Doc { roles = ["reader"]; permissions = ["read"]; "read" if "reader"; }`;
const relations = `actor User {} resource Doc { permissions = ["read"]; relations = { owner: User }; "read" if "owner"; }`;
const ann = fact("has_role", "User:ann", "String:reader", "Doc:d");
const bob = fact("has_role", "User:bob", "String:reader", "Doc:d");
const key: Effect = {
  kind: "keys",
  added: [{ id: "k", name: "test", role: "read", hash: "0".repeat(64), timeMs: 1 }],
  removed: [],
};

function digests(store: Connection): { incremental: string; computed: string } {
  return { incremental: readState(store).digest, computed: computeDigest(store) };
}

function mayRead(store: Connection, user: string): boolean {
  const question = { actor: { type: "User", id: user }, action: "read", resource: { type: "Doc", id: "d" } };
  return new Engine(store).authorize({ ...question, contextFacts: [] });
}

test("the incremental digest equals the computed one after every kind of event", () => {
  const store = storeWith();
  const events: Effect[] = [
    policy(roles),
    inserted(ann, bob),
    key,
    deleted(ann),
    policy(relations, 2),
    inserted(fact("has_relation", "Doc:d", "String:owner", "User:ann")),
    { kind: "keys", added: [], removed: ["k"] },
    { kind: "clear" },
  ];
  const seen = new Set<string>();
  for (const event of events) {
    apply(store, event);
    const { incremental, computed } = digests(store);
    expect(incremental).toBe(computed);
    seen.add(incremental);
  }
  expect(seen.size).toBe(events.length);
});

test("the digest depends on the state, not on its history", () => {
  const straight = storeWith(policy(roles), inserted(bob));
  const roundabout = storeWith(policy(roles), inserted(ann), inserted(bob), deleted(ann));
  expect(readState(straight).digest).toBe(readState(roundabout).digest);
  expect(readState(storeWith(policy(roles), inserted(ann))).digest).not.toBe(readState(straight).digest);
});

test("an event that is applied twice changes nothing the second time", () => {
  const store = storeWith(policy(roles), inserted(ann));
  const before = digests(store);
  apply(store, inserted(ann), deleted(bob));
  expect(digests(store)).toEqual(before);
});

test("facts survive a policy that does not use them, are ignored meanwhile, and count again afterwards", () => {
  const store = storeWith(policy(roles), inserted(ann));
  expect(mayRead(store, "ann")).toBe(true);
  apply(store, policy(relations, 2));
  expect(mayRead(store, "ann")).toBe(false);
  apply(store, inserted(fact("has_relation", "Doc:d", "String:owner", "User:bob")));
  expect(mayRead(store, "bob")).toBe(true);
  apply(store, policy(roles, 3));
  expect([mayRead(store, "ann"), mayRead(store, "bob")]).toEqual([true, false]);
});

test("clearing deletes the facts and keeps policy and keys", () => {
  const store = storeWith(policy(roles), inserted(ann), key, { kind: "clear" });
  const engine = new Engine(store);
  expect(engine.facts({ predicate: "has_role", args: [] })).toEqual([]);
  expect(engine.policy()?.source).toBe(roles);
  expect(engine.secretsOf("k")[0]?.role).toBe("read");
  expect(mayRead(store, "ann")).toBe(false);
});

test("an engine uses the current policy for each question", () => {
  const store = storeWith(policy(roles), inserted(ann));
  const engine = new Engine(store);
  const question = {
    actor: { type: "User", id: "ann" },
    action: "read",
    resource: { type: "Doc", id: "d" },
    contextFacts: [],
  };
  expect(engine.authorize(question)).toBe(true);
  apply(store, policy(relations, 2));
  expect(engine.authorize(question)).toBe(false);
  apply(store, policy(roles, 3));
  expect(engine.authorize(question)).toBe(true);
});
