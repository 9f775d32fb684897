/** The database in a data directory that a command was given. */
import { statSync } from "node:fs";
import { currentStorePath } from "../store/directory/data-directory.ts";
import { UsageError } from "./command.ts";

/** Undefined where there is none, and where the path is that of a file. */
export function storeIn(data: string): string | undefined {
  return statSync(data, { throwIfNoEntry: false })?.isDirectory() ? currentStorePath(data) : undefined;
}

export function requireStoreIn(data: string): string {
  const path = storeIn(data);
  if (path !== undefined) return path;
  throw new UsageError(
    `\`${data}\` is no data directory of a node: there is no database in it; name one with \`--data\``,
  );
}
