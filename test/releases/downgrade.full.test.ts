/** A node refuses the data of a later release, says what to do, and does not change them. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { defaultLimits } from "../../src/config/limits.ts";
import { backUp, backupWriter } from "../../src/replication/backup/backup.ts";
import { SqliteDatabase } from "../../src/runtime/sqlite.ts";
import { currentStorePath } from "../../src/store/directory/data-directory.ts";
import { schemaVersion } from "../../src/store/connection/database-format.ts";
import { hashKey } from "../../src/store/keys/api-keys.ts";
import { encodeHeader, readHeader } from "../../src/store/snapshot/snapshot-header.ts";
import { must } from "../../src/util/assert.ts";
import { eventually, refusal, type Cluster } from "../replication/cluster.ts";
import { withCapturedLog } from "../replication/captured-log.ts";
import { RecordedPrimary } from "./recorded-primary.ts";
import { nodeNames, recordedFile, recordedVersions, unpackDirectory, type Release } from "./recorded.ts";
import { withRelease } from "./with-release.ts";

const version = must(recordedVersions().at(-1));
const limits = defaultLimits;
const onStep = (): void => {};
const warn = (problem: string): never => {
  throw new Error(problem);
};

describe("the data of a later release", () => {
  const start = {
    primary: (cluster: Cluster, release: Release) => cluster.primary({ adminKey: release.adminKey }),
    edge: (cluster: Cluster) => cluster.edge("edge", { url: "http://127.0.0.1:1" }),
    fallback: (cluster: Cluster) => cluster.fallback({ url: "http://127.0.0.1:1" }),
  };

  test.each(nodeNames)("of a %s are refused and not changed", (name) =>
    withRelease(version, async (cluster, release) => {
      const directory = join(cluster.directory, name);
      unpackDirectory(release.version, name, directory);
      const path = must(currentStorePath(directory));
      const later = new SqliteDatabase(path);
      later.exec(`PRAGMA user_version = ${schemaVersion + 1}`);
      later.close();
      const before = readFileSync(path);
      const { message } = await refusal(start[name](cluster, release));
      expect(message).toStartWith(
        `the database \`${path}\` has format ${schemaVersion + 1}, and this version knows formats up to ${schemaVersion}: a newer version of Ostiary wrote it`,
      );
      expect(message).not.toContain("damaged");
      expect(currentStorePath(directory)).toBe(path);
      expect(readFileSync(path).equals(before)).toBe(true);
      expect((await refusal(copyOf(path, join(cluster.directory, "a.backup")))).message).toContain("a newer version");
    }),
  );
});

test("a fallback refuses a snapshot of a later format, and answers from its own data", () =>
  withCapturedLog((lines) =>
    withRelease(version, async (cluster, release) => {
      unpackDirectory(version, "fallback", join(cluster.directory, "fallback"));
      const { epoch, offset, digest } = release;
      const primary = new RecordedPrimary(version, undefined, laterSnapshot(release));
      try {
        const { node } = await cluster.fallback(primary, { "log.level": "warning" });
        await eventually(() => expect(lines.join("\n")).toContain("the snapshot was made by a newer Ostiary"));
        expect(node.health()).toMatchObject({ ok: true, epoch, offset, digest });
      } finally {
        await cluster.stop();
        await primary.close();
      }
    }),
  ));

/** The recorded snapshot, as if a later release had made it from a later state. */
function laterSnapshot({ nodeKey }: Release): Uint8Array {
  const path = recordedFile(version, "all.snapshot");
  const { manifest, length } = readHeader(path);
  const later = { ...manifest, schema: schemaVersion + 1, offset: manifest.offset + 1 };
  return Buffer.concat([encodeHeader(later, { nodeKeyHash: hashKey(nodeKey) }), readFileSync(path).subarray(length)]);
}

async function copyOf(path: string, target: string): Promise<unknown> {
  return backUp({ target, write: backupWriter(path, onStep), limits, onStep, warn });
}
