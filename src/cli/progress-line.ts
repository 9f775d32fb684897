/** What takes long, told on standard error while it lasts, and only where a person is looking. With a percentage where the end is known. */
import { statSync } from "node:fs";
import type { GrowingFile } from "../replication/progress.ts";
import { isTerminal } from "../runtime/process.ts";
import { printable } from "../util/printable.ts";

export interface ProgressLine {
  /** What is being done from now on, and the file that shows how far it has come. */
  begin(text: string, growing?: GrowingFile): void;
  /** How much of what was begun is done. Shown at once, also where nothing else of this thread comes to run. */
  reached(done: number, total: number): void;
}

const intervalMs = 200;
const clear = "\r\u001B[2K";

/** Nothing of the line is left when `body` is done. */
export async function withProgress<T>(body: (line: ProgressLine) => Promise<T>): Promise<T> {
  const isShown = isTerminal("stderr");
  let [text, share, shownMs] = ["", "", 0];
  let growing: GrowingFile | undefined;
  let startMs = performance.now();
  const show = (): void => {
    shownMs = performance.now();
    const seconds = Math.floor((shownMs - startMs) / 1000);
    const shown = growing === undefined ? `${text}${share}` : describeGrowth(text, growing);
    process.stderr.write(`${clear}${printable(shown)}${seconds < 1 ? "" : ` (${seconds} s)`}`);
  };
  const timer = isShown ? setInterval(show, intervalMs) : undefined;
  try {
    return await body({
      begin(next, file) {
        [text, share, growing] = [next, "", file];
        startMs = performance.now();
      },
      reached(done, total) {
        share = percentOf(done, total);
        if (isShown && performance.now() - shownMs >= intervalMs) show();
      },
    });
  } finally {
    clearInterval(timer);
    if (isShown) process.stderr.write(clear);
  }
}

function describeGrowth(text: string, { path, bytes, next }: GrowingFile): string {
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  return size >= bytes ? next : `${text}${percentOf(size, bytes)}`;
}

/** Rounded down, so that 100 % means all of it. */
function percentOf(done: number, total: number): string {
  return total > 0 ? `: ${Math.min(100, Math.floor((100 * done) / total))} %` : "";
}
