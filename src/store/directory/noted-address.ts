/**
 * The address of a running node, which it notes in its data directory. Commands on the same machine find the node there
 * if its port and its certificate are options of `ostiary serve`, which no other process knows.
 */
import { readNodeFile, removeNodeFile, writeNodeFile } from "./data-directory.ts";

const name = "address";

/** `url` is reachable on this machine. */
export function noteAddress(directory: string, url: string): void {
  writeNodeFile(directory, name, url, { wait: false });
}

export function removeNotedAddress(directory: string): void {
  removeNodeFile(directory, name);
}

/** Undefined without a node; after a crash that of the last one. */
export function notedAddress(directory: string): string | undefined {
  try {
    const text = readNodeFile(directory, name);
    return text !== undefined && /^https?:$/.test(URL.parse(text)?.protocol ?? "") ? text : undefined;
  } catch {
    // Another user may not read the directory.
    return undefined;
  }
}
