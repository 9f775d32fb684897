/**
 * A worker in a process of its own. A thread can't be ended in the middle of a statement of SQLite; a process can. The process has one thread
 * that only passes messages on, so that it hears when the process that started it is gone, and ends with it whatever the worker does.
 */
import { setPriority } from "node:os";
import { AppError } from "../util/app-error.ts";
import {
  type Commands,
  connect,
  isCompiled,
  type Port,
  workerEntries,
  type WorkerHandle,
  type WorkerName,
  workerPort,
} from "./worker.ts";

/** The first argument of the program where it is to be such a process; the second names the worker. */
const cellArgument = "cell";

/** Lower than that of the node, which is 0. */
const niceness = 10;

/** It has no other reason to: a system that is short of memory ends the process that has the most. */
const endedByItself = "the process that worked on this has ended, most likely since it took more memory than there is";

export interface Cell<C extends Commands> {
  /** Its `terminate` ends the process at once. */
  readonly worker: WorkerHandle<C, never>;
  /** From now on everything else comes first where it wants the processor too. */
  giveWay(): void;
}

/** Starts the worker of this name in a process. */
export function spawnCell<C extends Commands>(name: WorkerName): Cell<C> {
  const { port, pid } = startCell(name);
  return { worker: connect(port), giveWay: () => giveWay(pid) };
}

/** Which worker this process is to run, if it was started as a cell: there is no such command for people. */
export function cellName(): WorkerName | undefined {
  const [first, name] = process.argv.slice(2);
  return process.connected && first === cellArgument && name !== undefined && name in workerEntries
    ? (name as WorkerName)
    : undefined;
}

/** What the program does as a cell: serves until the process that started it is gone. */
export function serveCell(name: WorkerName): Promise<never> {
  const worker = workerPort(name);
  worker.onMessage((message) => process.send?.(message));
  worker.onEnd(leave);
  process.on("message", (message) => worker.send(message));
  process.on("disconnect", leave);
  return new Promise(() => {});
}

/** Not by `exit`, which would wait for the worker. */
function leave(): void {
  process.kill(process.pid, "SIGKILL");
}

function startCell(name: WorkerName): { readonly port: Port; readonly pid: number } {
  let receive: (message: unknown) => void = () => {};
  const program = isCompiled() ? [] : [new URL("../main.ts", import.meta.url).pathname];
  const child = Bun.spawn([process.execPath, ...program, cellArgument, name], {
    // Nothing of a node's settings, some of which are secret, is for it.
    env: {},
    stdio: ["ignore", "ignore", "inherit"],
    serialization: "advanced",
    ipc: (message) => receive(message),
  });
  // It must not keep the process that started it from ending.
  child.unref();
  const port: Port = {
    send: (message) => child.send(message),
    onMessage: (listener) => {
      receive = listener;
    },
    onEnd: (listener) => void child.exited.then(() => listener(new AppError("query_too_expensive", endedByItself))),
    end: () => child.kill("SIGKILL"),
  };
  return { port, pid: child.pid };
}

function giveWay(pid: number): void {
  try {
    setPriority(pid, niceness);
  } catch {
    // Where that is not allowed it runs as the node does.
  }
}
