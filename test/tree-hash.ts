/** A hash of the files below some folders: the same tree has the same hash, on every machine. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join, relative, sep } from "node:path";

const root = join(import.meta.dirname, "..");

/** SHA-256 over the names and contents of all files; `paths` are files or folders, relative to the project. */
export function treeHash(...paths: readonly string[]): Buffer {
  const hash = createHash("sha256");
  for (const path of paths.flatMap(filesOf).toSorted()) {
    const content = readFileSync(join(root, path));
    hash.update(`${path.split(sep).join("/")}\0${content.length}\0`);
    hash.update(content);
  }
  return hash.digest();
}

function filesOf(path: string): readonly string[] {
  if (path.includes(".")) return [path];
  return readdirSync(join(root, path), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)));
}
