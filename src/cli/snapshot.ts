/**
 * `ostiary snapshot`: creates snapshots as files, inspects them, and imports them into the data directory of a node.
 */
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
  const group = program
    .command("snapshot")
    .description("Create, inspect and import a snapshot: all data except the log in one file");
  addCreate(group);
  withNodeKey(group.command("inspect"))
    .description("Print the content of a snapshot and verify it: status 0 if it is valid, 1 if not")
    .argument("<file>")
    .option("--full", "Also unpack it and check its content like a node")
    .option("--json", "Print JSON")
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
    .description("Verify a snapshot and make it the database from which an edge or a fallback starts")
    .argument("<file>")
    .requiredOption("--data <directory>", "The data directory of the node; it is created if it does not exist")
    .option("--force", "Replace an existing database")
    .option("--json", "Print JSON")
    .action(async (file: string, options: ImportOptions) => {
      keepFilesPrivate();
      const { data, force, json, allowUnauthenticated = false } = options;
      const nodeKeyHash = await nodeKeyHashFrom(options);
      const { state, path, authenticity, previous } = await withProgress((progress) => {
        const common = { file, data, limits: defaultLimits, nodeKeyHash, allowUnauthenticated, onStep: progress.begin };
        return importSnapshot({ ...common, force: force === true });
      });
      if (previous !== undefined)
        await printError(`the replaced database has another history and is kept as ${printable(previous)}\n`);
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
    .description("Write a snapshot to a file, from a running node or from a data directory; the node keeps running")
    .requiredOption("--out <file>", "The file to write; it is replaced atomically")
    .option("--url <url>", "The URL of a primary or an edge, such as http://127.0.0.1:8080")
    .option("--data <directory>", "The data directory of a node, running or not")
    .option("--json", "Print JSON")
    .addHelpText(
      "after",
      "\nThe node key is read from OSTIARY_NODE_KEY: it authenticates the request to a node, and the file gets a MAC, so that only\nowners of the node key can change it. Run the command again to resume an interrupted download. The file contains all data\nexcept the log: protect it like the data.",
    )
    .action(async (options: CreateOptions) => {
      keepFilesPrivate();
      const { out, url, data, json } = options;
      const nodeKeyHash = await nodeKeyHashFrom(options);
      if ((url === undefined) === (data === undefined))
        throw new UsageError(
          "the source of the snapshot is missing or not unique: use either `--url`, a running node, or `--data`, its directory",
        );
      const snapshot = await withProgress((progress) =>
        data === undefined
          ? snapshotFromNode(url ?? "", out, progress)
          : snapshotFromDirectory(data, out, nodeKeyHash, progress),
      );
      if (authenticityOf(snapshot.signed, nodeKeyHash) === "absent")
        await printWarning(
          "the snapshot has no MAC, so nodes and `ostiary snapshot import` accept it only with --allow-unauthenticated: set OSTIARY_NODE_KEY to the node key for a snapshot with a MAC",
        );
      await print(json ? `${JSON.stringify(jsonReport(snapshot), null, 2)}\n` : describeSnapshot(snapshot));
    });
}

interface InspectOptions extends NodeKeyOptions {
  readonly full?: true;
  readonly json?: true;
}

function jsonReport({ path, size, manifest }: Snapshot): object {
  return { file: path, size, ...manifest };
}

function describeSnapshot({ path, size, manifest: { environment, offset } }: Snapshot): string {
  return `${printable(path)}: environment \`${printable(environment)}\` at offset ${offset}, ${formatMegabytes(size)} MB\n`;
}
