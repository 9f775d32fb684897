/**
 * What an operator says about histories that share no beginning: a note in a node's data directory that names one history and is used up with it. It
 * is no setting, since a setting would stay in a compose file and hold for the next accident as well.
 */
import { existsSync } from "node:fs";
import type { Command } from "commander";
import { approve, knownHistory, refusedHistory, type Approval } from "../replication/history-notes.ts";
import { keepFilesPrivate, print } from "../runtime/process.ts";
import { AppError } from "../util/app-error.ts";
import { type AddCommand, UsageError } from "./command.ts";
import { configFile } from "./config-file.ts";
import { checkedConfig } from "./setting-options.ts";
import { storeIn } from "./stored-data.ts";

interface Options {
  readonly data?: string;
  readonly config?: string;
}

export const adoptHistoryCommand: AddCommand = (program) => {
  withDirectory(
    program
      .command("adopt-history")
      .description(
        "Let an edge or a fallback take over the data of a node whose history shares no beginning with its own, once: it has refused them, and its log names the history",
      )
      .argument("<id>", "the other history, as the node's log names it"),
  )
    .addHelpText(
      "after",
      `
A node refuses such a history because it is mostly that of a primary that was started on an empty directory: mount its volume instead. The
approval holds for this one history and is used up with it; the node, which may run meanwhile, looks for it at each attempt. The database that
is replaced stays in the directory as previous-history.db.

In a container: docker exec edge ostiary adopt-history 0123456789abcdef`,
    )
    .action(async (id: string, options: Options) => {
      const data = await directoryOf(options);
      requireId(id);
      if (!existsSync(data)) throw new UsageError(`\`${data}\` is no data directory of a node: there is none`);
      const own = knownHistory(data);
      if (own === id) throw new AppError("conflict", `the node in \`${data}\` has the history ${id} already`);
      const refused = refusedHistory(data);
      if (refused !== undefined && refused !== id)
        throw new AppError(
          "conflict",
          `the node in \`${data}\` has refused the history ${refused}, not ${id}: an approval of ${id} would do nothing`,
        );
      give(data, "adopt-history", id);
      await print(
        `the node in ${data} may take over the history ${id}${own === undefined ? "" : `, in place of ${own}`}\n`,
      );
    });
};

export const abandonHistoryCommand: AddCommand = (program) => {
  withDirectory(
    program
      .command("abandon-history")
      .description(
        "Let a primary begin a new history in an empty directory although other nodes or a broker know an older one, once: it has refused to start, and said which",
      )
      .argument("<id>", "the older history, as the primary named it"),
  )
    .addHelpText(
      "after",
      `
Mostly the directory is empty because a volume is not mounted: mount it instead, or use \`ostiary restore\` or \`ostiary promote\`. Nodes of the
older history do not follow the new one before each of them is told to (\`ostiary adopt-history\`).`,
    )
    .action(async (id: string, options: Options) => {
      const data = await directoryOf(options);
      requireId(id);
      if (storeIn(data) !== undefined)
        throw new AppError("conflict", `\`${data}\` has a database: this is for a primary that starts without one`);
      give(data, "abandon-history", id);
      await print(`the primary in ${data} may begin a new history although others know ${id}\n`);
    });
};

function withDirectory(command: Command): Command {
  return command
    .option("--data <directory>", "The node's data directory (default: as for `serve`) [OSTIARY_DATA]")
    .option("--config <file>", "The file that the node is started with [OSTIARY_CONFIG]");
}

/** Which role the node has does not matter here, and may have been given to `serve` as a flag. */
async function directoryOf({ data, config }: Options): Promise<string> {
  const flags = { role: "primary", ...(data === undefined ? {} : { data }) };
  const file = await configFile(config, process.env);
  return checkedConfig({ flags, environment: process.env, file }).data;
}

function requireId(id: string): void {
  if (!/^[0-9a-f]{16}$/.test(id)) throw new UsageError(`\`${id}\` names no history, such as 0123456789abcdef`);
}

function give(data: string, approval: Approval, id: string): void {
  keepFilesPrivate();
  approve(data, approval, id);
}
