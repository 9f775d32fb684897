/**
 * The sources of `ostiary snapshot create`: a running node or a data directory. The file gets its name when it is
 * complete.
 */
import { existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fetch } from "../runtime/fetch.ts";
import { installFile } from "../runtime/atomic-file.ts";
import { downloadSnapshot } from "../replication/transport/snapshot-download.ts";
import { buildSnapshotInWorker, verifySnapshotInWorker } from "../replication/snapshots/snapshot-jobs.ts";
import { realSystem } from "../replication/system.ts";
import { hashKey, storedNodeKeyHash } from "../store/keys/api-keys.ts";
import { removeFiles, type Snapshot } from "../store/snapshot/snapshot.ts";
import { authenticityOf } from "../store/snapshot/snapshot-mac.ts";
import { AppError } from "../util/app-error.ts";
import { formatMegabytes } from "../util/megabytes.ts";
import { reasonOf } from "../util/reason.ts";
import { UsageError } from "./command.ts";
import type { ProgressLine } from "./progress-line.ts";
import { requireStoreIn } from "./stored-data.ts";

export async function snapshotFromNode(nodeUrl: string, out: string, progress: ProgressLine): Promise<Snapshot> {
  const nodeKey = process.env["OSTIARY_NODE_KEY"]?.trim();
  if (!nodeKey) throw new UsageError("OSTIARY_NODE_KEY is not set; set it to the node key");
  if (!URL.canParse(nodeUrl)) throw new UsageError(`\`${nodeUrl}\` is not a URL, such as http://127.0.0.1:8080`);
  const url = nodeUrl.replace(/\/+$/, "");
  requireWritable(out);
  const part = `${out}.part`;
  let hasBegun = false;
  progress.begin("waiting for the snapshot");
  try {
    const snapshot = await downloadSnapshot({
      get: (headers) =>
        fetch(`${url}/replication/v1/snapshot`, {
          headers: { ...headers, Authorization: `Bearer ${nodeKey}` },
          redirect: "error",
        }),
      target: part,
      knownTag: undefined,
      accept() {},
      onProgress: (received, size) => {
        if (!hasBegun) progress.begin(`fetching ${formatMegabytes(size)} MB`);
        hasBegun = true;
        progress.reached(received, size);
      },
      responseError: refusalOf,
    });
    if (snapshot === "unchanged") throw new Error("the node answered that nothing has changed");
    progress.begin("checking");
    authenticityOf(snapshot.signed, hashKey(nodeKey));
    await verifySnapshotInWorker(realSystem, snapshot).catch((error: unknown) => {
      removeFiles([part]);
      throw error;
    });
    return moved(snapshot, out);
  } catch (error) {
    throw new AppError("not_ready", `no snapshot from ${url}: ${reasonOf(error)}`, { cause: error });
  }
}

async function refusalOf(response: Response): Promise<Error> {
  const { message } = (await response.json().catch(() => ({}))) as { message?: string };
  return new Error(`the node answered ${response.status} ${message ?? "without a reason"}`);
}

/** Only reads the directory; a node can use it at the same time. */
export async function snapshotFromDirectory(
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
