import { afterEach, describe, expect, test } from "bun:test";
import { AppError } from "../../src/util/app-error.ts";
import { connectChannel, openWorkerChannel, type WorkerHandle } from "../../src/runtime/worker.ts";
import type { EchoCommands, EchoEvent } from "./echo-worker.ts";

const running: WorkerHandle<EchoCommands, EchoEvent>[] = [];

function echo(): WorkerHandle<EchoCommands, EchoEvent> {
  const worker = connectChannel<EchoCommands, EchoEvent>(
    openWorkerChannel(new URL("./echo-worker.ts", import.meta.url)),
  );
  running.push(worker);
  return worker;
}

afterEach(async () => {
  for (const worker of running.splice(0)) await worker.stop();
});

describe("a worker", () => {
  test("answers each call with its own result", async () => {
    const worker = echo();
    const sums = await Promise.all([1, 2, 3].map((n) => worker.call("add", n, 10)));
    expect(sums).toEqual([11, 12, 13]);
  });

  test("fails a call with code, message and details, and with the cause for the log", async () => {
    const error = await echo()
      .call("refuse")
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(AppError);
    expect(error).toMatchObject({
      code: "invalid_policy",
      message: "the policy is `bad`",
      details: { error_type: "Generic" },
    });
    expect(String((error as Error & { cause: Error }).cause.stack)).toContain("inside");
  });

  test("passes other errors on as plain errors", async () => {
    const error = await echo()
      .call("break")
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(Error);
    expect(error).not.toBeInstanceOf(AppError);
    expect((error as Error).message).toBe("a bug");
  });

  test("emits events in order", async () => {
    const worker = echo();
    const seen: number[] = [];
    worker.onEvent((event) => seen.push(event.ticked));
    await worker.call("tick", 3);
    expect(seen).toEqual([1, 2, 3]);
  });

  test("finishes pending calls before it stops, and rejects later ones", async () => {
    const worker = echo();
    const seen: number[] = [];
    worker.onEvent((event) => seen.push(event.ticked));
    const slow = worker.call("slow", 50);
    await worker.stop();
    expect(await slow).toBe("done");
    expect(seen).toEqual([-1]);
    expect(await worker.exited).toBeUndefined();
    expect(await worker.call("add", 1, 1).catch((error: AppError) => error.code)).toBe("not_ready");
  });

  test("reports its end, and fails pending calls", async () => {
    const worker = echo();
    const waiting = worker.call("slow", 60_000).catch((error: Error) => error.message);
    await worker.call("crash");
    expect((await worker.exited)?.message).toContain("a worker failed");
    expect(await waiting).toContain("a worker failed");
  });
});
