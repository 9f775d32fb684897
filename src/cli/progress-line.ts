/** A progress line on standard error, if that is a terminal, with a percentage if the total is known. */
import { statSync } from "node:fs";
import type { GrowingFile } from "../replication/progress.ts";
import { isTerminal, writeNow } from "../runtime/process.ts";
import { printable } from "../util/printable.ts";
import { printWarning } from "./color.ts";

export interface ProgressLine {
  /** Begins a step, and gives the file whose size shows the progress. */
  begin(text: string, growing?: GrowingFile): void;
  /** Describes the progress of the step, such as `describeRate`. */
  describe(progress: string): void;
  /** Reports the progress of the step. It is shown immediately, even if the thread is busy and timers do not run. */
  reached(done: number, total: number): void;
  /** Keeps a warning, which is printed when the line is cleared. */
  warn(problem: string): void;
}

const intervalMs = 200;
const clear = "\r\u001B[2K";

/** Runs `body`. At the end clears the line and prints the warnings. */
export async function withProgress<T>(body: (line: ProgressLine) => Promise<T>): Promise<T> {
  const isShown = isTerminal("stderr");
  let [text, share, shownMs] = ["", "", 0];
  let growing: GrowingFile | undefined;
  let startMs = performance.now();
  const warnings: string[] = [];
  const show = (): void => {
    shownMs = performance.now();
    const seconds = Math.floor((shownMs - startMs) / 1000);
    const shown = growing === undefined ? `${text}${share}` : describeGrowth(text, growing);
    writeNow("stderr", `${clear}${printable(shown)}${seconds < 1 ? "" : ` (${seconds} s)`}`);
  };
  const timer = isShown ? setInterval(show, intervalMs) : undefined;
  try {
    return await body({
      begin(next, file) {
        [text, share, growing] = [next, "", file];
        startMs = performance.now();
      },
      describe(progress) {
        share = `: ${progress}`;
        if (isShown && performance.now() - shownMs >= intervalMs) show();
      },
      reached(done, total) {
        share = percentOf(done, total);
        if (isShown && performance.now() - shownMs >= intervalMs) show();
      },
      warn: (problem) => warnings.push(problem),
    });
  } finally {
    clearInterval(timer);
    if (isShown) writeNow("stderr", clear);
    for (const warning of warnings) await printWarning(warning);
  }
}

function describeGrowth(text: string, { path, bytes, next }: GrowingFile): string {
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  return size >= bytes ? next : `${text}${percentOf(size, bytes)}`;
}

/**
 * `25 %, 1,000 facts, 500 a second, about 6 s left`. `share` is the finished part of the whole; without it, if the whole
 * is unknown, the text has neither percentage nor the time that is left.
 */
export function describeRate(facts: number, startMs: number, share?: number): string {
  const seconds = Math.max(performance.now() - startMs, 1) / 1000;
  const counted = `${counts.format(facts)} facts, ${counts.format(Math.round(facts / seconds))} a second`;
  if (share === undefined || share <= 0) return counted;
  const left = Math.ceil((seconds * (1 - share)) / share);
  return `${Math.floor(100 * share)} %, ${counted}, about ${counts.format(left)} s left`;
}

const counts = new Intl.NumberFormat("en");

/** Rounded down, so that 100 % means completion. */
function percentOf(done: number, total: number): string {
  return total > 0 ? `: ${Math.min(100, Math.floor((100 * done) / total))} %` : "";
}
