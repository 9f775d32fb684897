/**
 * Serves backups of this node. A backup is made by a worker thread, in a file that is unlinked once it is open for
 * sending.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { createdMsOf } from "../../store/directory/data-directory.ts";
import { databaseFiles, removeFiles } from "../../store/snapshot/snapshot.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { AppError } from "../../util/app-error.ts";
import { buildBackupInWorker } from "../snapshots/snapshot-jobs.ts";
import { streamFile } from "../snapshots/snapshot-server.ts";
import type { NodeContext } from "../node-context.ts";

type BackupContext = Pick<NodeContext, "data" | "system">;

/**
 * The file is made in the data directory, and removed again. `storePath` returns the current path of the database, or
 * throws an AppError `not_ready` while there is none that can be trusted. `nodeKeyHash`: the key hash for the MAC.
 * `copyIfReplaced`: see `StoreWriter.copyIfReplaced`, on nodes with a writer. The result throws an AppError
 * `too_many_requests` while another backup is made.
 */
export function createBackupServer(
  { data, system }: BackupContext,
  storePath: () => string,
  nodeKeyHash: string | undefined,
  copyIfReplaced?: (target: string) => Promise<boolean>,
): () => Promise<Response> {
  const directory = join(data, "backup");
  const target = join(directory, "making.zst");
  const copied = join(directory, "saved.db");
  let isMaking = false;
  return async () => {
    if (isMaking) throw new AppError("too_many_requests", "another backup is being made, try again when it is done");
    const path = storePath();
    isMaking = true;
    try {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      removeFiles([target, copied]);
      const source = (await copyIfReplaced?.(copied)) === true ? copied : path;
      const { manifest, size, leftOut } = await buildBackupInWorker(
        system,
        source,
        target,
        nodeKeyHash,
        createdMsOf(data),
      );
      if (leftOut !== undefined) getLogger("backup").error("{leftOut}", { leftOut });
      const name = `${manifest.environment}-${manifest.offset}.backup`;
      return new Response(
        streamFile(target, 0, size - 1, () => {}),
        {
          headers: {
            "Content-Type": "application/zstd",
            // A streamed body is sent without `Content-Length`.
            "Ostiary-Size": String(size),
            "Content-Disposition": `attachment; filename="${name}"`,
            "Cache-Control": "no-store",
          },
        },
      );
    } finally {
      removeFiles([target, ...databaseFiles(copied)]);
      isMaking = false;
    }
  };
}

/** A replica that backups are made of. */
export interface BackupSource {
  /** Throws AppError `not_ready` while the replica must not answer. */
  engine(): unknown;
  readonly database: { readonly path: string };
  readonly writer: { copyIfReplaced(target: string): Promise<boolean> };
}

/** Serves backups of a replica. There is none while the replica does not trust its own data. */
export function serveReplicaBackups(
  context: BackupContext,
  replica: BackupSource,
  nodeKeyHash: string | undefined,
): () => Promise<Response> {
  const storePath = (): string => {
    replica.engine();
    return replica.database.path;
  };
  return createBackupServer(context, storePath, nodeKeyHash, (target) => replica.writer.copyIfReplaced(target));
}
