/** Watches files for changes. */
import { stat } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { printError, stopSignal } from "../runtime/process.ts";
import { printable } from "../util/printable.ts";

/** Polling is cheap, works on all file systems, and notices a file that an editor replaces. */
const pollIntervalMs = 200;

/** Calls `run` now and after each change of a file, one call at a time, until a stop signal. */
export async function watchFiles(paths: readonly string[], run: () => Promise<void>): Promise<void> {
  const stopRequested = stopSignal();
  let known: string | undefined;
  do {
    const found = await stateOf(paths);
    if (found === known) continue;
    // The state before the files are read, so that a change during the run causes another run.
    known = found;
    await run();
    await printError(`watching ${paths.map(printable).join(", ")} for changes, press Ctrl-C to stop\n`);
  } while ((await Promise.race([sleep(pollIntervalMs), stopRequested])) === undefined);
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
