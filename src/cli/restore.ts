/** `ostiary restore`: creates the data directory of a primary from a backup, at a chosen point in time. */
import { readdirSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { z } from "zod";
import { environmentId } from "../config/environment-id.ts";
import { keepFilesPrivate, print } from "../runtime/process.ts";
import { openBackup, restore, type RestoreResult, type RestoreOptions } from "../replication/backup/restore.ts";
import type { Config } from "../config/config.ts";
import { askKnownTerm } from "../replication/failover/known-history.ts";
import { realClusterSystem } from "../roles/cluster-system.ts";
import { systemOfEnvironment } from "../replication/transport/environment-system.ts";
import { EnvironmentDirectories } from "../environments/directories.ts";
import { registryEnvironment } from "../environments/registry.ts";
import { requireAuthentic } from "../replication/snapshots/import-snapshot.ts";
import { AppError } from "../util/app-error.ts";
import { printable } from "../util/printable.ts";
import { reasonOf } from "../util/reason.ts";
import type { Snapshot } from "../store/snapshot/snapshot.ts";
import { describePointInTime } from "../store/log/point-in-time.ts";
import { contentOf, describeContent, iso } from "./backup.ts";
import { type AddCommand, UsageError } from "./command.ts";
import { printFailure, printWarning } from "./color.ts";
import {
  authenticityTexts,
  nodeDirectoryOf,
  nodeKeyHashesFrom,
  storeIn,
  userName,
  withUnauthenticated,
} from "./node-data.ts";
import { withProgress } from "./progress-line.ts";
import { nodeConfig, type NodeOptions } from "./setting-options.ts";

const details = `
The restored history begins a new epoch. Other nodes can have later events of the old history: they save these
(\`unreplicated-….ndjson\` in their data directories) and download a snapshot. Consistency tokens of writes that are not in
the restored history get 409. Nodes accept only a later term, so \`restore\` asks the nodes in \`peers\` for their terms and
begins a later one. If they cannot be reached, give the greatest term with --term (\`/healthcheck\` of a node shows it).

A backup of another environment than the default one goes into \`environments/<id>\` of the data directory. With a
directory from \`ostiary backup --all\` all environments are restored, with --environment one of them; it prints what fails,
and restores the others. What only other nodes still have is taken from them at the next start, if \`peers\` names them.

Examples:
  ostiary restore 2026-11-26 --data /var/lib/ostiary                                 all environments
  ostiary restore 2026-11-26 --data /var/lib/ostiary --environment staging --force   one of them, in place of its data
  ostiary restore monday.backup --list                                               which offsets and times it covers
  ostiary restore monday.backup --data /var/lib/ostiary                              the newest state
  ostiary restore monday.backup --data /var/lib/ostiary --to-time 2026-11-26T07:00:00Z   the state at seven o'clock
  ostiary restore monday.backup --data /var/lib/ostiary --to-offset 4711 --dry-run   print the result only
  ostiary serve --role primary --data /var/lib/ostiary                               start the primary

The MAC of the backup is verified with the node key of the time when it was made (OSTIARY_NODE_KEY, --node-key or the
configuration file), whose id \`--list\` shows; a backup without a MAC, from an older version, needs --allow-unauthenticated.
Run the command as the user of the node. A backup does not contain the node key: give the primary the one of the other
nodes (OSTIARY_NODE_KEY).
`;

interface Options extends NodeOptions {
  readonly toOffset?: string;
  readonly toTime?: string;
  readonly term?: string;
  readonly force?: true;
  readonly dryRun?: true;
  readonly list?: true;
  readonly allowUnauthenticated?: true;
  readonly environment?: string;
  readonly json?: true;
}

export const restoreCommand: AddCommand = (program, finish) => {
  withUnauthenticated(program.command("restore"))
    .description("Create the data directory of a primary from a backup, at any point in time that its log covers")
    .argument("<path>", "The file that `ostiary backup` wrote, or the directory that `ostiary backup --all` wrote")
    .option("--environment <id>", "Restore only the backup of this environment from the directory")
    .option(
      "--data <directory>",
      "The directory to create, without data of a node (default: as for `serve`) [OSTIARY_DATA]",
    )
    .option("--to-offset <number>", "Restore the state after this event; 0 is the state before the first")
    .option(
      "--to-time <time>",
      "Restore the state at this time, such as 2026-11-26T07:00:00Z, with all events up to it",
    )
    .option("--term <number>", "The term of the other nodes, if they cannot be reached")
    .option("--force", "Replace the data in the directory, after the backup is verified")
    .option("--dry-run", "Do everything except the change of the directory, and print the result")
    .option("--list", "Only print the content of the file, and which offsets and times it covers")
    .option(
      "--node-key <secret>",
      "The node key, for the MAC of the file, or two with a space between them [OSTIARY_NODE_KEY]",
    )
    .option("--config <file>", "The configuration file of the node, for its limits and the node key [OSTIARY_CONFIG]")
    .option("--json", "Print JSON")
    .addHelpText("after", details)
    .action(async (path: string, options: Options) => {
      const destination = destinationOf(options);
      keepFilesPrivate();
      const config = await nodeConfig({ data: options.data, config: options.config });
      const { backups, failures } = backupsIn(path, options.environment);
      if (options.list) return list(backups, options);
      if (backups.length > 1 && options.toOffset !== undefined)
        throw new UsageError("each environment has offsets of its own: use --to-time, or --environment to restore one");
      const nodeKeyHashes = await nodeKeyHashesFrom(options);
      const restoreOne = async (backup: Snapshot, isFirst: boolean): Promise<void> => {
        const hosted = isDefault(backup) ? undefined : backup.manifest.environment;
        const directory = directoryFor(backup, config.data);
        const knownTerm = await knownTermOf(options, config, hosted, isFirst);
        const restored = await withProgress((progress) =>
          restore({
            knownTerm,
            file: backup.path,
            directory,
            target: destination,
            force: options.force ?? false,
            dryRun: options.dryRun ?? false,
            nodeKeyHashes,
            allowUnauthenticated: options.allowUnauthenticated ?? false,
            operator: userName(),
            limits: config.limits,
            onStep: progress.begin,
            onUndone: progress.reached,
            warn: progress.warn,
          }),
        );
        const { timeMs, ...rest } = restored;
        await print(
          options.json
            ? `${JSON.stringify({ ...rest, time: iso(timeMs) })}\n`
            : describeRestored(
                restored,
                hosted === undefined ? directory : nodeDirectoryOf(directory),
                options.dryRun ?? false,
              ),
        );
      };
      for (const [index, backup] of backups.entries()) {
        const { environment, created = 0 } = backup.manifest;
        const name = printable(environment);
        if (destination !== undefined && "timeMs" in destination && created > destination.timeMs) {
          await printWarning(`the environment ${name} was created later, so it is not restored`);
          continue;
        }
        try {
          await restoreOne(backup, index === 0);
        } catch (error) {
          // Without the default environment the others cannot be served.
          if (backups.length === 1 || isDefault(backup)) throw error;
          failures.push(`the environment ${name} is not restored: ${reasonOf(error)}`);
        }
      }
      for (const failure of failures) await printFailure(failure);
      if (failures.length > 0) finish(1);
    });
};

interface FoundBackups {
  /** The default environment first, the list of environments last. */
  readonly backups: readonly Snapshot[];
  /** Why files cannot be used. */
  readonly failures: string[];
}

/** The backup, or those in the directory. Throws if there is none that can be used. */
function backupsIn(path: string, environment: string | undefined): FoundBackups {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) {
    const backup = openBackup(path);
    if (environment !== undefined && environment !== backup.manifest.environment)
      throw new UsageError(`\`${path}\` is a backup of the environment \`${backup.manifest.environment}\``);
    return { backups: [backup], failures: [] };
  }
  const names = readdirSync(path).filter((name) => name.endsWith(".backup"));
  const [all, failures]: [Snapshot[], string[]] = [[], []];
  for (const name of names.toSorted()) {
    try {
      all.push(openBackup(join(path, name)));
    } catch (error) {
      failures.push(reasonOf(error));
    }
  }
  const backups = all.filter(({ manifest }) => environment === undefined || manifest.environment === environment);
  const lacksDefault = environment === undefined && failures.length > 0 && !backups.some(isDefault);
  if (lacksDefault) throw new AppError("invalid_request", failures.join("; "));
  if (backups.length === 0)
    throw new UsageError(
      environment === undefined
        ? `\`${path}\` has no backups (\`*.backup\`)`
        : `\`${path}\` has no backup of the environment \`${environment}\``,
    );
  const ids = backups.map(({ manifest }) => manifest.environment);
  const twice = ids.find((id, index) => ids.indexOf(id) !== index);
  if (twice !== undefined)
    throw new UsageError(`\`${path}\` has several backups of the environment \`${twice}\`: name the file of one`);
  if (backups.filter(isDefault).length > 1)
    throw new UsageError(`\`${path}\` has backups of several default environments: name the file of one`);
  const rank = (backup: Snapshot): number =>
    isDefault(backup) ? 0 : backup.manifest.environment === registryEnvironment ? 2 : 1;
  return { backups: backups.toSorted((one, other) => rank(one) - rank(other)), failures };
}

