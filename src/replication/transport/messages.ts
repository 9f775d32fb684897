/**
 * What travels between nodes, as JSON with short names. Batches go over the broker, pages over HTTP, and both carry the log's rows as the text
 * that the chain hash was made of. Everything that arrives passes these schemas; a message of another version is no message.
 *
 * `s` environment, `e` epoch, `n` its term, `p` offset before the first row, `l` offset of the last row, `h` chain hash after it, `d` digest at it,
 * `t` time of sending, which is only informative; `ev` rows; `c` when each was committed, which is only informative too (not said by older versions); `f` the first epoch of the history (not said by older versions); `from` where the epoch
 * began (offset and hash), `role` of the sender, `ack` whether it waits for others; `q` the head's sequence number: a primary of one epoch gives each
 * head it publishes a greater one, and names the last one over HTTP. So heads are ordered by `n` and `q`, and one that a broker repeats is known as old.
 * An older primary sends none. `i` which start of a node's process a primary is: two with the same `node` and different `i` are twins. `a` how many ms ago the copy of a sender that is not the primary was known to be the newest, null where it does not know;
 * `node` its id, `led` the last epoch that it was the primary of, `candidacy` which attempt of it to become the primary is under way, `promised` the greatest
 * term that it has promised to a candidate, `votedFor` the candidate that it waits for now, `leased` whether a primary acts under a lease, `handsOverTo` the candidate for which a primary has stopped its writes.
 * What a later version adds is passed over; what it changes has another `v`.
 */
import { z } from "zod";
import type { EpochId } from "../../store/log/epochs.ts";
import type { LogRow } from "../../store/log/log.ts";
import { describeProblem, listOf } from "../../util/bounded-schema.ts";

const offset = z.number().int().nonnegative();
const timeMs = z.number().int().nonnegative();
const timeMsPrecise = z.number().nonnegative();
const hash = z.string().regex(/^[0-9a-f]{16}$/);
const traceparent = z.string().max(64).nullable();
const common = { v: z.literal(1), s: z.string().min(1), e: hash, t: timeMs };

/** A body too large for the broker: who gets this fetches the row over HTTP. */
const bodyReference = z.object({ ref: z.string().regex(/^[0-9a-f]{64}$/), size: z.number().int().positive() }).strict();
const completeRow = z.tuple([offset, timeMs, z.string(), z.string(), traceparent]);
const publishedRow = z.tuple([offset, timeMs, z.string(), z.union([z.string(), bodyReference]), traceparent]);

const term = z.number().int().nonnegative();
const digest = hash.nullable();
const committed = listOf(timeMsPrecise.nullable(), {}).optional();
const batchSchema = z.object({
  ...common,
  n: term,
  p: offset,
  l: offset,
  h: hash,
  d: digest,
  ev: listOf(publishedRow, { min: 1 }),
  c: committed,
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
  q: z.number().int().nonnegative().optional(),
  a: z.number().nonnegative().nullable().optional(),
  node: z.string().optional(),
  i: hash.optional(),
});
/** The epoch after the last row is that of `e`: one of the rows may begin it. */
const pageSchema = z.object({
  e: hash,
  p: offset,
  l: offset,
  h: hash,
  d: digest,
  ev: listOf(completeRow, {}),
  c: committed,
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
/** Why a node gives no page from somebody's position, and what history it has itself: enough to tell who is ahead, and where they part. */
const refusalSchema = z.object({
  code: z.enum(["epoch", "diverged", "ahead", "trimmed"]),
  message: z.string(),
  head: headSchema,
  epochs,
});
/** An older edge gives no hash. */
const statusSchema = z.object({
  v: z.literal(1),
  epoch: hash.nullable(),
  offset: offset.nullable(),
  hash: hash.nullable().optional(),
});

export type EventBatch = z.infer<typeof batchSchema>;
export type PublishedRow = z.infer<typeof publishedRow>;
/** Where the primary stands, at one moment. */
export type Head = z.infer<typeof headSchema>;
/** A stretch of the log, possibly empty, and the head at the moment when it was read. */
export type LogPage = z.infer<typeof pageSchema>;

/** The head with the history that led there. */
export type NodeHead = z.infer<typeof nodeHeadSchema>;
/** Why a position can't be followed. */
export type LogRefusal = z.infer<typeof refusalSchema>;
/** The epoch of a head, as epochs are compared. */
export const epochOf = ({ e, n }: Pick<Head, "e" | "n">): EpochId => ({ epoch: e, term: n });
/** What a node says of itself: where it stands. */
export type NodeStatus = z.infer<typeof statusSchema>;

/** The message, or the reason why it is none. */
export type DecodedMessage<T> = { readonly message: T } | { readonly problem: string };

export const decodeBatch = (payload: Uint8Array | string): DecodedMessage<EventBatch> =>
  decode(batchSchema, payload, isBatch);
export const decodeHead = (payload: Uint8Array | string): DecodedMessage<Head> => decode(headSchema, payload);
export const decodePage = (payload: Uint8Array | string): DecodedMessage<LogPage> => decode(pageSchema, payload);
export const decodeNodeHead = (payload: Uint8Array | string): DecodedMessage<NodeHead> =>
  decode(nodeHeadSchema, payload);
export const decodeRefusal = (payload: Uint8Array | string): DecodedMessage<LogRefusal> =>
  decode(refusalSchema, payload);
export const decodeStatus = (payload: Uint8Array | string): DecodedMessage<NodeStatus> => decode(statusSchema, payload);

/** The rows of a batch, or `undefined` where one of them is only referred to. */
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

/** When the primary committed the rows after `offset`, where the message says it of each of its rows. */
export function commitTimesAfter(
  { ev, c }: Pick<EventBatch, "ev" | "c">,
  offset: number,
): (number | null)[] | undefined {
  return c?.length === ev.length ? c.filter((_, index) => (ev[index]?.[0] ?? 0) > offset) : undefined;
}

/** `isOne` is true of nothing that the schema would refuse, and quicker. */
function decode<T>(
  schema: z.ZodType<T>,
  payload: Uint8Array | string,
  isOne?: (value: unknown) => value is T,
): DecodedMessage<T> {
  let value: unknown;
  try {
    value = JSON.parse(typeof payload === "string" ? payload : Buffer.from(payload).toString("utf8"));
  } catch {
    return { problem: "no JSON" };
  }
  if (isOne?.(value)) return { message: value };
  const parsed = schema.safeParse(value);
  return parsed.success ? { message: parsed.data } : { problem: describeProblem(parsed.error) };
}

/** The messages that come all the time: with the schema alone decoding one would take as long as to apply it. */
function isBatch(value: unknown): value is EventBatch {
  if (typeof value !== "object" || value === null) return false;
  const { v, s, e, n, t, p, l, h, d, ev, c } = value as Record<string, unknown>;
  if (v !== 1 || typeof s !== "string" || s === "" || !isHash(e) || !isHash(h) || !(d === null || isHash(d)))
    return false;
  if (![n, t, p, l].every(isCount) || !Array.isArray(ev) || ev.length === 0) return false;
  if (c !== undefined && !(Array.isArray(c) && c.every(isTimeOrNull))) return false;
  return ev.every(isCompleteRow);
}

function isTimeOrNull(value: unknown): boolean {
  return value === null || (Number.isFinite(value) && Number(value) >= 0);
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
