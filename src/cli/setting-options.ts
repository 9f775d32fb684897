/**
 * The settings of `config/` in command lines: as options, in the environment, and in the file that `--config` or
 * OSTIARY_CONFIG names. Flags, descriptions and defaults come from the schema, so `--help` always agrees with the
 * program.
 */
import { createReadStream } from "node:fs";
import { Option, type Command } from "commander";
import type { Config } from "../config/config.ts";
import { loadConfig, type ConfigSources } from "../config/load.ts";
import { oldNames } from "../config/renamed-settings.ts";
import { formerSettings, groupHeadings, settings, type Setting, type SettingNames } from "../config/settings.ts";
import { controlGroupLimits } from "../runtime/control-group.ts";
import { parseYaml, YamlError } from "../runtime/yaml.ts";
import { fileProblem } from "../util/reason.ts";
import { printable } from "../util/printable.ts";
import { advancedHeading, UsageError } from "./command.ts";

const headingOf = ({ group }: Setting): string => (group === "advanced" ? advancedHeading : `${groupHeadings[group]}:`);

/** Adds `--config` and a flag for each setting. */
export function addSettingOptions(command: Command): Command {
  command.addOption(new Option("--config <file>", "A YAML file with settings [OSTIARY_CONFIG]").helpGroup("Options:"));
  command.addOption(new Option("--all", "With --help: show the advanced settings too").helpGroup("Options:"));
  for (const setting of settings) command.addOption(settingOption(setting));
  for (const { flag } of hiddenFlags) command.addOption(new Option(`${flag} <value>`).hideHelp());
  return command.addHelpText(
    "after",
    "\nSettings come from the file, then the environment (names in brackets), then flags; later sources win. Keep secrets in the\nenvironment: every user of the machine can see flags.",
  );
}

export interface EffectiveConfig {
  readonly config: Config;
  /** About old names and former settings that a later release does not accept, and permissions of files with secrets. */
  readonly warnings: readonly string[];
  /** The former settings that have a value. */
  readonly former: readonly Setting[];
}

/** Throws UsageError with all problems of the settings. */
export async function configFromCommand(command: Command): Promise<EffectiveConfig> {
  if (command.getOptionValue("all") === true)
    throw new UsageError(
      `\`--all\` belongs to \`--help\`: \`ostiary ${command.name()} --help --all\` shows every setting; without \`--help\`, omit \`--all\``,
    );
  const flags = Object.fromEntries(
    [...settings, ...hiddenFlags].flatMap(({ name, flag }): [string, string][] => {
      const value: unknown = command.getOptionValue(new Option(`${flag} <value>`).attributeName());
      return typeof value === "string" ? [[name, value]] : [];
    }),
  );
  const file = await configFile(command.getOptionValue("config") as string | undefined);
  return effectiveConfig({ flags, environment: process.env, file });
}

/** Throws UsageError with all problems of the settings. */
export function effectiveConfig(sources: ConfigSources): EffectiveConfig {
  const { config, problems, warnings, former } = loadConfig({ resources: controlGroupLimits(), ...sources });
  if (config !== undefined) return { config, warnings, former };
  const count = problems.length === 1 ? "a setting is" : `${problems.length} settings are`;
  throw new UsageError(`${count} wrong\n${problems.map((problem) => `  ${problem}`).join("\n")}`);
}

export interface NodeOptions {
  readonly data?: string | undefined;
  readonly nodeKey?: string | undefined;
  readonly config?: string | undefined;
}

/**
 * The settings of a node, for a command that reads some of them. It shows no warnings. The role of the node does not
 * matter, and can be a flag of `serve`.
 */
export async function nodeConfig({ data, nodeKey, config }: NodeOptions): Promise<Config> {
  const flags = {
    role: "primary",
    ...(data !== undefined && { data }),
    ...(nodeKey !== undefined && { nodeKey }),
  };
  return effectiveConfig({ flags, environment: process.env, file: await configFile(config) }).config;
}

function settingOption(setting: Setting): Option {
  const { flag, placeholder, description, variable, default: value } = setting;
  const defaultText = value === undefined || value === "" ? "" : ` (default: ${String(value)})`;
  return new Option(`${flag} <${placeholder}>`, `${description}${defaultText} [${variable}]`).helpGroup(
    headingOf(setting),
  );
}

/** The flags of 0.1.0 that were renamed, and those of former settings. */
const hiddenFlags: readonly SettingNames[] = [
  ...formerSettings,
  ...oldNames
    .entries()
    .filter(([setting, old]) => old.flag !== setting.flag)
    .map(([, old]) => old),
];

/** More than four times the size of the reference configuration. */
const fileBytesMax = 256 * 1024;

/** Undefined if neither the flag nor the environment names a file. It can be a pipe (`--config <(…)`). */
async function configFile(flag: string | undefined): Promise<ConfigSources["file"]> {
  const path = flag ?? process.env["OSTIARY_CONFIG"];
  if (!path) return undefined;
  const refusal = (problem: string) => new UsageError(`the configuration file \`${printable(path)}\` ${problem}`);
  const advice = "name a file with settings in `--config` or OSTIARY_CONFIG";
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of createReadStream(path, { end: fileBytesMax })) chunks.push(chunk as Buffer);
  } catch (error) {
    throw refusal(`cannot be read: ${fileProblem(error)}; ${advice}`);
  }
  const bytes = Buffer.concat(chunks);
  if (bytes.length > fileBytesMax) throw refusal(`is larger than ${fileBytesMax / 1024} KiB: ${advice}`);
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw refusal("is not UTF-8 text: save it as plain UTF-8 text");
  }
  try {
    return { name: path, content: parseYaml(text) };
  } catch (error) {
    if (!(error instanceof YamlError)) throw error;
    throw refusal(`is not valid YAML at line ${error.line}, column ${error.column}: ${error.message}`);
  }
}
