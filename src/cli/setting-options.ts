/**
 * The settings of `config/` as command-line options. Their flags, descriptions and defaults come from the schema, so
 * `--help` always agrees with the program.
 */
import { Option, type Command } from "commander";
import type { Config } from "../config/config.ts";
import { loadConfig, type ConfigSources } from "../config/load.ts";
import { oldNames } from "../config/renamed-settings.ts";
import { groupHeadings, settings, type Setting } from "../config/settings.ts";
import { UsageError } from "./command.ts";
import { configFile } from "./config-file.ts";

const headingOf = ({ group }: Pick<Setting, "group">): string => `${groupHeadings[group]}:`;

/** `--help` shows the settings under this heading only with `--all`. */
export const advancedHeading = headingOf({ group: "advanced" });

/** Adds `--config` and a flag for each setting. */
export function addSettingOptions(command: Command): Command {
  command.addOption(new Option("--config <file>", "A YAML file with settings [OSTIARY_CONFIG]").helpGroup("Options:"));
  command.addOption(new Option("--all", "With --help: show the advanced settings too").helpGroup("Options:"));
  for (const setting of settings) command.addOption(settingOption(setting));
  for (const { flag } of renamedFlags) command.addOption(new Option(`${flag} <value>`).hideHelp());
  return command.addHelpText(
    "after",
    "\nSettings come from the file, then the environment (names in brackets), then flags; later sources win. Keep secrets in the\nenvironment: every user of the machine can see flags.",
  );
}

interface EffectiveConfig {
  readonly config: Config;
  /** Old names that the next release does not accept. */
  readonly warnings: readonly string[];
}

/** Throws UsageError with all problems of the settings. */
export async function configFromCommand(command: Command, environment: NodeJS.ProcessEnv): Promise<EffectiveConfig> {
  if (command.getOptionValue("all") === true)
    throw new UsageError(
      `\`--all\` belongs to \`--help\`: \`ostiary ${command.name()} --help --all\` shows every setting; without \`--help\`, omit \`--all\``,
    );
  const flags = Object.fromEntries(
    [...settings, ...renamedFlags].flatMap(({ name, flag }): [string, string][] => {
      const value: unknown = command.getOptionValue(new Option(`${flag} <value>`).attributeName());
      return typeof value === "string" ? [[name, value]] : [];
    }),
  );
  const file = await configFile(command.getOptionValue("config") as string | undefined, environment);
  return effectiveConfig({ flags, environment, file });
}

/** Throws UsageError with all problems of the settings. */
export function effectiveConfig(sources: ConfigSources): EffectiveConfig {
  const { config, problems, warnings } = loadConfig(sources);
  if (config !== undefined) return { config, warnings };
  const count = problems.length === 1 ? "a setting is" : `${problems.length} settings are`;
  throw new UsageError(`${count} wrong\n${problems.map((problem) => `  ${problem}`).join("\n")}`);
}

/**
 * The same for a command that reads some settings of a node: only the commands that start a node, and `ostiary config`,
 * show warnings.
 */
export function checkedConfig(sources: ConfigSources): Config {
  return effectiveConfig(sources).config;
}

function settingOption(setting: Setting): Option {
  const { flag, placeholder, description, variable, default: value } = setting;
  const defaultText = value === undefined || value === "" ? "" : ` (default: ${String(value)})`;
  return new Option(`${flag} <${placeholder}>`, `${description}${defaultText} [${variable}]`).helpGroup(
    headingOf(setting),
  );
}

/** The flags of 0.1.0 that were renamed. */
const renamedFlags = oldNames
  .entries()
  .filter(([setting, old]) => old.flag !== setting.flag)
  .map(([, old]) => old)
  .toArray();
