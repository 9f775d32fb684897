/** The data directory of a running node that somebody removes, moves or empties: it stays the node's own, or says so. */
import { expect, test } from "bun:test";
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { keepDirectory } from "../../src/replication/directory-keeper.ts";
import { StorageStatus } from "../../src/store/directory/storage-status.ts";
import { lockDirectory } from "../../src/store/directory/data-directory.ts";
import { withCapturedLog } from "./captured-log.ts";
import { withDirectory } from "./cluster.ts";
import { SimulatedClock } from "./simulated-clock.ts";

/** Calls `body` with the directory of a node that runs. */
const withNode = (
  isReplica: boolean,
  body: (node: {
    readonly data: string;
    readonly problem: () => string | undefined;
    /** Lets time pass. */
    readonly pass: (ms: number) => void;
    readonly lines: readonly string[];
  }) => void,
): Promise<void> =>
  withCapturedLog((lines) =>
    withDirectory((directory) => {
      const data = join(directory, "data");
      const locked = lockDirectory(data);
      const [storage, clock] = [new StorageStatus(), new SimulatedClock()];
      const stop = keepDirectory(locked, storage, clock, { isReplica });
      try {
        body({ data, lines, problem: () => storage.problem, pass: (ms) => clock.pass(ms) });
      } finally {
        stop();
        locked.unlock();
      }
      lockDirectory(data).unlock();
      return Promise.resolve();
    }),
  );

test.each([true, false])("in an emptied directory no second node starts (replica: %p)", (isReplica) =>
  withNode(isReplica, ({ data, problem, pass }) => {
    expect(() => lockDirectory(data)).toThrow("another process is using the data directory");
    rmSync(data, { recursive: true });
    mkdirSync(data);
    pass(1000);
    expect(problem()).toBeUndefined();
    expect(() => lockDirectory(data)).toThrow("another process is using the data directory");
  }),
);

test("a node whose directory another process has locked says so, and takes it back after its end", () =>
  withNode(true, ({ data, problem, pass, lines }) => {
    rmSync(join(data, "lock"));
    const other = lockDirectory(data);
    pass(1000);
    expect(problem()).toBe("the data directory is not locked for this node");
    expect(lines.at(-1)).toContain(`another process is using the data directory (\`${join(data, "lock")}\` is locked)`);
    other.unlock();
    pass(1000);
    expect(problem()).toBeUndefined();
  }));

test("a replica makes a missing directory after ten seconds, and a primary waits for its own", async () => {
  for (const isReplica of [true, false])
    await withNode(isReplica, ({ data, problem, pass }) => {
      const moved = `${data}-moved`;
      renameSync(data, moved);
      pass(9000);
      expect(problem()).toContain("were deleted, moved or replaced");
      expect(existsSync(data)).toBe(false);
      renameSync(moved, data);
      pass(1000);
      expect(problem()).toBeUndefined();
      renameSync(data, moved);
      pass(12_000);
      expect(existsSync(data)).toBe(isReplica);
      expect(problem() === undefined).toBe(isReplica);
      // What was moved away can come back, and is still locked.
      expect(() => lockDirectory(moved)).toThrow("another process is using the data directory");
      rmSync(data, { recursive: true, force: true });
      renameSync(moved, data);
      pass(1000);
      expect(problem()).toBeUndefined();
    });
});

test("a replica says why it cannot make its directory", () =>
  withNode(true, ({ data, problem, pass, lines }) => {
    const above = join(data, "..");
    renameSync(above, `${above}-moved`);
    writeFileSync(above, "");
    pass(12_000);
    expect(problem()).toBe("the data directory is not locked for this node");
    expect(lines.at(-1)).toContain(data);
    rmSync(above);
    renameSync(`${above}-moved`, above);
    pass(1000);
  }));
