/** Notes of a data directory about the role of its node. */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "../config/config.ts";
import { readNodeFile, writeNodeFile } from "../store/directory/data-directory.ts";
import type { Epoch } from "../store/log/epochs.ts";
import { isSameFailover } from "../store/log/terms.ts";
import { getLogger } from "../telemetry/logger.ts";

const log = getLogger("history");

const promotedName = "promoted";

/** Whether the node of this directory was promoted and not replaced since. */
export function hasPromotionNote(directory: string): boolean {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  return readNodeFile(directory, promotedName) !== undefined;
}

export function writePromotionNote(directory: string): void {
  writeNodeFile(directory, promotedName, new Date().toISOString());
}

export function removePromotionNote(directory: string): void {
  rmSync(join(directory, promotedName), { force: true });
}

/** The role in which a directory was left by a primary that knows its successor. Only a promotion or a restore ends it. */
const replacedRole = "replaced";

function roleOf(directory: string): string | undefined {
  return readNodeFile(directory, "role");
}

/** Another node has replaced this one as the primary. Durable when it returns; throws if it cannot be stored. */
export function noteReplaced(directory: string): void {
  if (!wasReplaced(directory)) writeNodeFile(directory, "role", replacedRole);
  removePromotionNote(directory);
}

/** The same, but a failure is only logged: the next message of the successor tries again. */
export function tryToNoteReplaced(directory: string): void {
  tryToNote(directory, () => noteReplaced(directory));
}

/** A disk that fails must not keep a node from changing its role. */
export function tryToNote(directory: string, note: () => void): void {
  try {
    note();
  } catch (error) {
    log.error("it cannot be noted in {directory} that this node is no longer the primary: {error}", {
      ...{ directory, error },
    });
  }
}

export function wasReplaced(directory: string): boolean {
  return roleOf(directory) === replacedRole;
}

/** The node of this directory is an edge or a fallback now. */
export function noteReplica(directory: string, role: Config["role"]): void {
  if (!wasReplaced(directory)) writeNodeFile(directory, "role", role);
}

/** Whether the node of this directory was no primary before. Then its term as a primary is that of a successor. */
export function wasReplica(directory: string): boolean {
  const role = roleOf(directory);
  return role !== undefined && role !== "primary";
}

/**
 * What a node may do whose configuration says that it is the primary, if no operator and no lease has made it one:
 * - `leads`: it was the last primary, as far as it knows, or no node was one before.
 * - `asks`: its directory was an edge's, and it knows of no successor of its own. It needs the votes of its peers.
 * - `follows`: it has known a successor, so that only a promotion makes it the primary again.
 */
export function claimOf(directory: string, epochs: readonly Epoch[]): "leads" | "asks" | "follows" {
  if (wasReplaced(directory)) return "follows";
  if (!wasReplica(directory)) return "leads";
  return mayStillLead(directory, epochs) ? "asks" : "follows";
}

/** The last epoch that the node of this directory was the primary of. */
export function lastLedEpoch(directory: string): string | undefined {
  return readNodeFile(directory, "position")?.split(":")[0];
}

/** Whether the last primary in these epochs is this node, or this node was never a primary. */
function mayStillLead(directory: string, epochs: readonly Epoch[]): boolean {
  const led = lastLedEpoch(directory);
  const term = epochs.find(({ epoch }) => epoch === led)?.term;
  const last = epochs.at(-1);
  return led === undefined || (term !== undefined && last !== undefined && isSameFailover(term, last.term));
}
