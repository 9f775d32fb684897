/** Worker threads and worker processes on Bun. */
import { fileURLToPath } from "node:url";
import type { ProcessChannel, ProcessOptions, WorkerChannel } from "../platform.ts";

export const isCompiled: boolean = import.meta.url.startsWith("file:///$bunfs/");

/** See `Platform`. */
export function startThread(entry: URL | string): WorkerChannel {
  const worker = new Worker(entry);
  return {
    send: (message, transfer = []) => worker.postMessage(message, [...transfer]),
    onMessage: (listener) => worker.addEventListener("message", (message) => listener(message.data)),
    onEnd(listener) {
      worker.addEventListener("error", (event) => listener(new Error(`a worker failed: ${event.message}`)));
      worker.addEventListener("close", () => listener(new Error("a worker ended by itself")));
    },
    end: () => worker.terminate(),
  };
}

/** See `Platform`. */
export function startProcess({ parameters, onMessage }: ProcessOptions): ProcessChannel {
  const program = isCompiled ? [] : [fileURLToPath(new URL("../worker-process-main.ts", import.meta.url))];
  const child = Bun.spawn([process.execPath, ...program, ...parameters], {
    // The process needs none of the node's settings, and some are secret.
    env: {},
    stdio: ["ignore", "ignore", "inherit"],
    serialization: "advanced",
    ipc: onMessage,
  });
  // The worker process must not keep its parent alive.
  child.unref();
  return {
    pid: child.pid,
    send: (message) => void child.send(message),
    exited: child.exited,
    kill: () => child.kill("SIGKILL"),
  };
}
