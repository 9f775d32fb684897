/** The commands that other threads can send to the writer. */
import type { FactChange } from "../event/event.ts";
import type { WorkerKind } from "../../runtime/worker.ts";
import type { NodeSetting } from "../../store/keys/api-keys.ts";
import { batchDigest, type WriteMeta, type WriteRequest } from "../append/append.ts";
import type { ReplayRequest } from "../append/replay.ts";
import type { WriterOpenOptions } from "./writer-connection.ts";
import type { AuditExchange, StoreWriter } from "./store-writer.ts";

/** Most of its messages are small objects. JSON cannot represent the parameter of `open`, and that of `writeJson` is JSON. */
export const writerWorker = {
  name: "writer",
  entry: "log/writer/writer-worker.ts",
  encoding: { clonedCommands: ["open", "writeJson"] },
  threadsMax: 3,
} as const satisfies WorkerKind;

export type WriterCommands = ReturnType<typeof writerCommands>;

export function writerCommands(writer: StoreWriter) {
  return {
    open: (options: WriterOpenOptions) => writer.open(options),
    write: (request: WriteRequest, meta: WriteMeta) => writer.write(request, meta),
    /** Writes a batch whose changes are JSON. */
    writeJson: (json: string, meta: WriteMeta) =>
      writer.write(
        { kind: "batch", changes: JSON.parse(json) as FactChange[] },
        { ...meta, digest: batchDigest(json, meta) },
      ),
    announce: (isWanted: boolean) => writer.announce(isWanted),
    prepare: (request: ReplayRequest) => writer.prepare(request),
    replay: (request: ReplayRequest) => writer.replay(request),
    recordAudit: (exchanged: AuditExchange) => writer.recordAudit(exchanged),
    adoptAudit: (replaced: string | null) => writer.adoptAudit(replaced),
    replaceDamagedAddedTables: () => writer.replaceDamagedAddedTables(),
    readSetting: (key: NodeSetting) => writer.readSetting(key),
    writeSetting: (key: NodeSetting, value: string) => writer.writeSetting(key, value),
    copyIfReplaced: (target: string) => writer.copyIfReplaced(target),
    checkPages: (maxMs: number) => writer.checkPages(maxMs),
    checkDamagedPages: (path: string) => writer.checkDamagedPages(path),
    close: () => writer.close(),
  };
}