/** Whether it is a backup of the default environment of its cluster. */
function isDefault({ manifest }: Snapshot): boolean {
  return manifest.created === undefined;
}

/** The directory to create: that of the environment, if `data` is that of the node. */
function directoryFor(backup: Snapshot, data: string): string {
  const { environment } = backup.manifest;
  if (isDefault(backup)) return data;
  const ofNode = nodeDirectoryOf(data);
  if (ofNode !== data && basename(data) === environment) return data;
  if (ofNode !== data && storeIn(ofNode) !== undefined)
    throw new UsageError(`\`${data}\` is not the directory of the environment \`${environment}\`: give \`${ofNode}\``);
  if (environment !== registryEnvironment && !environmentId.test(environment))
    throw new UsageError(`\`${environment}\` is not the id of an environment: the backup is damaged`);
  return new EnvironmentDirectories(data).pathOf(environment);
}

/** The greatest known term; the restored history begins a later one. */
async function knownTermOf(
  { term }: Options,
  config: Config,
  hosted: string | undefined,
  warns: boolean,
): Promise<number> {
  if (term !== undefined) {
    if (/^\d{1,15}$/.test(term)) return Number(term);
    throw new UsageError(`\`${term}\` is not a term, such as 3145728`);
  }
  const known =
    hosted === undefined
      ? await askKnownTerm(config, realClusterSystem)
      : await askKnownTerm({ ...config, environment: hosted }, systemOfEnvironment(realClusterSystem, hosted));
  if (known.silent.length > 0 && warns)
    await printWarning(
      `${known.silent.join(" and ")} did not answer with its term (the restored node itself cannot). A node in a later term than the restored one does not replicate it: if there is such a node, restore again with --term`,
    );
  return known.term;
}

