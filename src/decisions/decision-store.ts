/**
 * The store of logged decisions: it writes them, searches them and removes old ones. Without indexes, a search reads the
 * rows of a time in slices; batches of rows say which times they have.
 */
import type { SqlValue } from "../runtime/sqlite.ts";
import { type DecodedDecision, decisionKinds, type LoggedKind } from "./decision-entry.ts";
import { DecisionFile, quarantine, textToSql } from "./decision-file.ts";
import {
  columns,
  DecisionRows,
  idOf,
  type LoggedDecision,
  type PageLimits,
  requestToSql,
  rowBytes,
} from "./logged-decision.ts";
import { consoleRequestPrefix } from "../util/console-requests.ts";
import { isDamage } from "../util/storage-failure.ts";
import { type Expectation, ParityReports } from "./parity-reports.ts";
import type { Redaction } from "./redaction.ts";

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
  /** Leaves out what the web console asked with this key, or for this person. */
  readonly exceptConsoleOf?: string | undefined;
}

export interface PageOptions extends PageLimits {
  /** Continue behind this decision. */
  readonly after?: number | undefined;
  readonly order: "oldest" | "newest";
}

export interface DecisionPage {
  readonly decisions: readonly LoggedDecision[];
  /** The number of the last decision that was examined: the next page begins behind it. */
  readonly last: number | undefined;
  /** Whether there may be more. */
  readonly hasMore: boolean;
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
export class DecisionStore {
  readonly parity: ParityReports;
  readonly #file: DecisionFile;
  readonly #redaction: Redaction;
  readonly #rows: DecisionRows;
  #lastId: number;
  #batch: { rows: number; minMs: number; maxMs: number } | undefined;

  /** Opens the file, or creates it. A damaged one is kept beside it under the name `….damaged`, and replaced. */
  static open(path: string, redaction: Redaction, onDamage: (error: unknown) => void): DecisionStore {
    try {
      return new DecisionStore(new DecisionFile(path), redaction);
    } catch (error) {
      if (!isDamage(error)) throw error;
      onDamage(error);
      quarantine(path);
      return new DecisionStore(new DecisionFile(path), redaction);
    }
  }

