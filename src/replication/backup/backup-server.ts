/**
 * Serves backups of this node. A backup is made by a worker thread, in a file that is unlinked once it is open for
 * sending.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "../../config/config.ts";
import { createdMsOf } from "../../store/directory/data-directory.ts";
import { databaseFiles, removeFiles } from "../../store/snapshot/snapshot.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { AppError } from "../../util/app-error.ts";
import { nodeKeyHashesOf } from "../identity.ts";
import { buildBackupInWorker } from "../snapshots/snapshot-jobs.ts";
import { streamFile } from "../snapshots/snapshot-server.ts";
import type { System } from "../system.ts";

export interface BackupServerOptions {
  /** The current path of the database. AppError `not_ready` while there is none that can be trusted. */
  readonly storePath: () => string;
  /** See `StoreWriter.copyIfReplaced`, on nodes with a writer. */
  readonly copyIfReplaced?: (target: string) => Promise<boolean>;
  /** The data directory. The file is made there and removed again. */
  readonly data: string;
  /** The key hash for the MAC. */
  readonly nodeKeyHash: string | undefined;
  readonly system: Pick<System, "spawnWorker">;
}

/** AppError `too_many_requests` while another backup is made. */
export function createBackupServer({
  storePath,
  copyIfReplaced,
  data,
  nodeKeyHash,
  system,
}: BackupServerOptions): () => Promise<Response> {
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
  replica: BackupSource,
  { data, nodeKey }: Pick<Config, "data" | "nodeKey">,
  system: BackupServerOptions["system"],
): () => Promise<Response> {
  const storePath = (): string => {
    replica.engine();
    return replica.database.path;
  };
  return createBackupServer({
    storePath,
    copyIfReplaced: (target) => replica.writer.copyIfReplaced(target),
    data,
    nodeKeyHash: nodeKeyHashesOf({ nodeKey })?.[0],
    system,
  });
}
