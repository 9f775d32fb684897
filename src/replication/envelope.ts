/**
 * What travels between nodes, as JSON with short names. Batches go over the broker, pages over HTTP, and both carry the log's rows as the text
 * that the chain hash was made of. Everything that arrives passes these schemas; a message of another version is no message.
 *
 * `s` environment, `e` epoch, `p` offset before the first row, `l` offset of the last row, `h` chain hash after it, `d` digest at it,
 * `t` time of sending, `ev` rows.
 */
import { z } from "zod";
import type { LogRow } from "../store/log.ts";

const offset = z.number().int().nonnegative();
const timeMs = z.number().int().nonnegative();
const hash = z.string().regex(/^[0-9a-f]{16}$/);
const traceparent = z.string().max(64).nullable();
const common = { v: z.literal(1), s: z.string().min(1), e: hash, t: timeMs };

/** A body too large for the broker: who gets this fetches the row over HTTP. */
const reference = z.object({ ref: z.string().regex(/^[0-9a-f]{64}$/), size: z.number().int().positive() }).strict();
const wholeRow = z.tuple([offset, timeMs, z.string(), z.string(), traceparent]);
const sentRow = z.tuple([offset, timeMs, z.string(), z.union([z.string(), reference]), traceparent]);

const batchSchema = z.object({ ...common, p: offset, l: offset, h: hash, ev: z.array(sentRow).min(1) }).strict();
const headSchema = z.object({ ...common, l: offset, h: hash, d: hash, trim: offset }).strict();
const pageSchema = z.object({ p: offset, l: offset, h: hash, ev: z.array(wholeRow), head: headSchema }).strict();

export type Batch = z.infer<typeof batchSchema>;
export type SentRow = z.infer<typeof sentRow>;
/** Where the primary stands, at one moment. */
export type Head = z.infer<typeof headSchema>;
/** A stretch of the log, possibly empty, and the head at the moment when it was read. */
export type Page = z.infer<typeof pageSchema>;

/** The message, or the reason why it is none. */
export type Decoded<T> = { readonly message: T } | { readonly problem: string };

export const decodeBatch = (payload: Uint8Array | string): Decoded<Batch> => decode(batchSchema, payload);
export const decodeHead = (payload: Uint8Array | string): Decoded<Head> => decode(headSchema, payload);
export const decodePage = (payload: Uint8Array | string): Decoded<Page> => decode(pageSchema, payload);

/** The rows of a batch, or `undefined` where one of them is only referred to. */
export function wholeRows(batch: Batch): LogRow[] | undefined {
  const rows: LogRow[] = [];
  for (const [offset, timeMs, kind, body, traceparent] of batch.ev) {
    if (typeof body !== "string") return undefined;
    rows.push({ offset, timeMs, kind, body, traceparent });
  }
  return rows;
}

export function pageRows(page: Page): LogRow[] {
  return page.ev.map(([offset, timeMs, kind, body, traceparent]) => ({ offset, timeMs, kind, body, traceparent }));
}

function decode<T>(schema: z.ZodType<T>, payload: Uint8Array | string): Decoded<T> {
  try {
    const parsed = schema.safeParse(
      JSON.parse(typeof payload === "string" ? payload : Buffer.from(payload).toString("utf8")),
    );
    return parsed.success ? { message: parsed.data } : { problem: z.prettifyError(parsed.error).replaceAll("\n", " ") };
  } catch {
    return { problem: "no JSON" };
  }
}
