/**
 * A temporary directory for the command line. Tests run the built binary, like users; it starts five times as fast as
 * the source.
 */
import * as Bun from "bun";
import { afterAll, beforeAll } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { builtBinary } from "../../scripts/built-binary.ts";

const binary = await builtBinary();

type Environment = Readonly<Record<string, string>>;

export function workspace() {
  let directory = "";
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "ostiary-cli-"));
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  const path = (name: string) => join(directory, name);
  const start = (parameters: readonly string[], environment: Environment, input: string) =>
    Bun.spawn([binary, ...parameters], {
      cwd: directory,
      // Logins of the user of this machine must not matter.
      env: { PATH: process.env["PATH"] ?? "", XDG_CONFIG_HOME: directory, ...environment },
      stdin: Buffer.from(input),
      stdout: "pipe",
      stderr: "pipe",
      timeout: 20_000,
    });
  return {
    path,
    read: (name: string): string => readFileSync(path(name), "utf8"),
    write(name: string, content: string | Uint8Array): string {
      writeFileSync(path(name), content);
      return name;
    },
    /** `input` is the standard input. */
    async run(parameters: readonly string[], input = "", environment: Environment = {}) {
      const child = start(parameters, environment, input);
      const [output, errors, status] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
      return { status, output, errors };
    },
    start: (parameters: readonly string[], environment: Environment = {}) => start(parameters, environment, ""),
  };
}
