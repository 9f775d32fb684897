/**
 * Data directories, backups and snapshots of each release, with today's code: it starts with them, gives the same
 * answers, has the same digest, accepts writes, and restores.
 */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { defaultLimits } from "../../src/config/limits.ts";
import { restore } from "../../src/replication/backup/restore.ts";
import { importSnapshot } from "../../src/replication/snapshots/import-snapshot.ts";
import { currentStorePath } from "../../src/store/directory/data-directory.ts";
import { hashKey } from "../../src/store/keys/api-keys.ts";
import { nodeKeyHashesIn, nodeKeyId } from "../../src/store/keys/node-keys.ts";
import { must } from "../../src/util/assert.ts";
import { converged, positionOf, refusal, withDirectory } from "../replication/cluster.ts";
import { expectVerified } from "../replication/verify-database.ts";
import { difference } from "./response-matching.ts";
import { lastKey } from "./history.ts";
import {
  readAnswers,
  readHistory,
  readRelease,
  recordedFile,
  recordedVersions,
  unpackDirectory,
  type Exchange,
  type Release,
} from "./recorded.ts";
import { withRelease } from "./with-release.ts";

const versions = recordedVersions();
const timeoutMs = 60_000;
const limits = defaultLimits;
const onStep = (): void => {};
const warn = (problem: string): never => {
  throw new Error(problem);
};

interface Served {
  readonly url: string;
}

async function send({ url }: Served, request: Exchange, keys: { admin: string; read: string }, lastId = "") {
  const key = { ...keys, none: undefined }[request.key ?? "admin"];
  const response = await fetch(url + request.path.replace(lastKey, lastId), {
    method: request.method,
    headers: { "Content-Type": "application/json", ...(key === undefined ? {} : { Authorization: `Bearer ${key}` }) },
    ...(request.body === undefined ? {} : { body: JSON.stringify(request.body) }),
  });
  return { status: response.status, answer: (await response.json()) as unknown };
}

async function expectAnswers(node: Served, release: Release, leftOut: readonly string[] = []): Promise<void> {
  const keys = { admin: release.adminKey, read: release.readKey };
  const asked = readAnswers(release.version).filter(({ path }) => !leftOut.some((start) => path.startsWith(start)));
  expect(asked.length).toBeGreaterThan(100);
  const differences: string[] = [];
  for (const exchange of asked) {
    const found = difference(exchange, await send(node, exchange, keys));
    if (found !== undefined) differences.push(found);
  }
  expect(differences).toEqual([]);
}

const newFact: Exchange = {
  method: "POST",
  path: "/api/batch",
  body: [
    {
      inserts: [
        {
          predicate: "has_role",
          args: [
            { type: "User", id: "of today" },
            { type: "String", id: "reader" },
            { type: "Folder", id: "20" },
          ],
        },
      ],
    },
  ],
  status: 200,
  answer: { message: "1 fact inserted, 0 facts deleted" },
};
const newQuestion: Exchange = {
  method: "POST",
  path: "/api/authorize",
  body: {
    actor_type: "User",
    actor_id: "of today",
    action: "read",
    resource_type: "Folder",
    resource_id: "14",
    context_facts: [],
  },
  status: 200,
  answer: { allowed: true },
};

/** The position that a node reports. */
const stands = ({ epoch, offset, digest }: Pick<Release, "epoch" | "offset" | "digest">) => ({ epoch, offset, digest });

test("there are recorded releases", () => {
  expect(versions).toContain("0.1.0");
});

