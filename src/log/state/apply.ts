/**
 * The only code that changes facts, policy and API keys, except `undo.ts`, which reverts it. Live writes, replicas,
 * catch-up and recovery all apply events with it. It is deterministic: the same events on the same state give the same
 * rows and the same digest.
 */
import { desc, eq } from "drizzle-orm";
import { defaultLimits, type Limits } from "../../config/limits.ts";
import { predicateKey, splitKey } from "../../datalog/ir/program.ts";
import type { Connection } from "../../store/connection/connection.ts";
import * as schema from "../../store/connection/schema.ts";
import {
  clearFacts,
  deleteFact,
  ensureFactTable,
  factTable,
  hasFact,
  insertFact,
} from "../../store/facts/fact-tables.ts";
import type { Fact } from "../../store/facts/fact.ts";
import { intern, internType } from "../../store/facts/symbols.ts";
import { StatisticsUpdate } from "../../store/statistics/statistics-update.ts";
import { must, unreachable } from "../../util/assert.ts";
import { ClosureChange } from "../derived/closures.ts";
import { clearDerived, refreshDerived, refreshTables } from "../derived/derived-tables.ts";
import { invalidatePlans } from "../../policy/activation.ts";
import { activate, type ActivePolicy } from "../../policy/active-policy.ts";
import { factElement, formatDigest, keyElement, parseDigest, policyElement } from "./digest.ts";
import type { EffectOf, Event } from "../event/event.ts";
import { sumPolicyAndKeys } from "./store-digest.ts";

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

function applyFacts(database: Connection, effect: EffectOf<"facts">, limits: Limits): void {
  createMissingTables(database, effect.inserted);
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

/** A policy creates no tables for facts that only heads of its rules name, because there seldom are any. */
function createMissingTables(database: Connection, facts: readonly Fact[]): void {
  const keys = new Set(facts.map(({ predicate, args }) => predicateKey(predicate, args.length)));
  const missing = [...keys].filter((key) => factTable(database, ...splitKey(key)) === undefined);
  if (missing.length === 0) return;
  for (const key of missing) ensureFactTable(database, ...splitKey(key));
  refreshTables(database);
}

function applyPolicy(database: Connection, effect: EffectOf<"policy">, timeMs: number, limits: Limits): void {
  const { id, source, filename } = effect;
  const last = database.orm.select().from(schema.policy).orderBy(desc(schema.policy.id)).limit(1).get();
  let sum = parseDigest(readDigest(database)) + policyElement(id, source);
  if (last) sum -= policyElement(last.id, last.source);
  database.orm.insert(schema.policy).values({ id, source, filename, timeMs }).run();
  createPolicyTables(database, activate(source, filename));
  database.statement("UPDATE state SET policy_id = ?1, digest = ?2").run(id, formatDigest(sum));
  invalidatePlans(database);
  refreshDerived(database, limits, true, "bounded");
}

/** Creates the fact tables, types and constants that queries under the policy name, in the caller's transaction. */
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
  writeDigest(database, formatDigest(sumPolicyAndKeys(database)));
  database.statement("UPDATE relation SET version = (SELECT version FROM state)").run();
}

function applyKeys(database: Connection, { added, removed }: EffectOf<"keys">): void {
  let sum = parseDigest(readDigest(database));
  const remove = (id: string): void => {
    const key = database.orm.delete(schema.apiKey).where(eq(schema.apiKey.id, id)).returning().get();
    if (key) sum -= keyElement(key);
  };
  for (const id of removed) remove(id);
  for (const key of added) {
    remove(key.id);
    database.orm.insert(schema.apiKey).values(key).run();
    sum += keyElement(key);
  }
  writeDigest(database, formatDigest(sum));
}

/** The digest that `apply` maintains incrementally. */
export function readDigest(database: Connection): string {
  return String(must(database.statement("SELECT digest FROM state").values()[0], "the store has no state")[0]);
}

/** Counts as a change. Runs inside the caller's transaction. */
export function writeDigest(database: Connection, digest: string): void {
  database.statement("UPDATE state SET digest = ?1, version = version + 1").run(digest);
}
