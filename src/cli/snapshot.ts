/**
 * `ostiary snapshot`: creates snapshots as files, inspects them, and imports them into the data directory of a node.
 */
import { existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { Command } from "commander";
import { defaultLimits } from "../config/limits.ts";
import { importSnapshot } from "../replication/snapshots/import-snapshot.ts";
import { buildSnapshotInWorker, verifySnapshotInWorker } from "../replication/snapshots/snapshot-jobs.ts";
import { sendWithNodeKey } from "../replication/transport/node-authorization.ts";
import { realSystem } from "../replication/system.ts";
import { TlsIdentity } from "../replication/tls-identity.ts";
import { fetch, tlsFetchOptions } from "../runtime/fetch.ts";
import { installFile } from "../runtime/atomic-file.ts";
import { keepFilesPrivate, print, printError } from "../runtime/process.ts";
import { storedNodeKeyHash } from "../store/keys/api-keys.ts";
import { nodeKeyHashesIn } from "../store/keys/node-keys.ts";
import { removeFiles, type Snapshot } from "../store/snapshot/snapshot.ts";
import { authenticityOf } from "../store/snapshot/snapshot-mac.ts";
import { AppError } from "../util/app-error.ts";
import { formatMegabytes } from "../util/megabytes.ts";
import { printable } from "../util/printable.ts";
import { reasonOf } from "../util/reason.ts";
import { fetchSnapshot } from "./backup.ts";
import { type AddCommand, UsageError } from "./command.ts";
import { printWarning } from "./color.ts";
import {
  authenticityTexts,
  nodeKeyHashesFrom,
  requireStoreIn,
  userName,
  withNodeKey,
  withUnauthenticated,
} from "./node-data.ts";
import { authorityFile, caOption, checkedUrl, messageIn, tlsProblem } from "./node-api.ts";
import { type ProgressLine, withProgress } from "./progress-line.ts";
import { nodeConfig, type NodeOptions } from "./setting-options.ts";
import { describeReport, inspectSnapshot } from "./snapshot-report.ts";

interface CreateOptions extends NodeOptions {
  readonly out: string;
  readonly url?: string;
  readonly ca?: string;
  readonly json?: true;
}

interface ImportOptions extends NodeOptions {
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
      const nodeKeyHashes = await nodeKeyHashesFrom(options);
      const report = await withProgress((progress) =>
        inspectSnapshot(file, { full: options.full === true, nodeKeyHashes }, progress),
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
      const nodeKeyHashes = await nodeKeyHashesFrom(options);
      const { state, path, authenticity, previous } = await withProgress((progress) => {
        const common = {
          file,
          data,
          limits: defaultLimits,
          nodeKeyHashes,
          allowUnauthenticated,
          onStep: progress.begin,
        };
        return importSnapshot({ ...common, force: force === true, operator: userName() });
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
    .option(...caOption)
    .option("--data <directory>", "The data directory of a node, running or not")
    .option("--json", "Print JSON")
    .addHelpText(
      "after",
      "\nThe node key is read from OSTIARY_NODE_KEY: it authenticates the request to a node, and the file gets a MAC, so that only\nowners of the node key can change it. Run the command again to resume an interrupted download. The file contains all data\nexcept the log: protect it like the data.",
    )
    .action(async (options: CreateOptions) => {
      keepFilesPrivate();
      const { out, url, data, json } = options;
      const nodeKeyHashes = await nodeKeyHashesFrom(options);
      if ((url === undefined) === (data === undefined))
        throw new UsageError(
          "the source of the snapshot is missing or not unique: use either `--url`, a running node, or `--data`, its directory",
        );
      const snapshot = await withProgress((progress) =>
        data === undefined
          ? snapshotFromNode(url ?? "", out, options, progress)
          : snapshotFromDirectory(data, out, nodeKeyHashes?.[0], progress),
      );
      if (authenticityOf(snapshot.signed, nodeKeyHashes) === "absent")
        await printWarning(
          "the snapshot has no MAC, so nodes and `ostiary snapshot import` accept it only with --allow-unauthenticated: set OSTIARY_NODE_KEY to the node key for a snapshot with a MAC",
        );
      const { path, size, manifest } = snapshot;
      const position = `environment \`${printable(manifest.environment)}\` at offset ${manifest.offset}`;
      const text = `${printable(path)}: ${position}, ${formatMegabytes(size)} MB\n`;
      await print(json ? `${JSON.stringify({ file: path, size, ...manifest }, null, 2)}\n` : text);
    });
}

interface InspectOptions extends NodeOptions {
  readonly full?: true;
  readonly json?: true;
}

/** The request presents the certificate of the configuration, which a `nodePort` requires. */
async function snapshotFromNode(
  nodeUrl: string,
  out: string,
  { ca, config }: CreateOptions,
  progress: ProgressLine,
): Promise<Snapshot> {
  const nodeKey = process.env["OSTIARY_NODE_KEY"]?.trim();
  if (!nodeKey) throw new UsageError("OSTIARY_NODE_KEY is not set; set it to the node key");
  const url = checkedUrl(nodeUrl);
  const settings = await nodeConfig({ config });
  const tlsCa = authorityFile(ca) ?? settings.tlsCa;
  const identity = TlsIdentity.open({ ...settings, tlsCa }, realSystem.clock);
  const tls = tlsFetchOptions(identity?.client ?? {});
  requireWritable(out);
  const part = `${out}.part`;
  progress.begin("waiting for the snapshot");
  try {
    const snapshot = await fetchSnapshot(part, progress, {
      get: (headers) =>
        sendWithNodeKey(nodeKey, (authorization) =>
          fetch(`${url}/replication/v1/snapshot`, {
            headers: { ...headers, ...authorization },
            redirect: "error",
            ...tls,
          }),
        ),
      responseError: refusalOf,
    });
    if (snapshot === "unchanged") throw new Error("the node answered that nothing has changed");
    progress.begin("checking");
    authenticityOf(snapshot.signed, nodeKeyHashesIn(nodeKey));
    await verifySnapshotInWorker(realSystem, snapshot).catch((error: unknown) => {
      removeFiles([part]);
      throw error;
    });
    return moved(snapshot, out);
  } catch (error) {
    const reason = tlsProblem({ url, ca: tlsCa }, error) ?? reasonOf(error);
    throw new AppError("not_ready", `no snapshot from ${url}: ${reason}`, { cause: error });
  }
}

async function refusalOf(response: Response): Promise<Error> {
  return new Error(`the node answered ${response.status} ${(await messageIn(response)) ?? "without a reason"}`);
}

/** Only reads the directory; a node can use it at the same time. */
async function snapshotFromDirectory(
  data: string,
  out: string,
  nodeKeyHash: string | undefined,
  progress: ProgressLine,
): Promise<Snapshot> {
  const store = requireStoreIn(data);
  const temporary = temporaryDirectoryFor(out);
  progress.begin("copying and packing");
  try {
    return moved(
      await buildSnapshotInWorker(realSystem, store, temporary, nodeKeyHash ?? storedNodeKeyHash(store)),
      out,
    );
  } catch (error) {
    throw new AppError("internal", `no snapshot of \`${store}\`: ${reasonOf(error)}`, { cause: error });
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

function moved(snapshot: Snapshot, out: string): Snapshot {
  installFile(snapshot.path, out);
  return { ...snapshot, path: out };
}

/** Creates a temporary directory on the file system of `out`, so that a rename can move a file to `out`. */
function temporaryDirectoryFor(out: string): string {
  requireWritable(out);
  try {
    return mkdtempSync(join(dirname(out), `.${basename(out)}-`));
  } catch (error) {
    throw new AppError("invalid_request", `\`${out}\` cannot be written: ${reasonOf(error)}`, { cause: error });
  }
}

function requireWritable(out: string): void {
  if (!existsSync(dirname(out))) throw new UsageError(`\`${out}\` cannot be written: its directory does not exist`);
  if (existsSync(out) && !statSync(out).isFile())
    throw new UsageError(`\`${out}\` cannot be written: it is not a file`);
}
