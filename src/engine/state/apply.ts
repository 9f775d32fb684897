/**
 * The only code that changes facts, policy and API keys, except `undo.ts`, which reverts it. Live writes, replicas,
 * catch-up and recovery all apply events with it, so all databases are equal by construction. It is deterministic: the
 * same events on the same state give the same rows and the same digest.
 */
import { desc } from "drizzle-orm";
import { defaultLimits, type Limits } from "../../config/limits.ts";
import { predicateKey, splitKey } from "../../datalog/ir/program.ts";
import type { Connection } from "../../store/connection/connection.ts";
import * as schema from "../../store/connection/schema.ts";
import { clearFacts, deleteFact, ensureFactTable, hasFact, insertFact } from "../../store/facts/fact-tables.ts";
import type { Fact } from "../../store/facts/fact.ts";
import { intern, internType } from "../../store/facts/symbols.ts";
import { StatisticsUpdate } from "../../store/statistics/statistics-update.ts";
import { must, unreachable } from "../../util/assert.ts";
import { ClosureChange } from "../materialized/closures.ts";
import { clearDerived, refreshDerived } from "../materialized/derived-tables.ts";
import { invalidatePlans } from "../policy/activation.ts";
import { activate, type ActivePolicy } from "../policy/active-policy.ts";
import { emptyDigest, factElement, formatDigest, keyElement, parseDigest, policyElement } from "./digest.ts";
import type { Effect, Event } from "./event.ts";

/** Applies one event inside the caller's transaction. The caller advances epoch, offset, hash and time of `state`. */
export function applyEvent(database: Connection, event: Event, limits: Limits = defaultLimits): void {
  const { effect } = event;
  switch (effect.kind) {
    case "facts":
      return applyFacts(database, effect, limits);
    case "policy":
      return applyPolicy(database, effect, event.timeMs, limits);
    case "clear":
      return applyClear(database, event.offset, limits);
    case "keys":
      return applyKeys(database, effect);
    case "epoch":
      return;
    default:
      return unreachable(effect);
  }
}

function applyFacts(database: Connection, effect: Extract<Effect, { kind: "facts" }>, limits: Limits): void {
  const statistics = new StatisticsUpdate(database);
  const closures = new ClosureChange(database, limits, statistics);
  const changed = new Map<string, Fact>();
  let sum = parseDigest(readDigest(database));
  for (const fact of effect.deleted) {
    if (!hasFact(database, fact)) continue;
    const lostPairs = closures.pairsOver(fact);
    statistics.addRowCount(must(deleteFact(database, fact)).table, -1);
    closures.remove(lostPairs);
    changed.set(predicateKey(fact.predicate, fact.args.length), fact);
    sum -= factElement(fact);
  }
  for (const fact of effect.inserted) {
    const row = insertFact(database, fact);
    if (!row) continue;
    statistics.addRowCount(row.table, 1);
    statistics.addRow(row.table, row.ids);
    closures.add(fact);
    changed.set(predicateKey(fact.predicate, fact.args.length), fact);
    sum += factElement(fact);
  }
  closures.finish();
  statistics.finish();
  writeDigest(database, formatDigest(sum));
  for (const { predicate, args } of changed.values())
    database
      .statement("UPDATE relation SET version = (SELECT version FROM state) WHERE predicate = ?1 AND arity = ?2")
      .run(predicate, args.length);
}

/**
 * Creates the tables, indexes, types and constants of the new policy in the same transaction that makes the policy
 * active, so readers see either all or nothing.
 */
function applyPolicy(
  database: Connection,
  effect: Extract<Effect, { kind: "policy" }>,
  timeMs: number,
  limits: Limits,
): void {
  const last = database.orm.select().from(schema.policy).orderBy(desc(schema.policy.id)).limit(1).get();
  let sum = parseDigest(readDigest(database)) + policyElement(effect.id, effect.source);
  if (last) sum -= policyElement(last.id, last.source);
  database.orm
    .insert(schema.policy)
    .values({ id: effect.id, source: effect.source, filename: effect.filename, timeMs })
    .run();
  createPolicyTables(database, activate(effect.source, effect.filename));
  database.statement("UPDATE state SET policy_id = ?1, digest = ?2").run(effect.id, formatDigest(sum));
  invalidatePlans(database);
  refreshDerived(database, limits, true, "bounded");
}

/**
 * Creates what queries under the policy name: its fact tables, types and constants. Runs inside the caller's
 * transaction.
 */
export function createPolicyTables(database: Connection, active: ActivePolicy): void {
  for (const type of active.types) internType(database, type);
  for (const constant of active.constants) intern(database, constant);
  for (const fact of active.factTypes) {
    const [predicate, arity] = splitKey(fact.predicate);
    ensureFactTable(database, predicate, arity);
  }
}

function applyClear(database: Connection, offset: number, limits: Limits): void {
  clearFacts(database, offset);
  clearDerived(database, limits);
  let sum = parseDigest(emptyDigest);
  const policy = database.orm.select().from(schema.policy).orderBy(desc(schema.policy.id)).limit(1).get();
  if (policy) sum += policyElement(policy.id, policy.source);
  for (const key of database.orm.select().from(schema.apiKey).all()) sum += keyElement(key);
  writeDigest(database, formatDigest(sum));
  database.statement("UPDATE relation SET version = (SELECT version FROM state)").run();
}

function applyKeys(database: Connection, effect: Extract<Effect, { kind: "keys" }>): void {
  let sum = parseDigest(readDigest(database));
  const remove = (id: string): void => {
    const [row] = database
      .statement("DELETE FROM api_key WHERE id = ?1 RETURNING id, name, role, hash, time_ms")
      .values(id);
    if (row)
      sum -= keyElement({
        id: String(row[0]),
        name: String(row[1]),
        role: roleOf(row[2]),
        hash: String(row[3]),
        timeMs: Number(row[4]),
      });
  };
  for (const id of effect.removed) remove(id);
  for (const key of effect.added) {
    remove(key.id);
    database.orm.insert(schema.apiKey).values(key).run();
    sum += keyElement(key);
  }
  writeDigest(database, formatDigest(sum));
}

function roleOf(role: unknown): "admin" | "write" | "read" {
  return role === "admin" || role === "write" ? role : "read";
}

/** The digest that `apply` maintains incrementally. */
export function readDigest(database: Connection): string {
  return String(must(database.statement("SELECT digest FROM state").values()[0], "the store has no state")[0]);
}

/** Counts as a change. Runs inside the caller's transaction. */
export function writeDigest(database: Connection, digest: string): void {
  database.statement("UPDATE state SET digest = ?1, version = version + 1").run(digest);
}