async function list(backups: readonly Snapshot[], options: Options): Promise<void> {
  const nodeKeyHashes = await nodeKeyHashesFrom(options);
  for (const backup of backups) {
    const authenticity = requireAuthentic(backup, nodeKeyHashes, true);
    await print(
      options.json ? `${JSON.stringify(contentOf(backup, authenticity))}\n` : describeContent(backup, authenticity),
    );
  }
}

function destinationOf({ toOffset, toTime }: Options): RestoreOptions["target"] {
  if (toOffset !== undefined && toTime !== undefined)
    throw new UsageError("--to-offset and --to-time both give the point in time: use one of them");
  if (toOffset !== undefined) {
    if (!/^\d{1,15}$/.test(toOffset)) throw new UsageError(`\`${toOffset}\` is not an offset, such as 4711`);
    return { offset: Number(toOffset) };
  }
  if (toTime === undefined) return undefined;
  if (!z.iso.datetime({ offset: true }).safeParse(toTime).success)
    throw new UsageError(
      `\`${toTime}\` is not a time with a zone, such as 2026-11-26T07:00:00Z or 2026-11-26T08:00:00+01:00`,
    );
  return { timeMs: Date.parse(toTime) };
}

function describeRestored(restored: RestoreResult, directory: string, dryRun: boolean): string {
  const { environment, digest, undone, epoch, term, replaced, previous, authenticity } = restored;
  const counts = Object.entries(undone).map(([kind, count]) => `${count} ${kind}`);
  const total = Object.values(undone).reduce((sum, count) => sum + count, 0);
  const lines = [
    `${dryRun ? "would be restored" : "restored"} to ${describePointInTime(restored)}, environment ${printable(environment)}`,
    `  origin    ${authenticityTexts[authenticity]}`,
    `  undone    ${total === 0 ? "nothing" : `${total} events: ${counts.join(", ")}`}`,
    `  digest    ${digest}`,
    ...(replaced === undefined
      ? []
      : [`  ${dryRun ? "replacing" : "replaced"}  data of epoch ${replaced.epoch} at offset ${replaced.offset}`]),
    ...(previous === undefined
      ? []
      : [
          `  kept      the replaced data have another history and stay in ${printable(previous)}: delete them when you do not need them`,
        ]),
    dryRun
      ? "nothing was changed"
      : `  epoch     ${epoch} begins, in term ${term}; start the primary with \`ostiary serve --role primary --data ${printable(directory)}\``,
  ];
  return `${lines.join("\n")}\n`;
}
