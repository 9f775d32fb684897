/**
 * Undo: reverts what `apply` did for one event. Only a point-in-time recovery does so, in a file that no node answers
 * from yet. So derived tables (indexes, closures, statistics) are rebuilt at the end, not updated for each event. Throws
 * if the store is not in the state that the event left: then log and data do not belong together.
 */
import { desc, inArray } from "drizzle-orm";
import type { Limits } from "../../config/limits.ts";
import type { Connection } from "../../store/connection/connection.ts";
import * as schema from "../../store/connection/schema.ts";
import { deleteFact, factTables, insertFact, restoreClearedFacts, setIndexes } from "../../store/facts/fact-tables.ts";
import { AppError } from "../../util/app-error.ts";
import { unreachable } from "../../util/assert.ts";
import { rebuildDerived } from "../derived/derived-tables.ts";
import { invalidatePlans, usableActivation } from "../../policy/activation.ts";
import { createPolicyTables, readDigest, writeDigest } from "./apply.ts";
import { factElement, formatDigest, keyElement, parseDigest, policyElement } from "./digest.ts";
import type { EffectOf, Event } from "../event/event.ts";
import { computeDigest } from "./store-digest.ts";

/**
 * Undoes the last event inside the caller's transaction. The caller sets epoch, offset, hash and time of `state` back,
 * and calls `finishUndo` after the last event.
 */
export function undoEvent(database: Connection, { offset, effect }: Pick<Event, "offset" | "effect">): void {
  switch (effect.kind) {
    case "facts":
      return undoFacts(database, offset, effect);
    case "policy":
      return undoPolicy(database, offset, effect);
    case "clear":
      return undoClear(database, offset);
    case "keys":
      return undoKeys(database, offset, effect);
    case "epoch":
      return;
    default:
      return unreachable(effect);
  }
}

/** Rebuilds everything that is derived from facts and policy. Runs inside the caller's transaction. */
export function finishUndo(database: Connection, limits: Limits): void {
  invalidatePlans(database);
  const active = usableActivation(database)?.active;
  if (active) createPolicyTables(database, active);
  else for (const { table } of factTables(database)) setIndexes(database, table, []);
  rebuildDerived(database, limits);
  database.statement("UPDATE relation SET version = (SELECT version FROM state)").run();
}

function undoFacts(database: Connection, offset: number, { inserted, deleted }: EffectOf<"facts">): void {
  let sum = parseDigest(readDigest(database));
  for (const fact of inserted) {
    if (!deleteFact(database, fact)) throw cannotUndo(offset, "a fact that it inserted is not there");
    sum -= factElement(fact);
  }
  for (const fact of deleted) {
    if (!insertFact(database, fact)) throw cannotUndo(offset, "a fact that it deleted is there");
    sum += factElement(fact);
  }
  writeDigest(database, formatDigest(sum));
}

/** The store has each policy that an event of its log replaced (`policy/policy-history.ts`). */
function undoPolicy(database: Connection, offset: number, { id, source }: EffectOf<"policy">): void {
  const { orm } = database;
  const [last, before] = orm.select().from(schema.policy).orderBy(desc(schema.policy.id)).limit(2).all();
  if (last?.id !== id || last.source !== source)
    throw cannotUndo(offset, "the policy that it made active is another one");
  if (before === undefined && id > 1) throw cannotUndo(offset, "the policy before it is not kept any more");
  database.statement("DELETE FROM policy WHERE id = ?1").run(id);
  let sum = parseDigest(readDigest(database)) - policyElement(id, source);
  if (before) sum += policyElement(before.id, before.source);
  database.statement("UPDATE state SET policy_id = ?1").run(before?.id ?? 0);
  writeDigest(database, formatDigest(sum));
}

function undoClear(database: Connection, offset: number): void {
  restoreClearedFacts(database, offset);
  writeDigest(database, computeDigest(database));
}

function undoKeys(database: Connection, offset: number, { added, replaced }: EffectOf<"keys">): void {
  if (replaced === undefined) throw cannotUndo(offset, "an older version wrote it, without the keys that it replaced");
  let sum = parseDigest(readDigest(database));
  const ids = added.map(({ id }) => id);
  const removed = database.orm.delete(schema.apiKey).where(inArray(schema.apiKey.id, ids)).returning().all();
  if (removed.length !== new Set(ids).size) throw cannotUndo(offset, "a key that it added is not there");
  for (const key of removed) sum -= keyElement(key);
  for (const key of replaced) {
    database.orm.insert(schema.apiKey).values(key).run();
    sum += keyElement(key);
  }
  writeDigest(database, formatDigest(sum));
}

function cannotUndo(offset: number, why: string): AppError {
  return new AppError("conflict", `the event ${offset} can't be undone: ${why}`);
}
