/**
 * The file of the decision log: an SQLite database of its own, so that neither its size nor its damage matters to the
 * data of the node. A row has integers and short texts: names that repeat are numbers of a table. The row id is the time
 * order and there are no further indexes, which would take as much space as the rows; a search reads the rows of a time
 * in slices.
 */
import { randomBytes } from "node:crypto";
import { renameSync, rmSync } from "node:fs";
import { SqliteDatabase, type SqlRow, type SqlStatement, type SqlValue } from "../runtime/sqlite.ts";
import type { Fact } from "../store/facts/fact.ts";
import { databaseFiles } from "../store/snapshot/snapshot.ts";
import { must } from "../util/assert.ts";
import { isDamage } from "../util/storage-failure.ts";
import { type DecodedDecision, decisionKinds, type LoggedKind } from "./decision-entry.ts";
import { type LoggedValue, questionParts } from "./decision-question.ts";
import { hex, questionBit, redactedFields, type Redaction } from "./redaction.ts";

/** Conditions on decisions; all of them have to hold. */
export interface DecisionFilter {
  readonly kind?: LoggedKind | undefined;
  readonly result?: "allow" | "deny" | undefined;
  readonly actorType?: string | undefined;
  readonly actorId?: string | undefined;
  readonly action?: string | undefined;
  readonly resourceType?: string | undefined;
  readonly resourceId?: string | undefined;
  readonly keyId?: string | undefined;
  readonly requestId?: string | undefined;
  readonly traceId?: string | undefined;
  readonly policyId?: number | undefined;
  readonly sinceMs?: number | undefined;
  readonly untilMs?: number | undefined;
}

export interface PageOptions {
  /** Continue behind this decision. */
  readonly after?: number | undefined;
  readonly order: "oldest" | "newest";
  readonly limit: number;
  readonly bytesMax: number;
  /** Rows in front of this time are expired. */
  readonly oldestMs: number;
}

/** A decision as the API has it. */
export interface LoggedDecision {
  readonly id: string;
  readonly time: string;
  readonly kind: LoggedKind;
  readonly result: "allow" | "deny" | null;
  readonly count: number | null;
  readonly digest: string | null;
  readonly actor: LoggedValue | null;
  readonly action: string | null;
  readonly resource: LoggedValue | null;
  readonly context_facts: readonly Fact[];
  readonly question: Readonly<Record<string, unknown>> | null;
  readonly clock: number;
  readonly epoch: string;
  readonly offset: number;
  readonly policy: number | null;
  readonly cached: boolean;
  readonly duration_us: number;
  readonly key: string | null;
  readonly request_id: string | null;
  readonly trace_id: string | null;
  readonly redacted: readonly string[];
  readonly dropped_before: number;
}

/** The results of expectations, in the order of lists. A report is pending as long as this node has no decision. */
export const parityResults = ["mismatch", "pending", "match"] as const;

export type ParityResult = (typeof parityResults)[number];

/** What an application expected of a decision (`POST /api/expect`). */
export interface Expectation {
  readonly keyId: string;
  readonly requestId: string;
  readonly expected: boolean;
  /** Null while the decision is unknown. */
  readonly allowed: boolean | null;
  readonly timeMs: number;
}

export interface ParityReport {
  readonly result: ParityResult;
  readonly expected: boolean;
  readonly allowed: boolean | null;
  readonly requestId: string;
  readonly keyId: string;
  readonly timeMs: number;
  /** Undefined if the log does not have the decision. */
  readonly decision: LoggedDecision | undefined;
}

/** The place of a report in the whole list, for pages. */
export interface ParityPosition {
  readonly result: ParityResult;
  readonly sequence: number;
}

export type ParityCounts = Readonly<Record<ParityResult, number>>;

export interface DecisionPage {
  readonly decisions: readonly LoggedDecision[];
  /** The number of the last decision that was examined: the next page begins behind it. */
  readonly last: number | undefined;
  /** Whether there may be more. */
  readonly hasMore: boolean;
}

const format = 1;

