/**
 * Data directories of earlier versions, opened by the current code. `scripts/data-directory.ts` creates one for each
 * format of the database, with a build of that time: the files of a primary and of an edge, and `told.json` with their
 * position and their answers. All have the same history of 21 events: keys created and deleted, two policies (nested
 * folders, later also nested teams and banned users), facts inserted and deleted singly and in batches, all facts
 * cleared in the middle, a cycle of folders, ids with quotes and with characters from all parts of Unicode.
 *
 *   format-1  fact tables, and the fixed tables of every node
 *   format-2  closures of stored relations are tables
 *   format-3  changes are counted, for the decision cache
 *   format-4  statistics
 *   format-5  digests in the log; tables of epochs, idempotency records and cleared facts; edges have a log too
 *   format-6  the audit log
 */
import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { defaultLimits } from "../src/config/limits.ts";
import { applyEvent } from "../src/log/state/apply.ts";
import { decodeEffect } from "../src/log/event/event.ts";
import { backUp, backupWriter } from "../src/replication/backup/backup.ts";
import type { Node } from "../src/replication/node.ts";
import { restore } from "../src/replication/backup/restore.ts";
import type { Connection } from "../src/store/connection/connection.ts";
import { currentStorePath } from "../src/store/directory/data-directory.ts";
import { schemaVersion } from "../src/store/connection/database-format.ts";
import { openStore } from "../src/store/connection/open-store.ts";
import { factTables } from "../src/store/facts/fact-tables.ts";
import { openLog } from "../src/store/log/log.ts";
import { createState, readState } from "../src/store/log/store-state.ts";
import { must } from "../src/util/assert.ts";
import {
  converged,
  refusal,
  positionOf,
  withCluster,
  withDirectory,
  type Cluster,
  type Running,
} from "./replication/cluster.ts";
import { expectVerified } from "./replication/verify-database.ts";
import { allFacts } from "./engine/store.ts";
import { keptDataDirectories, unpackDataDirectory } from "./unpack-data-directory.ts";

const formats = readdirSync(keptDataDirectories).toSorted();

interface RecordedNode {
  readonly adminKey: string;
  readonly nodeKey: string;
  readonly epoch: string;
  readonly offset: number;
  readonly digest: string;
  readonly answers: readonly { method: string; path: string; body: object; answer: unknown }[];
}

function recordOf(format: string): RecordedNode {
  return JSON.parse(readFileSync(join(keptDataDirectories, format, "told.json"), "utf8")) as RecordedNode;
}

async function ask(url: string, key: string, method: string, path: string, body: object): Promise<unknown> {
  const headers = { Authorization: `Bearer ${key}`, "Content-Type": "application/json" };
  const response = await fetch(url + path, { method, headers, body: JSON.stringify(body) });
  return response.json();
}

async function expectAnswers({ url }: Running<Node>, { adminKey, answers }: RecordedNode): Promise<void> {
  for (const { method, path, body, answer } of answers)
    expect([path, body, await ask(url, adminKey, method, path, body)]).toEqual([path, body, answer]);
}

function withNodes(format: string, body: (cluster: Cluster, recorded: RecordedNode) => Promise<void>): Promise<void> {
  const recorded = recordOf(format);
  const { nodeKey } = recorded;
  return withCluster((cluster) => body(cluster, recorded), { environment: "default", nodeKey });
}

const timeoutMs = 60_000;

const carol = {
  actor_type: "User",
  actor_id: "carol",
  action: "read",
  resource_type: "Folder",
  resource_id: "1",
  context_facts: [],
};
const carolReads = [
  {
    inserts: [
      {
        predicate: "has_role",
        args: [
          { type: "User", id: "carol" },
          { type: "String", id: "reader" },
          { type: "Folder", id: "3" },
        ],
      },
    ],
  },
];

test("there is one of each format, the current one included", () => {
  const wanted = Array.from({ length: schemaVersion }, (_, index) => `format-${index + 1}`);
  expect(formats).toEqual(wanted);
});

