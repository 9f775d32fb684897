/**
 * Files of a data directory about histories: the node's own history (so that it survives a lost or damaged database),
 * and the approvals of an operator. A history is named by its first epoch. An approval names one history and is
 * consumed with it; unlike a setting, it cannot apply to the next one.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import {
  historyOf,
  currentStorePath,
  giveToOwner,
  readNodeFile,
  removeNodeFile,
  writeNodeFile,
} from "../store/directory/data-directory.ts";
import { operator, type AuditDetails } from "../store/log/audit-entry.ts";
import { getLogger } from "../telemetry/logger.ts";
import { AppError } from "../util/app-error.ts";
import { reasonOf } from "../util/reason.ts";
import { noteAction } from "../store/directory/noted-actions.ts";

const log = getLogger("history");

const ownName = "history";
const refusedName = "refused-history";

/** Adopt the history of another node, or begin a new history although other nodes know this one. */
export type Approval = "adopt-history" | "abandon-history";

/** The first epoch of the history that this node has, or had before its database was lost. */
export function knownHistory(data: string): string | undefined {
  const noted = readNodeFile(data, ownName);
  if (noted !== undefined) return noted;
  // Directories of older versions have no such file.
  const path = currentStorePath(data);
  return path === undefined ? undefined : historyOf(path);
}

export function noteHistory(data: string, history: string): void {
  tryTo("write the history", data, () => {
    if (readNodeFile(data, ownName) !== history) writeNodeFile(data, ownName, history);
  });
}

/** Records the history that this node has refused, for the command that approves it. */
export function noteRefused(data: string, history: string | undefined): void {
  tryTo("write the refused history", data, () => {
    if (history === undefined) removeNodeFile(data, refusedName);
    else if (readNodeFile(data, refusedName) !== history) writeNodeFile(data, refusedName, history, { wait: false });
  });
}

/** A full disk must not keep a node from answering: the next start writes the file. */
function tryTo(what: string, data: string, body: () => void): void {
  try {
    body();
  } catch (error) {
    log.error("cannot {what} in {data}: {reason}", { what, data, reason: reasonOf(error) });
  }
}

export function refusedHistory(data: string): string | undefined {
  return readNodeFile(data, refusedName);
}

/**
 * Called by a command, maybe as another user than the node's, while the node runs or not. `user` is that of the system,
 * if it is known; user and details are for the audit log.
 */
export function approve(
  data: string,
  approval: Approval,
  history: string,
  { user, details = {} }: { readonly user?: string | null; readonly details?: AuditDetails } = {},
): void {
  mkdirSync(data, { recursive: true, mode: 0o700 });
  const action = approval === "adopt-history" ? "history.adopt" : "history.abandon";
  noteAction(data, { actor: operator(user), action, target: history, details });
  writeNodeFile(data, approval, history);
  giveToOwner(data, approval);
}

export function approvedHistory(data: string, approval: Approval): string | undefined {
  try {
    return readNodeFile(data, approval)?.trim();
  } catch (error) {
    throw new AppError("internal", `\`${join(data, approval)}\` cannot be read: ${reasonOf(error)}`, { cause: error });
  }
}

export function consumeApproval(data: string, approval: Approval): void {
  tryTo(`remove the approval ${approval}`, data, () => removeNodeFile(data, approval));
}
