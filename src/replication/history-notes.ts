/**
 * What a data directory says of histories, beside the database: which one the node has (so that a lost or damaged database does not lose that), and
 * what an operator has approved. A history is named by its first epoch. An approval names one history and is used up with it: unlike a setting it
 * can't stay in force for the next one.
 */
import { chownSync, existsSync, mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import {
  historyOf,
  currentStorePath,
  readNodeFile,
  removeNodeFile,
  writeNodeFile,
} from "../store/directory/data-directory.ts";
import { getLogger } from "../telemetry/logger.ts";
import { AppError } from "../util/app-error.ts";
import { reasonOf } from "../util/reason.ts";

const log = getLogger("history");

const ownName = "history";
const refusedName = "refused-history";

/** `adopt-history`: take over another node's. `abandon-history`: begin a new one although others know this one. */
export type Approval = "adopt-history" | "abandon-history";

/** The first epoch of the history that this node has, or had before its database was lost. */
export function knownHistory(data: string): string | undefined {
  const noted = readNodeFile(data, ownName);
  if (noted !== undefined) return noted;
  // Directories of older versions have no note.
  const present = currentStorePath(data);
  return present === undefined ? undefined : historyOf(present);
}

export function noteHistory(data: string, history: string): void {
  tryTo("note the history", data, () => {
    if (readNodeFile(data, ownName) !== history) writeNodeFile(data, ownName, history);
  });
}

/** Which history this node was offered and refused, for the command that approves one. */
export function noteRefused(data: string, history: string | undefined): void {
  tryTo("note the refused history", data, () => {
    if (history === undefined) removeNodeFile(data, refusedName);
    else if (readNodeFile(data, refusedName) !== history) writeNodeFile(data, refusedName, history, { wait: false });
  });
}

/** A full disk must not keep a node from answering: the note is written at the next start. */
function tryTo(what: string, data: string, body: () => void): void {
  try {
    body();
  } catch (error) {
    log.error("can't {what} in {data}: {reason}", { what, data, reason: reasonOf(error) });
  }
}

export function refusedHistory(data: string): string | undefined {
  return readNodeFile(data, refusedName);
}

/** Written by a command, maybe as another user than the node's, whether or not the node runs. */
export function approve(data: string, approval: Approval, history: string): void {
  mkdirSync(data, { recursive: true, mode: 0o700 });
  writeNodeFile(data, approval, history);
  const { uid, gid } = statSync(data);
  const path = join(data, approval);
  if (process.getuid?.() === 0 && existsSync(path)) chownSync(path, uid, gid);
}

export function approvedHistory(data: string, approval: Approval): string | undefined {
  try {
    return readNodeFile(data, approval)?.trim();
  } catch (error) {
    throw new AppError("internal", `\`${join(data, approval)}\` can't be read: ${reasonOf(error)}`, { cause: error });
  }
}

export function consumeApproval(data: string, approval: Approval): void {
  tryTo(`remove the note ${approval}`, data, () => removeNodeFile(data, approval));
}