const schema = `
  CREATE TABLE log (format INTEGER NOT NULL, name TEXT NOT NULL, exported INTEGER NOT NULL) STRICT;
  CREATE TABLE name (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;
  CREATE TABLE batch (last_id INTEGER PRIMARY KEY, min_ms INTEGER NOT NULL, max_ms INTEGER NOT NULL) STRICT;
  CREATE TABLE decision (
    id INTEGER PRIMARY KEY, time_ms INTEGER NOT NULL, kind INTEGER NOT NULL, result INTEGER NOT NULL, digest BLOB,
    actor_type ANY, actor_id ANY, action ANY, resource_type ANY, resource_id ANY, context TEXT, rest TEXT,
    clock INTEGER NOT NULL, duration_us INTEGER NOT NULL, is_cached INTEGER NOT NULL,
    epoch ANY NOT NULL, offset INTEGER NOT NULL, policy_id INTEGER NOT NULL,
    key_id ANY, request_id ANY, trace_id BLOB, redacted INTEGER, dropped INTEGER
  ) STRICT;
  CREATE TABLE expectation (
    key_id TEXT NOT NULL, request_id ANY NOT NULL, expected INTEGER NOT NULL, allowed INTEGER, time_ms INTEGER NOT NULL,
    decision_id INTEGER, result INTEGER NOT NULL, sequence INTEGER NOT NULL, PRIMARY KEY (key_id, request_id)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX expectation_order ON expectation (result, sequence);
  CREATE INDEX expectation_decision ON expectation (decision_id);`;

/** The columns that most decisions have, and the others. */
const usualColumns =
  "id, time_ms, kind, result, actor_type, actor_id, action, resource_type, resource_id, clock, duration_us, is_cached, epoch, offset, policy_id, key_id, request_id";
const columns = `${usualColumns}, digest, context, rest, trace_id, redacted, dropped`;

/** Columns with the number of a name, or the name itself. */
const nameColumns: ReadonlySet<string> = new Set(["actor_type", "action", "resource_type", "epoch", "key_id"]);

function insertSql(names: string): string {
  const places = names.split(", ").map((name, index) => {
    const place = `?${index + 1}`;
    // A driver may bind each number as a real one, which takes eight bytes in a column of any type.
    return nameColumns.has(name) ? `iif(typeof(${place}) = 'real', CAST(${place} AS INTEGER), ${place})` : place;
  });
  return `INSERT INTO decision (${names}) VALUES (${places.join(", ")})`;
}

/** Rows of one entry in `batch`, at least. Retention by age removes whole batches. */
const batchRows = 256;
/** Rows that a read examines between two looks at the clock. */
const sliceRows = 20_000;
/** How long one read may take, so that the buffer of new decisions does not fill meanwhile. */
const readMsMax = 100;
/** Rows that are deleted in one transaction. */
const deletedRows = 5000;
/** So much of the log is removed beyond its excess, so that it is not full again at once. */
const removedShare = 0.1;
/** Names beyond these, and long ones, are stored in the rows. */
const namesMax = 10_000;
const nameLengthMax = 64;

export class DecisionStore {
  readonly name: string;
  readonly #database: SqliteDatabase;
  readonly #redaction: Redaction;
  readonly #insert: SqlStatement;
  readonly #insertUsual: SqlStatement;
  readonly #names = new Map<string, number>();
  readonly #texts = new Map<number, string>();
  readonly #statements = new Map<string, SqlStatement>();
  #lastId: number;
  /** Of the last expectation. */
  #sequence: number;
  #batch: { rows: number; minMs: number; maxMs: number } | undefined;
  /** Names that the open transaction added: a rollback forgets them. */
  #newNames: string[] = [];

  /** Opens the file, or creates it. A damaged one is kept beside it under the name `….damaged`, and replaced. */
  static open(path: string, redaction: Redaction, onDamage: (error: unknown) => void): DecisionStore {
    try {
      return new DecisionStore(path, redaction);
    } catch (error) {
      if (!isDamage(error)) throw error;
      onDamage(error);
      quarantine(path);
      return new DecisionStore(path, redaction);
    }
  }

