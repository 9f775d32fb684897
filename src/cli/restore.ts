/** `ostiary restore`: creates the data directory of a primary from a backup, at a chosen point in time. */
import { z } from "zod";
import { keepFilesPrivate, print } from "../runtime/process.ts";
import { openBackup, restore, type RestoreResult, type RestoreOptions } from "../replication/backup/restore.ts";
import type { Config } from "../config/config.ts";
import { askKnownTerm } from "../replication/failover/known-history.ts";
import { realClusterSystem } from "../roles/cluster-system.ts";
import { requireAuthentic } from "../replication/snapshots/import-snapshot.ts";
import { printable } from "../util/printable.ts";
import { describePointInTime } from "../store/log/point-in-time.ts";
import { contentOf, describeContent, iso } from "./backup.ts";
import { type AddCommand, UsageError } from "./command.ts";
import { printWarning } from "./color.ts";
import { authenticityTexts, nodeKeyHashesFrom, userName, withUnauthenticated } from "./node-data.ts";
import { withProgress } from "./progress-line.ts";
import { nodeConfig, type NodeOptions } from "./setting-options.ts";

const details = `
The restored history begins a new epoch. Other nodes can have later events of the old history: they save these
(\`unreplicated-….ndjson\` in their data directories) and download a snapshot. Consistency tokens of writes that are not in
the restored history get 409. Nodes accept only a later term, so \`restore\` asks the nodes in \`peers\` for their terms and
begins a later one. If they cannot be reached, give the greatest term with --term (\`/healthcheck\` of a node shows it).

Examples:
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
  readonly json?: true;
}

export const restoreCommand: AddCommand = (program) => {
  withUnauthenticated(program.command("restore"))
    .description("Create the data directory of a primary from a backup, at any point in time that its log covers")
    .argument("<file>", "The file that `ostiary backup` wrote")
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
    .action(async (file: string, options: Options) => {
      const destination = destinationOf(options);
      keepFilesPrivate();
      if (options.list) return list(file, options);
      const config = await nodeConfig({ data: options.data, config: options.config });
      const knownTerm = await knownTermOf(options, config);
      const nodeKeyHashes = await nodeKeyHashesFrom(options);
      const restored = await withProgress((progress) =>
        restore({
          knownTerm,
          file,
          directory: config.data,
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
          : describeRestored(restored, config.data, options.dryRun ?? false),
      );
    });
};

/** The greatest known term; the restored history begins a later one. */
async function knownTermOf({ term }: Options, config: Config): Promise<number> {
  if (term !== undefined) {
    if (/^\d{1,15}$/.test(term)) return Number(term);
    throw new UsageError(`\`${term}\` is not a term, such as 3145728`);
  }
  const known = await askKnownTerm(config, realClusterSystem);
  if (known.silent.length > 0)
    await printWarning(
      `${known.silent.join(" and ")} did not answer with its term (the restored node itself cannot). A node in a later term than the restored one does not replicate it: if there is such a node, restore again with --term`,
    );
  return known.term;
}

async function list(file: string, options: Options): Promise<void> {
  const backup = openBackup(file);
  const authenticity = requireAuthentic(backup, await nodeKeyHashesFrom(options), true);
  await print(
    options.json ? `${JSON.stringify(contentOf(backup, authenticity))}\n` : describeContent(backup, authenticity),
  );
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
