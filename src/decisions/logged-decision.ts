/** Logged decisions: how the API shows them, and how they are rows of the decision log. */
import type { SqlRow, SqlStatement, SqlValue } from "../runtime/sqlite.ts";
import type { Fact } from "../store/facts/fact.ts";
import { must } from "../util/assert.ts";
import { type DecodedDecision, decisionKinds, type LoggedKind } from "./decision-entry.ts";
import { type DecisionFile, textOfSql, textToSql } from "./decision-file.ts";
import { type LoggedValue, questionParts } from "./decision-question.ts";
import { hex, questionBit, redactedFields, type Redaction } from "./redaction.ts";

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

export interface PageLimits {
  readonly limit: number;
  readonly bytesMax: number;
  /** Rows in front of this time are expired. */
  readonly oldestMs: number;
}

/** The columns that most decisions have, and the others. */
const usualColumns =
  "id, time_ms, kind, result, actor_type, actor_id, action, resource_type, resource_id, clock, duration_us, is_cached, epoch, offset, policy_id, key_id, request_id";
export const columns = `${usualColumns}, digest, context, rest, trace_id, redacted, dropped`;

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

/** About the JSON of a decision without context facts. */
export const rowBytes = 600;

/** The table of decisions. */
export class DecisionRows {
  readonly #file: DecisionFile;
  readonly #redaction: Redaction;
  readonly #insert: SqlStatement;
  readonly #insertUsual: SqlStatement;

  constructor(file: DecisionFile, redaction: Redaction) {
    this.#file = file;
    this.#redaction = redaction;
    this.#insert = file.prepare(insertSql(columns));
    this.#insertUsual = file.prepare(insertSql(usualColumns));
  }

  /** Writes a row, after `dropped` decisions that were only counted. Needs a transaction. */
  insert(id: number, decision: DecodedDecision, dropped: number): void {
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
      this.#file.addedName(actor?.type),
      idToSql(actor),
      this.#file.addedName(action),
      this.#file.addedName(resource?.type),
      idToSql(resource),
      version.clock - Math.floor(timeMs / 1000),
      decision.durationUs,
      Number(version.isCached),
      this.#file.addedName(version.epoch),
      version.offset,
      version.policyId,
      omitted.omits("key") ? null : this.#file.addedName(decision.keyId),
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

  /** The decision with this number; undefined if it was dropped, removed or never made, or if it is from before a time. */
  find(id: number, oldestMs: number): LoggedDecision | undefined {
    const sql = `SELECT ${columns} FROM decision WHERE id = ?1 AND time_ms >= ?2`;
    const [row] = this.#file.statement(sql).values(id, oldestMs);
    return row && this.decisionOf(row);
  }

  /** `row` has the `columns`. */
  decisionOf(row: SqlRow): LoggedDecision {
    const [id, timeMs, kindNumber, result, actorType, actorId, action, resourceType, resourceId, ...more] = row;
    const [clock, duration, isCached, epoch, offset, policyId, keyId, request, ...rare] = more;
    const [digest, context, rest, trace, redacted, dropped] = rare;
    const kind = decisionKinds[Number(kindNumber)] ?? "authorize";
    const isDecision = kind === "authorize";
    return {
      id: idOf(this.#file, Number(id)),
      time: new Date(Number(timeMs)).toISOString(),
      kind,
      result: isDecision ? (result === 1 ? "allow" : "deny") : null,
      count: isDecision ? null : Number(result),
      digest: digest instanceof Uint8Array ? hex(digest) : null,
      actor: valueOf(this.#file, actorType, actorId),
      action: this.#file.nameOf(action),
      resource: valueOf(this.#file, resourceType, resourceId),
      context_facts: typeof context === "string" ? (JSON.parse(context) as Fact[]) : [],
      question: typeof rest === "string" ? (JSON.parse(rest) as Record<string, unknown>) : null,
      clock: Number(clock) + Math.floor(Number(timeMs) / 1000),
      epoch: must(this.#file.nameOf(epoch)),
      offset: Number(offset),
      policy: policyId === 0 ? null : Number(policyId),
      cached: isCached === 1,
      duration_us: Number(duration),
      key: this.#file.nameOf(keyId),
      request_id: requestOf(request),
      trace_id: trace instanceof Uint8Array ? hex(trace) : null,
      redacted: redactedFields(Number(redacted ?? 0)),
      dropped_before: Number(dropped ?? 0),
    };
  }
}

/** The public id of a decision. */
export function idOf(file: DecisionFile, id: number): string {
  return `${file.name}-${id}`;
}

function valueOf(file: DecisionFile, type: SqlValue | undefined, id: SqlValue | undefined): LoggedValue | null {
  const text = file.nameOf(type);
  if (text === null) return null;
  if (id instanceof Uint8Array) return { type: text, hash: hex(id) };
  return id === null || id === undefined ? { type: text } : { type: text, id: textOfSql(String(id)) };
}

function idToSql(value: LoggedValue | undefined): SqlValue {
  if (value?.hash !== undefined) return Buffer.from(value.hash, "hex");
  return value?.id === undefined ? null : textToSql(value.id);
}

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** A UUID takes 16 bytes instead of 36. */
export function requestToSql(requestId: string): SqlValue {
  return uuid.test(requestId) ? Buffer.from(requestId.replaceAll("-", ""), "hex") : textToSql(requestId);
}

/** A hash is shown in the same form as a UUID: `redacted` of the decision says which it is. */
export function requestOf(value: SqlValue | undefined): string | null {
  if (value === null || value === undefined) return null;
  if (!(value instanceof Uint8Array)) return textOfSql(String(value));
  return hex(value).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