  private constructor(path: string, redaction: Redaction) {
    this.#redaction = redaction;
    const database = new SqliteDatabase(path, { create: true });
    this.#database = database;
    try {
      database.exec("PRAGMA busy_timeout = 5000");
      database.exec("PRAGMA trusted_schema = OFF");
      // Before the first table, or it has no effect.
      database.exec("PRAGMA auto_vacuum = INCREMENTAL");
      database.exec("PRAGMA journal_mode = WAL");
      // A crash of the process loses nothing that was written; a power cut may lose the last moments.
      database.exec("PRAGMA synchronous = NORMAL");
      // Deleted decisions may be personal data: their bytes are overwritten.
      database.exec("PRAGMA secure_delete = ON");
      database.exec("PRAGMA journal_size_limit = 8388608");
      if (Number(database.prepare("PRAGMA user_version").values()[0]?.[0]) === 0)
        database.transaction(() => {
          database.exec(schema);
          database.prepare("INSERT INTO log VALUES (?1, ?2, 0)").run(format, randomBytes(4).toString("hex"));
          database.exec(`PRAGMA user_version = ${format}`);
        }, "immediate");
      this.name = String(must(database.prepare("SELECT name FROM log").values()[0], "the log has a name")[0]);
      for (const [id, text] of database.prepare("SELECT id, text FROM name").values())
        this.#addName(textOfSql(String(text)), Number(id));
      // Numbers of deleted decisions are not used again: a batch stays until a later one is there.
      const [last] = database
        .prepare(
          "SELECT max(coalesce((SELECT max(id) FROM decision), 0), coalesce((SELECT max(last_id) FROM batch), 0))",
        )
        .values();
      this.#lastId = Number(last?.[0]);
      const [newest] = database.prepare("SELECT coalesce(max(sequence), 0) FROM expectation").values();
      this.#sequence = Number(newest?.[0]);
      this.#insert = database.prepare(insertSql(columns));
      this.#insertUsual = database.prepare(insertSql(usualColumns));
    } catch (error) {
      database.close();
      throw error;
    }
  }

  /** The number of the last decision that was counted, be it written or dropped. */
  get lastId(): number {
    return this.#lastId;
  }

  /** The path of the file. */
  get path(): string {
    return this.#database.path;
  }

