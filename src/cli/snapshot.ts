/** Snapshots as files: made from a node or its directory, looked at, and put into a directory for a node to start from. */
import type { Command } from "commander";
import { defaultLimits } from "../config/limits.ts";
import { importSnapshot } from "../replication/snapshots/import-snapshot.ts";
import { keepFilesPrivate, print, printError } from "../runtime/process.ts";
import { authenticityOf } from "../store/snapshot/snapshot-mac.ts";
import { printable } from "../util/printable.ts";
import type { Snapshot } from "../store/snapshot/snapshot.ts";
import { formatMegabytes } from "../util/megabytes.ts";
import { type AddCommand, UsageError } from "./command.ts";
import { printWarning } from "./color.ts";
import {
  authenticityTexts,
  type NodeKeyOptions,
  nodeKeyHashFrom,
  withNodeKey,
  withUnauthenticated,
} from "./node-key.ts";
import { withProgress } from "./progress-line.ts";
import { snapshotFromDirectory, snapshotFromNode } from "./snapshot-sources.ts";
import { describeReport, inspectSnapshot } from "./snapshot-report.ts";

interface CreateOptions extends NodeKeyOptions {
  readonly out: string;
  readonly url?: string;
  readonly data?: string;
  readonly json?: true;
}

interface ImportOptions extends NodeKeyOptions {
  readonly allowUnauthenticated?: true;
  readonly data: string;
  readonly force?: true;
  readonly json?: true;
}

export const snapshotCommand: AddCommand = (program, finish) => {
  const group = program.command("snapshot").description("Make, inspect and import a copy of all data as one file");
  addCreate(group);
  withNodeKey(group.command("inspect"))
    .description("Say what a snapshot holds, and whether it is whole: status 0 if so, 1 if not")
    .argument("<file>")
    .option("--full", "Unpack it as well, and check everything in it as a node would")
    .option("--json", "as JSON")
    .action(async (file: string, options: InspectOptions) => {
      keepFilesPrivate();
      const nodeKeyHash = await nodeKeyHashFrom(options);
      const report = await withProgress((progress) =>
        inspectSnapshot(file, { full: options.full === true, nodeKeyHash }, progress),
      );
      await print(options.json ? `${JSON.stringify(report, null, 2)}\n` : describeReport(report));
      if (report.problem !== null) finish(1);
    });
  withUnauthenticated(withNodeKey(group.command("import")))
    .description("Check a snapshot and make it the copy that an edge or a fallback starts from")
    .argument("<file>")
    .requiredOption("--data <directory>", "The node's data directory; made where it is missing")
    .option("--force", "Replace the copy that is there")
    .option("--json", "as JSON")
    .action(async (file: string, options: ImportOptions) => {
      keepFilesPrivate();
      const { data, force, json, allowUnauthenticated = false } = options;
      const nodeKeyHash = await nodeKeyHashFrom(options);
      const { state, path, authenticity, previous } = await withProgress((progress) => {
        const common = { file, data, limits: defaultLimits, nodeKeyHash, allowUnauthenticated, onStep: progress.begin };
        return importSnapshot({ ...common, force: force === true });
      });
      if (previous !== undefined)
        await printError(`the database of the history that was there before is kept as ${printable(previous)}\n`);
      const { environment, epoch, offset, digest } = state;
      await print(
        json
          ? `${JSON.stringify({ path, environment, epoch, offset, digest, authenticity }, null, 2)}\n`
          : `${printable(path)}: environment \`${printable(environment)}\` at offset ${offset}; the file is ${authenticityTexts[authenticity]}\n`,
      );
    });
};

function addCreate(group: Command): void {
  withNodeKey(group.command("create"))
    .description("Write a snapshot to a file, from a running node or from a data directory; nothing is stopped for it")
    .requiredOption("--out <file>", "Where to write it; readers see the file that was there, or the whole new one")
    .option("--url <url>", "The primary or edge to ask, such as http://127.0.0.1:8080")
    .option("--data <directory>", "A node's data directory, whether or not the node runs")
    .option("--json", "as JSON")
    .addHelpText(
      "after",
      "\nThe node key, with which a node is asked, is read from OSTIARY_NODE_KEY; with it the file also gets a MAC, so that nobody else can change it. What is broken off is gone on with when the same is\ndone again. The file holds everything but the log: keep it as you keep the data.",
    )
    .action(async (options: CreateOptions) => {
      keepFilesPrivate();
      const { out, url, data, json } = options;
      const nodeKeyHash = await nodeKeyHashFrom(options);
      if ((url === undefined) === (data === undefined))
        throw new UsageError(
          "say where the snapshot comes from: either `--url`, a running node, or `--data`, its directory",
        );
      const made = await withProgress((progress) =>
        data === undefined
          ? snapshotFromNode(url ?? "", out, progress)
          : snapshotFromDirectory(data, out, nodeKeyHash, progress),
      );
      if (authenticityOf(made.signed, nodeKeyHash) === "absent")
        await printWarning(
          "the snapshot has no MAC, so nodes and `ostiary snapshot import` take it only with --allow-unauthenticated: put the node key into OSTIARY_NODE_KEY to make one that has",
        );
      await print(json ? `${JSON.stringify(madeReport(made), null, 2)}\n` : describeMade(made));
    });
}

interface InspectOptions extends NodeKeyOptions {
  readonly full?: true;
  readonly json?: true;
}

function madeReport({ path, size, manifest }: Snapshot): object {
  return { file: path, size, ...manifest };
}

function describeMade({ path, size, manifest: { environment, offset } }: Snapshot): string {
  return `${printable(path)}: environment \`${printable(environment)}\` at offset ${offset}, ${formatMegabytes(size)} MB\n`;
}
