/** The database in the data directory of a command. */
import { statSync } from "node:fs";
import { currentStorePath } from "../store/directory/data-directory.ts";
import { UsageError } from "./command.ts";

/** Undefined if there is none, or if the path is a file. */
export function storeIn(data: string): string | undefined {
  return statSync(data, { throwIfNoEntry: false })?.isDirectory() ? currentStorePath(data) : undefined;
}

export function requireStoreIn(data: string): string {
  const path = storeIn(data);
  if (path !== undefined) return path;
  throw new UsageError(
    `\`${data}\` is not the data directory of a node: it contains no database; name one with \`--data\``,
  );
}
