/**
 * The engines that answer side by side, over live stores. A primary is written to as in production, and two edges with
 * other limits replay its log: one whose closures grow too large on the way, and one without closures. Each engine has
 * its own connection, as on a node.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defaultLimits, type Limits } from "../../src/config/limits.ts";
import { applyEvent } from "../../src/log/state/apply.ts";
import { findClosureDamage } from "../../src/log/derived/closures.ts";
import { Engine, type EngineOptions } from "../../src/engine/engine.ts";
import { append, type Appended, type WriteRequest, type WriteResult } from "../../src/log/append/append.ts";
import { applyEvents, completeReplay } from "../../src/log/append/replay.ts";
import type { Connection } from "../../src/store/connection/connection.ts";
import { type SequenceLock, newSequenceLock, whileWriting } from "../../src/store/connection/sequence-lock.ts";
import { openStore } from "../../src/store/connection/open-store.ts";
import type { Fact } from "../../src/store/facts/fact.ts";
import { openLog, type Log } from "../../src/store/log/log.ts";
import { createState, readState } from "../../src/store/log/store-state.ts";
import { targetOf, type EngineTarget } from "../cases/engine-target.ts";
import { approved } from "../replication/approved.ts";

/** A database file and the connection that writes it. */
export interface NodeDatabase {
  readonly name: string;
  readonly store: Connection;
  readonly limits: Limits;
  readonly changes: SequenceLock;
}

export interface Side {
  readonly name: string;
  readonly caches: boolean;
  asking(contextFacts: readonly Fact[]): EngineTarget;
}

export interface Nodes extends Disposable {
  readonly primary: NodeDatabase;
  readonly edges: readonly NodeDatabase[];
  readonly sides: readonly Side[];
  /** Throws an `AppError` if the request is refused. */
  write(request: WriteRequest): WriteResult;
  /** The same, in transactions that fail at their end. */
  undo(request: WriteRequest): void;
  setClock(now: number): void;
}

/** Closures with more rows than these are abandoned, and queries walk the facts instead. */
const few: Limits = { ...defaultLimits, closureRowsMax: 12, closureUpdateRowsMax: 8 };
const epoch = "0000000000000001";

export function openNodes(): Nodes {
  const folder = mkdtempSync(join(tmpdir(), "ostiary-history-"));
  const primary = openDatabase(folder, "primary", defaultLimits);
  const tight = openDatabase(folder, "tight", few);
  const walking = openDatabase(folder, "walking", { ...defaultLimits, closuresMax: 0 });
  const edges = [tight, walking];
  const log = openLog(primary.store);
  let now = 0;
  const engines: Engine[] = [];
  const side = (name: string, database: NodeDatabase, caches: boolean, options: EngineOptions): Side => {
    const reader = openStore(database.store.path, { readonly: true });
    const engine = new Engine(reader, { limits: database.limits, clock: () => now, ...options });
    engines.push(engine);
    return { name, caches, asking: (contextFacts) => targetOf(engine, contextFacts) };
  };
  const sides = [
    side("decision cache", primary, true, { changes: primary.changes }),
    side("no decision cache", primary, false, { limits: { ...defaultLimits, decisionCacheEntriesMax: 0 } }),
    side("evaluator", primary, false, { strategy: "evaluator", changes: primary.changes }),
    side("closures abandoned", tight, true, {}),
    side("no closures, a small decision cache", walking, true, {
      limits: { ...walking.limits, decisionCacheEntriesMax: 8 },
      changes: walking.changes,
    }),
  ];
  return {
    primary,
    edges,
    sides,
    write: (request) => writeAll(primary, log, edges, request),
    undo: (request) => undoAll(primary, log, edges, request),
    setClock: (to) => void (now = to),
    [Symbol.dispose]() {
      for (const engine of engines) engine.close();
      for (const { store } of [primary, ...edges]) store.close();
      rmSync(folder, { recursive: true });
    },
  };
}

function openDatabase(folder: string, name: string, limits: Limits): NodeDatabase {
  const store = openStore(join(folder, `${name}.db`), { synchronous: "NORMAL" });
  createState(store, "test", epoch);
  // As on the connection that writes a node's file.
  store.enableWriterCache();
  return { name, store, limits, changes: newSequenceLock() };
}

const oneEvent = { eventsMax: 1, bytesMax: 1 };

const appendApproved = ({ store, limits }: NodeDatabase, log: Log, request: WriteRequest): Appended =>
  append(store, log, request, approved(store, request, untraced, limits), limits);

function writeAll(primary: NodeDatabase, log: Log, edges: readonly NodeDatabase[], request: WriteRequest): WriteResult {
  const { offset } = readState(primary.store);
  const { result } = whileWriting(primary.changes, () =>
    primary.store.transaction(() => appendApproved(primary, log, request), "immediate"),
  );
  const rows = log.read(offset, oneEvent);
  const { hash, digest } = readState(primary.store);
  for (const { name, store, limits, changes } of edges) {
    const { state } = whileWriting(changes, () =>
      store.transaction(() => {
        const request = { epoch, rows, hash, digest };
        const applied = applyEvents(store, openLog(store), request, limits);
        completeReplay(store, request, applied);
        return applied;
      }, "immediate"),
    );
    if (state.digest !== digest) throw new Error(`${name} diverges from the primary`);
  }
  for (const { name, store, limits } of [primary, ...edges]) {
    const damage = findClosureDamage(store, limits);
    if (damage !== undefined) throw new Error(`${name}: ${damage}`);
  }
  return result;
}

function undoAll(primary: NodeDatabase, log: Log, edges: readonly NodeDatabase[], request: WriteRequest): void {
  const { offset } = readState(primary.store);
  const rows = undoing(primary, () => {
    appendApproved(primary, log, request);
    return log.read(offset, oneEvent);
  });
  for (const edge of edges)
    undoing(edge, () => {
      for (const row of rows) applyEvent(edge.store, { ...row, effect: JSON.parse(row.body) }, edge.limits);
    });
}

/** As if the disk were full at the commit. */
function undoing<T>({ store, changes }: NodeDatabase, body: () => T): T {
  const full = new Error("the disk is full");
  let made: { readonly value: T } | undefined;
  try {
    whileWriting(changes, () =>
      store.transaction(() => {
        made = { value: body() };
        throw full;
      }, "immediate"),
    );
  } catch (error) {
    if (error !== full || made === undefined) throw error;
    return made.value;
  }
  throw full;
}

const untraced = { traceparent: null };
