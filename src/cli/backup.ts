/**
 * `ostiary backup`: writes the data of a node to one file, from its data directory (the node can run or not) or over
 * its API.
 */
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import type { Command } from "commander";
import { defaultLimits } from "../config/limits.ts";
import { backUp, backupWriter, type BackupOptions } from "../replication/backup/backup.ts";
import { downloadSnapshot } from "../replication/transport/snapshot-download.ts";
import { fetch } from "../runtime/fetch.ts";
import { keepFilesPrivate, print } from "../runtime/process.ts";
import { storedNodeKeyHash } from "../store/keys/api-keys.ts";
import { authenticityOf } from "../store/snapshot/snapshot-mac.ts";
import { AppError } from "../util/app-error.ts";
import { formatMegabytes } from "../util/megabytes.ts";
import { type AddCommand, UsageError } from "./command.ts";
import { printWarning } from "./color.ts";
import { contentOf, describeContent } from "./backup-content.ts";
import { accessOf, noAnswerFrom, withAccess } from "./node-api.ts";
import { type NodeKeyOptions, nodeKeyHashFrom, withNodeKey } from "./node-key.ts";
import { type ProgressLine, withProgress } from "./progress-line.ts";
import { requireStoreIn } from "./stored-data.ts";

const details = `
A backup has the facts, policies, API keys (hashes) and the log at one revision. The node keeps running meanwhile. A backup
succeeds only after it has been read back and verified; then it gets its name. It does not contain the hash of the node key.
With the node key (OSTIARY_NODE_KEY; a running node has it) the backup gets a MAC, which \`ostiary restore\` verifies, so that
only owners of the node key can change it.

Examples:
  ostiary backup --data /var/lib/ostiary --out monday.backup              from the directory of a node, running or not
  ostiary backup --url http://10.0.0.1:8080 --out monday.backup           from a running node, with OSO_AUTH in the environment
  ostiary restore monday.backup --list                                    which offsets and times it covers
`;

interface Options extends NodeKeyOptions {
  readonly out: string;
  readonly data?: string;
  readonly url?: string;
  readonly json?: true;
}

export const backupCommand: AddCommand = (program) => {
  withNodeKey(withAccess(program.command("backup"), "admin"))
    .description(
      "Write all data of a node to one file, from which `ostiary restore` restores a primary at any event in its log",
    )
    .requiredOption("--out <file>", "The file to write; an existing one is replaced after the new one is verified")
    .option("--data <directory>", "The data directory of the node; it is only read")
    .option("--json", "Print JSON")
    .addHelpText("after", details)
    .action(async (options: Options, command: Command) => {
      const { out, data, url, json } = options;
      if (data !== undefined && url !== undefined)
        throw new UsageError("--data and --url are both sources of the data: use one of them");
      if (!existsSync(dirname(out))) throw new UsageError(`\`${out}\` cannot be written: its directory does not exist`);
      // Other users must not read the backup.
      keepFilesPrivate();
      const nodeKeyHash = await nodeKeyHashFrom(options);
      const warnings: string[] = [];
      const backup = await withProgress((progress) =>
        backUp({
          target: out,
          write:
            data === undefined ? fetchFrom(command, progress) : copyOf(requireStoreIn(data), nodeKeyHash, progress),
          limits: defaultLimits,
          onStep: progress.begin,
          warn: (problem) => warnings.push(problem),
        }),
      );
      const authenticity = authenticityOf(backup.signed, nodeKeyHash);
      if (authenticity === "absent")
        warnings.push(
          "the backup has no MAC, so `ostiary restore` needs --allow-unauthenticated: set OSTIARY_NODE_KEY to the node key for a backup with a MAC",
        );
      for (const warning of warnings) await printWarning(warning);
      await print(
        json ? `${JSON.stringify(contentOf(backup, authenticity))}\n` : describeContent(backup, authenticity),
      );
    });
};

/** A primary that created its node key itself stores the hash in its database. */
function copyOf(path: string, nodeKeyHash: string | undefined, progress: ProgressLine): BackupOptions["write"] {
  return backupWriter(path, progress.begin, nodeKeyHash ?? storedNodeKeyHash(path));
}

function fetchFrom(command: Command, progress: ProgressLine): BackupOptions["write"] {
  const { url, key } = accessOf(command, "admin");
  return async (target) => {
    let hasBegun = false;
    progress.begin(`waiting for ${url}`);
    await downloadSnapshot({
      get: (headers) => request(url, { ...headers, Authorization: `Bearer ${key}` }),
      target,
      knownTag: undefined,
      accept() {},
      onProgress: (received, size) => {
        if (!hasBegun) progress.begin(`fetching ${formatMegabytes(size)} MB`);
        hasBegun = true;
        progress.reached(received, size);
      },
      responseError: refusalOf,
    });
  };
}

async function request(url: string, headers: Record<string, string>): Promise<Response> {
  try {
    return await fetch(`${url}/api/backup`, { headers });
  } catch (error) {
    throw new AppError("not_ready", noAnswerFrom(url, error));
  }
}

async function refusalOf(response: Response): Promise<Error> {
  const { message } = (await response.json().catch(() => ({}))) as { message?: string };
  return new AppError("invalid_request", `the node answered ${response.status}: ${message ?? "no reason given"}`);
}
