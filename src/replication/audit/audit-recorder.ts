/**
 * The audit log as the API of a node uses it. An action that an event makes gets its entry in the transaction of the
 * event. Other entries wait in a short queue for the writer. Rate limits keep requests that are refused, and downloads,
 * from filling the audit log: what exceeds them is only counted.
 */
import type { Connection } from "../../store/connection/connection.ts";
import {
  auditEntry,
  type AuditAction,
  type AuditDraft,
  type AuditEntry,
  type AuditOutcome,
  type AuditResult,
} from "../../store/log/audit-entry.ts";
import { readAuditPage, type AuditFilter, type AuditPage, type AuditPosition } from "../../store/log/audit-log.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { metrics } from "../../telemetry/metrics.ts";
import type { NodeContext } from "../node-context.ts";
import { rateLimiter } from "../../util/rate-limiter.ts";
import { reasonOf } from "../../util/reason.ts";
import { TokenBuckets } from "../../util/token-buckets.ts";
import type { WriteMeta } from "../../log/append/append.ts";
import { notedActions, removeNotedActions } from "../../store/directory/noted-actions.ts";

const log = getLogger("audit");

export interface AuditLog {
  /** Records an action that makes no event. It never throws, and the entry is written soon. */
  record(draft: AuditDraft, outcome?: AuditOutcome): void;
  /** The part of the metadata of a write that makes the writer record it. */
  metaOf(draft: AuditDraft): WriteMeta["audit"];
  /** Entries of this node, newest first. AppError `not_ready` without a database. */
  read(filter: AuditFilter, page: { readonly before?: AuditPosition | undefined; readonly size: number }): AuditPage;
}

/**
 * The kind of actions that share rate limits; undefined for a change that was done. Nobody can hide a download behind
 * requests that are refused.
 */
function limitedKind(action: AuditAction, result: AuditResult): "undone" | "download" | undefined {
  if (result !== "ok") return "undone";
  return action.endsWith(".download") ? "download" : undefined;
}

/** Of one sender (a key, or an address without a key), and of all together. */
const [senderBucket, nodeBucket] = [
  { capacity: 20, perSecond: 1 / 3 },
  { capacity: 200, perSecond: 2 },
];
const queueMax = 500;
const storedPerStep = 100;
const retryMs = 1000;
const warningIntervalMs = 60_000;
/** How often it looks for actions of commands. */
const notedIntervalMs = 5000;
/** A page takes some milliseconds on the serving thread. */
const examinedMax = 5000;

/**
 * In the data directory commands leave their actions (`noted-actions.ts`). `reader` returns a read-only connection to
 * the current database, or throws an AppError `not_ready` while there is none. `store` stores entries, and rejects if it
 * cannot now; undefined if this node can neither store nor send them. `close` waits for one attempt to write the queue.
 */
export function createAuditRecorder(
  { id: node, data: directory, clock }: Pick<NodeContext, "id" | "data" | "clock">,
  reader: () => Connection,
  store: ((entries: readonly AuditEntry[]) => Promise<void>) | undefined,
): AuditLog & { close(): Promise<void> } {
  const ofSender = new TokenBuckets(senderBucket, clock);
  const ofNode = new TokenBuckets(nodeBucket, clock);
  const warnings = rateLimiter(warningIntervalMs, clock);
  let queue: AuditEntry[] = [];
  let storing: Promise<void> | undefined;
  let isClosed = false;
  let cancelRetry = (): void => {};
  /** Since the last entry that was recorded. */
  let suppressed = 0;

  const storeQueue = async (): Promise<void> => {
    try {
      while (queue.length > 0) {
        const step = queue.slice(0, storedPerStep);
        await store?.(step);
        queue = queue.slice(step.length);
      }
    } catch (error) {
      if (warnings("storage") > 0)
        log.warning("{entries} entries of the audit log cannot be written now: {reason}", {
          entries: queue.length,
          reason: reasonOf(error),
        });
      if (!isClosed) cancelRetry = clock.after(retryMs, wake);
    }
    storing = undefined;
  };
  const wake = (): void => void (storing ??= storeQueue());
  let adding: Promise<void> | undefined;
  const addNoted = async (): Promise<void> => {
    try {
      const noted = notedActions(directory, node);
      if (noted.length > 0 && store !== undefined) {
        await store(noted);
        removeNotedActions(directory, noted);
      }
    } catch (error) {
      if (warnings("noted") > 0)
        log.warning("the actions of commands in {directory} cannot be added to the audit log now: {reason}", {
          directory,
          reason: reasonOf(error),
        });
    }
  };
  const startAdding = (): void => void (adding ??= addNoted().finally(() => (adding = undefined)));
  startAdding();
  const stopAdding = clock.every(notedIntervalMs, startAdding);
  const suppress = (): void => {
    suppressed += 1;
    metrics.auditSuppressed.inc();
    if (warnings("suppressed") === 0) return;
    log.warning(
      store === undefined
        ? "actions at this node are not in the audit log, because it has no `primary` to send them to"
        : "refused or frequent actions are not in the audit log, because there are too many: see `ostiary_audit_suppressed_total`",
    );
  };
  return {
    record(draft, outcome = {}) {
      const { action, actor, address = "" } = draft;
      const { result = "ok" } = outcome;
      const kind = limitedKind(action, result);
      const sender = `${kind} ${actor.kind} ${actor.id ?? address}`;
      const isAdmitted = kind === undefined || (ofSender.take(sender) && ofNode.take(kind));
      if (!isAdmitted || queue.length >= queueMax || store === undefined) return suppress();
      const details = suppressed === 0 ? draft.details : { ...draft.details, suppressed };
      suppressed = 0;
      queue.push(auditEntry({ ...draft, ...(details && { details }) }, { node, timeMs: clock.wallMs() }, outcome));
      metrics.auditEntries.inc({ result });
      cancelRetry();
      wake();
    },
    metaOf: (draft) => ({ draft, node }),
    read: (filter, page) => readAuditPage(reader(), filter, { ...page, examinedMax }),
    async close() {
      isClosed = true;
      cancelRetry();
      stopAdding();
      await adding;
      if (queue.length > 0) await (storing ?? storeQueue());
    },
  };
}
