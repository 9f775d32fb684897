/**
 * Exchanges the audit log of a replica with that of its primary, over HTTP. Most entries have arrived with their events
 * already: the rest is what was refused or only read at the primary, and what happened at this node. Entries that the
 * primary lacks are sent to it, also those that were made before this node or the primary was replaced. So the audit
 * log survives failovers and restores.
 */
import type { Connection } from "../../store/connection/connection.ts";
import { readNodeSetting } from "../../store/keys/api-keys.ts";
import { auditEntriesAfter, lastAuditSeq, lastAuditTime } from "../../store/log/audit-log.ts";
import { getLogger } from "../../telemetry/logger.ts";
import type { Clock } from "../../util/clock.ts";
import { reasonOf } from "../../util/reason.ts";
import type { AuditExchange } from "../../log/writer/store-writer.ts";
import type { Writer } from "../../log/writer/writer.ts";
import { auditMessageEntriesMax } from "../transport/messages.ts";
import type { TimeContext } from "../node-context.ts";
import type { NodeClient } from "../transport/node-client.ts";

const log = getLogger("audit");

type AuditPeer = Pick<NodeClient, "audit" | "sendAudit">;

export interface AuditExchangeOptions {
  readonly writer: Pick<Writer, "recordAudit">;
  /** A read-only connection to the current database. AppError `not_ready` while there is none. */
  readonly reader: () => Connection;
  readonly primary: () => AuditPeer;
  /** Returns whether the error means damage. */
  readonly reportDamage: (error: unknown) => boolean;
}

/** Entries arrive late from other nodes: a replica that begins anew asks for so much that it may have. */
const overlapMs = 3_600_000;

/** So many entries are looked through before it is noted that the primary has them. */
const sentNotedMax = 1000;

/** Runs until `started` is disposed. Then a request may be under way: it ends when the client of the primary closes. */
export function startAuditExchange(
  { limits, clock }: TimeContext,
  options: AuditExchangeOptions,
  started: AsyncDisposableStack,
): void {
  let isRunning = false;
  const run = async (): Promise<void> => {
    if (isRunning) return;
    isRunning = true;
    try {
      await exchange(options, clock);
    } catch (error) {
      log.debug("the audit log cannot be exchanged with the primary now: {reason}", { reason: reasonOf(error) });
      options.reportDamage(error);
    } finally {
      isRunning = false;
    }
  };
  started.defer(clock.every(limits.auditExchangeIntervalMs, () => void run()));
}

async function exchange(options: AuditExchangeOptions, clock: Clock): Promise<void> {
  const primary = options.primary();
  const log = await receive(options, primary, clock);
  if (log !== undefined) await send(options, primary, log);
}

/** Returns the id of the primary's audit log; undefined if the primary is of a version without one. */
async function receive(
  { reader, writer }: AuditExchangeOptions,
  primary: AuditPeer,
  clock: Clock,
): Promise<string | undefined> {
  const sinceMs = Math.max(0, (lastAuditTime(reader(), clock.wallMs()) ?? 0) - overlapMs);
  // The reader may be behind what was written, so the loops go on from what they have done themselves.
  let known = readProgress(reader(), "audit_received");
  for (let isFirst = true; ; isFirst = false) {
    const page = await primary.audit({ ...known, sinceMs });
    if (page === undefined) return undefined;
    const { log, last, entries } = page;
    // Several nodes answer at this address by turns. None of them would come to an end.
    if (log !== known.log && !isFirst) return log;
    if (entries.length > 0 || log !== known.log)
      await writer.recordAudit({ entries, received: true, progress: progressOf("audit_received", log, last) });
    if (!page.more || (log === known.log && last <= known.after)) return log;
    known = { log, after: last };
  }
}

async function send({ reader, writer }: AuditExchangeOptions, primary: AuditPeer, log: string): Promise<void> {
  // A snapshot can replace the database meanwhile. Its entries are counted anew, so this progress must not count there.
  const logs = `${log}-${readNodeSetting(reader(), "audit_log")}`;
  const known = readProgress(reader(), "audit_sent");
  let after = known.log === logs ? known.after : 0;
  for (;;) {
    const newest = lastAuditSeq(reader());
    const found = auditEntriesAfter(reader(), after, auditMessageEntriesMax, { received: false });
    if (found.length > 0) await primary.sendAudit(found.map(({ entry }) => entry));
    else if (newest - after < sentNotedMax) return;
    const sent = found.at(-1)?.seq ?? newest;
    await writer.recordAudit({ entries: [], received: true, progress: progressOf("audit_sent", logs, sent) });
    after = sent;
  }
}

type Progress = NonNullable<AuditExchange["progress"]>;
type ProgressKey = Progress["key"];

function progressOf(key: ProgressKey, log: string, seq: number): Progress {
  return { key, value: `${log} ${seq}` };
}

function readProgress(store: Connection, key: ProgressKey): { readonly log: string; readonly after: number } {
  const [log = "", seq = "0"] = (readNodeSetting(store, key) ?? "").split(" ");
  return { log, after: Number(seq) };
}
