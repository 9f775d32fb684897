/**
 * A worker in a process of its own. A thread can't be ended in the middle of a statement of SQLite; a process can. The process has one thread
 * that only passes messages on, so that it hears when the process that started it is gone, and ends with it whatever the worker does. The same
 * thread measures the memory of the process, JavaScript and SQLite together, and ends it at its limit: the worker can't, in the middle of a
 * statement or a loop, and the process that started it may be busy.
 */
import { readFileSync } from "node:fs";
import { AppError } from "../util/app-error.ts";
import { lowerPriority, slowNiceness, workerNiceness } from "./priority.ts";
import {
  type Commands,
  connectChannel,
  isCompiled,
  type WorkerChannel,
  workerEntries,
  type WorkerHandle,
  type WorkerName,
  openWorkerChannel,
} from "./worker.ts";

/** The first argument of the program where it is to be such a process; the second names the worker. */
const workerProcessArgument = "cell";

/** It has no other reason to: a system that is short of memory ends the process that has the most. */
const endedByItself = "the process that worked on this has ended, most likely since it took more memory than there is";

export interface WorkerProcess<C extends Commands> {
  /** Its `terminate` ends the process at once. */
  readonly worker: WorkerHandle<C, never>;
  /** From now on the process may take so much memory more than it had at its start; then it ends, and what it was asked fails with `reason`. */
  limitMemory(bytesMax: number, reason: Error): void;
  /** What the process takes at present, files apart; 0 where the system does not tell. */
  memoryBytes(): number;
  /** Lowers the priority of the process once more: what it works on has taken long. */
  lowerPriority(): void;
}

/** Starts the worker of this name in a process. */
export function spawnWorkerProcess<C extends Commands>(name: WorkerName): WorkerProcess<C> {
  const { port, pid, limitMemory } = startWorkerProcess(name);
  return {
    worker: connectChannel(port),
    lowerPriority: () => lowerPriority(pid, slowNiceness),
    memoryBytes: () => anonymousBytes(pid) ?? 0,
    limitMemory,
  };
}

/** To the thread that passes messages on, and not passed on itself. */
interface MemoryLimit {
  readonly memoryBytesMax: number;
}

/** From that thread, right before it ends the process. */
const memoryExceeded = "memory exceeded";

/** Which worker this process is to run, if it was started as a cell: there is no such command for people. */
export function workerProcessName(): WorkerName | undefined {
  const [first, name] = process.argv.slice(2);
  return process.connected && first === workerProcessArgument && name !== undefined && name in workerEntries
    ? (name as WorkerName)
    : undefined;
}

/** What the program does as a cell: serves until the process that started it is gone. */
export function serveWorkerProcess(name: WorkerName): Promise<never> {
  const worker = openWorkerChannel(name);
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

function isMemoryLimit(message: unknown): message is MemoryLimit {
  return typeof message === "object" && message !== null && "memoryBytesMax" in message;
}

/** How often memory is measured: a process that fills it as fast as it can takes some 100 MB meanwhile. */
const measureIntervalMs = 50;
/** Time for the reason to be on its way. */
const flushMs = 20;

class MemoryGuard {
  /** What the process takes without any work: code, the heap of a thread that waits. */
  readonly #ownBytes = residentBytes();
  #bytesMax = Number.POSITIVE_INFINITY;
  #timer: ReturnType<typeof setInterval> | undefined;

  limit(bytesMax: number): void {
    this.#bytesMax = bytesMax;
    this.#timer ??= setInterval(() => this.#measure(), measureIntervalMs);
  }

  #measure(): void {
    if (residentBytes() - this.#ownBytes <= this.#bytesMax) return;
    clearInterval(this.#timer);
    process.send?.(memoryExceeded);
    setTimeout(killSelf, flushMs);
  }
}

/** Without pages of files, which others share and the system may take back; with them where the system does not tell them apart. */
function residentBytes(): number {
  return anonymousBytes("self") ?? process.memoryUsage.rss();
}

/** `undefined` where the process is gone, or the system does not tell. */
function anonymousBytes(pid: number | "self"): number | undefined {
  try {
    const [, kilobytes] = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
    return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
  } catch {
    return undefined;
  }
}

/** Not by `exit`, which would wait for the worker. */
function killSelf(): void {
  process.kill(process.pid, "SIGKILL");
}

interface StartedProcess extends Pick<WorkerProcess<Commands>, "limitMemory"> {
  readonly port: WorkerChannel;
  readonly pid: number;
}

function startWorkerProcess(name: WorkerName): StartedProcess {
  let receive: (message: unknown) => void = () => {};
  let reason: Error = new AppError("query_too_expensive", endedByItself);
  let tooLarge = reason;
  const program = isCompiled() ? [] : [new URL("../main.ts", import.meta.url).pathname];
  const child = Bun.spawn([process.execPath, ...program, workerProcessArgument, name], {
    // Nothing of a node's settings, some of which are secret, is for it.
    env: {},
    stdio: ["ignore", "ignore", "inherit"],
    serialization: "advanced",
    ipc(message) {
      if (message === memoryExceeded) reason = tooLarge;
      else receive(message);
    },
  });
  lowerPriority(child.pid, workerNiceness);
  // It must not keep the process that started it from ending.
  child.unref();
  const port: WorkerChannel = {
    send: (message) => child.send(message),
    onMessage: (listener) => {
      receive = listener;
    },
    onEnd: (listener) => void child.exited.then(() => listener(reason)),
    end: () => child.kill("SIGKILL"),
  };
  return {
    port,
    pid: child.pid,
    limitMemory(memoryBytesMax, error) {
      tooLarge = error;
      child.send({ memoryBytesMax } satisfies MemoryLimit);
    },
  };
}
