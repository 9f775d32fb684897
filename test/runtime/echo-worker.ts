/** A worker for tests: its commands return, fail in every possible way, or emit events. */
import * as Bun from "bun";
import { AppError } from "../../src/util/app-error.ts";
import { serveWorker } from "../../src/runtime/worker.ts";

export type EchoCommands = typeof commands;
export type EchoEvent = { readonly ticked: number };

let slowDone = false;

const commands = {
  add: (left: number, right: number): number => left + right,
  slow: async (ms: number): Promise<string> => {
    await Bun.sleep(ms);
    slowDone = true;
    return "done";
  },
  refuse: (): never => {
    throw new AppError("invalid_policy", "the policy is `bad`", {
      details: { error_type: "Generic" },
      cause: new Error("inside"),
    });
  },
  break: (): never => {
    throw new TypeError("a bug");
  },
  crash: (): void => {
    setTimeout(() => {
      throw new Error("uncaught");
    }, 0);
  },
  tick: (count: number): void => {
    for (let tick = 1; tick <= count; tick++) emit({ ticked: tick });
  },
};

const emit = serveWorker<EchoCommands, EchoEvent>(commands, () => {
  if (slowDone) emit({ ticked: -1 });
});
