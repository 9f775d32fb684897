/** What takes long, told on standard error while it lasts, and only where a person is looking. */
import { isTerminal } from "../runtime/process.ts";
import { printable } from "../util/printable.ts";

export interface ProgressLine {
  /** What is being done from now on. */
  begin(text: string): void;
  /** How far what was begun has come. */
  reached(text: string): void;
}

const intervalMs = 200;
const clear = "\r\u001B[2K";

/** Nothing of the line is left when `body` is done. */
export async function withProgress<T>(body: (line: ProgressLine) => Promise<T>): Promise<T> {
  const isShown = isTerminal("stderr");
  let text = "";
  let startMs = performance.now();
  const show = (): void => {
    const seconds = Math.floor((performance.now() - startMs) / 1000);
    process.stderr.write(`${clear}${printable(text)}${seconds < 1 ? "" : ` (${seconds} s)`}`);
  };
  const timer = isShown ? setInterval(show, intervalMs) : undefined;
  try {
    return await body({
      begin(next) {
        text = next;
        startMs = performance.now();
      },
      reached(next) {
        text = next;
      },
    });
  } finally {
    clearInterval(timer);
    if (isShown) process.stderr.write(clear);
  }
}
