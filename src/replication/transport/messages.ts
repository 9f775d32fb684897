/**
 * The messages between nodes: JSON with short member names. Batches of events travel over the broker, pages of the log
 * over HTTP. Both carry the log's rows as the text that the chain hash covers. Every received message is checked
 * against these schemas. Members that a later version adds are ignored; a message whose meaning has changed has another
 * `v` and is rejected.
 *
 * - `s`: the environment
 * - `e`: the epoch, `n`: its term
 * - `p`: the offset before the first row, `l`: the offset of the last row
 * - `h`: the chain hash after the last row, `d`: the digest there
 * - `t`: the time of sending, for information only
 * - `ev`: the rows
 * - `c`: when each row was committed, for information only (not sent by older versions)
 * - `au`: the entries of the audit log that belong to the rows, as far as they fit (not sent by older versions)
 * - `f`: the first epoch of the history (not sent by older versions)
 * - `from`: the position where the epoch began (offset and hash)
 * - `trim`: the offset of the last event that the log no longer has
 * - `role`: the role of the sender, `node`: its id
 * - `i`: identifies the start of a primary's process. Two primaries with the same `node` and different `i` are
 *   duplicates.
 * - `ack`: whether the sender waits for acknowledgements
 * - `ask`: what the primary wants to know from its replicas (`reports.ts`); older nodes ignore it
 * - `q`: the sequence number of a head. A primary increases it with each head of an epoch, and sends the last one over
 *   HTTP. So heads are ordered by `n` and `q`, and a head that a broker repeats is recognized as old. Older primaries
 *   send none.
 * - `a`: for how many ms a sender that is not the primary has not been known to be up to date; null if it does not know
 * - `led`: the last epoch in which the node was the primary
 * - `candidacy`: the current attempt of the node to become the primary
 * - `promised`: the greatest term that the node has promised to a candidate
 * - `pledgedTo`: the candidate that has the node's vote and is not promoted yet
 * - `leased`: whether the primary acts under a lease
 * - `handsOverTo`: the candidate for which the primary has stopped its writes
 */
import { z } from "zod";
import type { EpochId } from "../../store/log/epochs.ts";
import { auditEntrySchema } from "../../store/log/audit-entry.ts";
import type { LogRow } from "../../store/log/log.ts";
import { describeProblem, listOf } from "../../util/bounded-schema.ts";
import { questionsSchema } from "./reports.ts";

const count = z.number().int().nonnegative();
const [offset, timeMs, term] = [count, count, count];
const timeMsPrecise = z.number().nonnegative();
const hash = z.string().regex(/^[0-9a-f]{16}$/);
const traceparent = z.string().max(64).nullable();
const common = { v: z.literal(1), s: z.string().min(1), e: hash, t: timeMs };

/** A body that is too large for the broker. The receiver fetches the row over HTTP. */
const bodyReference = z.object({ ref: z.string().regex(/^[0-9a-f]{64}$/), size: z.number().int().positive() }).strict();
const completeRow = z.tuple([offset, timeMs, z.string(), z.string(), traceparent]);
const publishedRow = z.tuple([offset, timeMs, z.string(), z.union([z.string(), bodyReference]), traceparent]);

const digest = hash.nullable();
const committed = listOf(timeMsPrecise.nullable(), {}).optional();
/** Entries that are not understood must not keep a replica from applying the events. */
const audit = listOf(auditEntrySchema, {}).optional().catch(undefined);
const batchSchema = z.object({
  ...common,
  n: term,
  p: offset,
  l: offset,
  h: hash,
  d: digest,
  ev: listOf(publishedRow, { min: 1 }),
  c: committed,
  au: audit,
});
const headSchema = z.object({
  ...common,
  n: term,
  l: offset,
  h: hash,
  d: hash,
  trim: offset,
  f: hash.optional(),
  from: z.tuple([offset, hash]),
  role: z.enum(["primary", "edge", "fallback"]),
  ack: z.boolean(),
  q: count.optional(),
  a: timeMsPrecise.nullable().optional(),
  node: z.string().optional(),
  i: hash.optional(),
  ask: questionsSchema.optional().catch(undefined),
});
/** `e` is the epoch after the last row; one of the rows may begin it. */
const pageSchema = z.object({
  e: hash,
  p: offset,
  l: offset,
  h: hash,
  d: digest,
  ev: listOf(completeRow, {}),
  c: committed,
  au: audit,
  head: headSchema,
});
/** All epochs of a node's history, oldest first. */
const epochs = listOf(z.object({ epoch: hash, term, offset, hash, timeMs }), {});
const nodeHeadSchema = headSchema.extend({
  epochs,
  led: z.string().optional(),
  candidacy: z.string().optional(),
  promised: term.optional(),
  pledgedTo: z.string().optional(),
  handsOverTo: z.string().optional(),
  leased: z.boolean().optional(),
});
/** Why a node does not send the page after a position. Its history shows who is ahead, and where the two diverge. */
const refusalSchema = z.object({
  code: z.enum(["epoch", "diverged", "ahead", "trimmed"]),
  message: z.string(),
  head: headSchema,
  epochs,
});
/** What a node publishes about itself. Older edges send no hash, and the last status has only the state `GONE`. */
const statusSchema = z.object({
  v: z.literal(1),
  epoch: hash.nullable().default(null),
  offset: offset.nullable().default(null),
  hash: hash.nullable().optional(),
  state: z.string().max(32).optional().catch(undefined),
  version: z.string().max(64).optional().catch(undefined),
  ageMs: timeMsPrecise.nullable().optional().catch(undefined),
});

