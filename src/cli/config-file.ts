/** The file of settings that `--config` or the environment names. */
import { createReadStream } from "node:fs";
import type { ConfigSources } from "../config/load.ts";
import { parseYaml, YamlError } from "../runtime/yaml.ts";
import { fileProblem } from "../util/file-problem.ts";
import { printable } from "../util/printable.ts";
import { UsageError } from "./command.ts";

/** More than four times what all settings with their descriptions take. */
const bytesMax = 256 * 1024;

/** Undefined where neither the flag nor the environment names one. */
export async function configFile(
  flag: string | undefined,
  environment: NodeJS.ProcessEnv,
): Promise<ConfigSources["file"]> {
  const path = flag ?? environment["OSTIARY_CONFIG"];
  return path ? { name: path, content: parse(path, await read(path)) } : undefined;
}

/** Also from a pipe (`--config <(…)`), hence as a stream. */
async function read(path: string): Promise<string> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of createReadStream(path, { end: bytesMax })) chunks.push(chunk as Buffer);
  } catch (error) {
    throw new UsageError(
      `the configuration file \`${printable(path)}\` can't be read: ${fileProblem(error)}; name a file with settings in \`--config\` or OSTIARY_CONFIG`,
    );
  }
  const bytes = Buffer.concat(chunks);
  if (bytes.length > bytesMax)
    throw new UsageError(
      `the configuration file \`${printable(path)}\` has more than ${bytesMax / 1024} KiB: name a file with settings in \`--config\` or OSTIARY_CONFIG`,
    );
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new UsageError(
      `the configuration file \`${printable(path)}\` is not UTF-8 text: save it as plain UTF-8 text`,
    );
  }
}

function parse(path: string, text: string): unknown {
  try {
    return parseYaml(text);
  } catch (error) {
    if (!(error instanceof YamlError)) throw error;
    throw new UsageError(
      `the configuration file \`${printable(path)}\` is not valid YAML at line ${error.line}, column ${error.column}: ${error.message}`,
    );
  }
}
