/** Fills the file system with the data of a node during writes and frees it again, one node after another. */
import { closeSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { nodeNames, type AttackContext } from "./attack.ts";

export const fillerName = "siege-filler";

export async function fullDisks(context: AttackContext): Promise<void> {
  const disks = nodeNames.flatMap((name) => context.plan.disks[name] ?? []);
  const shareMs = (context.plan.seconds * 1000) / Math.max(1, disks.length);
  for (const disk of disks) {
    const filler = join(disk, fillerName);
    const endMs = performance.now() + shareMs * 0.7;
    while (!context.isOver && performance.now() < endMs) {
      context.count("bytes filled", fill(filler));
      // Space that the node frees meanwhile is filled as well.
      await context.pause(200);
    }
    rmSync(filler, { force: true });
    context.count("disks filled and freed");
    await context.pause(shareMs * 0.3);
  }
}

/** Appends until nothing more fits. */
function fill(path: string): number {
  const file = openSync(path, "a");
  let written = 0;
  try {
    for (const size of [1024 * 1024, 4096, 1]) {
      const block = Buffer.alloc(size);
      try {
        for (;;) written += writeSync(file, block);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
      }
    }
  } finally {
    closeSync(file);
  }
  return written;
}
