/** Backups: all data of this node, including the log, as one file, and the list of those that are stored. */
import type { Environments } from "../../http/environments.ts";
import { auditDraftOf } from "../../http/middleware/audit.ts";
import { exchangeOf } from "../../http/middleware/exchange.ts";
import type { Handlers } from "../../http/router.ts";
import type { StoredBackup, StoredBackups } from "../../replication/backup/stored-backups.ts";
import type { Node } from "../../replication/node.ts";
import { AppError } from "../../util/app-error.ts";
import { clip } from "../../util/text-length.ts";
import type { backupEndpoints } from "./endpoints.ts";

/** Lists the backups in the configured directory: of this environment, or of all. */
export type ListBackups = (isOfAll: boolean) => Promise<StoredBackups>;

export interface BackupParts {
  /** All environments of the appliance; only in the app of the default one. */
  readonly environments: Environments | undefined;
  /** Undefined without a directory. */
  readonly listBackups: ListBackups | undefined;
  readonly isHosted: boolean;
}

export function handleBackups(
  node: Node,
  { environments, listBackups, isHosted }: BackupParts,
): Handlers<typeof backupEndpoints> {
  /** The files may be far away, so requests at the same time share an answer. */
  const underWay = new Map<boolean, Promise<StoredBackups>>();
  return {
    getBackup: async ({ query: { environment = node.environment }, request }) => {
      const exchange = exchangeOf(request);
      const isOwn = environment === node.environment;
      if (!isOwn) exchange.audited = { target: clip(environment, 64) };
      if (!isOwn && environments === undefined) throw new AppError("forbidden", ofBackups);
      const response = isOwn
        ? await node.backup()
        : await (environments as Environments).backUp(environment, exchange.requestId);
      const draft = auditDraftOf(exchange);
      if (draft !== undefined) node.audit.record(draft);
      return response;
    },
    getBackups: async ({ query }) => {
      const isOfAll = query.all === "true";
      if (isOfAll && isHosted) throw new AppError("forbidden", ofBackups);
      if (listBackups === undefined)
        throw new AppError("not_found", "this node has no directory with backups, set `backupDirectory`");
      const shared = underWay.get(isOfAll) ?? listBackups(isOfAll).finally(() => underWay.delete(isOfAll));
      underWay.set(isOfAll, shared);
      const { backups, isCut } = await shared;
      return { backups: backups.map(describedBackup), complete: !isCut };
    },
  };
}

const ofBackups = "backups of other environments need an admin key of the default one";

function describedBackup({ name, bytes, authenticity, manifest }: StoredBackup) {
  const { environment, epoch, offset, timeMs, madeMs, nodeKey } = manifest;
  const moment = (point: { readonly offset: number; readonly timeMs: number }) => ({
    offset: point.offset,
    time: new Date(point.timeMs).toISOString(),
  });
  const [earliest, newest] = [moment(manifest.from ?? manifest), moment({ offset, timeMs })];
  const made = new Date(madeMs).toISOString();
  return {
    name,
    environment,
    made,
    bytes,
    epoch,
    earliest,
    newest,
    authenticity,
    ...(nodeKey !== undefined && { node_key: nodeKey }),
  };
}
