/** The commands of a snapshot worker, in another thread because copying or reading a large database blocks. */
import type { Limits } from "../../config/limits.ts";
import { buildBackup, buildSnapshot, unpackSnapshot, verifySnapshot } from "../../store/snapshot/snapshot.ts";
import type { StoreState } from "../../store/log/store-state.ts";
import { must } from "../../util/assert.ts";
import { auditDatabase, auditDigest, checkPages, checkTables, ContentCheck } from "./check-database.ts";
import { buildEnvironment } from "./build-environment.ts";

export type SnapshotCommands = ReturnType<typeof snapshotCommands>;

export function snapshotCommands() {
  let content: ContentCheck | undefined;
  return {
    buildSnapshot,
    buildBackup,
    buildEnvironment,
    verifySnapshot,
    unpackSnapshot,
    auditDatabase,
    auditDigest,
    checkPages,
    checkTables,

    /** The steps of one check, in this order. Returns the groups of tables for `checkTables`. */
    open(path: string, limits: Limits, convert: boolean): string[][] {
      content = new ContentCheck(path, limits, convert);
      return content.tableGroups();
    },
    read: (isDigestLater: boolean): StoreState => must(content).read(isDigestLater),
    repair: (): string | undefined => must(content).repair(),
    /** Closes the file that was opened. */
    close: (): void => content?.close(),
  };
}
