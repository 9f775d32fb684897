/**
 * `ostiary backup`: writes the data of a node to one file, from its data directory (the node can run or not) or over
 * its API, and lists the backups that a node knows.
 */
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import type { Command } from "commander";
import { z } from "zod";
import { defaultLimits } from "../config/limits.ts";
import { backUp, backupWriter, type BackupOptions } from "../replication/backup/backup.ts";
import { downloadSnapshot, type SnapshotDownloadOptions } from "../replication/transport/snapshot-download.ts";
import { keepFilesPrivate, print, printError } from "../runtime/process.ts";
import { storedNodeKeyHash } from "../store/keys/api-keys.ts";
import { describePointInTime } from "../store/log/point-in-time.ts";
import type { Snapshot } from "../store/snapshot/snapshot.ts";
import { type Authenticity, authenticityOf } from "../store/snapshot/snapshot-mac.ts";
import { AppError } from "../util/app-error.ts";
import { formatMegabytes } from "../util/megabytes.ts";
import { printable } from "../util/printable.ts";
import { type AddCommand, UsageError } from "./command.ts";
import { printWarning } from "./color.ts";
import { accessOf, callNode, credentialHeaders, expectAnswer, messageIn, fetchNode, withAccess } from "./node-api.ts";
import { noResults } from "./facts.ts";
import { nodeKeyHashesFrom, originText, withNodeKey, requireStoreIn } from "./node-data.ts";
import { type ProgressLine, withProgress } from "./progress-line.ts";
import type { NodeOptions } from "./setting-options.ts";
import { table } from "./table.ts";

const details = `
A backup has the facts, policies, API keys (hashes) and the log at one revision. The node keeps running meanwhile. A backup
succeeds only after it has been read back and verified; then it gets its name. It does not contain the hash of the node key.
With the node key (OSTIARY_NODE_KEY; a running node has it) the backup gets a MAC, which \`ostiary restore\` verifies, so that
only owners of the node key can change it.

Examples:
  ostiary backup --data /var/lib/ostiary --out monday.backup              from the directory of a node, running or not
  ostiary backup --url http://10.0.0.1:8080 --out monday.backup           from a running node, with OSO_AUTH in the environment
  ostiary restore monday.backup --list                                    which offsets and times it covers
  ostiary backup list --url http://10.0.0.1:8080                          the backups in the node's backupDirectory
`;

interface Options extends NodeOptions {
  readonly out?: string;
  readonly url?: string;
  readonly json?: true;
}

export const backupCommand: AddCommand = (program) => {
  const backups = program.command("backup").enablePositionalOptions();
  withNodeKey(withAccess(backups, "admin"))
    .description(
      "Write all data of a node to one file, from which `ostiary restore` restores a primary at any event in its log",
    )
    .option("--out <file>", "The file to write (required); an existing one is replaced after the new one is verified")
    .option("--data <directory>", "The data directory of the node; it is only read")
    .option("--json", "Print JSON")
    .addHelpText("after", details)
    .action(async (options: Options, command: Command) => {
      const { out, data, url, json } = options;
      // Not a required option of Commander, which would require it for `backup list` too.
      if (out === undefined) throw new UsageError("required option '--out <file>' not specified");
      if (data !== undefined && url !== undefined)
        throw new UsageError("--data and --url are both sources of the data: use one of them");
      if (!existsSync(dirname(out))) throw new UsageError(`\`${out}\` cannot be written: its directory does not exist`);
      // Other users must not read the backup.
      keepFilesPrivate();
      const nodeKeyHashes = await nodeKeyHashesFrom(options);
      const backup = await withProgress((progress) =>
        backUp({
          target: out,
          write:
            data === undefined
              ? fetchFrom(command, progress)
              : copyOf(requireStoreIn(data), nodeKeyHashes?.[0], progress),
          limits: defaultLimits,
          onStep: progress.begin,
          warn: progress.warn,
        }),
      );
      const authenticity = authenticityOf(backup.signed, nodeKeyHashes);
      if (authenticity === "absent")
        await printWarning(
          "the backup has no MAC, so `ostiary restore` needs --allow-unauthenticated: set OSTIARY_NODE_KEY to the node key for a backup with a MAC",
        );
      await print(
        json ? `${JSON.stringify(contentOf(backup, authenticity))}\n` : describeContent(backup, authenticity),
      );
    });
  addList(backups);
};