/** The largest number of entries of the audit log in one message. */
export const auditMessageEntriesMax = 200;
/** A part of a node's audit log, in the order in which the entries arrived there. */
const auditPageSchema = z.object({
  /** Identifies the audit log that counts the entries. */
  log: hash,
  /** The number of the last entry, to continue from. */
  last: count,
  more: z.boolean(),
  entries: listOf(auditEntrySchema, { max: auditMessageEntriesMax }),
});
const sentAuditSchema = z.object({ entries: listOf(auditEntrySchema, { max: auditMessageEntriesMax }) });

export type AuditLogPage = z.infer<typeof auditPageSchema>;
export type SentAudit = z.infer<typeof sentAuditSchema>;
export type EventBatch = z.infer<typeof batchSchema>;
export type PublishedRow = z.infer<typeof publishedRow>;
export type Head = z.infer<typeof headSchema>;
/** A part of the log, possibly empty, and the head when it was read. */
export type LogPage = z.infer<typeof pageSchema>;
export type NodeHead = z.infer<typeof nodeHeadSchema>;
export type LogRefusal = z.infer<typeof refusalSchema>;
/** The epoch of a head, in the form that is used for comparisons. */
export const epochOf = ({ e, n }: Pick<Head, "e" | "n">): EpochId => ({ epoch: e, term: n });
export type NodeStatus = z.infer<typeof statusSchema>;

/** One attempt of a node to become the primary after an epoch. */
export interface Candidate {
  readonly node: string;
  /** Distinguishes attempts, including attempts of the same node. */
  readonly token: string;
}

export interface VoteOptions {
  /** Whether the node is to be promoted regardless of other candidates. */
  readonly force: boolean;
  readonly graceful: boolean;
  /** Whether the term is that of the primary's lease. No other node begins it, and a later lease supersedes it. */
  readonly leased: boolean;
  /** The term that the candidate will begin. Undefined from earlier versions, and in requests for a handover. */
  readonly wanted: number | undefined;
}

/** The request of a candidate for the vote of another node. `epoch` and `term` are the candidate's own. */
export interface VoteRequest extends Candidate, EpochId, VoteOptions {}

/** The message, or the reason why it was rejected. */
export type DecodedMessage<T> = { readonly message: T } | { readonly problem: string };

export const decodeBatch = decoder<EventBatch>(batchSchema, isBatch);
export const decodeHead = decoder<Head>(headSchema);
export const decodePage = decoder<LogPage>(pageSchema);
export const decodeNodeHead = decoder<NodeHead>(nodeHeadSchema);
export const decodeRefusal = decoder<LogRefusal>(refusalSchema);
export const decodeAuditPage = decoder<AuditLogPage>(auditPageSchema);
export const decodeSentAudit = decoder<SentAudit>(sentAuditSchema);
export const decodeStatus = decoder<NodeStatus>(statusSchema);

/** The rows of a batch, or `undefined` if the batch only references one of them. */
export function batchRows(batch: EventBatch): LogRow[] | undefined {
  const rows: LogRow[] = [];
  for (const [offset, timeMs, kind, body, traceparent] of batch.ev) {
    if (typeof body !== "string") return undefined;
    rows.push({ offset, timeMs, kind, body, traceparent });
  }
  return rows;
}

export function pageRows(page: LogPage): LogRow[] {
  return page.ev.map(([offset, timeMs, kind, body, traceparent]) => ({ offset, timeMs, kind, body, traceparent }));
}

/** When the primary committed the rows after `offset`, if the message has these times. */
export function commitTimesAfter(
  { ev, c }: Pick<EventBatch, "ev" | "c">,
  offset: number,
): (number | null)[] | undefined {
  return c?.length === ev.length ? c.filter((_, index) => (ev[index]?.[0] ?? 0) > offset) : undefined;
}

/** `isValid` is a fast check that accepts nothing that the schema would reject. */
function decoder<T>(schema: z.ZodType<T>, isValid?: (value: unknown) => value is T) {
  return (payload: Uint8Array | string): DecodedMessage<T> => {
    let value: unknown;
    try {
      value = JSON.parse(typeof payload === "string" ? payload : Buffer.from(payload).toString("utf8"));
    } catch {
      return { problem: "no JSON" };
    }
    if (isValid?.(value)) return { message: value };
    const parsed = schema.safeParse(value);
    return parsed.success ? { message: parsed.data } : { problem: describeProblem(parsed.error) };
  };
}

/** A fast check for the most frequent messages: with the schema alone, decoding takes as long as applying. */
function isBatch(value: unknown): value is EventBatch {
  if (typeof value !== "object" || value === null) return false;
  const { v, s, e, n, t, p, l, h, d, ev, c, au } = value as Record<string, unknown>;
  if (
    v !== 1 ||
    au !== undefined ||
    typeof s !== "string" ||
    s === "" ||
    !isHash(e) ||
    !isHash(h) ||
    !(d === null || isHash(d))
  )
    return false;
  if (![n, t, p, l].every(isCount) || !Array.isArray(ev) || ev.length === 0) return false;
  const isTimeOrNull = (time: unknown): boolean => time === null || (Number.isFinite(time) && Number(time) >= 0);
  if (c !== undefined && !(Array.isArray(c) && c.every(isTimeOrNull))) return false;
  return ev.every(isCompleteRow);
}

function isCompleteRow(row: unknown): boolean {
  if (!Array.isArray(row) || row.length !== 5) return false;
  const [at, time, kind, body, trace] = row as unknown[];
  const traced = trace === null || (typeof trace === "string" && trace.length <= 64);
  return isCount(at) && isCount(time) && typeof kind === "string" && typeof body === "string" && traced;
}

function isHash(value: unknown): boolean {
  return typeof value === "string" && /^[0-9a-f]{16}$/.test(value);
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}
