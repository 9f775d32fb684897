/**
 * A worker in its own process. A thread cannot be ended while it runs a statement of SQLite; a process can.
 *
 * One thread of the process runs the worker. The other passes messages on, and ends the process when the parent is gone
 * or at the memory limit (JavaScript and SQLite together): the worker's thread cannot do that in the middle of a
 * statement or a loop, and the parent may be busy.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { getPriority, setPriority } from "node:os";
import { platform } from "#platform";
import type { WorkerChannel } from "./platform.ts";
import { AppError } from "../util/app-error.ts";
import { memoryMeasureIntervalMs } from "../util/tuning.ts";
import {
  type Commands,
  connectChannel,
  entryUrl,
  openWorkerChannel,
  type WorkerHandle,
  type WorkerKind,
} from "./worker.ts";

/** The niceness of worker processes. On Linux ten of them weigh as much as the serving thread (`man 7 sched`). */
export const workerNiceness = 10;

/** Of worker processes whose work has taken long: seventy of them weigh as much as the serving thread. */
export const slowNiceness = 19;

/**
 * If memory runs out, in the machine or in a container, Linux ends worker processes first (`man 5 proc_pid_oom_score_adj`).
 */
const firstToEnd = "1000";

/** The first argument of a process that is to run a worker. The second one is the worker's entry point. */
const workerProcessArgument = "worker-process";

/** For example a binary for another processor, or one that was removed while the node runs. */
const notStarted =
  "the process that was to work on this has ended before it began: the program of this node was removed or cannot run as a further process, or memory is short; start the node again if it lasts";

/** A worker process that has begun has no other reason to end: a system that is short of memory ends the process that has the most. */
const endedByItself =
  "the process that worked on this has ended, most likely because it took more memory than there is";

export interface WorkerProcess<C extends Commands> {
  /** Its `terminate` ends the process immediately. */
  readonly worker: WorkerHandle<C, never>;
  /** Ends the process when it takes `bytesMax` more than its memory at the start. Its calls fail with `reason`. */
  limitMemory(bytesMax: number, reason: Error): void;
  /** The memory of the process without pages of files; 0 on systems that do not report it. */
  memoryBytes(): number;
  /** How long its threads have waited for a processor so far, together; 0 on systems that do not report it. */
  waitedMs(): number;
  /** Lowers the priority of the process further: its work has taken long. */
  lowerPriority(): void;
}

/** A message to the thread that passes messages on. It does not pass this one on. */
interface MemoryLimit {
  readonly memoryBytesMax: number;
}

/** The first message from that thread. A node of another release, whose binary was replaced, ignores it. */
const begun = { hasBegun: true } as const;

/** A message from that thread, sent right before it ends the process. */
const memoryExceeded = "memory exceeded";

/** The entry point of the worker that this process has to run; undefined in all other processes. */
export function workerProcessEntry(): string | undefined {
  const [first, entry] = process.argv.slice(2);
  return process.connected && first === workerProcessArgument ? entry : undefined;
}

/** Runs the worker until the parent process is gone. */
export function serveWorkerProcess(entry: string): Promise<never> {
  process.send?.(begun);
  const worker = openWorkerChannel(entryUrl(entry));
  worker.onMessage((message) => process.send?.(message));
  worker.onEnd(killSelf);
  const guard = new MemoryGuard();
  process.on("message", (message) => {
    if (isMemoryLimit(message)) guard.limit(message.memoryBytesMax);
    else worker.send(message);
  });
  process.on("disconnect", killSelf);
  return new Promise(() => {});
}

function isBegun(message: unknown): message is typeof begun {
  return typeof message === "object" && message !== null && "hasBegun" in message;
}

function isMemoryLimit(message: unknown): message is MemoryLimit {
  return typeof message === "object" && message !== null && "memoryBytesMax" in message;
}

/** Enough time to send the reason to the parent. */
const flushMs = 20;

class MemoryGuard {
  /** The memory of the process without any work: code, and the heap of a thread that waits. */
  readonly #ownBytes = residentBytes();
  #bytesMax = Number.POSITIVE_INFINITY;
  #timer: ReturnType<typeof setInterval> | undefined;