const moment = z.object({ offset: z.number(), time: z.string() });
const stored = z.object({
  backups: z.array(
    z.object({
      name: z.string(),
      made: z.string(),
      bytes: z.number(),
      earliest: moment,
      newest: moment,
      authenticity: z.string(),
      node_key: z.string().optional(),
    }),
  ),
  complete: z.boolean(),
});

function addList(backups: Command): void {
  const command = backups
    .command("list")
    .description("List the backups in the directory of the setting `backupDirectory` of a running node, newest first")
    .option("--json", "Print JSON");
  withAccess(command, "admin").action(async ({ json }: Pick<Options, "json">, self: Command) => {
    const answer = await callNode(accessOf(self, "admin"), "GET", "/api/backups");
    const { backups: found, complete } = expectAnswer(stored, answer, "a list of backups");
    if (json) return print(`${JSON.stringify(answer)}\n`);
    if (!complete) await printWarning("the directory has more files than are examined: these are the last by name");
    if (found.length === 0) return printError(noResults);
    const rows = found.map(({ name, made, earliest, newest, bytes, authenticity, node_key: key }) => [
      ...[made, `${earliest.offset}`, `${newest.offset}`, newest.time],
      ...[`${formatMegabytes(bytes)} MB`, authenticity, key ?? "-", name],
    ]);
    await print(table(["MADE", "FROM", "TO", "LAST CHANGE", "SIZE", "ORIGIN", "KEY", "FILE"], rows));
  });
}

/** A primary that created its node key itself stores the hash in its database. */
function copyOf(path: string, nodeKeyHash: string | undefined, progress: ProgressLine): BackupOptions["write"] {
  return backupWriter(path, progress.begin, nodeKeyHash ?? storedNodeKeyHash(path));
}

function fetchFrom(command: Command, progress: ProgressLine): BackupOptions["write"] {
  const access = accessOf(command, "admin");
  const { url } = access;
  return async (target) => {
    progress.begin(`waiting for ${url}`);
    await fetchSnapshot(target, progress, {
      get: async (headers) =>
        fetchNode(access, "/api/backup", { headers: { ...headers, ...(await credentialHeaders(access)) } }),
      responseError: refusalOf,
    });
  };
}

/** Downloads a snapshot to a new file, or the rest of one, and shows the progress. */
export function fetchSnapshot(
  target: string,
  progress: ProgressLine,
  requests: Pick<SnapshotDownloadOptions, "get" | "responseError">,
): Promise<Snapshot | "unchanged"> {
  let hasBegun = false;
  return downloadSnapshot({
    ...requests,
    target,
    knownTag: undefined,
    accept() {},
    onProgress: (received, size) => {
      if (!hasBegun) progress.begin(`fetching ${formatMegabytes(size)} MB`);
      hasBegun = true;
      progress.reached(received, size);
    },
  });
}

async function refusalOf(response: Response): Promise<Error> {
  const reason = (await messageIn(response)) ?? "no reason given";
  return new AppError("invalid_request", `the node answered ${response.status}: ${reason}`);
}

export function contentOf({ path, manifest, size }: Snapshot, authenticity: Authenticity): object {
  const { kind, environment, epoch, offset, timeMs, madeMs, digest, schema, unpackedBytes, nodeKey } = manifest;
  const from = manifest.from ?? { offset, timeMs };
  return {
    ...{ file: path, kind, environment, made: iso(madeMs), authenticity, node_key: nodeKey },
    earliest: { offset: from.offset, time: iso(from.timeMs) },
    newest: { offset, time: iso(timeMs) },
    ...{ epoch, digest, format: schema, bytes: size, unpacked_bytes: unpackedBytes },
  };
}

export function describeContent({ path, manifest, size }: Snapshot, authenticity: Authenticity): string {
  const { kind, environment, epoch, madeMs, schema, unpackedBytes, nodeKey } = manifest;
  const lines = [
    `${printable(path)}: a ${kind} of environment \`${printable(environment)}\`, made ${iso(madeMs)}`,
    `  from    ${describePointInTime(manifest.from ?? manifest)}`,
    `  to      ${describePointInTime(manifest)}, epoch ${epoch}`,
    `  size    ${formatMegabytes(size)} MB, unpacked ${formatMegabytes(unpackedBytes)} MB, format ${schema}`,
    `  origin  ${originText(authenticity, nodeKey)}`,
  ];
  return `${lines.join("\n")}\n`;
}

export function iso(timeMs: number): string {
  return new Date(timeMs).toISOString();
}
