/**
 * Calls the command line in this process, with standard streams, an environment and a working directory of its own. A
 * call costs 10 ms of a processor, a process of the program 150 to 300. What only a process shows is tested with
 * processes: signals, pipes, terminals and its end.
 */
import { Readable, Writable } from "node:stream";
import { runCommandLine } from "../../src/cli/cli.ts";
import { useStreams } from "../../src/runtime/process.ts";

export interface Outcome {
  readonly status: number;
  readonly output: string;
  readonly errors: string;
}

export interface Surroundings {
  readonly directory: string;
  readonly environment: Readonly<Record<string, string>>;
  /** Standard input. */
  readonly input?: string;
  /** Whether the streams say that they are a terminal. */
  readonly isTerminal?: boolean;
}

let last: Promise<unknown> = Promise.resolve();

/** Calls run one after another, because the environment and the working directory belong to the whole process. */
export function runCommand(parameters: readonly string[], surroundings: Surroundings): Promise<Outcome> {
  const outcome = last.then(() => runAlone(parameters, surroundings));
  last = outcome.catch(() => {});
  return outcome;
}

async function runAlone(
  parameters: readonly string[],
  { directory, environment, input = "", isTerminal = false }: Surroundings,
): Promise<Outcome> {
  const [stdout, stderr] = [textStream(isTerminal), textStream(isTerminal)];
  const stdin = Object.assign(Readable.from([Buffer.from(input)]), { isTTY: isTerminal });
  const putBack = [keepEnvironment(), keepDirectory(), keepUmask(), keepListeners()];
  replaceEnvironment(environment);
  process.chdir(directory);
  useStreams({ stdin, stdout, stderr });
  try {
    const status = await runCommandLine(parameters);
    return { status, output: stdout.text(), errors: stderr.text() };
  } finally {
    useStreams();
    for (const each of putBack) each();
  }
}

function textStream(isTTY: boolean): Writable & { readonly isTTY: boolean; text(): string } {
  const parts: Buffer[] = [];
  const stream = new Writable({
    write(part: Buffer, _encoding, done) {
      parts.push(part);
      done();
    },
  });
  return Object.assign(stream, { isTTY, text: () => Buffer.concat(parts).toString() });
}

function keepEnvironment(): () => void {
  const kept = { ...process.env };
  return () => replaceEnvironment(kept);
}

function replaceEnvironment(variables: Readonly<Record<string, string | undefined>>): void {
  for (const name of Object.keys(process.env)) if (!(name in variables)) delete process.env[name];
  Object.assign(process.env, variables);
}

function keepDirectory(): () => void {
  const kept = process.cwd();
  return () => process.chdir(kept);
}

function keepUmask(): () => void {
  const kept = process.umask(0o022);
  return () => process.umask(kept);
}

/** A node handles the errors of the whole process, which would hide those of tests. */
function keepListeners(): () => void {
  const signals = ["SIGINT", "SIGTERM"] as const;
  const kept = signals.map((signal) => process.listeners(signal));
  const handlers = process.listenerCount("uncaughtException");
  return () => {
    for (const [index, signal] of signals.entries())
      for (const listener of process.listeners(signal))
        if (kept[index]?.includes(listener) === false) process.off(signal, listener);
    if (process.listenerCount("uncaughtException") > handlers)
      throw new Error("this command starts a node, which needs a process of its own: use `runProcess`");
  };
}
