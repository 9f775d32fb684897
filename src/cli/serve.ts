/** `ostiary serve`: runs a node. */
import type { Config } from "../config/config.ts";
import { startEdge, startPrimary } from "../roles/member.ts";
import { startFallback } from "../roles/fallback.ts";
import type { AddCommand } from "./command.ts";
import { runNode, type RunningNode } from "./run-node.ts";
import { addSettingOptions, configFromCommand } from "./setting-options.ts";

export const serveCommand: AddCommand = (program) => {
  const command = program
    .command("serve")
    .description("Run a node until SIGTERM or SIGINT: --role primary, edge or fallback");
  addSettingOptions(command).action(async () => {
    const { config, warnings } = await configFromCommand(command, process.env);
    await runNode(config, warnings, () => startRole(config));
  });
};

function startRole(config: Config): Promise<RunningNode> {
  const start = { primary: startPrimary, edge: startEdge, fallback: startFallback }[config.role];
  return start(config);
}
