/**
 * Approvals by an operator for histories without a common beginning: a file in the data directory of a node names one
 * history, and is deleted after its use. It is no setting, because a setting would stay in a compose file and also
 * approve the next accident.
 */
import { existsSync } from "node:fs";
import type { Command } from "commander";
import { approve, knownHistory, refusedHistory } from "../replication/history-notes.ts";
import { keepFilesPrivate, print } from "../runtime/process.ts";
import { AppError } from "../util/app-error.ts";
import { type AddCommand, UsageError } from "./command.ts";
import { nodeConfig, type NodeOptions } from "./setting-options.ts";
import { storeIn, userName } from "./node-data.ts";

interface Options extends NodeOptions {
  readonly json?: true;
}

export const adoptHistoryCommand: AddCommand = (program) => {
  withDirectory(
    program
      .command("adopt-history")
      .description(
        "Let an edge or a fallback replace its data with another history, once. The node refused that history because it has no common beginning with its own; its log has the id",
      )
      .argument("<id>", "the id of the other history, from the log of the node"),
  )
    .addHelpText(
      "after",
      `
A node refuses such a history because the usual cause is a primary that was started on an empty directory: mount the
volume of the primary instead. The approval is valid for this history only, and once. The node can keep running: it
looks for the approval at each attempt. The replaced database stays in the directory as previous-history.db.

In a container: docker exec edge ostiary adopt-history 0123456789abcdef`,
    )
    .action(async (id: string, options: Options) => {
      const data = await directoryFor(id, options);
      if (!existsSync(data)) throw new UsageError(`\`${data}\` is no data directory of a node: it does not exist`);
      const own = knownHistory(data);
      if (own === id) throw new AppError("conflict", `the node in \`${data}\` has the history ${id} already`);
      const refused = refusedHistory(data);
      if (refused !== undefined && refused !== id)
        throw new AppError(
          "conflict",
          `the node in \`${data}\` refused the history ${refused}, not ${id}: an approval of ${id} would have no effect`,
        );
      approve(data, "adopt-history", id, { user: userName(), details: { instead_of: own ?? null } });
      const text = `the node in ${data} may accept the history ${id}${own === undefined ? "" : ` instead of ${own}`}\n`;
      await print(options.json ? `${JSON.stringify({ data, adopts: id, instead_of: own ?? null })}\n` : text);
    });
};

export const abandonHistoryCommand: AddCommand = (program) => {
  withDirectory(
    program
      .command("abandon-history")
      .description(
        "Let a primary begin a new history in an empty directory although other nodes or a broker have an older one, once. The primary refused to start and gave the id",
      )
      .argument("<id>", "the id of the older history, from the message of the primary"),
  )
    .addHelpText(
      "after",
      `
The usual cause is a volume that is not mounted: mount it instead, or use \`ostiary restore\` or \`ostiary promote\`.
Nodes with the older history do not accept the new one until each of them has an approval (\`ostiary adopt-history\`).`,
    )
    .action(async (id: string, options: Options) => {
      const data = await directoryFor(id, options);
      if (storeIn(data) !== undefined)
        throw new AppError(
          "conflict",
          `\`${data}\` has a database: the command is for a primary that starts without one`,
        );
      approve(data, "abandon-history", id, { user: userName() });
      const text = `the primary in ${data} may begin a new history although others have ${id}\n`;
      await print(options.json ? `${JSON.stringify({ data, abandons: id })}\n` : text);
    });
};

function withDirectory(command: Command): Command {
  return command
    .option("--data <directory>", "The node's data directory (default: as for `serve`) [OSTIARY_DATA]")
    .option("--config <file>", "The configuration file of the node [OSTIARY_CONFIG]")
    .option("--json", "Print JSON");
}

/** Checks the id and returns the data directory of the node. Files created from then on are private. */
async function directoryFor(id: string, options: NodeOptions): Promise<string> {
  const { data } = await nodeConfig(options);
  if (!/^[0-9a-f]{16}$/.test(id))
    throw new UsageError(`\`${id}\` is not the id of a history, such as 0123456789abcdef`);
  keepFilesPrivate();
  return data;
}
