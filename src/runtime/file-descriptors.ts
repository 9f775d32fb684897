/** File descriptors that this process can still open. */
import { closeSync, openSync } from "node:fs";

/** Throws what the system says (EMFILE, ENFILE) unless so many more can be opened. */
export function requireDescriptors(count: number): void {
  const opened: number[] = [];
  try {
    while (opened.length < count) opened.push(openSync("/dev/null", "r"));
  } finally {
    for (const descriptor of opened) closeSync(descriptor);
  }
}
