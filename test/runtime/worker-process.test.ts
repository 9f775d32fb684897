/**
 * A worker process ends with its parent, and immediately when its parent ends it, even in the middle of a statement.
 */
import * as Bun from "bun";
import { readdirSync, readFileSync } from "node:fs";
import { getPriority } from "node:os";
import { join } from "node:path";
import { expect, spyOn, test } from "bun:test";
import { defaultLimits } from "../../src/config/limits.ts";
import type { WorkerCommands } from "../../src/engine/workers/engine-worker.ts";
import { engineWorker } from "../../src/engine/workers/worker-pool.ts";
import { slowNiceness, spawnWorkerProcess, workerNiceness } from "../../src/runtime/worker-process.ts";
import { AppError } from "../../src/util/app-error.ts";
import { eventually, withDirectory } from "../replication/cluster.ts";
import { workerProcessesOf } from "./worker-processes.ts";

const isRunning = (pid: number): boolean => {
  try {
    return !readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z ");
  } catch {
    return false;
  }
};

test("a worker process ends in the middle of a statement when its parent is killed", () =>
  withDirectory(async (directory) => {
    const parent = Bun.spawn([process.execPath, join(import.meta.dirname, "busy-worker-process.ts"), directory], {
      stdout: "pipe",
    });
    const reader = parent.stdout.getReader();
    expect(new TextDecoder().decode((await reader.read()).value)).toBe("busy\n");
    const [started] = workerProcessesOf(parent.pid);
    expect(started?.pid).toBeGreaterThan(0);
    parent.kill("SIGKILL");
    await parent.exited;
    await eventually(() => expect(isRunning(Number(started?.pid))).toBe(false));
  }));

test("calls fail with the reason when the process is ended, and fail when it ends by itself", async () => {
  const ended = spawnWorkerProcess<WorkerCommands>(engineWorker).worker;
  const asked = ended.call("openEngine", { limits: defaultLimits, storePath: "/nowhere" }).catch((error) => error);
  ended.terminate(new AppError("query_too_expensive", "that is enough"));
  expect(await asked).toMatchObject({ code: "query_too_expensive", message: "that is enough" });
  expect(ended.hasExited).toBe(true);

  const { worker } = spawnWorkerProcess<WorkerCommands>(engineWorker);
  await worker.call("openEngine", { limits: defaultLimits, storePath: "/nowhere" }).catch(() => {});
  const before = workerProcessesOf(process.pid);
  const lost = worker.call("openEngine", { limits: defaultLimits, storePath: "/nowhere" }).catch((error) => error);
  for (const { pid } of before) process.kill(pid, "SIGKILL");
  expect(await lost).toMatchObject({ code: expect.stringMatching(/query_too_expensive|not_ready/) });
  await eventually(() => expect(worker.hasExited).toBe(true));
});

/** The error of a call to a process that runs this program instead. */
async function errorOfCallTo(...program: string[]): Promise<unknown> {
  const { spawn } = globalThis.Bun;
  const replaced = spyOn(globalThis.Bun, "spawn").mockImplementation(((_command: unknown, options: object) =>
    spawn(program, options)) as unknown as typeof spawn);
  try {
    const { worker } = spawnWorkerProcess<WorkerCommands>(engineWorker);
    return await worker.call("openEngine", { limits: defaultLimits, storePath: "/nowhere" }).catch((error) => error);
  } finally {
    replaced.mockRestore();
  }
}

test.skipIf("Deno" in globalThis)(
  "a process that cannot begin is not taken for one that needs too much memory",
  async () => {
    expect(await errorOfCallTo("false")).toMatchObject({
      code: "not_ready",
      message: expect.stringContaining("has ended before it began"),
    });
    const begins = "process.send({ hasBegun: true }); setTimeout(() => process.exit(1), 200)";
    expect(await errorOfCallTo(process.execPath, "-e", begins)).toMatchObject({ code: "query_too_expensive" });
  },
);

test("messages to a process that has ended do not end this one", async () => {
  const before = new Set(workerProcessesOf(process.pid).map(({ pid }) => pid));
  const { worker, limitMemory } = spawnWorkerProcess<WorkerCommands>(engineWorker);
  const [started] = workerProcessesOf(process.pid).filter(({ pid }) => !before.has(pid));
  worker.terminate(new AppError("not_ready", "done"));
  await eventually(() => expect(isRunning(Number(started?.pid))).toBe(false));
  await Bun.sleep(50);
  for (let sent = 0; sent < 3; sent++)
    try {
      limitMemory(1e9, new AppError("not_ready", "unused"));
    } catch {
      // Bun throws, and Deno reports an event for each message.
    }
  await Bun.sleep(50);
});

test("all threads of a worker process have a low priority, and a lower one when their work is slow", async () => {
  const before = new Set(workerProcessesOf(process.pid).map(({ pid }) => pid));
  const { worker, lowerPriority } = spawnWorkerProcess<WorkerCommands>(engineWorker);
  await worker.call("openEngine", { limits: defaultLimits, storePath: "/nowhere" }).catch(() => {});
  const [started] = workerProcessesOf(process.pid).filter(({ pid }) => !before.has(pid));
  const priorities = (): number[] =>
    readdirSync(`/proc/${started?.pid}/task`).map((thread) => getPriority(Number(thread)));
  // The thread that passes messages on, the thread of the worker, and the threads of the runtime.
  expect(priorities().length).toBeGreaterThan(2);
  expect(new Set(priorities())).toEqual(new Set([workerNiceness]));
  lowerPriority();
  expect(new Set(priorities())).toEqual(new Set([slowNiceness]));
  worker.terminate(new AppError("not_ready", "done"));
});

test("if memory runs out, the system ends worker processes first", async () => {
  const before = new Set(workerProcessesOf(process.pid).map(({ pid }) => pid));
  const { worker } = spawnWorkerProcess<WorkerCommands>(engineWorker);
  await worker.call("openEngine", { limits: defaultLimits, storePath: "/nowhere" }).catch(() => {});
  const [started] = workerProcessesOf(process.pid).filter(({ pid }) => !before.has(pid));
  expect(readFileSync(`/proc/${started?.pid}/oom_score_adj`, "utf8").trim()).toBe("1000");
  worker.terminate(new AppError("not_ready", "done"));
});

test("the command line has no command for worker processes", async () => {
  const main = join(import.meta.dirname, "../../src/main.ts");
  const child = Bun.spawn([process.execPath, main, "worker-process", "engine/workers/engine-worker.ts"], {
    stderr: "pipe",
  });
  expect(await child.exited).toBe(2);
  expect(await child.stderr.text()).toContain("is not a command");
});
