/** Waits for changes of files that somebody is editing. */
import { stat } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { printError, stopSignal } from "../runtime/process.ts";
import { printable } from "../util/printable.ts";

/** Looking is cheap, works on every file system, and follows a file that an editor replaces. */
const lookEveryMs = 200;

/** Calls `run` now and after each change of a file, one call at a time, until the process is asked to stop. */
export async function watchFiles(paths: readonly string[], run: () => Promise<void>): Promise<void> {
  const asked = stopSignal();
  let known: string | undefined;
  do {
    const found = await stateOf(paths);
    if (found === known) continue;
    // As it was before the files were read: what changes while they are, is looked at again.
    known = found;
    await run();
    await printError(`watching ${paths.map(printable).join(", ")}, Ctrl-C ends it\n`);
  } while ((await Promise.race([sleep(lookEveryMs), asked])) === undefined);
}

async function stateOf(paths: readonly string[]): Promise<string> {
  const states = await Promise.all(
    paths.map(async (path) => {
      try {
        const { mtimeMs, size, ino } = await stat(path);
        return [mtimeMs, size, ino];
      } catch {
        return null;
      }
    }),
  );
  return JSON.stringify(states);
}