  /**
   * Writes decisions in one transaction, after `dropped` others that are only counted: they take numbers too. Returns
   * how many were written. Throws the error of the disk; then nothing was written.
   */
  append(decisions: Iterable<DecodedDecision>, dropped: number, expectations: readonly Expectation[] = []): number {
    const [lastId, batch] = [this.#lastId, this.#batch];
    this.#newNames = [];
    try {
      return this.#database.transaction(() => {
        const written = this.#append(decisions, dropped);
        for (const expectation of expectations) this.#expect(expectation);
        return written;
      }, "immediate");
    } catch (error) {
      this.#lastId = lastId;
      this.#batch = batch;
      for (const name of this.#newNames) {
        this.#texts.delete(must(this.#names.get(name)));
        this.#names.delete(name);
      }
      throw error;
    }
  }

  #append(decisions: Iterable<DecodedDecision>, dropped: number): number {
    let [rows, before] = [0, dropped];
    let [minMs, maxMs] = [Number.POSITIVE_INFINITY, 0];
    for (const decision of decisions) {
      this.#lastId += before + 1;
      this.#insertRow(this.#lastId, decision, before);
      before = 0;
      rows += 1;
      minMs = Math.min(minMs, decision.timeMs);
      maxMs = Math.max(maxMs, decision.timeMs);
    }
    if (rows === 0) return 0;
    const open = this.#batch;
    const joins = open !== undefined && open.rows < batchRows;
    const batch = joins
      ? { rows: open.rows + rows, minMs: Math.min(open.minMs, minMs), maxMs: Math.max(open.maxMs, maxMs) }
      : { rows, minMs, maxMs };
    if (joins) this.#statement("DELETE FROM batch WHERE last_id = (SELECT max(last_id) FROM batch)").run();
    this.#statement("INSERT OR REPLACE INTO batch VALUES (?1, ?2, ?3)").run(this.#lastId, batch.minMs, batch.maxMs);
    this.#batch = batch;
    return rows;
  }

  #insertRow(id: number, decision: DecodedDecision, dropped: number): void {
    const { kind, question, isBody, version, result, timeMs } = decision;
    const { parts, redacted } = this.#redaction.redact(questionParts(question, isBody));
    const { actor, action, resource, contextFacts, rest } = parts;
    const omitted = this.#redaction;
    const request = omitted.omits("request")
      ? null
      : omitted.hashes("request")
        ? omitted.hashOf(decision.requestId)
        : requestToSql(decision.requestId);
    const bits =
      redacted |
      (rest !== undefined && "omitted" in rest ? questionBit : 0) |
      (omitted.omits("request") || omitted.hashes("request") ? 8 : 0) |
      (omitted.omits("trace") ? 16 : 0) |
      (omitted.omits("key") ? 32 : 0);
    const usual: SqlValue[] = [
      id,
      timeMs,
      decisionKinds.indexOf(kind),
      result === undefined ? Number(decision.allowed) : result.count,
      this.#nameToSql(actor?.type),
      idToSql(actor),
      this.#nameToSql(action),
      this.#nameToSql(resource?.type),
      idToSql(resource),
      version.clock - Math.floor(timeMs / 1000),
      decision.durationUs,
      Number(version.isCached),
      this.#nameToSql(version.epoch),
      version.offset,
      version.policyId,
      omitted.omits("key") ? null : this.#nameToSql(decision.keyId),
      request,
    ];
    const rare: SqlValue[] = [
      result === undefined ? null : result.digest,
      contextFacts.length === 0 ? null : JSON.stringify(contextFacts),
      rest === undefined ? null : JSON.stringify(rest),
      decision.traceId === null || omitted.omits("trace") ? null : Buffer.from(decision.traceId, "hex"),
      bits === 0 ? null : bits,
      dropped === 0 ? null : dropped,
    ];
    // Binding the parameters is a large part of the time.
    if (rare.every((value) => value === null)) this.#insertUsual.run(...usual);
    else this.#insert.run(...usual, ...rare);
  }

  #expect({ keyId, requestId, expected, allowed, timeMs }: Expectation): void {
    const isHidden = this.#redaction.omits("request") || this.#redaction.hashes("request");
    const request = isHidden ? this.#redaction.hashOf(requestId) : requestToSql(requestId);
    const decision = allowed === null ? null : this.#recentDecision(keyId, request);
    // A repeated expectation replaces the earlier one; a decision that was known stays.
    this.#statement(
      `INSERT INTO expectation VALUES (?1, ?2, ?3, ?4, ?5, ?6, ${resultSql("?3", "?4")},
         ?7)
       ON CONFLICT DO UPDATE SET expected = ?3, allowed = coalesce(?4, allowed), time_ms = ?5,
         decision_id = coalesce(?6, decision_id), result = ${resultSql("?3", "coalesce(?4, allowed)")},
         sequence = excluded.sequence`,
    ).run(
      keyId,
      request,
      Number(expected),
      allowed === null ? null : Number(allowed),
      timeMs,
      decision,
      ++this.#sequence,
    );
  }

  /** The decision that an expectation is about: mostly one of the last ones. Null if it was dropped. */
  #recentDecision(keyId: string, request: SqlValue): number | null {
    const sql = `SELECT id FROM decision WHERE id > ?1 AND kind = 0 AND request_id IS ?2 AND key_id IS ?3
      ORDER BY id DESC LIMIT 1`;
    const [key, shown] = [this.#redaction.omits("key"), this.#redaction.omits("request")];
    const values = [shown ? null : request, key ? null : (this.#names.get(keyId) ?? keyId)];
    return this.#number(sql, this.#lastId - recentDecisionsMax, ...values) ?? null;
  }

  /** The numbers of reports: those of one API key, or of all. */
  parityCounts(keyId: string | undefined): ParityCounts {
    const counts = { mismatch: 0, pending: 0, match: 0 };
    const sql = "SELECT result, count(*) FROM expectation WHERE ?1 IS NULL OR key_id = ?1 GROUP BY result";
    for (const [result, count] of this.#statement(sql).values(keyId ?? null))
      counts[must(parityResults[Number(result)])] = Number(count);
    return counts;
  }

  /** Reports after a position, in the order of `parityResults`, the latest ones of each result first. */
  parityReports(
    keyId: string | undefined,
    after: ParityPosition | undefined,
    { limit, bytesMax, oldestMs }: Pick<PageOptions, "limit" | "bytesMax" | "oldestMs">,
  ): { readonly reports: readonly ParityReport[]; readonly next: ParityPosition | undefined } {
    const reports: ParityReport[] = [];
    let bytes = 0;
    let last: ParityPosition | undefined;
    for (const [number, result] of parityResults.entries()) {
      const from = after === undefined ? 0 : parityResults.indexOf(after.result);
      if (number < from) continue;
      const before = after !== undefined && number === from ? after.sequence : Number.MAX_SAFE_INTEGER;
      const sql = `SELECT key_id, request_id, expected, allowed, time_ms, decision_id, sequence FROM expectation
        WHERE result = ?1 AND sequence < ?2 AND (?3 IS NULL OR key_id = ?3) AND time_ms >= ?5
        ORDER BY sequence DESC LIMIT ?4`;
      const wanted = limit + 1 - reports.length;
      for (const row of this.#statement(sql).values(number, before, keyId ?? null, wanted, oldestMs)) {
        const [key, request, expected, allowed, timeMs, decisionId] = row;
        const decision = typeof decisionId === "number" ? this.find(decisionId, oldestMs) : undefined;
        if (reports.length === limit || bytes > bytesMax) return { reports, next: last };
        reports.push({
          result,
          expected: expected === 1,
          allowed: typeof allowed === "number" ? allowed === 1 : null,
          requestId: this.#redaction.omits("request") ? "" : (requestOf(request) ?? ""),
          keyId: String(key),
          timeMs: Number(timeMs),
          decision,
        });
        bytes += rowBytes + (decision === undefined ? 0 : JSON.stringify(decision).length);
        last = { result, sequence: Number(row[6]) };
      }
    }
    return { reports, next: undefined };
  }

  /** Removes reports until there are at most so many: of the API key with the most, its matches and oldest ones first. */
  limitReports(max: number): void {
    for (;;) {
      const sql = "SELECT key_id, count(*) FROM expectation GROUP BY key_id ORDER BY count(*) DESC LIMIT 2";
      const [largest, second] = this.#statement(sql).values();
      const excess = (this.#number("SELECT count(*) FROM expectation") ?? 0) - max;
      if (largest === undefined || excess <= 0) return;
      // Down to the number of the next key at most.
      const removed = Math.min(excess, Math.max(1, Number(largest[1]) - Number(second?.[1] ?? 0)));
      const oldest = `SELECT key_id, request_id FROM expectation WHERE key_id = ?1
        ORDER BY CASE result WHEN 2 THEN 0 WHEN 1 THEN 1 ELSE 2 END, sequence LIMIT ?2`;
      this.#statement(`DELETE FROM expectation WHERE (key_id, request_id) IN (${oldest})`).run(
        String(largest[0]),
        removed,
      );
    }
  }

  /** A page of the decisions that match, as far as one read comes in its time. */
  read(filter: DecisionFilter, { after, order, limit, bytesMax, oldestMs }: PageOptions): DecisionPage {
    const conditions = this.#conditions(filter, oldestMs);
    if (conditions === undefined) return { decisions: [], last: undefined, hasMore: false };
    const isForward = order === "oldest";
    const bounds = this.#idsBetween(Math.max(filter.sinceMs ?? 0, oldestMs), filter.untilMs);
    if (bounds === undefined) return { decisions: [], last: undefined, hasMore: false };
    const [first, end] = [
      isForward && after !== undefined ? Math.max(bounds.first, after + 1) : bounds.first,
      !isForward && after !== undefined ? Math.min(bounds.last, after - 1) : bounds.last,
    ];
    const sql = `SELECT ${columns} FROM decision WHERE id BETWEEN ?1 AND ?2 AND ${conditions.sql}
      ORDER BY id ${isForward ? "" : "DESC"} LIMIT ?3`;
    const decisions: LoggedDecision[] = [];
    const endMs = performance.now() + readMsMax;
    let bytes = 0;
    let [low, high] = [first, end];
    while (low <= high && performance.now() <= endMs) {
      // A gap of dropped decisions can be large.
      const next = isForward
        ? this.#number("SELECT min(id) FROM decision WHERE id >= ?1", low)
        : this.#number("SELECT max(id) FROM decision WHERE id <= ?1", high);
      if (next === undefined || next < low || next > high) break;
      const [from, to] = isForward
        ? [next, Math.min(high, next + sliceRows - 1)]
        : [Math.max(low, next - sliceRows + 1), next];
      const wanted = limit - decisions.length;
      for (const row of this.#statement(sql).values(from, to, wanted, ...conditions.values)) {
        const decision = this.#decisionOf(row);
        decisions.push(decision);
        bytes += rowBytes + textLength(row[18]) + textLength(row[19]);
        if (decisions.length === limit || bytes >= bytesMax)
          return { decisions, last: Number(row[0]), hasMore: Number(row[0]) !== (isForward ? high : low) };
      }
      if (isForward) low = to + 1;
      else high = from - 1;
    }
    const hasMore = low <= high && performance.now() > endMs;
    return { decisions, last: isForward ? (hasMore ? low - 1 : end) : hasMore ? high + 1 : first, hasMore };
  }

  /** The decision with this number; undefined if it was dropped, removed or never made. */
  find(id: number, oldestMs: number): LoggedDecision | undefined {
    const [row] = this.#statement(`SELECT ${columns} FROM decision WHERE id = ?1 AND time_ms >= ?2`).values(
      id,
      oldestMs,
    );
    return row && this.#decisionOf(row);
  }

  /**
   * Removes decisions from before a time, some thousand in one call. Returns whether there are more. Batches of a clock
   * that was ahead do not protect those after them.
   */
  removeBefore(timeMs: number): boolean {
    return this.#database.transaction(() => {
      const old = this.#statement("SELECT last_id FROM batch WHERE min_ms < ?1 ORDER BY last_id LIMIT 16").values(
        timeMs,
      );
      let removed = 0;
      for (const [value] of old) {
        const last = Number(value);
        const before = this.#number("SELECT max(last_id) FROM batch WHERE last_id < ?1", last) ?? 0;
        const rows = "DELETE FROM decision WHERE id > ?1 AND id <= ?2 AND time_ms < ?3";
        removed += this.#statement(rows).run(before, last, timeMs);
        const youngest = "SELECT min(time_ms) FROM decision WHERE id > ?1 AND id <= ?2";
        const minMs = this.#number(youngest, before, last);
        // The last batch stays, for its number.
        if (minMs === undefined && last < this.#lastId)
          this.#statement("DELETE FROM batch WHERE last_id = ?1").run(last);
        else
          this.#statement("UPDATE batch SET min_ms = ?2 WHERE last_id = ?1").run(
            last,
            minMs ?? Number.MAX_SAFE_INTEGER,
          );
        if (removed >= deletedRows) return true;
      }
      this.#statement("DELETE FROM expectation WHERE time_ms < ?1").run(timeMs);
      return old.length === 16;
    }, "immediate");
  }

  /** Removes the oldest decisions if the log is larger than this. Returns whether it still is. */
  removeExcess(bytesMax: number): boolean {
    const bytes = this.bytes;
    if (bytes <= bytesMax) return false;
    const ids = this.#lastId - (this.#number("SELECT min(id) FROM decision") ?? this.#lastId);
    // Not more than needed: a small log may have fewer decisions than one step can remove.
    const excess = Math.ceil(ids * (1 - bytesMax / bytes + removedShare));
    return this.#remove(this.#lastId, Math.min(Math.max(excess, 1), deletedRows)) > 0 && this.bytes > bytesMax;
  }

  /** Gives freed pages back to the file system, some at a time. */
  shrink(): void {
    this.#database.exec("PRAGMA incremental_vacuum(1000)");
  }

  /** The bytes in use, without free pages. */
  get bytes(): number {
    const pragma = (name: string): number => Number(this.#statement(`PRAGMA ${name}`).values()[0]?.[0]);
    return (pragma("page_count") - pragma("freelist_count")) * pragma("page_size");
  }

  /** The number of decisions, and of dropped ones that they record. */
  counts(): { readonly written: number; readonly dropped: number } {
    const [row] = this.#statement("SELECT count(*), coalesce(sum(dropped), 0) FROM decision").values();
    return { written: Number(row?.[0]), dropped: Number(row?.[1]) };
  }

  /** The number of the last decision that was exported. */
  get exportedId(): number {
    return this.#number("SELECT exported FROM log") ?? 0;
  }

  set exportedId(id: number) {
    this.#statement("UPDATE log SET exported = ?1").run(id);
  }

  close(): void {
    this.#database.close();
  }

  #remove(upTo: number, rows: number): number {
    return this.#database.transaction(() => {
      // A flood of decisions must not displace those of parity reports, which have a limit of their own.
      const oldest = `SELECT id FROM decision WHERE id <= ?1
        AND NOT EXISTS (SELECT 1 FROM expectation WHERE decision_id = decision.id) ORDER BY id LIMIT ?2`;
      const removed = this.#statement(`DELETE FROM decision WHERE id IN (${oldest})`).run(upTo, rows);
      const first = this.#number("SELECT min(id) FROM decision") ?? upTo + 1;
      // The last batch stays, for its number.
      this.#statement("DELETE FROM batch WHERE last_id < ?1 AND last_id < (SELECT max(last_id) FROM batch)").run(first);
      return removed;
    }, "immediate");
  }

  /** The numbers that decisions of this time can have. */
  #idsBetween(
    sinceMs: number,
    untilMs: number | undefined,
  ): { readonly first: number; readonly last: number } | undefined {
    const firstBatch = this.#number("SELECT min(last_id) FROM batch WHERE max_ms >= ?1", sinceMs);
    const lastBatch = this.#number(
      "SELECT max(last_id) FROM batch WHERE min_ms <= ?1",
      untilMs ?? Number.MAX_SAFE_INTEGER,
    );
    if (firstBatch === undefined || lastBatch === undefined) return undefined;
    const before = this.#number("SELECT max(last_id) FROM batch WHERE last_id < ?1", firstBatch) ?? 0;
    return { first: before + 1, last: lastBatch };
  }

  /** The conditions as SQL from `?4` on; undefined if no decision can fulfil them. */
  #conditions(filter: DecisionFilter, oldestMs: number): { sql: string; values: SqlValue[] } | undefined {
    const parts: string[] = [];
    const values: SqlValue[] = [];
    const add = (sql: string, value: SqlValue): void => {
      values.push(value);
      parts.push(sql.replace("?", `?${3 + values.length}`));
    };
    const addName = (column: string, text: string | undefined): void => {
      if (text !== undefined) add(`${column} = ?`, this.#names.get(text) ?? textToSql(text));
    };
    const addId = (column: string, field: "actor" | "resource", id: string | undefined): void => {
      if (id !== undefined)
        add(`${column} = ?`, this.#redaction.hashes(field) ? this.#redaction.hashOf(id) : textToSql(id));
    };
    if (oldestMs > 0) add("time_ms >= ?", oldestMs);
    if (filter.sinceMs !== undefined) add("time_ms >= ?", filter.sinceMs);
    if (filter.untilMs !== undefined) add("time_ms < ?", filter.untilMs);
    if (filter.kind !== undefined) add("kind = ?", decisionKinds.indexOf(filter.kind));
    if (filter.result !== undefined) add("kind = 0 AND result = ?", Number(filter.result === "allow"));
    addName("actor_type", filter.actorType);
    addId("actor_id", "actor", filter.actorId);
    addName("action", filter.action);
    addName("resource_type", filter.resourceType);
    addId("resource_id", "resource", filter.resourceId);
    addName("key_id", filter.keyId);
    if (filter.policyId !== undefined) add("policy_id = ?", filter.policyId);
    if (filter.requestId !== undefined)
      add(
        "request_id = ?",
        this.#redaction.hashes("request") ? this.#redaction.hashOf(filter.requestId) : requestToSql(filter.requestId),
      );
    if (filter.traceId !== undefined) add("trace_id = ?", Buffer.from(filter.traceId, "hex"));
    return { sql: parts.length === 0 ? "1" : parts.join(" AND "), values };
  }

  #decisionOf(row: SqlRow): LoggedDecision {
    const [id, timeMs, kindNumber, result, actorType, actorId, action, resourceType, resourceId, ...more] = row;
    const [clock, duration, isCached, epoch, offset, policyId, keyId, request, ...rare] = more;
    const [digest, context, rest, trace, redacted, dropped] = rare;
    const kind = decisionKinds[Number(kindNumber)] ?? "authorize";
    const isDecision = kind === "authorize";
    return {
      id: this.idOf(Number(id)),
      time: new Date(Number(timeMs)).toISOString(),
      kind,
      result: isDecision ? (result === 1 ? "allow" : "deny") : null,
      count: isDecision ? null : Number(result),
      digest: digest instanceof Uint8Array ? hex(digest) : null,
      actor: this.#valueOf(actorType, actorId),
      action: this.#textOf(action),
      resource: this.#valueOf(resourceType, resourceId),
      context_facts: typeof context === "string" ? (JSON.parse(context) as Fact[]) : [],
      question: typeof rest === "string" ? (JSON.parse(rest) as Record<string, unknown>) : null,
      clock: Number(clock) + Math.floor(Number(timeMs) / 1000),
      epoch: must(this.#textOf(epoch)),
      offset: Number(offset),
      policy: policyId === 0 ? null : Number(policyId),
      cached: isCached === 1,
      duration_us: Number(duration),
      key: this.#textOf(keyId),
      request_id: requestOf(request),
      trace_id: trace instanceof Uint8Array ? hex(trace) : null,
      redacted: redactedFields(Number(redacted ?? 0)),
      dropped_before: Number(dropped ?? 0),
    };
  }

  /** The public id of a decision: no other log has it, also if this file is replaced. */
  idOf(id: number): string {
    return `${this.name}-${id}`;
  }

  #valueOf(type: SqlValue | undefined, id: SqlValue | undefined): LoggedValue | null {
    const text = this.#textOf(type);
    if (text === null) return null;
    if (id instanceof Uint8Array) return { type: text, hash: hex(id) };
    return id === null || id === undefined ? { type: text } : { type: text, id: textOfSql(String(id)) };
  }

  #textOf(value: SqlValue | undefined): string | null {
    if (typeof value === "number") return must(this.#texts.get(value), "the log has the name");
    return typeof value === "string" ? textOfSql(value) : null;
  }

  /** The number of a name, which is added if there is room; otherwise the name itself. */
  #nameToSql(text: string | undefined): SqlValue {
    if (text === undefined) return null;
    const known = this.#names.get(text);
    if (known !== undefined) return known;
    if (this.#names.size >= namesMax || text.length > nameLengthMax) return textToSql(text);
    const id = this.#names.size + 1;
    this.#statement("INSERT INTO name VALUES (?1, ?2)").run(id, textToSql(text));
    this.#addName(text, id);
    this.#newNames.push(text);
    return id;
  }

  #addName(text: string, id: number): void {
    this.#names.set(text, id);
    this.#texts.set(id, text);
  }

  #number(sql: string, ...values: SqlValue[]): number | undefined {
    const found = this.#statement(sql).values(...values)[0]?.[0];
    return typeof found === "number" ? found : undefined;
  }

  /** The texts differ only in the conditions of a filter, of which there are few combinations. */
  #statement(sql: string): SqlStatement {
    let prepared = this.#statements.get(sql);
    if (prepared === undefined) {
      if (this.#statements.size >= statementsMax) {
        for (const statement of this.#statements.values()) statement.finalize();
        this.#statements.clear();
      }
      this.#statements.set(sql, (prepared = this.#database.prepare(sql)));
    }
    return prepared;
  }
}

