/** A temporary directory for the command line. */
import * as Bun from "bun";
import { afterAll, beforeAll } from "bun:test";
import { mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { builtBinary } from "../../scripts/built-binary.ts";
import { runCommand, type Outcome } from "./run-command.ts";

type Environment = Readonly<Record<string, string>>;

export function workspace() {
  let directory = "";
  beforeAll(() => {
    directory = realpathSync(mkdtempSync(join(tmpdir(), "ostiary-cli-")));
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  const path = (name: string) => join(directory, name);
  /** Logins of the user of this machine must not matter. */
  const complete = (environment: Environment): Environment => ({
    PATH: process.env["PATH"] ?? "",
    XDG_CONFIG_HOME: directory,
    ...environment,
  });
  const run = (parameters: readonly string[], input = "", environment: Environment = {}): Promise<Outcome> =>
    runCommand(parameters, { directory, environment: complete(environment), input });
  /** Starts a process of the built binary. */
  const start = async (parameters: readonly string[], environment: Environment = {}, input = "") =>
    Bun.spawn([await builtBinary(), ...parameters], {
      cwd: directory,
      env: complete(environment),
      stdin: Buffer.from(input),
      stdout: "pipe",
      stderr: "pipe",
    });
  return {
    path,
    read: (name: string): string => readFileSync(path(name), "utf8"),
    write(name: string, content: string | Uint8Array): string {
      writeFileSync(path(name), content);
      return name;
    },
    /** Calls a command in this process. `input` is the standard input. */
    run,
    /** The same as if standard streams were a terminal. */
    runOnTerminal: (parameters: readonly string[], input = "", environment: Environment = {}): Promise<Outcome> =>
      runCommand(parameters, { directory, environment: complete(environment), input, isTerminal: true }),
    start,
    /** Runs a process of the built binary until its end. */
    async runProcess(parameters: readonly string[], input = "", environment: Environment = {}): Promise<Outcome> {
      const child = await start(parameters, environment, input);
      const [output, errors, status] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
      return { status, output, errors };
    },
  };
}
