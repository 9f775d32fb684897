/** A cell ends with whoever started it, and at once when told so, in the middle of whatever it does. */
import { readdirSync, readFileSync } from "node:fs";
import { getPriority } from "node:os";
import { join } from "node:path";
import { expect, test } from "bun:test";
import { defaultLimits } from "../../src/config/limits.ts";
import type { WorkerCommands } from "../../src/engine/workers/worker-main.ts";
import { spawnWorkerProcess } from "../../src/runtime/worker-process.ts";
import { slowNiceness, workerNiceness } from "../../src/runtime/priority.ts";
import { AppError } from "../../src/util/app-error.ts";
import { eventually, withDirectory } from "../replication/cluster.ts";
import { cellsOf } from "./worker-processes.ts";

const isThere = (pid: number): boolean => {
  try {
    return !readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z ");
  } catch {
    return false;
  }
};

test("whose parent was killed in the middle of a statement is gone", () =>
  withDirectory(async (directory) => {
    const parent = Bun.spawn([process.execPath, join(import.meta.dir, "busy-worker-process.ts"), directory], { stdout: "pipe" });
    const reader = parent.stdout.getReader();
    expect(new TextDecoder().decode((await reader.read()).value)).toBe("busy\n");
    const [cell] = cellsOf(parent.pid);
    expect(cell?.pid).toBeGreaterThan(0);
    parent.kill("SIGKILL");
    await parent.exited;
    await eventually(() => expect(isThere(Number(cell?.pid))).toBe(false));
  }));

test("fails what it was asked when it is ended, with the reason, and when it ends by itself", async () => {
  const ended = spawnWorkerProcess<WorkerCommands>("aside").worker;
  const asked = ended.call("openEngine", { limits: defaultLimits, storePath: "/nowhere" }).catch((error) => error);
  ended.terminate(new AppError("query_too_expensive", "that is enough"));
  expect(await asked).toMatchObject({ code: "query_too_expensive", message: "that is enough" });
  expect(ended.hasExited).toBe(true);

  const { worker } = spawnWorkerProcess<WorkerCommands>("aside");
  await worker.call("openEngine", { limits: defaultLimits, storePath: "/nowhere" }).catch(() => {});
  const before = cellsOf(process.pid);
  const lost = worker.call("openEngine", { limits: defaultLimits, storePath: "/nowhere" }).catch((error) => error);
  for (const { pid } of before) process.kill(pid, "SIGKILL");
  expect(await lost).toMatchObject({ code: expect.stringMatching(/query_too_expensive|not_ready/) });
  await eventually(() => expect(worker.hasExited).toBe(true));
});

test("gives way with all of its threads, and more where its work is slow", async () => {
  const before = new Set(cellsOf(process.pid).map(({ pid }) => pid));
  const { worker, lowerPriority: giveWay } = spawnWorkerProcess<WorkerCommands>("aside");
  await worker.call("openEngine", { limits: defaultLimits, storePath: "/nowhere" }).catch(() => {});
  const [cell] = cellsOf(process.pid).filter(({ pid }) => !before.has(pid));
  const priorities = (): number[] =>
    readdirSync(`/proc/${cell?.pid}/task`).map((thread) => getPriority(Number(thread)));
  // One that passes messages on, one that works, and those of the runtime.
  expect(priorities().length).toBeGreaterThan(2);
  expect(new Set(priorities())).toEqual(new Set([workerNiceness]));
  giveWay();
  expect(new Set(priorities())).toEqual(new Set([slowNiceness]));
  worker.terminate(new AppError("not_ready", "done"));
});

test("is not for the command line", async () => {
  const main = join(import.meta.dir, "../../src/main.ts");
  const child = Bun.spawn([process.execPath, main, "cell", "aside"], { stderr: "pipe" });
  expect(await child.exited).toBe(2);
  expect(await child.stderr.text()).toContain("unknown command");
});