describe.each(versions)("data of %s", (version) => {
  test(
    "primary and edge continue from their positions, give the same answers, and accept writes",
    () =>
      withRelease(version, async (cluster, release) => {
        unpackDirectory(version, "primary", join(cluster.directory, "primary"));
        unpackDirectory(version, "edge", join(cluster.directory, "edge"));
        const primary = await cluster.primary({ adminKey: release.adminKey });
        // A start begins a term, and changes nothing else.
        expect(positionOf(primary.node)).toMatchObject({ offset: release.offset + 1, digest: release.digest });
        await primary.node.waitFor(`${release.epoch}:${release.offset}`);
        const edge = await cluster.edge("edge", primary);
        await converged(edge.node, primary.node);
        for (const node of [primary, edge]) await expectAnswers(node, release);

        const keys = { admin: release.adminKey, read: release.readKey };
        expect(difference(newFact, await send(edge, newFact, keys))).toBeUndefined();
        await converged(edge.node, primary.node);
        for (const node of [primary, edge])
          expect(difference(newQuestion, await send(node, newQuestion, keys))).toBeUndefined();
        await cluster.stop();
        // No snapshot was needed.
        for (const name of ["primary", "edge"]) {
          const path = must(currentStorePath(join(cluster.directory, name)));
          expect(path).toEndWith("store-1.db");
          expectVerified(path);
        }
      }),
    timeoutMs,
  );

  test(
    "a fallback answers from its data, without another node",
    () =>
      withRelease(version, async (cluster, release) => {
        unpackDirectory(version, "fallback", join(cluster.directory, "fallback"));
        const fallback = await cluster.fallback({ url: "http://127.0.0.1:1" });
        expect(positionOf(fallback.node)).toEqual(stands(release));
        // It has no log, and accepts no writes.
        await expectAnswers(fallback, release, ["/api/events", "/api/batch", "/api/bulk_load"]);
      }),
    timeoutMs,
  );

  test(
    "the backup is restored, to its newest state and to its oldest",
    () =>
      withRelease(version, async (cluster, release) => {
        const usual = { force: false, knownTerm: 0, dryRun: false, allowUnauthenticated: false, limits };
        const file = recordedFile(version, "all.backup");
        // The node key was replaced since.
        const newKey = "n_test_fedcba9876543210";
        const restoreTo = (name: string, offset: number, keys = `${newKey} ${release.nodeKey}`) =>
          restore({
            ...usual,
            file,
            directory: join(cluster.directory, name),
            target: { offset },
            nodeKeyHashes: nodeKeyHashesIn(keys),
            onStep,
            warn,
          });
        const { message } = await refusal(restoreTo("none", release.offset, newKey));
        expect(message).toStartWith(`\`${file}\`: its MAC is wrong`);
        expect(message).toContain(`the given one is \`${nodeKeyId(hashKey(newKey))}\``);
        expect(message).toContain("give the node key with which it was made");
        const oldest = await restoreTo("oldest", release.trimmedTo);
        expect(oldest.digest).not.toBe(release.digest);
        expectVerified(must(currentStorePath(join(cluster.directory, "oldest"))));
        const newest = await restoreTo("primary", release.offset);
        expect(newest.digest).toBe(release.digest);
        const primary = await cluster.primary({ adminKey: release.adminKey });
        await expectAnswers(primary, release);
      }),
    timeoutMs,
  );

  test("the snapshot is imported, and its MAC is valid", () =>
    withDirectory(async (directory) => {
      const release = readRelease(version);
      const { state, authenticity } = await importSnapshot({
        file: recordedFile(version, "all.snapshot"),
        data: join(directory, "edge"),
        limits,
        nodeKeyHashes: [hashKey(release.nodeKey)],
        allowUnauthenticated: false,
        force: false,
      });
      expect(authenticity).toBe("verified");
      expect(stands(state)).toEqual(stands(release));
    }));

  test(
    "clients that write as then get the same answers, with the same resulting facts",
    () =>
      withRelease(version, async (cluster, release) => {
        const primary = await cluster.primary({ adminKey: release.adminKey });
        const keys = { admin: release.adminKey, read: "" };
        let lastId = "";
        for (const exchange of readHistory(version)) {
          const answered = await send(primary, exchange, keys, lastId);
          expect(difference(exchange, answered, true)).toBeUndefined();
          lastId = (answered.answer as { id?: string }).id ?? lastId;
        }
        const facts = readAnswers(version).filter(
          ({ path, key }) => key === undefined && /facts|list|authorize$/.test(path),
        );
        for (const exchange of facts) expect(difference(exchange, await send(primary, exchange, keys))).toBeUndefined();
      }),
    timeoutMs,
  );
});
