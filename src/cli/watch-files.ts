/** Watches files for changes, by polling: that is cheap, works on all file systems, and notices a replaced file. */
import { stat } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

const pollIntervalMs = 200;

/** Calls `onChange` after each change of a file, one call at a time, until `stop` resolves. */
export type FileWatch = (onChange: () => Promise<void>, stop: Promise<unknown>) => Promise<void>;

/**
 * Remembers the state of the files, so that a change before the first call of the result is noticed. It waits until the
 * files have stayed the same for one interval, because an editor may write a file in parts, or remove and create it.
 */
export async function watchFiles(paths: readonly string[]): Promise<FileWatch> {
  const initial = await stateOf(paths);
  return async (onChange, stop) => {
    let [seen, handled] = [initial, initial];
    const stopped = stop.then(() => true);
    while (!(await Promise.race([sleep(pollIntervalMs, false), stopped]))) {
      const found = await stateOf(paths);
      const isSteady = found === seen;
      seen = found;
      if (!isSteady || found === handled) continue;
      // The state before the files are read, so that a change meanwhile causes another call.
      handled = found;
      await onChange();
    }
  };
}

async function stateOf(paths: readonly string[]): Promise<string> {
  const states = paths.map((path) =>
    stat(path).then(
      ({ mtimeMs, size, ino }) => [mtimeMs, size, ino],
      () => null,
    ),
  );
  return JSON.stringify(await Promise.all(states));
}
