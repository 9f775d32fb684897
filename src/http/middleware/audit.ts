/**
 * The audit log of requests: who sent a request, and from where. The declaration of an endpoint says what action of an
 * administrator it is, and its handler adds the target. A change is recorded by the writer, together with the change; refusals and failures are recorded
 * here.
 */
import { isIP } from "node:net";
import { forwardedClientHeader } from "../../replication/transport/forwarded-client.ts";
import { traceIdOf } from "../../telemetry/trace-context.ts";
import type { AppError } from "../../util/app-error.ts";
import type { AuditAction, AuditDraft } from "../../store/log/audit-entry.ts";
import type { AuditedPart, Exchange } from "./exchange.ts";

/** The entry of a request, without its result; undefined if its endpoint is not audited. */
export function auditDraftOf(exchange: Exchange): AuditDraft | undefined {
  const { action, audited } = exchange;
  return action && describeRequest(exchange, action, audited);
}

/** Records that a request was refused or failed, if its endpoint is audited. */
export function recordError(exchange: Exchange, { code, mayBeDone }: AppError, status: number): void {
  const draft = auditDraftOf(exchange);
  if (draft === undefined) return;
  const isRefused = status < 500 || code === "read_only";
  exchange.node.audit.record(draft, { result: isRefused ? "refused" : mayBeDone ? "uncertain" : "failed", code });
}

/** Records a request of another node for a snapshot. The route is one for all requests of nodes. */
export function recordSnapshotRequest(exchange: Exchange, node: string | null, response: Response): void {
  const { status, headers } = response;
  const isRefused = status === 401;
  // A download that is continued was recorded when it began.
  const begins = status === 200 || (status === 206 && headers.get("content-range")?.startsWith("bytes 0-") === true);
  if (!isRefused && !begins) return;
  const draft = describeRequest(exchange, "snapshot.download", undefined);
  const actor = isRefused ? draft.actor : { kind: "node", id: node, name: null };
  const outcome = isRefused ? ({ result: "refused", code: "unauthorized" } as const) : {};
  exchange.node.audit.record({ ...draft, actor }, outcome);
}

function describeRequest(exchange: Exchange, action: AuditAction, part: AuditedPart | undefined): AuditDraft {
  const { principal, requestId, span } = exchange;
  const actor =
    principal === undefined
      ? { kind: "unknown", id: null, name: null }
      : { kind: principal.kind, id: principal.id, name: principal.name };
  return { action, actor, ...clientOf(exchange), requestId, traceId: traceIdOf(span), ...part };
}

type Client = Required<Pick<AuditDraft, "address" | "proxy" | "via">>;

/** Where a request comes from: as an edge says that has forwarded it, as a trusted proxy says, or the peer. */
export function clientOf(exchange: Exchange): Client {
  const { received, node, requestId, connections, parts } = exchange;
  const header = received.headers.get(forwardedClientHeader);
  const forwarded = header === null ? undefined : node.forwardedClient?.(header, requestId);
  if (forwarded !== undefined) return { address: forwarded.address, proxy: null, via: forwarded.node };
  const peer = connections?.addressOf(received) ?? null;
  if (peer === null || !parts.isTrustedProxy(peer)) return { address: peer, proxy: null, via: null };
  // Each proxy appends the address that it sees. What is before the first untrusted one may be forged.
  const chain = (received.headers.get("x-forwarded-for") ?? "").split(",").map((address) => address.trim());
  const address = chain.findLast((each) => !parts.isTrustedProxy(each));
  return address !== undefined && isIP(address) !== 0
    ? { address, proxy: peer, via: null }
    : { address: peer, proxy: null, via: null };
}
