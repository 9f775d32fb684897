/** Development nodes: in this process, or as a process of the built binary or of another program. */
import * as Bun from "bun";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { resolve, join } from "node:path";
import { builtBinary } from "../../scripts/built-binary.ts";
import { devConfig } from "../../src/cli/dev.ts";
import { developmentKey } from "../../src/config/config.ts";
import { startDev } from "../../src/dev/dev.ts";
import { readUntil } from "./read-until.ts";

type Environment = Readonly<Record<string, string>>;

export interface DevNode {
  readonly url: string;
  /** For commands that ask the node. */
  readonly access: { readonly OSO_URL: string; readonly OSO_AUTH: string };
  stop(): Promise<unknown>;
}

export interface DevProcess extends DevNode {
  /** The link that logs in to the web console. */
  readonly console: string;
  readonly errors: ReadableStream<Uint8Array>;
  /** Ends the node as Ctrl-C does, and returns its exit status. */
  stop(): Promise<number>;
}

/** Starts a node in this process. `files` are policy files in `directory`; without `data` its data are temporary. */
export async function startDevNode(
  files: readonly string[],
  { directory = "", data, environment = {} }: { directory?: string; data?: string; environment?: Environment } = {},
): Promise<DevNode> {
  const temporary = data === undefined ? mkdtempSync(join(tmpdir(), "ostiary-dev-")) : undefined;
  const sources = files.map((name) => ({ name, text: readFileSync(resolve(directory, name), "utf8") }));
  const { config } = devConfig({ port: "0" }, data ?? temporary ?? "", environment);
  const node = await startDev(config, sources);
  return {
    url: node.url,
    access: { OSO_URL: node.url, OSO_AUTH: developmentKey },
    async stop() {
      await node.stop();
      if (temporary !== undefined) rmSync(temporary, { recursive: true, force: true });
    },
  };
}

/** Starts a process. Rejects if the node does not become ready. */
export async function startDevProcess(
  parameters: readonly string[],
  environment: Environment = {},
  program?: string,
): Promise<DevProcess> {
  const child = Bun.spawn([program ?? (await builtBinary()), "dev", ...parameters, "--json"], {
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
