/**
 * The fixed tables, for typed queries. Their SQL is in `migrations/`. Interned values and fact tables are not here: every question and every
 * fact goes through them, by prepared statements.
 */
import { integer, sqliteTable, text } from "drizzle-orm/sqlite-core";

export const state = sqliteTable("state", {
  one: integer().primaryKey(),
  environment: text().notNull(),
  epoch: text().notNull(),
  offset: integer().notNull(),
  hash: text().notNull(),
  timeMs: integer("time_ms").notNull(),
  digest: text().notNull(),
  policyId: integer("policy_id").notNull(),
  planStamp: integer("plan_stamp").notNull().default(0),
  version: integer().notNull().default(0),
  degreeStamp: integer("degree_stamp").notNull().default(0),
  term: integer().notNull().default(0),
});

export const log = sqliteTable("log", {
  offset: integer().primaryKey(),
  timeMs: integer("time_ms").notNull(),
  kind: text().notNull(),
  body: text().notNull(),
  traceparent: text(),
  hash: text().notNull(),
  digest: text(),
  total: integer(),
});

export const epoch = sqliteTable("epoch", {
  term: integer().primaryKey(),
  epoch: text().notNull(),
  offset: integer().notNull(),
  hash: text().notNull(),
  timeMs: integer("time_ms").notNull(),
});

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

export const node = sqliteTable("node", { key: text().primaryKey(), value: text().notNull() });

export const type = sqliteTable("type", { id: integer().primaryKey(), name: text().notNull() });

export const relation = sqliteTable("relation", {
  id: integer().primaryKey(),
  predicate: text().notNull(),
  arity: integer().notNull(),
  version: integer().notNull().default(0),
});
