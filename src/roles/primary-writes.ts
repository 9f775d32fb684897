/** The write path of a primary: admits a write, commits it, and answers when enough edges have acknowledged it. */
import type { AuditLog } from "../replication/audit/audit-recorder.ts";
import type { Acks } from "../replication/failover/acks.ts";
import type { Fence } from "../replication/failover/fence.ts";
import type { Handover } from "../replication/failover/handover.ts";
import type { Writer } from "../log/writer/writer.ts";
import type { WriteMeta, WriteResult } from "../log/append/append.ts";
import type { Writes } from "../replication/node.ts";
import type { DamageMonitor } from "../replication/replica/damage-monitor.ts";
import type { EventStream } from "../replication/transport/event-stream.ts";
import type { AuditDraft } from "../store/log/audit-entry.ts";
import { metrics } from "../telemetry/metrics.ts";
import { AppError } from "../util/app-error.ts";
import type { NodeParts } from "./node-parts.ts";
import type { Claim } from "./primary-claim.ts";

export interface PrimaryWritesOptions {
  readonly acks: Acks;
  // Each of these can forbid writes.
  readonly claim: Claim;
  readonly handover: Handover;
  readonly damage: DamageMonitor;
  readonly stream: EventStream;
}

type WriteRequest = Parameters<Writer["write"]>[0];

export function createWrites(parts: NodeParts, options: PrimaryWritesOptions): Writes {
  const write = (request: WriteRequest, meta: WriteMeta): Promise<WriteResult> =>
    countWrite(request.kind, (onCommitted) => writeAcknowledged(parts, options, request, meta, onCommitted));
  return {
    history: options.claim.opened.history,
    batch: (changes, meta) =>
      write(typeof changes === "string" ? { kind: "batch", json: changes } : { kind: "batch", changes }, meta),
    policy: (policy, meta) => write({ kind: "policy", ...policy }, meta),
    clear: (meta) => write({ kind: "clear" }, meta),
    keys: (change, meta) => write({ kind: "keys", ...change }, meta),
  };
}

async function writeAcknowledged(
  { writer, audit }: NodeParts,
  options: PrimaryWritesOptions,
  request: WriteRequest,
  meta: WriteMeta,
  onCommitted: () => void,
): Promise<WriteResult> {
  const { handover, acks, claim } = options;
  const { config, term, leadership, fence } = claim;
  const admit = (): void => requireWritable(options);
  if (!term.isBegun) {
    admit();
    await term.begin();
  }
  const result = await handover.trackWrite(() => writer.write(request, meta, admit));
  onCommitted();
  recordAction(audit, meta.audit?.draft, request.kind, result);
  if (result.unchanged !== true && result.repeated !== true) metrics.eventsApplied.inc({ source: "write" });
  // A repeated request may have been committed in an earlier epoch, but edges acknowledge positions of the current one.
  const epoch = result.repeated === true ? writer.state.epoch : result.epoch;
  const isAcknowledged = await acks.waitFor(epoch, result.offset, config.limits.ackTimeoutMs);
  // Another node may have acquired the lease meanwhile and continue without this write.
  if (leadership.problem !== undefined) throw unacknowledged(leadership.problem);
  if (isAcknowledged) return result;
  requireUnfenced(fence, { mayBeDone: true });
  throw unacknowledged("not enough edges have it yet");
}

/**
 * The writer has recorded what made an event. A repeated request was recorded the first time. To remove an API key or
 * data bindings that do not exist is refused, which the API records.
 */
function recordAction(
  audit: AuditLog,
  draft: AuditDraft | undefined,
  kind: WriteRequest["kind"],
  { unchanged, repeated }: WriteResult,
): void {
  const isRefused = unchanged === true && kind === "keys" && draft?.action !== "bindings.put";
  if (draft === undefined || repeated === true || isRefused) return;
  if (unchanged === true) audit.record(draft, { result: "unchanged" });
  else metrics.auditEntries.inc({ result: "ok" });
}

/** AppError `not_ready` says why this primary accepts no writes now. */
function requireWritable({ claim, damage, handover, stream }: PrimaryWritesOptions): void {
  const { fence, leadership } = claim;
  requireUnfenced(fence);
  damage.requireNone();
  handover.requireInactive();
  leadership.requireValid();
  if (stream.isOwnershipUncertain)
    throw new AppError(
      "not_ready",
      "another primary may have taken over: this node is checking that, send the write again in a moment",
    );
}

function requireUnfenced({ problem }: Fence, options: { readonly mayBeDone?: boolean } = {}): void {
  if (problem !== undefined)
    throw new AppError("not_ready", `${problem}: this primary writes nothing any more, send the write again`, options);
}

/** The write is committed, so the next primary may have it or not. */
function unacknowledged(reason: string): AppError {
  return new AppError(
    "not_ready",
    `the write is committed here, but ${reason}: send it again to be sure of it, it is done only once`,
    { mayBeDone: true },
  );
}

/** Counts a write of a client. Failures after `onCommitted` concern only acknowledgements. */
async function countWrite(
  kind: WriteRequest["kind"],
  write: (onCommitted: () => void) => Promise<WriteResult>,
): Promise<WriteResult> {
  let isCommitted = false;
  try {
    const result = await write(() => void (isCommitted = true));
    metrics.writes.inc({ kind, result: result.repeated ? "repeated" : result.unchanged ? "unchanged" : "done" });
    return result;
  } catch (error) {
    metrics.writes.inc({ kind, result: isCommitted ? "unacknowledged" : isRefusal(error) ? "refused" : "failed" });
    throw error;
  }
}

function isRefusal(error: unknown): boolean {
  return error instanceof AppError && error.code !== "not_ready" && error.code !== "internal";
}
