/** Which files of a data directory others than its owner may open. They are made for the owner alone; what older versions or others made may not be. */
import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";

const anyoneElse = 0o077;

/** The directory itself and what is in it, where any mode is wider. None where there is no such directory. */
export function pathsOpenToOthers(directory: string): string[] {
  const found = lstatSync(directory, { throwIfNoEntry: false });
  if (found?.isDirectory() !== true) return [];
  const inside = readdirSync(directory, { recursive: true, encoding: "utf8" }).map((name) => join(directory, name));
  return [directory, ...inside].filter((path) => isOpenToOthers(path));
}

function isOpenToOthers(path: string): boolean {
  const found = lstatSync(path, { throwIfNoEntry: false });
  return found !== undefined && !found.isSymbolicLink() && (found.mode & anyoneElse) !== 0;
}