const statementsMax = 100;

/** More than the recent decisions that the serving thread keeps by default. */
const recentDecisionsMax = 20_000;

/** The number of the result in `parityResults`. */
function resultSql(expected: string, allowed: string): string {
  return `CASE WHEN ${allowed} IS NULL THEN 1 WHEN ${allowed} = ${expected} THEN 2 ELSE 0 END`;
}

/** About the JSON of a decision without context facts. */
const rowBytes = 600;

function textLength(value: SqlValue | undefined): number {
  return typeof value === "string" ? value.length : 0;
}

/** Keeps a damaged file for inspection, and removes what belongs to it. */
export function quarantine(path: string): void {
  renameSync(path, `${path}.damaged`);
  for (const file of databaseFiles(path)) rmSync(file, { force: true });
}

function idToSql(value: LoggedValue | undefined): SqlValue {
  if (value?.hash !== undefined) return Buffer.from(value.hash, "hex");
  return value?.id === undefined ? null : textToSql(value.id);
}

/** Not every driver reads a text beyond a NUL: such a text is stored as JSON, with a mark in front of it. */
const jsonMark = "\u0001";

function textToSql(text: string): string {
  return text.includes("\0") || text.startsWith(jsonMark) ? jsonMark + JSON.stringify(text) : text;
}

function textOfSql(stored: string): string {
  return stored.startsWith(jsonMark) ? String(JSON.parse(stored.slice(1))) : stored;
}

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** A UUID takes 16 bytes instead of 36. */
function requestToSql(requestId: string): SqlValue {
  return uuid.test(requestId) ? Buffer.from(requestId.replaceAll("-", ""), "hex") : requestId;
}

/** A hash is shown in the same form as a UUID: `redacted` of the decision says which it is. */
function requestOf(value: SqlValue | undefined): string | null {
  if (value === null || value === undefined) return null;
  if (!(value instanceof Uint8Array)) return String(value);
  return hex(value).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
