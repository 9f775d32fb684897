/** `ostiary config`: prints the effective settings. */
import { describeServiceVariables } from "../config/kubernetes-variables.ts";
import { describeConfig } from "../config/settings.ts";
import { print, printError } from "../runtime/process.ts";
import { formatYaml } from "../runtime/yaml.ts";
import { printWarning } from "./color.ts";
import type { AddCommand } from "./command.ts";
import { addSettingOptions, configFromCommand } from "./setting-options.ts";

export const configCommand: AddCommand = (program) => {
  const command = program
    .command("config")
    .description("Print the effective settings with secrets masked, or the errors in them")
    .option("--json", "Print JSON");
  addSettingOptions(command).action(async () => {
    const ignored = describeServiceVariables(process.env);
    if (ignored !== undefined) await printError(`note: ${ignored}\n`);
    const { config, warnings, former } = await configFromCommand(command);
    for (const warning of warnings) await printWarning(warning);
    const described = describeConfig(config, former);
    await print(command.getOptionValue("json") ? `${JSON.stringify(described, null, 2)}\n` : formatYaml(described));
  });
};
