/**
 * Priorities on the processor. Worker processes must not take the processor from the serving thread where there are few cores. Threads of a node's own
 * process keep its priority: the threads that collect garbage are common to all of them, and whoever starts one passes its priority on.
 */
import { readdirSync } from "node:fs";
import { setPriority } from "node:os";

/** Of work next to the serving thread, whose niceness is 0: by Linux, ten of them weigh as much as that thread (`man 7 sched`). */
export const workerNiceness = 10;

/** Of work that has taken long already: seventy of them weigh as much as the serving thread. */
export const slowNiceness = 19;

/** Sets the niceness of a process with all its threads: Linux knows one for each. Where that is not allowed, it runs as this one does. */
export function lowerPriority(pid: number, niceness: number): void {
  for (const thread of threadsOf(pid)) set(thread, niceness);
}

function threadsOf(pid: number): readonly number[] {
  return ignoringFailure(() => readdirSync(`/proc/${pid}/task`).map(Number)) ?? [pid];
}

function set(pid: number, niceness: number): void {
  ignoringFailure(() => setPriority(pid, niceness));
}

/** Other systems have no `/proc`, a thread may have ended, and a change may not be allowed: all that this costs is time of others. */
function ignoringFailure<Result>(attempt: () => Result): Result | undefined {
  try {
    return attempt();
  } catch {
    return undefined;
  }
}
