/** Parity reports: what applications expected of decisions, beside the decisions in their log. */
import type { SqlValue } from "../runtime/sqlite.ts";
import { must } from "../util/assert.ts";
import type { DecisionFile } from "./decision-file.ts";
import {
  type DecisionRows,
  type LoggedDecision,
  type PageLimits,
  requestOf,
  requestToSql,
  rowBytes,
} from "./logged-decision.ts";
import type { Redaction } from "./redaction.ts";

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
  /** When it was decided; null while the decision is unknown. */
  readonly decidedMs: number | null;
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

export class ParityReports {
  readonly #file: DecisionFile;
  readonly #rows: DecisionRows;
  readonly #redaction: Redaction;
  /** Of the last expectation. */
  #sequence: number;

  constructor(file: DecisionFile, rows: DecisionRows, redaction: Redaction) {
    this.#file = file;
    this.#rows = rows;
    this.#redaction = redaction;
    this.#sequence = file.number("SELECT coalesce(max(sequence), 0) FROM expectation") ?? 0;
  }

  /** Notes an expectation. Needs a transaction, in which the decision of it was written before. */
  expect({ keyId, requestId, expected, allowed, decidedMs, timeMs }: Expectation, lastId: number): void {
    const isHidden = this.#redaction.omits("request") || this.#redaction.hashes("request");
    const request = isHidden ? this.#redaction.hashOf(requestId) : requestToSql(requestId);
    const decision = decidedMs === null ? null : this.#recentDecision(keyId, request, decidedMs, lastId);
    // A repeated expectation replaces the earlier one; a decision that was known stays.
    const sql = `INSERT INTO expectation VALUES (?1, ?2, ?3, ?4, ?5, ?6, ${resultSql("?3", "?4")}, ?7)
      ON CONFLICT DO UPDATE SET expected = ?3, allowed = coalesce(?4, allowed), time_ms = ?5,
        decision_id = iif(?4 IS NULL, decision_id, ?6), result = ${resultSql("?3", "coalesce(?4, allowed)")},
        sequence = excluded.sequence`;
    const values = [Number(expected), allowed === null ? null : Number(allowed), timeMs, decision, ++this.#sequence];
    this.#file.statement(sql).run(keyId, request, ...values);
  }

  /**
   * The decision that an expectation is about: one of the last ones, in a batch that has its time. Null if it was
   * dropped, and if the log does not have what tells it from others, which may be those of another API key.
   */
  #recentDecision(keyId: string, request: SqlValue, decidedMs: number, lastId: number): number | null {
    if (this.#redaction.omits("key") || this.#redaction.omits("request")) return null;
    const sql = `SELECT d.id FROM batch b CROSS JOIN decision d ON d.id <= b.last_id
        AND d.id > (SELECT coalesce(max(last_id), 0) FROM batch WHERE last_id < b.last_id)
      WHERE b.last_id > ?1 AND b.min_ms <= ?2 AND b.max_ms >= ?2
        AND d.kind = 0 AND d.time_ms = ?2 AND d.request_id = ?3 AND d.key_id = ?4
      ORDER BY b.last_id DESC, d.id DESC LIMIT 1`;
    const oldest = lastId - recentDecisionsMax;
    return this.#file.number(sql, oldest, decidedMs, request, this.#file.knownName(keyId)) ?? null;
  }

  /** The numbers of reports: those of one API key, or of all. */
  counts(keyId: string | undefined): ParityCounts {
    const counts = { mismatch: 0, pending: 0, match: 0 };
    const [condition, values] = ofKey(keyId);
    const sql = `SELECT result, count(*) FROM expectation WHERE ${condition} GROUP BY result`;
    for (const [result, count] of this.#file.statement(sql).values(...values))
      counts[must(parityResults[Number(result)])] = Number(count);
    return counts;
  }

  /** Reports after a position, in the order of `parityResults`, the latest ones of each result first. */
  page(
    keyId: string | undefined,
    after: ParityPosition | undefined,
    { limit, bytesMax, oldestMs }: PageLimits,
  ): { readonly reports: readonly ParityReport[]; readonly next: ParityPosition | undefined } {
    const reports: ParityReport[] = [];
    let bytes = 0;
    let last: ParityPosition | undefined;
    for (const [number, result] of parityResults.entries()) {
      const from = after === undefined ? 0 : parityResults.indexOf(after.result);
      if (number < from) continue;
      const before = after !== undefined && number === from ? after.sequence : Number.MAX_SAFE_INTEGER;
      const [condition, values] = ofKey(keyId);
      const sql = `SELECT key_id, request_id, expected, allowed, time_ms, decision_id, sequence FROM expectation
        WHERE ${condition} AND result = ? AND sequence < ? AND time_ms >= ? ORDER BY sequence DESC LIMIT ?`;
      const wanted = limit + 1 - reports.length;
      for (const row of this.#file.statement(sql).values(...values, number, before, oldestMs, wanted)) {
        const [key, request, expected, allowed, timeMs, decisionId] = row;
        const decision = typeof decisionId === "number" ? this.#rows.find(decisionId, oldestMs) : undefined;
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
  limit(max: number): void {
    for (;;) {
      const excess = (this.#file.number("SELECT count(*) FROM expectation") ?? 0) - max;
      if (excess <= 0) return;
      const sql = "SELECT key_id, count(*) FROM expectation GROUP BY key_id ORDER BY count(*) DESC LIMIT 2";
      const [largest, second] = this.#file.statement(sql).values();
      if (largest === undefined) return;
      // Down to the number of the next key at most.
      const removed = Math.min(excess, Math.max(1, Number(largest[1]) - Number(second?.[1] ?? 0)));
      const oldest = `SELECT key_id, request_id FROM expectation WHERE key_id = ?1
        ORDER BY CASE result WHEN 2 THEN 0 WHEN 1 THEN 1 ELSE 2 END, sequence LIMIT ?2`;
      this.#file
        .statement(`DELETE FROM expectation WHERE (key_id, request_id) IN (${oldest})`)
        .run(String(largest[0]), removed);
    }
  }
}

/** More than the recent decisions that the serving thread keeps by default. */
const recentDecisionsMax = 20_000;

/** The condition for the reports of one API key, or of all. */
function ofKey(keyId: string | undefined): [condition: string, values: SqlValue[]] {
  return keyId === undefined ? ["1", []] : ["key_id = ?", [keyId]];
}

/** The number of the result in `parityResults`. */
function resultSql(expected: string, allowed: string): string {
  return `CASE WHEN ${allowed} IS NULL THEN 1 WHEN ${allowed} = ${expected} THEN 2 ELSE 0 END`;
}
