/** Notes of a data directory about the role of its node. */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { readNodeFile, writeNodeFile } from "../store/directory/data-directory.ts";

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