  limit(bytesMax: number): void {
    this.#bytesMax = bytesMax;
    this.#timer ??= setInterval(() => this.#measure(), memoryMeasureIntervalMs);
  }

  #measure(): void {
    if (residentBytes() - this.#ownBytes <= this.#bytesMax) return;
    clearInterval(this.#timer);
    process.send?.(memoryExceeded);
    setTimeout(killSelf, flushMs);
  }
}

/** Without pages of files, which are shared and can be reclaimed, on systems that report them separately. */
function residentBytes(): number {
  return anonymousBytes("self") ?? process.memoryUsage.rss();
}

/** Undefined if the process is gone or the system does not report it. */
function anonymousBytes(pid: number | "self"): number | undefined {
  const status = tryTo(() => readFileSync(`/proc/${pid}/status`, "utf8")) ?? "";
  const [, kilobytes] = /^RssAnon:\s+(\d+) kB$/m.exec(status) ?? [];
  return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
}

/** `exit` would wait for the worker. */
function killSelf(): void {
  process.kill(process.pid, "SIGKILL");
}

/** Starts a worker in a process. Most workers have nothing to write. */
export function spawnWorkerProcess<C extends Commands>({ entry }: WorkerKind, mayWrite = false): WorkerProcess<C> {
  let receive: (message: unknown) => void = () => {};
  let reason: Error = new AppError("not_ready", notStarted);
  let memoryReason: Error = new AppError("query_too_expensive", endedByItself);
  const child = platform.startProcess({
    parameters: [workerProcessArgument, entry],
    mayWrite,
    onMessage(message) {
      if (message === memoryExceeded) reason = memoryReason;
      else if (isBegun(message)) reason = new AppError("query_too_expensive", endedByItself);
      else receive(message);
    },
  });
  lowerPriority(child.pid, workerNiceness);
  tryTo(() => writeFileSync(`/proc/${child.pid}/oom_score_adj`, firstToEnd));
  const channel: WorkerChannel = {
    send: (message) => child.send(message),
    onMessage: (listener) => {
      receive = listener;
    },
    onEnd: (listener) => void child.exited.then(() => listener(reason)),
    end: () => child.kill(),
  };
  return {
    worker: connectChannel(channel),
    limitMemory(memoryBytesMax, error) {
      memoryReason = error;
      child.send({ memoryBytesMax } satisfies MemoryLimit);
    },
    memoryBytes: () => anonymousBytes(child.pid) ?? 0,
    waitedMs: () => waitedMs(child.pid),
    lowerPriority: () => lowerPriority(child.pid, slowNiceness),
  };
}

/**
 * Sets the niceness of a process and all its threads: on Linux each thread has its own. Worker processes must not slow
 * down the serving thread on a machine with few cores. Threads of the node's own process keep their priority: they
 * share the threads that collect garbage, and such a thread inherits the priority of the thread that starts it.
 */
function lowerPriority(pid: number, niceness: number): void {
  // A thread that was not lowered yet may start another one meanwhile, with its own priority.
  for (let pass = 0; pass < passesMax; pass++) {
    const higher = threadsOf(pid).filter((thread) => (tryTo(() => getPriority(thread)) ?? niceness) < niceness);
    if (higher.length === 0) return;
    for (const thread of higher) tryTo(() => setPriority(thread, niceness));
  }
}

const passesMax = 5;

function threadsOf(pid: number): readonly number[] {
  return tryTo(() => readdirSync(`/proc/${pid}/task`).map(Number)) ?? [pid];
}

/** The second number of `schedstat` is the time in nanoseconds that a thread could run and had no processor. */
function waitedMs(pid: number): number {
  const times = threadsOf(pid).map((thread) => {
    const text = tryTo(() => readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8")) ?? "";
    return Number(text.split(" ")[1] ?? 0) / 1e6;
  });
  // One thread also waits for another one, such as that of the garbage collector, which has no processor.
  return times.reduce((sum, ms) => sum + ms, 0);
}

/** Other systems have no `/proc`, a thread may have ended, and lowering may not be permitted. */
function tryTo<Result>(attempt: () => Result): Result | undefined {
  try {
    return attempt();
  } catch {
    return undefined;
  }
}
