/** Data directories that earlier versions left (`test/data-directories`), as directories of new nodes. */
import * as Bun from "bun";
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export const keptDataDirectories = join(import.meta.dirname, "data-directories");

/** Unpacks the files of an old node into the directory of a new one. `format` is a folder such as `format-5`. */
export function unpackDataDirectory(format: string, node: "primary" | "edge", target: string): void {
  mkdirSync(target, { recursive: true });
  const source = join(keptDataDirectories, format, node);
  for (const name of readdirSync(source)) {
    if (!name.endsWith(".zst")) cpSync(join(source, name), join(target, name));
    else
      writeFileSync(join(target, name.replace(/\.zst$/, "")), Bun.zstdDecompressSync(readFileSync(join(source, name))));
  }
}
