/** Waits for changes of files that somebody is editing. */
import { stat } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { printError, stopSignal } from "../runtime/process.ts";

/** Looking is cheap, works on every file system, and follows a file that an editor replaces. */
const lookEveryMs = 200;

/** Calls `changed` after each change of a file, one call at a time, until the process is asked to stop. */
export async function watchFiles(paths: readonly string[], changed: () => Promise<void>): Promise<void> {
  let isStopped = false;
  const stopped = stopSignal().then(() => {
    isStopped = true;
  });
  const say = (): Promise<void> => printError(`watching ${paths.join(", ")}, Ctrl-C ends it\n`);
  let before = await stateOf(paths);
  await say();
  while (!isStopped) {
    await Promise.race([sleep(lookEveryMs), stopped]);
    const now = await stateOf(paths);
    if (isStopped || now === before) continue;
    before = now;
    await changed();
    await say();
  }
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
