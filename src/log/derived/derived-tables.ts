/**
 * Derived tables: the indexes, closures and statistics that make queries fast. They are computed from the facts and the
 * policy, and can be rebuilt.
 */
import { askedConstants, type Orders } from "../../datalog/analysis/index-orders.ts";
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
import { usableActivation } from "../../policy/activation.ts";
import type { ActivePolicy } from "../../policy/active-policy.ts";
import { dropAllClosures, type FillTime, refreshClosures } from "./closures.ts";

/**
 * Makes the derived tables match the active policy. With `retry`, abandoned closures are tried again. The policy's
 * tables and constants must exist. Runs inside the caller's transaction.
 */
export function refreshDerived(
  database: Connection,
  limits: Limits,
  retry: boolean,
  fillTime: FillTime = "unbounded",
): void {
  const active = usableActivation(database)?.active;
  const orders = active?.orders;
  if (orders) refreshIndexes(database, orders);
  refreshClosures(database, limits, retry, fillTime);
  if (orders) refreshStatistics(database, active, orders);
}

/** Gives new fact tables the indexes and statistics that the active policy needs. */
export function refreshTables(database: Connection): void {
  const active = usableActivation(database)?.active;
  if (!active) return;
  const { orders } = active;
  refreshIndexes(database, orders);
  refreshStatistics(database, active, orders);
}

/** Call it when all facts were deleted. */
export function clearDerived(database: Connection, limits: Limits): void {
  dropAllClosures(database);
  clearStatistics(database);
  refreshDerived(database, limits, true);
}

/**
 * Rebuilds everything, as for a policy that has just become active. Call it when facts and policy have been replaced.
 */
export function rebuildDerived(database: Connection, limits: Limits): void {
  dropAllClosures(database);
  dropAllStatistics(database);
  refreshDerived(database, limits, true);
}

function refreshIndexes(database: Connection, orders: Orders): void {
  for (const { table, predicate, arity } of factTables(database))
    setIndexes(database, table, orders.get(predicateKey(predicate, arity)) ?? []);
}

function refreshStatistics(database: Connection, { program }: ActivePolicy, orders: Orders): void {
  const constants = askedConstants(program);
  for (const { table, predicate, arity } of factTables(database)) {
    const key = predicateKey(predicate, arity);
    const distinguished = [...(constants.get(key) ?? [])].map(
      ([column, values]) =>
        [column + 1, new Set([...values.values()].map((value) => must(findSymbol(database, value))))] as const,
    );
    const own = Array.from({ length: arity }, (_, column) => column);
    // Of all orders that begin with the first column, the order of the table tells the most.
    const others = (orders.get(key) ?? []).filter(([first]) => first !== 0);
    const numbered = [own, ...others].map((order) => order.map((column) => column + 1));
    ensureStatistics(database, table, { orders: numbered, distinguished: new Map(distinguished) });
  }
  const closureOrders = [
    [1, 2],
    [2, 1],
  ];
  for (const { table } of closureTables(database))
    ensureStatistics(database, table, { orders: closureOrders, distinguished: new Map() });
}

/**
 * Creates derived tables that are missing or that this version needs in another form; with `damaged`, all closures.
 * Computes statistics again if they may be far too high.
 */
export function repairDerived(database: Connection, limits: Limits, damaged: boolean): void {
  database.transaction(() => {
    if (damaged) dropAllClosures(database);
    dropOutdatedStatistics(database);
    refreshDerived(database, limits, false);
  }, "immediate");
}
