/** The image of this tree, built once for all test files. It is in the storage of podman, and in an archive for Docker. */
import { join } from "node:path";
import { projectRoot } from "../../scripts/built-binary.ts";
import { must } from "../../src/util/assert.ts";
import { runCommand } from "./run-command.ts";

let built: Promise<string> | undefined;

/** Returns what `scripts/image` prints. */
export function builtImage(): Promise<string> {
  const environment = { PATH: must(process.env["PATH"]), HOME: process.env["HOME"] ?? "/" };
  const command = [join(projectRoot, "scripts", "image")];
  built ??= runCommand(command, { cwd: projectRoot, environment, timeoutMs: 240_000 });
  return built;
}
