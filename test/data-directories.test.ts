/**
 * Data directories of earlier versions, opened by today's code. `scripts/data-directory.ts` makes one for each format of the database, with a build of
 * that time: a primary's and an edge's files, and `told.json` with where they stood and what they answered. All hold the same history of 21 events:
 * keys made and removed, two policies (folders in folders, later teams in teams as well, and who is banned), facts put in and taken away one by one
 * and many at once, all facts cleared in the middle, a cycle of folders, ids with quotes and signs from all over Unicode.
 *
 *   format-1  tables of facts, and what every node has
 *   format-2  closures of stored relations are kept as tables
 *   format-3  changes are counted, for decisions that are remembered
 *   format-4  degrees are kept
 *   format-5  rows of the log have digests; epochs, answered requests and cleared facts are kept; edges have a log as well
 */
import { describe, expect, test } from "bun:test";
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { defaultLimits } from "../src/config/limits.ts";
import { applyEvent } from "../src/engine/state/apply.ts";
import { decodeEffect } from "../src/engine/state/event.ts";
import { backUp, backupWriter } from "../src/replication/backup/backup.ts";
import type { Node } from "../src/replication/node.ts";
import { restore } from "../src/replication/backup/restore.ts";
import type { Connection } from "../src/store/connection/connection.ts";
import { currentStorePath } from "../src/store/directory/data-directory.ts";
import { openStore, schemaVersion } from "../src/store/connection/open-store.ts";
import { factTables } from "../src/store/facts/fact-tables.ts";
import { openLog } from "../src/store/log/log.ts";
import { scanFacts } from "../src/store/facts/scan-facts.ts";
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

const kept = join(import.meta.dir, "data-directories");
const formats = readdirSync(kept).toSorted();

interface Told {
  readonly adminKey: string;
  readonly nodeKey: string;
  readonly epoch: string;
  readonly offset: number;
  readonly digest: string;
  readonly answers: readonly { method: string; path: string; body: object; answer: unknown }[];
}

function toldBy(format: string): Told {
  return JSON.parse(readFileSync(join(kept, format, "told.json"), "utf8")) as Told;
}

/** Puts what a node of then left behind where a node of today will look for it. */
function unpack(format: string, node: "primary" | "edge", target: string): void {
  mkdirSync(target, { recursive: true });
  const source = join(kept, format, node);
  for (const name of readdirSync(source)) {
    if (!name.endsWith(".zst")) cpSync(join(source, name), join(target, name));
    else
      writeFileSync(join(target, name.replace(/\.zst$/, "")), Bun.zstdDecompressSync(readFileSync(join(source, name))));
  }
}

async function ask(url: string, key: string, method: string, path: string, body: object): Promise<unknown> {
  const headers = { Authorization: `Bearer ${key}`, "Content-Type": "application/json" };
  const response = await fetch(url + path, { method, headers, body: JSON.stringify(body) });
  return response.json();
}

async function expectAnswers({ url }: Running<Node>, { adminKey, answers }: Told): Promise<void> {
  for (const { method, path, body, answer } of answers)
    expect([path, body, await ask(url, adminKey, method, path, body)]).toEqual([path, body, answer]);
}

function withNodes(format: string, body: (cluster: Cluster, told: Told) => Promise<void>): Promise<void> {
  const told = toldBy(format);
  const { nodeKey } = told;
  return withCluster((cluster) => body(cluster, told), { environment: "default", nodeKey });
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

test("there is one of each format, the present one included", () => {
  const wanted = Array.from({ length: schemaVersion }, (_, index) => `format-${index + 1}`);
  expect(formats).toEqual(wanted);
});

describe.each(formats)("a data directory of %s", (format) => {
  test(
    "is a primary's: it goes on from where it stood, answers as it did, and takes writes, which edges follow",
    () =>
      withNodes(format, async (cluster, told) => {
        const old = ["primary", "edge", "primary-as-edge"].map((name) => join(cluster.directory, name));
        const [directory = "", edgeDirectory = "", thirdDirectory = ""] = old;
        unpack(format, "primary", directory);
        unpack(format, "edge", edgeDirectory);
        unpack(format, "primary", thirdDirectory);
        const primary = await cluster.primary({ adminKey: told.adminKey });
        const { epoch, offset, digest, adminKey } = told;
        // The start begins a term, and changes nothing else.
        expect(positionOf(primary.node)).toMatchObject({ offset: offset + 1, digest });
        await primary.node.waitFor(`${epoch}:${offset}`);
        await expectAnswers(primary, told);

        const edges = [
          await cluster.edge("edge", primary),
          await cluster.edge("primary-as-edge", primary),
          await cluster.edge("new", primary),
        ];
        for (const edge of edges) {
          await converged(edge.node, primary.node);
          await expectAnswers(edge, told);
        }
        expect(await ask(primary.url, adminKey, "POST", "/api/authorize", carol)).toEqual({ allowed: false });
        await ask(primary.url, adminKey, "POST", "/api/batch", carolReads);
        for (const edge of edges) await converged(edge.node, primary.node);
        for (const { url } of [primary, ...edges])
          expect(await ask(url, adminKey, "POST", "/api/authorize", carol)).toEqual({ allowed: true });
        // Those that were there before had no need of a snapshot.
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
    "is backed up as it is, and taken back as far as its log says all",
    () =>
      withDirectory(async (directory) => {
        const data = join(directory, "data");
        unpack(format, "primary", data);
        const path = must(currentStorePath(data));
        const before = readFileSync(path);
        const file = join(directory, "old.backup");
        const { manifest } = await backUp({ target: file, write: backupWriter(path, onStep), limits, onStep, warn });
        const { offset, digest } = toldBy(format);
        // Before the fifth format nobody kept what was cleared, which is the ninth event.
        const earliest = format < "format-5" ? 9 : 0;
        expect(manifest).toMatchObject({ offset, digest, schema: schemaVersion, from: { offset: earliest } });
        expect(readFileSync(path).equals(before)).toBe(true);

        const usual = {
          file,
          force: false,
          knownTerm: 0,
          dryRun: false,
          nodeKeyHash: undefined,
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

/** What the first events of a log make of an empty store. */
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

/** By predicate, the orders that are kept beside its own, of those that another store knows as well. */
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
  return [...scanFacts(store)].map((fact) => JSON.stringify(fact)).sort();
}
