/** What all writes have in common: what goes with them to the writer, and how their answer tells where they stand. */
import type { Context } from "elysia";
import { formatToken } from "../../replication/position.ts";
import type { WriteMeta, WriteResult } from "../../replication/node.ts";
import { traceparentOf } from "../../telemetry/trace-context.ts";
import { exchangeOf, holderOf } from "../middleware/exchange.ts";

/**
 * The event carries the trace of its request on to the edges. A request that its sender named is done once: the official client sends it again,
 * under the same id, where no answer came.
 */
export function writeMetaOf(request: Request): WriteMeta {
  const exchange = exchangeOf(request);
  const traceparent = traceparentOf(exchange.span);
  const id = request.headers.get("x-request-id");
  const sender = holderOf(exchange);
  return { traceparent, sender, ...(id === null ? {} : { idempotencyKey: `${sender}/${exchange.requestId}` }) };
}

/** Every write says where it stands, also one that changed nothing: the Node client forgets its token where the header is missing. */
export function writeResponse(
  set: Context["set"],
  { epoch, offset }: WriteResult,
  message: string,
): { message: string } {
  set.headers["OsoOffset"] = formatToken(epoch, offset);
  return { message };
}
