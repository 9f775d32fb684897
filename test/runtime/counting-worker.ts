/** Workers that share a thread: each counts for itself. */
import { serveSharedWorkers } from "../../src/runtime/shared-thread.ts";

export interface Counted {
  readonly count: number;
}

export type CountingCommands = ReturnType<typeof countingCommands>;

/** Of this thread, so that a test sees which workers share one. */
const thread = crypto.randomUUID();
let stopped = 0;

function countingCommands(emit: (event: Counted) => void) {
  let count = 0;
  return {
    add(number: number) {
      count += number;
      emit({ count });
      return count;
    },
    async addLater(number: number, ms: number) {
      await new Promise((resolve) => setTimeout(resolve, ms));
      count += number;
      return count;
    },
    bytes: (buffer: ArrayBuffer) => buffer.byteLength,
    place: () => ({ thread, stopped }),
    crash() {
      setTimeout(() => {
        throw new Error("a bug");
      });
    },
  };
}

serveSharedWorkers<CountingCommands, Counted>(
  (emit) => ({ commands: countingCommands(emit), stop: () => void (stopped += 1) }),
  { clonedCommands: ["bytes"] },
);
