/** What a long command is doing, for people: one line on standard error that is written over, and nothing at all where that is no terminal. */
import { isTerminal, printError } from "../runtime/process.ts";

export interface Progress {
  /** Says what is done now. `part` is how much of it, from 0 to 1. */
  step(what: string, part?: number): void;
  /** Takes the line away. */
  end(): Promise<void>;
}

const intervalMs = 200;
const clearLine = "\r\u001B[K";

export function showProgress(): Progress {
  if (!isTerminal("stderr")) return { step() {}, async end() {} };
  let shown = "";
  let shownMs = Number.NEGATIVE_INFINITY;
  return {
    step(what, part) {
      const now = performance.now();
      if (what === shown && now - shownMs < intervalMs) return;
      [shown, shownMs] = [what, now];
      void printError(`${clearLine}${what}${part === undefined ? "" : ` ${Math.floor(part * 100)} %`} …`);
    },
    end: () => (shown === "" ? Promise.resolve() : printError(clearLine)),
  };
}
