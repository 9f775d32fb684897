/** Notes of a data directory about the role of its node. */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { readNodeFile, writeNodeFile } from "../store/directory/data-directory.ts";
import type { Epoch } from "../store/log/epochs.ts";
import { isSameFailover } from "../store/log/terms.ts";

const promotedName = "promoted";

/** Whether the node of this directory was promoted and not replaced since. */
export function hasPromotionNote(directory: string): boolean {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  return readNodeFile(directory, promotedName) !== undefined;
}

export function writePromotionNote(directory: string): void {
  writeNodeFile(directory, promotedName, new Date().toISOString());
}

/** Called when another node has replaced this one as the primary. */
export function removePromotionNote(directory: string): void {
  rmSync(join(directory, promotedName), { force: true });
}

/** Whether the node of this directory was an edge or a fallback before. Then its term as a primary is that of a successor. */
export function wasReplica(directory: string): boolean {
  const role = readNodeFile(directory, "role");
  return role !== undefined && role !== "primary";
}

/** The last epoch that the node of this directory was the primary of. */
export function lastLedEpoch(directory: string): string | undefined {
  return readNodeFile(directory, "position")?.split(":")[0];
}

/** Whether no other node has replaced this one as the primary, as far as it knows: it was the last primary, or never a primary. */
export function mayStillLead(directory: string, epochs: readonly Epoch[]): boolean {
  const led = lastLedEpoch(directory);
  const term = epochs.find(({ epoch }) => epoch === led)?.term;
  const last = epochs.at(-1);
  return led === undefined || (term !== undefined && last !== undefined && isSameFailover(term, last.term));
}
