/** A development node, as a process of the built binary or of another program. */
import * as Bun from "bun";
import { builtBinary } from "../../scripts/built-binary.ts";
import { developmentKey } from "../../src/config/config.ts";
import { readUntil } from "./read-until.ts";

const binary = await builtBinary();

export interface StartedDevNode {
  readonly url: string;
  /** The link that logs in to the web console. */
  readonly console: string;
  /** For commands that ask the node. */
  readonly access: { readonly OSO_URL: string; readonly OSO_AUTH: string };
  readonly errors: ReadableStream<Uint8Array>;
  /** Ends the node as Ctrl-C does, and returns its exit status. */
  stop(): Promise<number>;
}

/** Rejects if the node does not become ready. */
export async function startDevNode(
  parameters: readonly string[],
  environment: Readonly<Record<string, string>> = {},
  { directory, program = binary }: { readonly directory?: string; readonly program?: string } = {},
): Promise<StartedDevNode> {
  const child = Bun.spawn([program, "dev", ...parameters, "--json"], {
    ...(directory === undefined ? {} : { cwd: directory }),
    env: { PATH: process.env["PATH"] ?? "", OSO_PORT: "0", ...environment },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [line] = await readUntil(child.stdout, /^\{.*\}$/m);
  const { url, key, console } = JSON.parse(line) as { url: string; key: string; console: string };
  if (key !== developmentKey) throw new Error(`the node has the key ${key}`);
  return {
    url,
    console,
    access: { OSO_URL: url, OSO_AUTH: key },
    errors: child.stderr,
    stop() {
      child.kill("SIGINT");
      return child.exited;
    },
  };
}
