/** `ostiary migrate`: migrates the databases of a stopped node, after which no older release can use them. */
import { keepFilesPrivate, print } from "../runtime/process.ts";
import { EnvironmentDirectories } from "../environments/directories.ts";
import type { MovedListener } from "../store/connection/added-tables.ts";
import { lockDirectory } from "../store/directory/data-directory.ts";
import { migrateStoreIn, type Migration } from "../store/directory/migrate.ts";
import { noteAction } from "../store/directory/noted-actions.ts";
import { operator } from "../store/log/audit-entry.ts";
import { AppError } from "../util/app-error.ts";
import { printable } from "../util/printable.ts";
import { reasonOf } from "../util/reason.ts";
import { describeStorageFailure, isDamage, storageFailureIn } from "../util/storage-failure.ts";
import { printWarning } from "./color.ts";
import { type AddCommand, UsageError } from "./command.ts";
import { requireStoreIn, userName } from "./node-data.ts";
import { nodeConfig, type NodeOptions } from "./setting-options.ts";

interface Options extends NodeOptions {
  readonly json?: true;
}

export const migrateCommand: AddCommand = (program) => {
  program
    .command("migrate")
    .allowExcessArguments()
    .description(
      "Migrate the databases of a stopped node to the format of this release. After an upgrade they keep their format, so that the older release can use them again; now only this release and later ones can",
    )
    .option("--data <directory>", "The node's data directory (default: as for `serve`) [OSTIARY_DATA]")
    .option("--config <file>", "The configuration file of the node [OSTIARY_CONFIG]")
    .option("--json", "Print JSON")
    .addHelpText(
      "after",
      `
Run it on each node when all nodes have this release and none shall go back, in the order of an upgrade: the primary
last. It includes all environments. A node works with either format, so there is no hurry.`,
    )
    .action(async (options: Options, { args }: { readonly args: readonly string[] }) => {
      if (args.length > 0)
        throw new UsageError(
          "`ostiary migrate` takes no arguments; `ostiary import` loads facts, and translates policies of OpenFGA and SpiceDB",
        );
      keepFilesPrivate();
      const { data } = await nodeConfig(options);
      requireStoreIn(data);
      const { unlock } = lockDirectory(data);
      try {
        const { migrations, problems, failures } = migrateAll([data, ...new EnvironmentDirectories(data).withStore()]);
        await print(options.json ? `${JSON.stringify({ migrations })}\n` : migrations.map(describe).join(""));
        for (const problem of problems) await printWarning(problem);
        if (failures.length > 0) throw new AppError("conflict", failures.join("; "));
      } finally {
        unlock();
      }
    });
};

/** The database of one environment, maybe an earlier one, must not keep the others from being migrated. */
function migrateAll(directories: readonly string[]) {
  const migrations: Migration[] = [];
  const [problems, failures]: [string[], string[]] = [[], []];
  for (const directory of directories)
    try {
      migrations.push(migrate(directory, (problem) => problems.push(problem)));
    } catch (error) {
      failures.push(`the database in \`${directory}\` was not migrated: ${describeFailure(error, directory)}`);
    }
  return { migrations, problems, failures };
}

function describeFailure(error: unknown, directory: string): string {
  const failure = storageFailureIn(error);
  if (failure !== undefined) return describeStorageFailure(failure, directory);
  if (!isDamage(error)) return reasonOf(error);
  return `it is damaged (${reasonOf(error)}): restore a backup, or remove the directory if nobody needs this environment any more`;
}

function migrate(directory: string, onMoved: MovedListener): Migration {
  const migration = migrateStoreIn(directory, onMoved);
  const { from, to } = migration;
  const details = { from, to };
  if (from < to) noteAction(directory, { actor: operator(userName()), action: "data.migrate", details });
  return migration;
}

function describe({ path, from, to }: Migration): string {
  return `${printable(path)}: ${from === to ? `has format ${to} already` : `migrated from format ${from} to ${to}`}\n`;
}