  private constructor(file: DecisionFile, redaction: Redaction) {
    this.#file = file;
    this.#redaction = redaction;
    try {
      this.#rows = new DecisionRows(file, redaction);
      this.parity = new ParityReports(file, this.#rows, redaction);
      // Numbers of deleted decisions are not used again: a batch stays until a later one is there.
      const last = (table: string, column: string) => file.number(`SELECT max(${column}) FROM ${table}`) ?? 0;
      this.#lastId = Math.max(last("decision", "id"), last("batch", "last_id"));
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /** The number of the last decision that was counted, be it written or dropped. */
  get lastId(): number {
    return this.#lastId;
  }

  /** The path of the file. */
  get path(): string {
    return this.#file.path;
  }

  get name(): string {
    return this.#file.name;
  }

  /** The public id of a decision. */
  idOf(id: number): string {
    return idOf(this.#file, id);
  }

  /**
   * Writes decisions in one transaction, after `dropped` others that are only counted: they take numbers too. Returns
   * how many were written. Throws the error of the disk; then nothing was written.
   */
  append(decisions: Iterable<DecodedDecision>, dropped: number, expectations: readonly Expectation[] = []): number {
    const [lastId, batch] = [this.#lastId, this.#batch];
    try {
      return this.#file.transaction(() => {
        const written = this.#append(decisions, dropped);
        for (const expectation of expectations) this.parity.expect(expectation, this.#lastId);
        return written;
      });
    } catch (error) {
      this.#lastId = lastId;
      this.#batch = batch;
      throw error;
    }
  }

  #append(decisions: Iterable<DecodedDecision>, dropped: number): number {
    let [rows, before] = [0, dropped];
    let [minMs, maxMs] = [Number.POSITIVE_INFINITY, 0];
    for (const decision of decisions) {
      this.#lastId += before + 1;
      this.#rows.insert(this.#lastId, decision, before);
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
    if (joins) this.#file.statement("DELETE FROM batch WHERE last_id = (SELECT max(last_id) FROM batch)").run();
    this.#file
      .statement("INSERT OR REPLACE INTO batch VALUES (?1, ?2, ?3)")
      .run(this.#lastId, batch.minMs, batch.maxMs);
    this.#batch = batch;
    return rows;
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
        ? this.#file.number("SELECT min(id) FROM decision WHERE id >= ?1", low)
        : this.#file.number("SELECT max(id) FROM decision WHERE id <= ?1", high);
      if (next === undefined || next < low || next > high) break;
      const [from, to] = isForward
        ? [next, Math.min(high, next + sliceRows - 1)]
        : [Math.max(low, next - sliceRows + 1), next];
      const wanted = limit - decisions.length;
      for (const row of this.#file.statement(sql).values(from, to, wanted, ...conditions.values)) {
        const decision = this.#rows.decisionOf(row);
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
    return this.#rows.find(id, oldestMs);
  }

  /**
   * Removes decisions from before a time, whole batches until there are `rowsMax`, and at most some thousand in one call.
   * Returns how many, and whether there may be more. Batches of a clock that was ahead do not protect those after them.
   */
  removeBefore(timeMs: number, rowsMax: number): { readonly removed: number; readonly hasMore: boolean } {
    return this.#file.transaction(() => {
      const old = this.#file
        .statement("SELECT last_id FROM batch WHERE min_ms < ?1 ORDER BY last_id LIMIT 16")
        .values(timeMs);
      let removed = 0;
      for (const [value] of old) {
        const last = Number(value);
        const before = this.#file.number("SELECT max(last_id) FROM batch WHERE last_id < ?1", last) ?? 0;
        const rows = "DELETE FROM decision WHERE id > ?1 AND id <= ?2 AND time_ms < ?3";
        removed += this.#file.statement(rows).run(before, last, timeMs);
        const youngest = "SELECT min(time_ms) FROM decision WHERE id > ?1 AND id <= ?2";
        const minMs = this.#file.number(youngest, before, last);
        // The last batch stays, for its number.
        if (minMs === undefined && last < this.#lastId)
          this.#file.statement("DELETE FROM batch WHERE last_id = ?1").run(last);
        else
          this.#file
            .statement("UPDATE batch SET min_ms = ?2 WHERE last_id = ?1")
            .run(last, minMs ?? Number.MAX_SAFE_INTEGER);
        if (removed >= Math.min(rowsMax, deletedRows)) return { removed, hasMore: true };
      }
      this.#file.statement("DELETE FROM expectation WHERE time_ms < ?1").run(timeMs);
      return { removed, hasMore: old.length === 16 };
    });
  }

  /** Removes the oldest decisions if the log is larger than this. Returns whether it still is. */
  removeExcess(bytesMax: number): boolean {
    const bytes = this.bytes;
    if (bytes <= bytesMax) return false;
    // Not more than needed: a small log may have fewer decisions than one step can remove.
    const excess = Math.ceil(this.length * (1 - bytesMax / bytes + removedShare));
    return this.#remove(this.#lastId, Math.min(Math.max(excess, 1), deletedRows)) > 0 && this.bytes > bytesMax;
  }

  /** About how many decisions the log has: dropped ones count as well. */
  get length(): number {
    return this.#lastId - (this.#file.number("SELECT min(id) FROM decision") ?? this.#lastId);
  }

  /** Gives freed pages back to the file system, some at a time. */
  shrink(): void {
    this.#file.shrink();
  }

  /** The bytes in use, without free pages. */
  get bytes(): number {
    return this.#file.bytes;
  }

  /** The number of decisions, and of dropped ones that they record. */
  counts(): { readonly written: number; readonly dropped: number } {
    const [row] = this.#file.statement("SELECT count(*), coalesce(sum(dropped), 0) FROM decision").values();
    return { written: Number(row?.[0]), dropped: Number(row?.[1]) };
  }

  /** The number of the last decision that was exported. */
  get exportedId(): number {
    return this.#file.number("SELECT exported FROM log") ?? 0;
  }

  set exportedId(id: number) {
    this.#file.statement("UPDATE log SET exported = ?1").run(id);
  }

  close(): void {
    this.#file.close();
  }

  #remove(upTo: number, rows: number): number {
    return this.#file.transaction(() => {
      // A flood of decisions must not displace those of parity reports, which have a limit of their own.
      const oldest = `SELECT id FROM decision WHERE id <= ?1
        AND NOT EXISTS (SELECT 1 FROM expectation WHERE decision_id = decision.id) ORDER BY id LIMIT ?2`;
      const removed = this.#file.statement(`DELETE FROM decision WHERE id IN (${oldest})`).run(upTo, rows);
      const first = this.#file.number("SELECT min(id) FROM decision") ?? upTo + 1;
      // The last batch stays, for its number.
      this.#file
        .statement("DELETE FROM batch WHERE last_id < ?1 AND last_id < (SELECT max(last_id) FROM batch)")
        .run(first);
      return removed;
    });
  }

  /** The numbers that decisions of this time can have. */
  #idsBetween(
    sinceMs: number,
    untilMs: number | undefined,
  ): { readonly first: number; readonly last: number } | undefined {
    const firstBatch = this.#file.number("SELECT min(last_id) FROM batch WHERE max_ms >= ?1", sinceMs);
    const lastBatch = this.#file.number(
      "SELECT max(last_id) FROM batch WHERE min_ms <= ?1",
      untilMs ?? Number.MAX_SAFE_INTEGER,
    );
    if (firstBatch === undefined || lastBatch === undefined) return undefined;
    const before = this.#file.number("SELECT max(last_id) FROM batch WHERE last_id < ?1", firstBatch) ?? 0;
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
      if (text !== undefined) add(`${column} = ?`, this.#file.knownName(text));
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
    if (filter.exceptConsoleOf !== undefined)
      add(`NOT (key_id IS ? AND ${isOfConsole})`, this.#file.knownName(filter.exceptConsoleOf));
    if (filter.traceId !== undefined) add("trace_id = ?", Buffer.from(filter.traceId, "hex"));
    return { sql: parts.length === 0 ? "1" : parts.join(" AND "), values };
  }
}

/** The pattern is a constant. A UUID, and the hash of an id, are no text. */
const isOfConsole = `typeof(request_id) = 'text' AND request_id GLOB '${consoleRequestPrefix}*'`;

function textLength(value: SqlValue | undefined): number {
  return typeof value === "string" ? value.length : 0;
}
