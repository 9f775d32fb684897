/**
 * Derived tables: the indexes, closures and statistics that make queries fast. They are computed from the facts and the
 * policy, and can be rebuilt.
 */
import type { Limits } from "../../config/limits.ts";
import { predicateKey } from "../../datalog/ir/program.ts";
import type { Connection } from "../../store/connection/connection.ts";
import { closureTables } from "../../store/facts/closure-tables.ts";
import { factTables, setIndexes } from "../../store/facts/fact-tables.ts";
import { findSymbol } from "../../store/facts/symbols.ts";
import {
  clearStatistics,
  dropAllStatistics,
  dropOutdatedStatistics,
  ensureStatistics,
} from "../../store/statistics/table-statistics.ts";
import { must } from "../../util/assert.ts";
import { usableActivation } from "../policy/activation.ts";
import type { ActivePolicy } from "../policy/active-policy.ts";
import { clearClosures, type FillTime, findClosureDamage, refreshClosures } from "./closures.ts";
import { askedConstants, indexOrders, type Orders } from "./indexes.ts";

/**
 * Makes the derived tables match the active policy. With `retry`, abandoned closures are tried again. The policy's
 * tables and constants must exist. Runs inside the caller's transaction.
 */
export function refreshDerived(database: Connection, limits: Limits, retry: boolean, patience?: FillTime): void {
  const active = usableActivation(database)?.active;
  const orders = active && indexOrders(active.program);
  if (orders) refreshIndexes(database, orders);
  refreshClosures(database, limits, retry, patience);
  if (orders) refreshDegrees(database, active, orders);
}

/** Call it when all facts were deleted. */
export function clearDerived(database: Connection, limits: Limits): void {
  clearClosures(database, limits);
  clearStatistics(database);
  refreshDerived(database, limits, true);
}

/**
 * Rebuilds everything, as for a policy that has just become active. Call it when facts and policy have been replaced.
 */
export function rebuildDerived(database: Connection, limits: Limits): void {
  clearClosures(database, limits);
  dropAllStatistics(database);
  refreshDerived(database, limits, true);
}

/** Creates exactly these indexes. */
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
    // Of all orders that begin with the first column, the order of the table tells the most.
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

/** Describes a difference between a closure's table and the facts; `undefined` if there is none. */
export function findDerivedDamage(database: Connection, limits: Limits): string | undefined {
  return database.transaction(() => findClosureDamage(database, limits));
}

/**
 * Creates derived tables that are missing or that this version needs in another form; with `damaged`, all closures.
 * Computes statistics again if they may be far too high.
 */
export function repairDerived(database: Connection, limits: Limits, damaged: boolean): void {
  database.transaction(() => {
    if (damaged) clearClosures(database, limits);
    dropOutdatedStatistics(database);
    refreshDerived(database, limits, false);
  }, "immediate");
}
