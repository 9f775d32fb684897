/** Random histories of a store, with events of every kind, and the complete contents after each event. */
import { below, pick, random, type Random } from "../../scripts/benchmark/random.ts";
import { defaultLimits } from "../../src/config/limits.ts";
import { Engine } from "../../src/engine/engine.ts";
import type { ApiKey, FactChange } from "../../src/log/event/event.ts";
import { append, type WriteRequest } from "../../src/log/append/append.ts";
import type { Connection } from "../../src/store/connection/connection.ts";
import { closureTables } from "../../src/store/facts/closure-tables.ts";
import { openStore } from "../../src/store/connection/open-store.ts";
import { openLog } from "../../src/store/log/log.ts";
import { createState, readState, type StoreState } from "../../src/store/log/store-state.ts";
import { firstTerm } from "../../src/store/log/terms.ts";
import { AppError } from "../../src/util/app-error.ts";
import type { Fact } from "../../src/store/facts/fact.ts";
import { allFacts } from "../engine/store.ts";
import { approved } from "./approved.ts";

const folders = `actor User {}
resource Folder { roles = ["reader", "writer"]; permissions = ["read", "write"]; relations = { parent: Folder };
  "reader" if "writer"; role if role on "parent"; "read" if "reader"; "write" if "writer"; }`;
const teams = `${folders}
resource Team { roles = ["member"]; permissions = ["read"]; relations = { parent: Team }; "read" if "member"; }
has_role(user: User, "member", team: Team) if
  child matches Team and has_relation(child, "parent", team) and has_role(user, "member", child);`;
const flat = `actor User {}
resource Folder { roles = ["reader", "writer", "owner"]; permissions = ["read", "write"];
  "writer" if "owner"; "read" if "reader"; "write" if "writer"; }`;

const users = ["ann", "bob", "eve"];
const ids = ["1", "2", "3", "4", "5"];

/** The contents of a store, independent of their representation. */
export interface StoreContents {
  readonly state: StoreState;
  readonly facts: readonly string[];
  readonly policies: readonly unknown[];
  readonly keys: readonly unknown[];
  readonly epochs: readonly unknown[];
  readonly answered: readonly unknown[];
  readonly cleared: readonly unknown[];
  readonly log: readonly unknown[];
  /** The derived tables that exist, by name, with their number of rows. */
  readonly closures: readonly string[];
  readonly indexes: readonly string[];
  /** The answers to all queries. */
  readonly answers: string;
}

export function readContents(store: Connection): StoreContents {
  const rows = (sql: string): readonly unknown[] => store.prepare(sql).values();
  return {
    state: readState(store),
    facts: allFacts(store)
      .map((fact) => JSON.stringify(fact))
      .sort(),
    policies: rows("SELECT * FROM policy ORDER BY id"),
    keys: rows("SELECT * FROM api_key ORDER BY id"),
    epochs: rows("SELECT * FROM epoch ORDER BY term"),
    answered: rows("SELECT * FROM answered ORDER BY request"),
    cleared: rows("SELECT * FROM cleared ORDER BY offset, relation, ids"),
    log: rows("SELECT * FROM log ORDER BY offset"),
    closures: closureTables(store)
      .map(({ name, rows: count, isMaterialized: kept }) => `${name} ${count} ${kept}`)
      .sort(),
    indexes: rows("SELECT name FROM sqlite_schema WHERE name LIKE 'fact%_by_%' ORDER BY name").map(String),
    answers: answersOf(store),
  };
}

function answersOf(store: Connection): string {
  const engine = new Engine(store);
  const answers = users.flatMap((user) =>
    ["Folder", "Team"].flatMap((type) =>
      ids.flatMap((id) =>
        ["read", "write"].map((action) =>
          answer(() =>
            engine.authorize({ actor: { type: "User", id: user }, action, resource: { type, id }, contextFacts: [] }),
          ),
        ),
      ),
    ),
  );
  return answers.join("");
}

function answer(ask: () => boolean): string {
  try {
    return ask() ? "1" : "0";
  } catch (error) {
    // The policy of that time does not have the type.
    if (error instanceof AppError) return "-";
    throw error;
  }
}

export interface History {
  readonly store: Connection;
  /** By offset, from 0 on. */
  readonly portraits: readonly StoreContents[];
}

/** A store in the file at `path` after so many events, drawn from the seed. */
export function drawHistory(path: string, seed: number, events: number): History {
  const next = random(seed);
  const store = openStore(path, { synchronous: "NORMAL" });
  createState(store, "test", "0000000000000001");
  const log = openLog(store);
  const portraits = [readContents(store)];
  for (let attempt = 0; portraits.length <= events; attempt++) {
    const meta = { traceparent: null, timeMs: 1000 * attempt, ...(next() < 0.5 && { idempotencyKey: `r${attempt}` }) };
    try {
      const request = drawRequest(next, attempt);
      store.transaction(() => append(store, log, request, approved(store, request, meta), defaultLimits));
    } catch (error) {
      // Not every policy accepts every fact, and the last admin stays.
      if (error instanceof AppError) continue;
      throw error;
    }
    if (readState(store).offset === portraits.length) portraits.push(readContents(store));
  }
  return { store, portraits };
}

function drawRequest(next: Random, attempt: number): WriteRequest {
  const kind = next();
  if (kind < 0.12)
    return { kind: "policy", source: pick(next, [folders, teams, teams, flat]), filename: null, force: true };
  if (kind < 0.17) return { kind: "clear" };
  if (kind < 0.27) return drawKeys(next, attempt);
  if (kind < 0.32) return { kind: "epoch", epoch: attempt.toString(16).padStart(16, "e"), term: firstTerm + attempt };
  return { kind: "batch", changes: Array.from({ length: 1 + below(next, 4) }, () => drawChange(next)) };
}

function drawKeys(next: Random, attempt: number): WriteRequest {
  if (next() < 0.3) return drawBindings(next, attempt);
  const key = (): ApiKey => ({
    id: `k${below(next, 4)}`,
    name: `made at ${attempt}`,
    role: pick(next, ["admin", "write", "read"]),
    hash: String(attempt).padStart(64, "0"),
    timeMs: attempt,
  });
  const add = next() < 0.7 ? [key()] : [];
  return { kind: "keys", add, remove: next() < 0.5 ? [`k${below(next, 4)}`] : [] };
}

function drawBindings(next: Random, attempt: number): WriteRequest {
  const [name, other] = [`b${below(next, 2)}`, `b${below(next, 2)}`];
  const putBindings = { name, text: `# ${below(next, 3)}`, timeMs: attempt, bindingsMax: 2 };
  return { kind: "keys", add: [], remove: [], ...(next() < 0.6 ? { putBindings } : { removeBindings: other }) };
}

function drawChange(next: Random): FactChange {
  const value = (type: string): { type: string; id: string } => ({ type, id: pick(next, ids) });
  const type = pick(next, ["Folder", "Folder", "Team"]);
  const user = { type: "User", id: pick(next, users) };
  const role = { type: "String", id: type === "Team" ? "member" : pick(next, ["reader", "writer"]) };
  const fact: Fact =
    next() < 0.5
      ? { predicate: "has_role", args: [user, role, value(type)] }
      : { predicate: "has_relation", args: [value(type), { type: "String", id: "parent" }, value(type)] };
  if (next() < 0.65) return { inserts: [fact] };
  // All facts with the same first argument, or only the fact itself.
  const any = { type: null, id: null };
  const [first, ...others] = fact.args;
  return { deletes: [next() < 0.5 ? fact : { ...fact, args: [first ?? any, ...others.map(() => any)] }] };
}
