/** What a store keeps besides facts so that questions are answered fast, and can make anew from them: indexes, closures and degrees. */
import type { Limits } from "../../config/limits.ts";
import { predicateKey } from "../../datalog/ir/program.ts";
import type { Connection } from "../../store/connection/connection.ts";
import { closureTables } from "../../store/facts/closure-tables.ts";
import {
  clearStatistics,
  dropAllStatistics,
  dropOutdatedStatistics,
  ensureStatistics,
} from "../../store/statistics/table-statistics.ts";
import { factTables, setIndexes } from "../../store/facts/fact-tables.ts";
import { findSymbol } from "../../store/facts/symbols.ts";
import { must } from "../../util/assert.ts";
import { usableActivation } from "../policy/activation.ts";
import type { ActivePolicy } from "../policy/active-policy.ts";
import { clearClosures, findClosureDamage, type FillTime, refreshClosures } from "./closures.ts";
import { askedConstants, indexOrders, type Orders } from "./indexes.ts";

/**
 * Makes it be that of the active policy; with `retry`, closures that were given up are tried again. The policy's tables and constants must be
 * there. Inside the caller's transaction.
 */
export function refreshDerived(database: Connection, limits: Limits, retry: boolean, patience?: FillTime): void {
  const active = usableActivation(database)?.active;
  const orders = active && indexOrders(active.program);
  if (orders) refreshIndexes(database, orders);
  refreshClosures(database, limits, retry, patience);
  if (orders) refreshDegrees(database, active, orders);
}

/** To be called when there are no facts any more. */
export function clearDerived(database: Connection, limits: Limits): void {
  clearClosures(database, limits);
  clearStatistics(database);
  refreshDerived(database, limits, true);
}

/** To be called when facts and policy are others than before: all of it is made anew, as for a policy that has just become active. */
export function rebuildDerived(database: Connection, limits: Limits): void {
  clearClosures(database, limits);
  dropAllStatistics(database);
  refreshDerived(database, limits, true);
}

/** The indexes of these orders and no others. */
function refreshIndexes(database: Connection, orders: Orders): void {
  for (const { table, predicate, arity } of factTables(database))
    setIndexes(database, table, orders.get(predicateKey(predicate, arity)) ?? []);
}

function refreshDegrees(database: Connection, { program }: ActivePolicy, orders: Orders): void {
  const constants = askedConstants(program);
  for (const { table, predicate, arity } of factTables(database)) {
    const key = predicateKey(predicate, arity);
    const apart = [...(constants.get(key) ?? [])].map(
      ([place, values]) => [place + 1, new Set(values.map((value) => must(findSymbol(database, value))))] as const,
    );
    const own = Array.from({ length: arity }, (_, column) => column);
    // Of those that begin as the table does, its own tells more.
    const others = (orders.get(key) ?? []).filter(([first]) => first !== 0);
    const numbered = [own, ...others].map((order) => order.map((column) => column + 1));
    ensureStatistics(database, table, { orders: numbered, distinguished: new Map(apart) });
  }
  for (const { table } of closureTables(database))
    ensureStatistics(database, table, { orders: closureOrders, distinguished: new Map() });
}

const closureOrders = [
  [1, 2],
  [2, 1],
];

/** Says where a closure's table is not what the facts say; `undefined` where all are right. */
export function findDerivedDamage(database: Connection, limits: Limits): string | undefined {
  return database.transaction(() => findClosureDamage(database, limits));
}

/** Makes what is missing or in another shape than this binary wants; with `damaged`, all closures anew. Degrees too where they may be far too large. */
export function repairDerived(database: Connection, limits: Limits, damaged: boolean): void {
  database.transaction(() => {
    if (damaged) clearClosures(database, limits);
    dropOutdatedStatistics(database);
    refreshDerived(database, limits, false);
  }, "immediate");
}
