/**
 * The cost of `apply` compared with SQLite itself: the same facts, 1,000 per transaction, are applied as events to one
 * file and written as bare rows to another (known ids, prepared statements, the same tables, indexes and durability). The
 * two alternate.
 */
import * as Bun from "bun";
import type { Connection } from "../../src/store/connection/connection.ts";
import type { Fact } from "../../src/store/facts/fact.ts";
import { databaseFiles, removeFiles } from "../../src/store/snapshot/snapshot.ts";
import { BareInserts, BareRows } from "./bare-rows.ts";
import { applyEffect, createFile, factsEffect, inChunks } from "./store-file.ts";

export interface ApplyRates {
  readonly facts: number;
  readonly appliedPerSecond: number;
  readonly insertedPerSecond: number;
}

/** Leaves a complete store at `path` and deletes the file of the bare rows. */
export function measureApply(path: string, policy: string, facts: Iterable<Fact>): ApplyRates {
  const barePath = `${path}.bare`;
  const [subject, bare] = [createFile(path, policy), createFile(barePath, policy)];
  const rows = new BareRows(bare, subject);
  const inserts = new BareInserts(bare);
  const tables = new Set(["symbol"]);
  let [count, appliedNs, insertedNs] = [0, 0, 0];
  try {
    for (const chunk of inChunks(facts)) {
      const effect = factsEffect(chunk);
      appliedNs += nanoseconds(() => applyEffect(subject, effect));
      const written = rows.of(chunk);
      insertedNs += nanoseconds(() => inserts.write(written));
      for (const { table } of written) tables.add(table);
      count += chunk.length;
    }
    requireEqual(subject, bare, tables);
  } finally {
    subject.close();
    bare.close();
    removeFiles(databaseFiles(barePath));
  }
  const perSecond = (taken: number): number => count / (taken / 1e9);
  return { facts: count, appliedPerSecond: perSecond(appliedNs), insertedPerSecond: perSecond(insertedNs) };
}

function requireEqual(subject: Connection, bare: Connection, tables: Iterable<string>): void {
  for (const table of tables) {
    const [one, other] = [subject, bare].map((store) => store.prepare(`SELECT count(*) FROM ${table}`).values());
    if (!Bun.deepEquals(one, other)) throw new Error(`the two files differ in ${table}`);
  }
}

function nanoseconds(work: () => void): number {
  const begin = Bun.nanoseconds();
  work();
  return Bun.nanoseconds() - begin;
}