describe.each(formats)("a data directory of %s", (format) => {
  test(
    "of a primary works: it continues at its position, gives the same answers, and accepts writes, which edges replicate",
    () =>
      withNodes(format, async (cluster, recorded) => {
        const old = ["primary", "edge", "primary-as-edge"].map((name) => join(cluster.directory, name));
        const [directory = "", edgeDirectory = "", thirdDirectory = ""] = old;
        unpackDataDirectory(format, "primary", directory);
        unpackDataDirectory(format, "edge", edgeDirectory);
        unpackDataDirectory(format, "primary", thirdDirectory);
        const primary = await cluster.primary({ adminKey: recorded.adminKey });
        const { epoch, offset, digest, adminKey } = recorded;
        // The start begins a term and changes nothing else.
        expect(positionOf(primary.node)).toMatchObject({ offset: offset + 1, digest });
        await primary.node.waitFor(`${epoch}:${offset}`);
        await expectAnswers(primary, recorded);

        const edges = [
          await cluster.edge("edge", primary),
          await cluster.edge("primary-as-edge", primary),
          await cluster.edge("new", primary),
        ];
        for (const edge of edges) {
          await converged(edge.node, primary.node);
          await expectAnswers(edge, recorded);
        }
        expect(await ask(primary.url, adminKey, "POST", "/api/authorize", carol)).toEqual({ allowed: false });
        await ask(primary.url, adminKey, "POST", "/api/batch", carolReads);
        for (const edge of edges) await converged(edge.node, primary.node);
        for (const { url } of [primary, ...edges])
          expect(await ask(url, adminKey, "POST", "/api/authorize", carol)).toEqual({ allowed: true });
        // The old directories needed no snapshot.
        for (const name of [edgeDirectory, thirdDirectory]) expect(currentStorePath(name)).toEndWith("store-1.db");
        await cluster.stop();
        const paths = [...old, join(cluster.directory, "new")].map((name) => must(currentStorePath(name)));
        for (const path of paths) expectVerified(path);
        const stores = paths.map((path) => openStore(path, { readonly: true }));
        const wanted = appliedUpTo(must(paths[0]), Infinity);
        for (const store of stores) expect(indexesIn(store, wanted)).toEqual(indexesIn(wanted, wanted));
        for (const opened of [...stores, wanted]) opened.close();
      }),
    timeoutMs,
  );

  test(
    "can be backed up unchanged, and recovered to each point in time that its log covers",
    () =>
      withDirectory(async (directory) => {
        const data = join(directory, "data");
        unpackDataDirectory(format, "primary", data);
        const path = must(currentStorePath(data));
        const before = readFileSync(path);
        const file = join(directory, "old.backup");
        const { manifest } = await backUp({ target: file, write: backupWriter(path, onStep), limits, onStep, warn });
        const { offset, digest } = recordOf(format);
        // Cleared facts are saved since format 5. The ninth event is a clear.
        const earliest = format < "format-5" ? 9 : 0;
        expect(manifest).toMatchObject({ offset, digest, schema: schemaVersion, from: { offset: earliest } });
        expect(readFileSync(path).equals(before)).toBe(true);

        const usual = {
          file,
          force: false,
          knownTerm: 0,
          dryRun: false,
          nodeKeyHashes: undefined,
          allowUnauthenticated: true,
          limits,
          onStep,
          warn,
        };
        for (const target of [earliest, 11, 15, offset - 1, offset]) {
          const restored = join(directory, `restored-${target}`);
          const result = await restore({ ...usual, directory: restored, target: { offset: target } });
          const store = openStore(must(currentStorePath(restored)), { readonly: true });
          const wanted = appliedUpTo(store.path, target);
          expect(factsIn(store)).toEqual(factsIn(wanted));
          expect(indexesIn(store, wanted)).toEqual(indexesIn(wanted, wanted));
          expect(result.digest).toBe(readState(wanted).digest);
          for (const opened of [store, wanted]) opened.close();
          expectVerified(must(currentStorePath(restored)));
        }
        if (earliest > 0) {
          const tooFar = restore({
            ...usual,
            directory: join(directory, "too-far"),
            target: { offset: earliest - 1 },
          });
          expect((await refusal(tooFar)).message).toContain(`the earliest point is offset ${earliest} of`);
        }
      }),
    timeoutMs,
  );
});

const limits = defaultLimits;
const onStep = (): void => {};
const warn = (problem: string): never => {
  throw new Error(problem);
};

/** An empty store with the first events of a log applied. */
function appliedUpTo(path: string, offset: number): Connection {
  const source = openStore(path, { readonly: true });
  const store = openStore(":memory:");
  createState(store, "default", "0000000000000001");
  for (const row of openLog(source).read(0, { eventsMax: offset, bytesMax: 1e9 })) {
    if (row.offset <= offset)
      store.transaction(() => applyEvent(store, { ...row, effect: decodeEffect(row.body) }, limits));
  }
  source.close();
  return store;
}

/** The indexes of the fact tables whose predicates another store has too. */
function indexesIn(store: Connection, other: Connection): string[] {
  const names = store.prepare("SELECT name FROM pragma_index_list(?1) WHERE origin = 'c'");
  const known = new Set(factTables(other).map(({ predicate }) => predicate));
  return factTables(store)
    .filter(({ predicate }) => known.has(predicate))
    .flatMap(({ table, predicate, arity }) =>
      names.values(table).map(([name]) => `${predicate}/${arity}${String(name).slice(table.length)}`),
    )
    .sort();
}

function factsIn(store: Connection): string[] {
  return allFacts(store)
    .map((fact) => JSON.stringify(fact))
    .sort();
}
