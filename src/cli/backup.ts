/**
 * `ostiary backup`: writes the data of a node to one file, from its data directory (the node can run or not) or over
 * its API, and lists the backups that a node knows.
 */
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Command } from "commander";
import { environmentEndpoints } from "../features/environments/endpoints.ts";
import type { ResponseOf } from "../http/endpoint.ts";
import { backupEndpoints } from "../features/backups/endpoints.ts";
import { defaultLimits } from "../config/limits.ts";
import { backUp, backupWriter, type BackupOptions } from "../replication/backup/backup.ts";
import { unfinishedSuffix } from "../replication/backup/stored-backups.ts";
import { downloadSnapshot, type SnapshotDownloadOptions } from "../replication/transport/snapshot-download.ts";
import { EnvironmentDirectories } from "../environments/directories.ts";
import { registryEnvironment } from "../environments/registry.ts";
import { installFile } from "../runtime/atomic-file.ts";
import { keepFilesPrivate, print, printError } from "../runtime/process.ts";
import { storedNodeKeyHash } from "../store/keys/api-keys.ts";
import { describePointInTime } from "../store/log/point-in-time.ts";
import type { Snapshot } from "../store/snapshot/snapshot.ts";
import { type Authenticity, authenticityOf } from "../store/snapshot/snapshot-mac.ts";
import { AppError } from "../util/app-error.ts";
import { formatMegabytes } from "../util/megabytes.ts";
import { printable } from "../util/printable.ts";
import { reasonOf } from "../util/reason.ts";
import { type AddCommand, UsageError } from "./command.ts";
import { printFailure, printWarning } from "./color.ts";
import { accessOf, callEndpoint, credentialHeaders, fetchNode, messageIn, requestOf, withAccess } from "./node-api.ts";
import { nodeDirectoryOf, nodeKeyHashesFrom, originText, requireStoreIn, storeIn, withNodeKey } from "./node-data.ts";
import { type ProgressLine, withProgress } from "./progress-line.ts";
import type { NodeOptions } from "./setting-options.ts";
import { noResults, table } from "./table.ts";

const details = `
A backup has the facts, policies, API keys (hashes) and the log at one revision. The node keeps running meanwhile. A backup
succeeds only after it has been read back and verified; then it gets its name. It does not contain the hash of the node key.
With the node key (OSTIARY_NODE_KEY; a running node has it) the backup gets a MAC, which \`ostiary restore\` verifies, so that
only owners of the node key can change it.

With --all it makes a directory with one file for each environment, and one for the list of them (\`environments-.backup\`).
\`ostiary restore\` takes the directory. Other environments than the default one need an admin key of the default one.

Examples:
  ostiary backup --all --url http://10.0.0.1:8080 --out "$(date +%F)"     all environments of a running node, in a directory
  ostiary backup --environment staging --out staging.backup               one of them
  ostiary backup --data /var/lib/ostiary --out monday.backup              from the directory of a node, running or not
  ostiary backup --url http://10.0.0.1:8080 --out monday.backup           from a running node, with OSO_AUTH in the environment
  ostiary restore monday.backup --list                                    which offsets and times it covers
  ostiary backup list --url http://10.0.0.1:8080                          the backups in the node's backupDirectory
`;

interface Options extends NodeOptions {
  readonly out?: string;
  readonly url?: string;
  readonly all?: true;
  readonly environment?: string;
  readonly json?: true;
}

export const backupCommand: AddCommand = (program, finish) => {
  const backups = program.command("backup").enablePositionalOptions();
  withNodeKey(withAccess(backups, backupEndpoints.getBackup))
    .description(
      "Write all data of a node to one file, from which `ostiary restore` restores a primary at any event in its log",
    )
    .option(
      "--out <file>",
      "The file to write (required); an existing one is replaced after the new one is verified. With --all a new directory",
    )
    .option("--all", "Back up all environments, with one file for each in a directory")
    .option("--environment <id>", "Back up this environment of the node in place of the default one")
    .option("--data <directory>", "The data directory of the node; it is only read")
    .option("--json", "Print JSON")
    .addHelpText("after", details)
    .action(async (options: Options, command: Command) => {
      const { out, data, url, all, environment, json } = options;
      // Not a required option of Commander, which would require it for `backup list` too.
      if (out === undefined) throw new UsageError("required option '--out <file>' not specified");
      if (all !== undefined && environment !== undefined)
        throw new UsageError("--all and --environment both say which environments: use one of them");
      if (data !== undefined && url !== undefined)
        throw new UsageError("--data and --url are both sources of the data: use one of them");
      if (!existsSync(dirname(out))) throw new UsageError(`\`${out}\` cannot be written: its directory does not exist`);
      // Other users must not read the backup.
      keepFilesPrivate();
      const nodeKeyHashes = await nodeKeyHashesFrom(options);
      const backUpOne = (target: string, id: string | undefined): Promise<Snapshot> =>
        withProgress((progress) =>
          backUp({
            target,
            write:
              data === undefined ? fetchFrom(command, id, progress) : copyOf(data, id, nodeKeyHashes?.[0], progress),
            limits: defaultLimits,
            onStep: progress.begin,
            warn: progress.warn,
          }),
        );
      const [backups, failures] =
        all === undefined
          ? [[await backUpOne(out, environment)], []]
          : await backUpAll(out, await environmentsOf(command, data), backUpOne);
      const described = backups.map((backup) => ({
        backup,
        authenticity: authenticityOf(backup.signed, nodeKeyHashes),
      }));
      if (described.some(({ authenticity }) => authenticity === "absent"))
        await printWarning(
          "the backup has no MAC, so `ostiary restore` needs --allow-unauthenticated: set OSTIARY_NODE_KEY to the node key for a backup with a MAC",
        );
      const contents = described.map(({ backup, authenticity }) => contentOf(backup, authenticity));
      const texts = described.map(({ backup, authenticity }) => describeContent(backup, authenticity));
      await print(json ? `${JSON.stringify(all === undefined ? contents[0] : contents)}\n` : texts.join(""));
      for (const failure of failures) await printFailure(failure);
      if (failures.length > 0) finish(1);
    });
  addList(backups);
};

