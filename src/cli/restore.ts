/** A backup becomes the data directory of a primary, as it was at some moment. */
import { z } from "zod";
import { keepFilesPrivate, print } from "../runtime/process.ts";
import { openBackup, restore, type RestoreResult, type RestoreOptions } from "../replication/backup/restore.ts";
import type { Config } from "../config/config.ts";
import { askKnownTerm } from "../replication/failover/known-term.ts";
import { realClusterSystem } from "../roles/cluster-system.ts";
import { requireAuthentic } from "../replication/snapshots/import-snapshot.ts";
import { printable } from "../util/printable.ts";
import { describePointInTime } from "../store/log/point-in-time.ts";
import { contentOf, describeContent, iso } from "./backup-content.ts";
import { type AddCommand, UsageError } from "./command.ts";
import { printWarning } from "./color.ts";
import { authenticityTexts, nodeKeyHashFrom, withUnauthenticated } from "./node-key.ts";
import { withProgress } from "./progress-line.ts";
import { configFile } from "./config-file.ts";
import { checkedConfig } from "./setting-options.ts";

const details = `
What is restored begins a new epoch: nodes of the history that is left behind, which may have seen more, save what only they have
(\`unreplicated-….ndjson\` in their data directories) and take a snapshot; consistency tokens of writes that are not contained get 409.
Nodes follow only a later term, so \`restore\` asks the nodes in \`peers\` for theirs and begins a later one. If they can't be asked, give the
greatest one with --term (\`/healthcheck\` of a node shows it).

Examples:
  ostiary restore monday.backup --list                                               what moments it covers
  ostiary restore monday.backup --data /var/lib/ostiary                              its newest state
  ostiary restore monday.backup --data /var/lib/ostiary --to-time 2026-11-26T07:00:00Z   as it was at seven
  ostiary restore monday.backup --data /var/lib/ostiary --to-offset 4711 --dry-run   what that would come to
  ostiary serve --role primary --data /var/lib/ostiary                               goes on from there

The backup's MAC is verified with the node key that was in force when it was made (OSTIARY_NODE_KEY, --node-key or the configuration file); one
without a MAC, of an older version, needs --allow-unauthenticated.
Run it as the user that the node runs as. The node key belongs to no backup: give the primary the one that the other nodes have (OSTIARY_NODE_KEY).
`;

interface Options {
  readonly data?: string;
  readonly toOffset?: string;
  readonly toTime?: string;
  readonly term?: string;
  readonly force?: true;
  readonly dryRun?: true;
  readonly list?: true;
  readonly config?: string;
  readonly nodeKey?: string;
  readonly allowUnauthenticated?: true;
  readonly json?: true;
}

export const restoreCommand: AddCommand = (program) => {
  withUnauthenticated(program.command("restore"))
    .description("Make a primary's data directory of a backup, as of any moment that its log reaches back to")
    .argument("<file>", "what `ostiary backup` wrote")
    .option(
      "--data <directory>",
      "Where to: a directory without a node's data (default: as for `serve`) [OSTIARY_DATA]",
    )
    .option("--to-offset <number>", "Go back to right after this event; 0 is before the first")
    .option(
      "--to-time <time>",
      "Go back to this time, such as 2026-11-26T07:00:00Z: what was committed then or before stays",
    )
    .option("--term <number>", "The term that the other nodes are in, where they can't be asked")
    .option("--force", "Replace the data that are in the directory, once the backup has proved good")
    .option("--dry-run", "Do all of it, but leave nothing behind: only say what would be")
    .option("--list", "Only say what is in the file and which moments it covers")
    .option("--node-key <secret>", "The key that nodes show each other, for the file's MAC [OSTIARY_NODE_KEY]")
    .option(
      "--config <file>",
      "The file that the node is started with, for its limits and the node key [OSTIARY_CONFIG]",
    )
    .option("--json", "as JSON")
    .addHelpText("after", details)
    .action(async (file: string, options: Options) => {
      const destination = destinationOf(options);
      keepFilesPrivate();
      if (options.list) return list(file, options);
      const config = checkedConfig({
        flags: { role: "primary", ...(options.data === undefined ? {} : { data: options.data }) },
        environment: process.env,
        file: await configFile(options.config, process.env),
      });
      const restored = await restoring({
        knownTerm: await knownTermOf(options, config),
        file,
        directory: config.data,
        target: destination,
        force: options.force ?? false,
        dryRun: options.dryRun ?? false,
        nodeKeyHash: await nodeKeyHashFrom(options),
        allowUnauthenticated: options.allowUnauthenticated ?? false,
        limits: config.limits,
      });
      await print(
        options.json ? `${JSON.stringify(asJson(restored))}\n` : tell(restored, config.data, options.dryRun ?? false),
      );
    });
};

/** The term after which the restored history begins. */
async function knownTermOf({ term }: Options, config: Config): Promise<number> {
  if (term !== undefined) {
    if (/^\d{1,15}$/.test(term)) return Number(term);
    throw new UsageError(`\`${term}\` is no term, such as 3145728`);
  }
  const known = await askKnownTerm(config, realClusterSystem);
  if (known.silent.length > 0)
    await printWarning(
      `${known.silent.join(" and ")} did not tell its term (the node that is restored cannot). A node in a later term than the restored one does not follow it: if there is one, restore again with --term`,
    );
  return known.term;
}

async function list(file: string, options: Options): Promise<void> {
  const backup = openBackup(file);
  const authenticity = requireAuthentic(backup, await nodeKeyHashFrom(options), true);
  await print(
    options.json ? `${JSON.stringify(contentOf(backup, authenticity))}\n` : describeContent(backup, authenticity),
  );
}

async function restoring(options: Omit<RestoreOptions, "onStep" | "onUndone" | "warn">): Promise<RestoreResult> {
  const warnings: string[] = [];
  try {
    return await withProgress((progress) =>
      restore({
        ...options,
        onStep: progress.begin,
        onUndone: progress.reached,
        warn: (problem) => warnings.push(problem),
      }),
    );
  } finally {
    for (const warning of warnings) await printWarning(warning);
  }
}

function destinationOf({ toOffset, toTime }: Options): RestoreOptions["target"] {
  if (toOffset !== undefined && toTime !== undefined)
    throw new UsageError("--to-offset and --to-time both say where to go back to: give one of them");
  if (toOffset !== undefined) {
    if (!/^\d{1,15}$/.test(toOffset)) throw new UsageError(`\`${toOffset}\` is no offset, such as 4711`);
    return { offset: Number(toOffset) };
  }
  if (toTime === undefined) return undefined;
  if (!z.iso.datetime({ offset: true }).safeParse(toTime).success)
    throw new UsageError(
      `\`${toTime}\` is no time with its zone, such as 2026-11-26T07:00:00Z or 2026-11-26T08:00:00+01:00`,
    );
  return { timeMs: Date.parse(toTime) };
}

function tell(restored: RestoreResult, directory: string, dryRun: boolean): string {
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
          `  kept      these data are of another history, and stay in ${printable(previous)}: remove it when nobody needs it`,
        ]),
    dryRun
      ? "nothing was changed"
      : `  epoch     ${epoch} begins, of term ${term}; start it with \`ostiary serve --role primary --data ${printable(directory)}\``,
  ];
  return `${lines.join("\n")}\n`;
}

function asJson({ timeMs, ...rest }: RestoreResult): object {
  return { ...rest, time: iso(timeMs) };
}
