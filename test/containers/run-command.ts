/** Runs the programs of container engines for tests. */
import * as Bun from "bun";
import { programPath } from "../e2e/program.ts";

export interface CommandOptions {
  readonly cwd: string;
  /** All variables that the command gets. */
  readonly environment: Readonly<Record<string, string>>;
  readonly timeoutMs?: number | undefined;
}

/** Returns the standard output; a failure throws with the whole output. */
export async function runCommand(
  [name = "", ...parameters]: readonly string[],
  { cwd, environment, timeoutMs = 60_000 }: CommandOptions,
): Promise<string> {
  const started = Bun.spawn([programPath(name), ...parameters], {
    cwd,
    env: environment,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: timeoutMs,
    killSignal: "SIGKILL",
  });
  const [status, output, errors] = await Promise.all([started.exited, started.stdout.text(), started.stderr.text()]);
  if (status === 0) return output.trim();
  throw new Error(`${[name, ...parameters].join(" ")} ended with ${status}:\n${output}${errors}`);
}
