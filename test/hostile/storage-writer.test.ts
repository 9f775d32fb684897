/** Failed commits in the writer: no response is wrong. Errors from a worker keep their codes. */
import { afterEach, describe, expect, spyOn, test } from "bun:test";
import { Database } from "bun:sqlite";
import { existsSync, readdirSync, readlinkSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { defaultLimits } from "../../src/config/limits.ts";
import { LocalDatabase } from "../../src/replication/replica/local-database.ts";
import { StoreWriter, type WriterEvent } from "../../src/log/writer/store-writer.ts";
import type { Channel, WorkerChannel } from "../../src/runtime/platform.ts";
import { connectChannel, serveCommands } from "../../src/runtime/worker.ts";
import { newSequenceLock } from "../../src/store/connection/sequence-lock.ts";
import { openStore } from "../../src/store/connection/open-store.ts";
import * as diskSpace from "../../src/store/directory/disk-space.ts";
import { closeDeletedRawFiles } from "../../src/store/integrity/raw-files.ts";
import { AppError } from "../../src/util/app-error.ts";
import { must } from "../../src/util/assert.ts";
import { systemClock } from "../../src/util/clock.ts";
import { isDamage, storageFailureIn } from "../../src/util/storage-failure.ts";
import { eventually, policy, reader, refusal, untraced, withDirectory } from "../replication/cluster.ts";

const coded = (code: string, message = "it failed"): Error => Object.assign(new Error(message), { code });

let spy: { mockRestore(): void } | undefined;
afterEach(() => spy?.mockRestore());

/** Makes the next statements with this text fail. */
function failing(text: string, error: Error, times: number): void {
  const run = Database.prototype.run;
  let left = times;
  spy?.mockRestore();
  spy = spyOn(Database.prototype, "run").mockImplementation(function (this: Database, sql, ...bindings) {
    if (sql === text && left-- > 0) throw error;
    return run.call(this, sql, ...bindings);
  });
}

const storeOptions = () =>
  ({ environment: "test", synchronous: "FULL", limits: defaultLimits, changes: newSequenceLock() }) as const;

async function withWriter(body: (writer: StoreWriter, told: WriterEvent[]) => Promise<void>): Promise<void> {
  await withDirectory(async (directory) => {
    const told: WriterEvent[] = [];
    const writer = new StoreWriter((event) => told.push(event), systemClock);
    writer.open({ ...storeOptions(), path: join(directory, "store-1.db") });
    try {
      await writer.write(
        { kind: "policy", source: policy, filename: null, force: true },
        { ...untraced, approval: { replaces: 0 } },
      );
      await body(writer, told);
    } finally {
      spy?.mockRestore();
      writer.close();
    }
  });
}

const grant = (user: string) => ({ kind: "batch", changes: [{ inserts: [reader(user)] }] }) as const;

/** Tries again until the writer accepts writes after a failure. */
async function untilWritten<T>(write: () => Promise<T>): Promise<T> {
  let written: T | undefined;
  await eventually(async () => void (written = await write()));
  return must(written);
}

test("a write that changed nothing because of a failed commit is executed when it is repeated", () =>
  withWriter(async (writer) => {
    failing("COMMIT", coded("SQLITE_FULL", "database or disk is full"), 1);
    const named = { ...untraced, idempotencyKey: "key/second" };
    const both = await Promise.all([
      refusal(writer.write(grant("ann"), untraced)),
      refusal(writer.write(grant("ann"), named)),
    ]);
    for (const error of both) {
      expect(error).toMatchObject({ code: "not_ready" });
      expect(error.message).toContain("is full, nothing was written");
    }
    const again = await untilWritten(() => writer.write(grant("ann"), named));
    expect(again.result).toMatchObject({ inserted: 1, offset: 2 });
  }));

test("a write whose database is deleted while it is applied is not acknowledged", () =>
  withDirectory(async (directory) => {
    const path = join(directory, "store-1.db");
    let isDeleted = false;
    const writer = new StoreWriter((event) => {
      if (isDeleted && "committing" in event) rmSync(path);
    }, systemClock);
    writer.open({ ...storeOptions(), path });
    await writer.write(
      { kind: "policy", source: policy, filename: null, force: true },
      { ...untraced, approval: { replaces: 0 } },
    );
    isDeleted = true;
    const refused = await refusal(writer.write(grant("ann"), untraced));
    expect(refused.message).toContain("deleted, moved or replaced");
    expect(refused.message).toContain("nothing was written");
    writer.close();
  }));

test("a missing database is not replaced by an empty one, and a partly opened one is closed", () =>
  withDirectory(async (directory) => {
    const path = join(directory, "store-1.db");
    const writer = new StoreWriter(() => {}, systemClock);
    expect(() => writer.open({ ...storeOptions(), path, create: false })).toThrow("unable to open");
    expect(existsSync(path)).toBe(false);
    writer.open({ ...storeOptions(), path });
    expect(() => writer.open({ ...storeOptions(), path, environment: "other" })).toThrow("environment");
    const copy = new LocalDatabase(directory, defaultLimits, systemClock);
    const other = join(directory, "other.db");
    openStore(other).close();
    expect(() => copy.open(other)).toThrow();
    // The descriptor for page checks stays open until the file is deleted.
    expect(openIn(directory)).toEqual([path]);
    rmSync(path);
    closeDeletedRawFiles();
    expect(openIn(directory)).toEqual([]);
  }));

/** The open files of this process below the directory. */
function openIn(directory: string): string[] {
  return readdirSync("/proc/self/fd").flatMap((descriptor) => {
    try {
      const path = readlinkSync(join("/proc/self/fd", descriptor));
      return path.startsWith(directory) ? [path] : [];
    } catch {
      return [];
    }
  });
}

test("below the reserve, writes without changes are answered, and only appends are refused", () =>
  withDirectory(async (directory) => {
    const told: WriterEvent[] = [];
    const writer = new StoreWriter((event) => told.push(event), systemClock);
    const path = join(directory, "store-1.db");
    writer.open({ ...storeOptions(), path });
    const named = { ...untraced, idempotencyKey: "key/one" };
    await writer.write(
      { kind: "policy", source: policy, filename: null, force: true },
      { ...untraced, approval: { replaces: 0 } },
    );
    await writer.write(grant("ann"), named);
    const space = spyOn(diskSpace, "diskSpaceOf").mockReturnValue({ freeBytes: 1, totalBytes: 2 ** 30 });
    try {
      writer.open({ ...storeOptions(), path, reserveBytes: 2 ** 20 });
      const [refused, repeated, unchanged] = await Promise.all([
        refusal(writer.write(grant("bob"), untraced)),
        writer.write(grant("ann"), named),
        writer.write(grant("ann"), untraced),
      ]);
      expect(refused.message).toContain("less free space than the reserve");
      expect(refused.message).toContain("nothing was written");
      expect(repeated.result).toMatchObject({ offset: 2, repeated: true });
      expect(unchanged.result).toMatchObject({ offset: 2, unchanged: true });
      expect(told.findLast((event) => "storage" in event)).toMatchObject({ storage: { reason: "reserve" } });
    } finally {
      space.mockRestore();
      writer.close();
    }
  }));

test("a failure in one request fails all requests of its transaction, and the next attempt uses a new connection", () =>
  withWriter(async (writer, told) => {
    failing("RELEASE request", coded("SQLITE_IOERR_WRITE", "disk I/O error"), 1);
    const both = await Promise.all([
      refusal(writer.write(grant("ann"), untraced)),
      refusal(writer.write(grant("bob"), untraced)),
    ]);
    for (const { message } of both) expect(message).toContain("nothing was written");
    const early = await refusal(writer.write(grant("cid"), untraced));
    expect(early.message).toContain("input/output errors");
    expect(storageFailureIn(early)).toMatchObject({ reason: "io" });
    const written = await untilWritten(() => writer.write(grant("ann"), untraced));
    expect(written.result).toMatchObject({ offset: 2 });
    const storage = told.flatMap((event) => ("storage" in event ? [event.storage?.reason] : []));
    expect(storage).toEqual(["io", undefined]);
  }));

test("a failed commit that is visible anyway is accepted, and reported as uncertain", () =>
  withWriter(async (writer, told) => {
    const run = Database.prototype.run;
    let left = 1;
    spy = spyOn(Database.prototype, "run").mockImplementation(function (this: Database, sql, ...bindings) {
      const result = run.call(this, sql, ...bindings);
      if (sql === "COMMIT" && left-- > 0) throw coded("SQLITE_IOERR_FSYNC", "disk I/O error");
      return result;
    });
    const meta = { ...untraced, idempotencyKey: "key/one" };
    const error = await refusal(writer.write(grant("ann"), meta));
    expect(error.message).toContain("it is unknown whether the write was stored");
    const repeated = await untilWritten(() => writer.write(grant("ann"), meta));
    expect(repeated.result).toMatchObject({ offset: 2, inserted: 1, repeated: true });
    expect(told.filter((event) => "committed" in event).length).toBe(2);
  }));

test("a write-ahead log that a reader holds stops writes at its limit, and is emptied when the reader ends", () =>
  withDirectory(async (directory) => {
    const path = join(directory, "store-1.db");
    const told: WriterEvent[] = [];
    const writer = new StoreWriter((event) => told.push(event), systemClock);
    const limits = { ...defaultLimits, walCheckpointBytes: 128 * 1024, walBytesMax: 512 * 1024 };
    writer.open({ environment: "test", synchronous: "NORMAL", limits, changes: newSequenceLock(), path });
    await writer.write(
      { kind: "policy", source: policy, filename: null, force: true },
      { ...untraced, approval: { replaces: 0 } },
    );
    const reading = openStore(path, { readonly: true });
    reading.exec("BEGIN");
    reading.prepare("SELECT count(*) FROM state").values();
    const walBytes = (): number => statSync(`${path}-wal`).size;
    let refused: Error | undefined;
    for (let count = 0; count < 500 && refused === undefined; count++) {
      const written = writer.write(grant(`${count} ${"x".repeat(400)}`), untraced);
      refused = await written.then(
        () => undefined,
        (error: Error) => error,
      );
    }
    expect(refused?.message).toContain("write-ahead log");
    expect(refused?.message).toContain("nothing was written");
    expect(walBytes()).toBeLessThan(1024 * 1024);
    expect(told.findLast((event) => "storage" in event)).toMatchObject({ storage: { reason: "wal" } });
    reading.close();
    await eventually(async () => void (await writer.write(grant("ann"), untraced)));
    expect(walBytes()).toBeLessThan(128 * 1024);
    writer.close();
  }));

describe("an error from a Worker", () => {
  const cross = async (error: Error): Promise<Error> => {
    const [near, far] = pair();
    const fail = (): never => {
      throw error;
    };
    serveCommands({ fail }, () => {}, far);
    const worker = connectChannel<{ fail: () => never }>({
      ...near,
      onEnd: () => {},
      end: () => {},
    } satisfies WorkerChannel);
    return refusal(worker.call("fail"));
  };

  test.each([
    ["SQLITE_FULL", "full"],
    ["SQLITE_IOERR_FSYNC", "io"],
    ["SQLITE_READONLY_ROLLBACK", "read_only"],
    ["SQLITE_CANTOPEN", "unopenable"],
    ["ENOSPC", "full"],
    ["EDQUOT", "full"],
    ["EROFS", "read_only"],
    ["EMFILE", "descriptors"],
    ["EACCES", "permission"],
    ["STORE_REPLACED", "replaced"],
  ])("with the code %s is a storage failure, alone and as a cause, and no damage", async (code, reason) => {
    const error = coded(code, `what ${code} says`);
    for (const crossed of [await cross(error), await cross(new AppError("not_ready", "public", { cause: error }))]) {
      expect(storageFailureIn(crossed)).toEqual({ reason: reason as "full", detail: `what ${code} says` });
      expect(isDamage(crossed)).toBe(false);
    }
  });

  test.each(["SQLITE_CORRUPT", "SQLITE_CORRUPT_INDEX", "SQLITE_NOTADB", "SQLITE_IOERR_SHORT_READ"])(
    "with the code %s is damage, and no storage failure",
    async (code) => {
      const crossed = await cross(coded(code));
      expect(isDamage(crossed)).toBe(true);
      expect(storageFailureIn(crossed)).toBeUndefined();
    },
  );

  test("without such a code is neither", async () => {
    for (const error of [
      new Error("database or disk is full"),
      coded("SQLITE_BUSY"),
      coded("ENOENT"),
      new AppError("conflict", "no"),
    ]) {
      const crossed = await cross(error);
      expect(storageFailureIn(crossed)).toBeUndefined();
      expect(isDamage(crossed)).toBe(false);
    }
  });
});

/** The two ports of a channel. */
function pair(): [Channel, Channel] {
  const listeners: ((message: unknown) => void)[] = [() => {}, () => {}];
  const end = (own: number): Channel => ({
    send: (message) => queueMicrotask(() => listeners[1 - own]?.(structuredClone(message))),
    onMessage: (listener) => {
      listeners[own] = listener;
    },
  });
  return [end(0), end(1)];
}
