/** The thread that compiles a policy before it becomes active. */
import { serveWorker } from "../runtime/worker.ts";
import { compileAccepted } from "./active-policy.ts";
import { packPolicy } from "./packed-policy.ts";

const commands = {
  /** Throws as `activate`. */
  compile: (source: string, filename: string | null) => packPolicy(compileAccepted(source, filename)),
};

export type PolicyCommands = typeof commands;

serveWorker(commands, () => {});
