/** The settings of `config/` as command-line options: their flags, prose and defaults come from the schema, so `--help` can't go stale. */
import { Option, type Command } from "commander";
import type { Config } from "../config/config.ts";
import { loadConfig, type ConfigSources } from "../config/load.ts";
import { settings, type Setting } from "../config/settings.ts";
import { UsageError } from "./command.ts";
import { configFile } from "./config-file.ts";

/** They are shown only with `--all`. */
export const advancedHeading = "Limits:";

/** Adds `--config` and a flag for each setting. */
export function addSettingOptions(command: Command): Command {
  command.addOption(new Option("--config <file>", "A YAML file with settings [OSTIARY_CONFIG]").helpGroup("Options:"));
  command.addOption(new Option("--all", "With --help: show the limits too").helpGroup("Options:"));
  for (const setting of settings) command.addOption(settingOption(setting));
  return command.addHelpText(
    "after",
    "\nSettings come from the file, then the environment (names in brackets), then flags; later ones win. Secrets are better kept in the\nenvironment: flags are visible to everybody on the machine.",
  );
}

/** The effective configuration; refuses the call with every problem that there is. */
export async function configFromCommand(command: Command, environment: NodeJS.ProcessEnv): Promise<Config> {
  if (command.getOptionValue("all") === true)
    throw new UsageError(
      `\`--all\` belongs to \`--help\`: \`ostiary ${command.name()} --help --all\` shows every setting; without \`--help\`, leave out \`--all\``,
    );
  const flags = Object.fromEntries(
    settings.flatMap((setting): [string, string][] => {
      const value: unknown = command.getOptionValue(settingOption(setting).attributeName());
      return typeof value === "string" ? [[setting.name, value]] : [];
    }),
  );
  const file = await configFile(command.getOptionValue("config") as string | undefined, environment);
  return checkedConfig({ flags, environment, file });
}

export function checkedConfig(sources: ConfigSources): Config {
  const { config, problems } = loadConfig(sources);
  if (config !== undefined) return config;
  const count = problems.length === 1 ? "a setting is" : `${problems.length} settings are`;
  throw new UsageError(`${count} wrong\n${problems.map((problem) => `  ${problem}`).join("\n")}`);
}

function settingOption(setting: Setting): Option {
  const standard = setting.default === undefined ? "" : ` (default: ${String(setting.default)})`;
  const group = setting.path[0] === "limits" ? advancedHeading : "Settings:";
  return new Option(
    `${setting.flag} <${setting.placeholder}>`,
    `${setting.description}${standard} [${setting.variable}]`,
  ).helpGroup(group);
}
