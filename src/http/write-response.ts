/** The common parts of all writes: the metadata for the writer, and the position in the response. */
import { formatToken } from "../log/event/position.ts";
import type { Node, Writes } from "../replication/node.ts";
import { traceparentOf } from "../telemetry/trace-context.ts";
import { headerText, hintHeader } from "../util/header-text.ts";
import { must } from "../util/assert.ts";
import type { WriteMeta, WriteResult } from "../log/append/append.ts";
import { auditDraftOf } from "./middleware/audit.ts";
import { exchangeOf, holderOf } from "./middleware/exchange.ts";
import type { Call } from "./router.ts";

/**
 * The trace context goes with the event to the edges. The request id is an idempotency key if the client sent it: the
 * official client repeats a request without a response under the same id.
 */
export function writeMetaOf(request: Request): WriteMeta {
  const exchange = exchangeOf(request);
  const traceparent = traceparentOf(exchange.span);
  const id = request.headers.get("x-request-id");
  const sender = holderOf(exchange);
  const { principal } = exchange;
  const person = principal?.kind === "person" ? { senderName: principal.name } : {};
  const restriction = principal?.kind === "key" ? principal.restriction : undefined;
  const draft = auditDraftOf(exchange);
  const audit = draft && exchange.node.audit.metaOf(draft);
  return {
    traceparent,
    sender,
    ...person,
    restriction,
    audit,
    ...(id === null ? {} : { idempotencyKey: `${withoutSlash(sender)}/${exchange.requestId}` }),
  };
}

/** The id of a person can have a slash, which must not hide where it ends. That of an API key stays as it is. */
function withoutSlash(sender: string): string {
  return sender.replaceAll("%", "%25").replaceAll("/", "%2F");
}

/** The writer of a primary. Other nodes forward writes or refuse them. */
export function writesOf({ writes }: Node): Writes {
  return must(writes, "only a primary handles writes");
}

export function writeResponse(set: Call["set"], result: WriteResult, message: string): { message: string } {
  addPosition(set, result);
  return { message };
}

/**
 * Every response to a write has its position: without it the Node client forgets its consistency token. A hint names what
 * the policy does not have.
 */
export function addPosition(set: Call["set"], { epoch, offset, unknown }: WriteResult): void {
  set.headers["OsoOffset"] = formatToken(epoch, offset);
  if (unknown !== undefined) set.headers[hintHeader] = headerText(`check the stored facts: ${unknown.join("; ")}`);
}
