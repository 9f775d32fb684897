/**
 * The fixed tables of a store. Typed queries use them, and `scripts/migration` compares them with the last migration and
 * writes the next one. Fact tables and closure tables are not here: they follow the active policy (`facts/`). Drizzle
 * cannot express that all tables are STRICT, and which ones are WITHOUT ROWID; the migrations say so.
 */
import { sql } from "drizzle-orm";
import { check, index, integer, primaryKey, sqliteTable, text, unique } from "drizzle-orm/sqlite-core";

/** One row: the position of this store in its history, and what the events up to there have led to. */
export const state = sqliteTable(
  "state",
  {
    one: integer().primaryKey(),
    environment: text().notNull(),
    epoch: text().notNull(),
    /** Of the last event that the store contains; 0 before the first one. */
    offset: integer().notNull(),
    hash: text().notNull(),
    timeMs: integer("time_ms").notNull(),
    /** Set hash of the whole state. */
    digest: text().notNull(),
    /** 0 while no policy is active. */
    policyId: integer("policy_id").notNull(),
    /** Changes when queries have to be planned again: for another policy, and when a closure table comes or goes. */
    planStamp: integer("plan_stamp").notNull().default(0),
    /** Counts changes. */
    version: integer().notNull().default(0),
    /** Changes when the statistics change, except for row counts. */
    degreeStamp: integer("degree_stamp").notNull().default(0),
    term: integer().notNull().default(0),
  },
  ({ one }) => [check("state_one", sql`${one} = 1`)],
);

/** The log: one event a row, offsets without gaps. */
export const log = sqliteTable("log", {
  offset: integer().primaryKey(),
  timeMs: integer("time_ms").notNull(),
  kind: text().notNull(),
  body: text().notNull(),
  traceparent: text(),
  /** The chain hash of this row and all rows before it. */
  hash: text().notNull(),
  /** The state's digest after the event; null in rows that a version before format 5 wrote. So is `total`. */
  digest: text(),
  /** Bytes of all bodies up to this one, this one included. */
  total: integer(),
});

/** All epochs of this history. An epoch begins behind `offset`, where the epoch before ended with chain hash `hash`. */
export const epoch = sqliteTable("epoch", {
  term: integer().primaryKey(),
  epoch: text().notNull().unique(),
  offset: integer().notNull(),
  hash: text().notNull(),
  timeMs: integer("time_ms").notNull(),
});

/** The versions of the policy, the active one and older ones; `source` ends with a trailer (`policy/stored-policy.ts`). */
export const policy = sqliteTable("policy", {
  id: integer().primaryKey(),
  source: text().notNull(),
  filename: text(),
  timeMs: integer("time_ms").notNull(),
});

export const apiKey = sqliteTable("api_key", {
  id: text().primaryKey(),
  name: text().notNull(),
  role: text({ enum: ["admin", "write", "read"] }).notNull(),
  hash: text().notNull(),
  timeMs: integer("time_ms").notNull(),
});

/** Settings that belong to this node and never leave it, such as the hash of the node key. */
export const node = sqliteTable("node", { key: text().primaryKey(), value: text().notNull() });

/** Idempotency records: a client that sends a write again gets the first result, and nothing is written twice. */
export const answered = sqliteTable(
  "answered",
  {
    request: text().primaryKey(),
    offset: integer().notNull(),
    inserted: integer().notNull(),
    deleted: integer().notNull(),
  },
  ({ offset }) => [index("answered_offset").on(offset)],
);

/** For point-in-time recovery: the facts (symbols, as JSON) that an event `clear` deleted, while the log has it. */
export const cleared = sqliteTable(
  "cleared",
  {
    offset: integer().notNull(),
    relation: integer().notNull(),
    ids: text().notNull(),
  },
  ({ offset }) => [index("cleared_offset").on(offset)],
);

export const type = sqliteTable("type", { id: integer().primaryKey(), name: text().notNull().unique() });

/** Symbols: interned values. The upper bits of an id are its type (`facts/symbols.ts`). */
export const symbol = sqliteTable(
  "symbol",
  {
    id: integer().primaryKey(),
    type: integer().notNull(),
    value: text().notNull(),
  },
  (columns) => [unique().on(columns.type, columns.value)],
);

/** Predicates and their tables (`fact_<id>`, columns a1 to a<arity>). `version` is the state's at the last change. */
export const relation = sqliteTable(
  "relation",
  {
    id: integer().primaryKey(),
    predicate: text().notNull(),
    arity: integer().notNull(),
    version: integer().notNull().default(0),
  },
  ({ predicate, arity }) => [unique().on(predicate, arity)],
);

/** Closures and their tables (`closure_<id>`, columns a1 and a2). `kept` is 0 for one with too many rows: it is empty. */
export const closure = sqliteTable("closure", {
  id: integer().primaryKey(),
  name: text().notNull().unique(),
  rows: integer().notNull(),
  kept: integer().notNull(),
});

/**
 * Statistics (`statistics/`): the most rows of a table that share values in a set of columns, for each kind of row.
 * Without columns, kind `rows` is the number of rows, and kind `bound` a mostly larger number that seldom changes.
 */
export const degree = sqliteTable(
  "degree",
  {
    tableName: text("table_name").notNull(),
    columns: text().notNull(),
    kinds: text().notNull(),
    most: integer().notNull(),
  },
  ({ tableName, columns, kinds }) => [primaryKey({ columns: [tableName, columns, kinds] })],
);

/** The shape of the statistics of a table: the orders of its columns, and by column the distinguished symbols; JSON. */
export const degreeShape = sqliteTable("degree_shape", {
  tableName: text("table_name").primaryKey(),
  orders: text().notNull(),
  apart: text().notNull(),
});

/**
 * The audit log (`log/audit-log.ts`). It is no part of the digest, and no event changes it. `seq` is local: it counts
 * the entries as they arrived on this node.
 */
export const audit = sqliteTable(
  "audit",
  {
    seq: integer().primaryKey(),
    id: text().notNull().unique(),
    timeMs: integer("time_ms").notNull(),
    actorId: text("actor_id"),
    actorName: text("actor_name"),
    action: text().notNull(),
    result: text().notNull(),
    /** The event of this log that the action has made; null if it made none, or if that is not in this log. */
    offset: integer(),
    /** 0 for an entry that the primary may not have yet. */
    received: integer().notNull(),
    /** The whole entry, as JSON. */
    entry: text().notNull(),
  },
  ({ timeMs, id, offset, result }) => [
    index("audit_time").on(timeMs, id),
    index("audit_offset").on(offset),
    index("audit_result").on(result),
  ],
);
