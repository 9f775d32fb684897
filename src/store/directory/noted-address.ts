/**
 * The address of a running node, which it notes in its data directory. Commands on the same machine find the node there
 * if its port and its certificate are options of `ostiary serve`, which no other process knows.
 */
import { readNodeFile, removeNodeFile, writeNodeFile } from "./data-directory.ts";

const name = "address";

/** `url` is reachable on this machine. */
export function noteAddress(directory: string, url: string): void {
  writeNodeFile(directory, name, `${url} ${process.pid}`, { wait: false });
}

export function removeNotedAddress(directory: string): void {
  removeNodeFile(directory, name);
}

/** Undefined unless the node runs. */
export function notedAddress(directory: string): string | undefined {
  try {
    const [url = "", pid] = (readNodeFile(directory, name) ?? "").split(" ");
    return URL.canParse(url) && isRunning(Number(pid)) ? url : undefined;
  } catch {
    // Another user may not read the directory.
    return undefined;
  }
}

function isRunning(pid: number): boolean {
  try {
    return Number.isInteger(pid) && pid > 0 && process.kill(pid, 0);
  } catch (error) {
    // It belongs to another user.
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
