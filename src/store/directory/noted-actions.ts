/**
 * Actions of commands on a data directory, such as `ostiary snapshot import`. The node may run or not, and may have no
 * database yet: each action waits in a file of its own until the node adds it to its audit log.
 */
import { readdirSync } from "node:fs";
import { giveToOwner, readNodeFile, removeNodeFile, writeNodeFile } from "./data-directory.ts";
import { type AuditDraft, auditEntry, type AuditEntry, auditEntrySchema } from "../log/audit-entry.ts";
import { systemClock } from "../../util/clock.ts";

/** So many wait at most. Then a new one displaces the oldest. */
const notedMax = 100;
const fileName = /^audit-\d{15}-[0-9a-f-]{36}\.json$/;

/** Called by a command, maybe as another user than the node's. */
export function noteAction(directory: string, draft: AuditDraft): void {
  const entry = auditEntry(draft, { node: null, timeMs: systemClock.wallMs() });
  writeNodeFile(directory, nameOf(entry), JSON.stringify(entry));
  giveToOwner(directory, nameOf(entry));
  for (const name of notedNames(directory).slice(0, -notedMax)) removeNodeFile(directory, name);
}

/** The oldest first, as entries of this node. A file that has no entry is not for this version. */
export function notedActions(directory: string, node: string): AuditEntry[] {
  return notedNames(directory).flatMap((name) => {
    const entry = entryIn(readNodeFile(directory, name));
    return entry === undefined ? [] : [{ ...entry, node }];
  });
}

export function removeNotedActions(directory: string, entries: readonly AuditEntry[]): void {
  for (const entry of entries) removeNodeFile(directory, nameOf(entry));
}

function notedNames(directory: string): string[] {
  return readdirSync(directory)
    .filter((name) => fileName.test(name))
    .toSorted();
}

function nameOf({ id, timeMs }: AuditEntry): string {
  return `audit-${String(timeMs).padStart(15, "0")}-${id}.json`;
}

function entryIn(text: string | undefined): AuditEntry | undefined {
  try {
    return auditEntrySchema.safeParse(JSON.parse(text ?? "null")).data;
  } catch {
    return undefined;
  }
}
