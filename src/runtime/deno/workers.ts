/** Worker threads and worker processes on Deno. */
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { ProcessChannel, ProcessOptions, WorkerChannel } from "../platform.ts";

/** See `Platform`. The worker has the permissions of the program. Deno does not report one that closes itself; none does. */
export function startThread(entry: URL | string): WorkerChannel {
  const worker = new Worker(entry, { type: "module" });
  return {
    send: (message, transfer = []) => worker.postMessage(message, [...transfer]),
    onMessage: (listener) => worker.addEventListener("message", (message) => listener(message.data)),
    onEnd(listener) {
      worker.addEventListener("error", (event) => {
        // Otherwise the error ends the program.
        event.preventDefault();
        listener(new Error(`a worker failed: ${event.message}`));
      });
    },
    end: () => worker.terminate(),
  };
}

/**
 * What a worker process may do: read the database and its own program, and measure itself. One that writes has all
 * permissions, because it copies databases: Deno permits SQLite's ATTACH only to programs that have them.
 */
const permissions = ["--allow-read", "--allow-sys", "--allow-env"];

/** See `Platform`. */
export function startProcess({ parameters, onMessage, mayWrite }: ProcessOptions): ProcessChannel {
  const program = fileURLToPath(new URL("../worker-process-main.ts", import.meta.url));
  const { DENO_DIR } = process.env;
  const child = fork(program, [...parameters], {
    execArgv: ["run", ...(mayWrite === true ? ["--allow-all"] : permissions)],
    // The process needs none of the node's settings, and some are secret. It shares the cache of compiled sources.
    env: DENO_DIR === undefined ? {} : { DENO_DIR },
    stdio: ["ignore", "ignore", "inherit", "ipc"],
    serialization: "advanced",
  });
  child.on("message", onMessage);
  const exited = new Promise((resolve) => {
    child.once("exit", resolve);
    // Several, if messages are sent while the process ends. Without a listener they would end this process.
    child.on("error", resolve);
  });
  // The reason comes later, as an event.
  if (child.pid === undefined) throw new Error("too many open files or processes, or too little memory");
  // The worker process must not keep its parent alive.
  child.unref();
  child.channel?.unref();
  return {
    pid: child.pid,
    send: (message) => void child.send(message as object),
    exited,
    kill: () => void child.kill("SIGKILL"),
  };
}