function addList(backups: Command): void {
  const command = backups
    .command("list")
    .description("List the backups in the directory of the setting `backupDirectory` of a running node, newest first")
    .option("--all", "List the backups of all environments, with an admin key of the default one")
    .option("--json", "Print JSON");
  withAccess(command, backupEndpoints.getBackups).action(
    async ({ json, all }: Pick<Options, "json" | "all">, self: Command) => {
      const answer = await callEndpoint(accessOf(self), backupEndpoints.getBackups, { query: { all: all && "true" } });
      const { backups: found, complete } = answer;
      if (json) return print(`${JSON.stringify(answer)}\n`);
      if (!complete) await printWarning("the directory has more files than are examined: these are the last by name");
      if (found.length === 0) return printError(noResults);
      const rows = found.map(({ name, environment, made, earliest, newest, bytes, authenticity, node_key: key }) => [
        ...(all ? [environment] : []),
        ...[made, `${earliest.offset}`, `${newest.offset}`, newest.time],
        ...[`${formatMegabytes(bytes)} MB`, authenticity, key ?? "-", name],
      ]);
      const columns = ["MADE", "FROM", "TO", "LAST CHANGE", "SIZE", "ORIGIN", "KEY", "FILE"];
      await print(table(all ? ["ENVIRONMENT", ...columns] : columns, rows));
    },
  );
}

/** `undefined` is the default environment. */
type EnvironmentIds = readonly (string | undefined)[];

/** The environments with data: of a data directory, or of a running node. The list of them is the last one. */
async function environmentsOf(command: Command, data: string | undefined): Promise<EnvironmentIds> {
  if (data !== undefined) {
    const directories = new EnvironmentDirectories(data);
    const hasList = directories.hasStore(registryEnvironment);
    return [undefined, ...directories.withData(), ...(hasList ? [registryEnvironment] : [])];
  }
  let answer: ResponseOf<typeof environmentEndpoints.getEnvironments>;
  try {
    answer = await callEndpoint(accessOf(command), environmentEndpoints.getEnvironments);
  } catch (error) {
    // A node of 0.1.0, or of `ostiary dev`.
    if (error instanceof AppError && error.code === "not_found") return [undefined];
    throw error;
  }
  const others = answer.environments.filter(({ is_default: isDefault }) => isDefault !== true);
  const active = others.filter(({ state }) => state === "active").map(({ id }) => id);
  return [undefined, ...active, ...(others.length > 0 ? [registryEnvironment] : [])];
}

/**
 * Backs up each environment into a file of the directory at `path`, which has its name when all are done. Returns the backups,
 * and the failures of some environments, which do not prevent the backups of the others.
 */
async function backUpAll(
  path: string,
  ids: EnvironmentIds,
  backUpOne: (target: string, id: string | undefined) => Promise<Snapshot>,
): Promise<readonly [Snapshot[], string[]]> {
  const out = path.replace(/(?<=.)\/+$/, "");
  if (existsSync(out))
    throw new UsageError(`\`${out}\` exists already: name a new directory, such as one with the date`);
  const unfinished = `${out}${unfinishedSuffix}`;
  rmSync(unfinished, { recursive: true, force: true });
  mkdirSync(unfinished, { mode: 0o700 });
  const [backups, failures]: [Snapshot[], string[]] = [[], []];
  for (const id of ids) {
    const made = join(unfinished, "making");
    try {
      const backup = await backUpOne(made, id);
      const name = `${backup.manifest.environment}.backup`;
      installFile(made, join(unfinished, name));
      backups.push({ ...backup, path: join(out, name) });
    } catch (error) {
      // Without the default environment the others cannot be served.
      if (id === undefined) throw error;
      failures.push(`there is no backup of the environment ${printable(id)}: ${reasonOf(error)}`);
    }
  }
  installFile(unfinished, out);
  return [backups, failures];
}

/** A primary that created its node key itself stores the hash in the database of the default environment. */
function copyOf(
  data: string,
  id: string | undefined,
  nodeKeyHash: string | undefined,
  progress: ProgressLine,
): BackupOptions["write"] {
  const path = requireStoreIn(id === undefined ? data : new EnvironmentDirectories(data).pathOf(id));
  const own = storeIn(nodeDirectoryOf(data)) ?? path;
  return backupWriter(path, progress.begin, nodeKeyHash ?? storedNodeKeyHash(own));
}

function fetchFrom(command: Command, id: string | undefined, progress: ProgressLine): BackupOptions["write"] {
  const access = accessOf(command);
  const { url } = access;
  const { path } = requestOf(backupEndpoints.getBackup, { query: { environment: id } });
  return async (target) => {
    progress.begin(`waiting for ${url}`);
    await fetchSnapshot(target, progress, {
      get: async (headers) =>
        fetchNode(access, path, {
          headers: { ...headers, ...(await credentialHeaders(access)) },
        }),
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
