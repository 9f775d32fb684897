/** The entries of the audit log that travel with rows of the log, so that a replica has both or neither. */
import type { Connection } from "../../store/connection/connection.ts";
import type { AuditEntry } from "../../store/log/audit-entry.ts";
import { auditEntriesOfEvents } from "../../store/log/audit-log.ts";
import type { LogRow } from "../../store/log/log.ts";
import { auditMessageEntriesMax } from "./messages.ts";

/** Undefined without any: changes of facts, which are most events, have none. */
export function auditOf(store: Connection, rows: readonly LogRow[], bytesMax: number): AuditEntry[] | undefined {
  const [first, last] = [rows[0], rows.at(-1)];
  if (first === undefined || last === undefined || rows.every(({ kind }) => kind === "facts")) return undefined;
  const bounds = { entriesMax: auditMessageEntriesMax, bytesMax };
  const entries = auditEntriesOfEvents(store, first.offset - 1, last.offset, bounds);
  return entries.length === 0 ? undefined : entries;
}
