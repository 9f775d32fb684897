/** The configuration file that `--config` or OSTIARY_CONFIG names. */
import { createReadStream } from "node:fs";
import type { ConfigSources } from "../config/load.ts";
import { parseYaml, YamlError } from "../runtime/yaml.ts";
import { fileProblem } from "../util/reason.ts";
import { printable } from "../util/printable.ts";
import { UsageError } from "./command.ts";

/** More than four times the size of the reference configuration. */
const bytesMax = 256 * 1024;

/** Undefined if neither the flag nor the environment names a file. */
export async function configFile(
  flag: string | undefined,
  environment: NodeJS.ProcessEnv,
): Promise<ConfigSources["file"]> {
  const path = flag ?? environment["OSTIARY_CONFIG"];
  return path ? { name: path, content: parse(path, await read(path)) } : undefined;
}

/** Reads the file as a stream, because it can be a pipe (`--config <(…)`). */
async function read(path: string): Promise<string> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of createReadStream(path, { end: bytesMax })) chunks.push(chunk as Buffer);
  } catch (error) {
    throw new UsageError(
      `the configuration file \`${printable(path)}\` cannot be read: ${fileProblem(error)}; name a file with settings in \`--config\` or OSTIARY_CONFIG`,
    );
  }
  const bytes = Buffer.concat(chunks);
  if (bytes.length > bytesMax)
    throw new UsageError(
      `the configuration file \`${printable(path)}\` is larger than ${bytesMax / 1024} KiB: name a file with settings in \`--config\` or OSTIARY_CONFIG`,
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
