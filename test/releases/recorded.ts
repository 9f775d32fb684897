/**
 * The recording of a release, as `record.ts` wrote it to a folder of that release: data directories, a backup,
 * snapshots, messages between nodes, and exchanges over the API. Tests check today's code with all of it.
 */
import * as Bun from "bun";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SqliteDatabase } from "../../src/runtime/sqlite.ts";
import { currentStorePath } from "../../src/store/directory/data-directory.ts";
import { must } from "../../src/util/assert.ts";

/** The folder with one folder for each release. */
export const releasesFolder = import.meta.dirname;

export const nodeNames = ["primary", "edge", "fallback"] as const;
export type NodeName = (typeof nodeNames)[number];

/** One request over the API, and its response. */
export interface Exchange {
  readonly method: string;
  readonly path: string;
  /** The key of the request. When exchanges are repeated, a key with the role `read` is made for it. */
  readonly key?: "admin" | "read" | "none";
  readonly body?: unknown;
  readonly status: number;
  /** JSON. */
  readonly answer: unknown;
}

export interface BrokerMessage {
  readonly topic: string;
  readonly retained: boolean;
  readonly payload: string;
}

/** The responses of a primary to other nodes over HTTP while it was at one offset. The bodies are as they were sent. */
export interface ServedResponse {
  readonly head: string;
  /** By the offset after which it begins. */
  readonly pages: Readonly<Record<string, string>>;
}

export interface Replication {
  /** The tag of `feed.snapshot`. */
  readonly snapshotTag: string;
  /** `before` the messages were published, and `after`. */
  readonly before: ServedResponse;
  readonly after: ServedResponse;
  /** In the order of their arrival, from a broker that had a retained head. */
  readonly messages: readonly BrokerMessage[];
  /** The head that the promoted edge published at its broker. */
  readonly promotedHead: BrokerMessage;
  readonly refusals: readonly { readonly status: number; readonly body: string }[];
}

export interface Release {
  readonly version: string;
  readonly commit: string | null;
  readonly environment: string;
  readonly adminKey: string;
  readonly readKey: string;
  readonly nodeKey: string;
  /** The final position of all nodes. */
  readonly epoch: string;
  readonly term: number;
  readonly offset: number;
  readonly digest: string;
  /** The earliest offset that the backup can recover. */
  readonly trimmedTo: number;
}

/** The versions with a folder, oldest first. */
export function recordedVersions(): string[] {
  return readdirSync(releasesFolder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
    .toSorted(Bun.semver.order);
}

export const readRelease = (version: string): Release =>
  JSON.parse(readFileSync(recordedFile(version, "release.json"), "utf8")) as Release;

/** The writes, in order, to a primary that was empty at the beginning. */
export const readHistory = (version: string): Exchange[] => unpackJson(version, "history.json.zst") as Exchange[];
/** The queries at the end. */
export const readAnswers = (version: string): Exchange[] => unpackJson(version, "answers.json.zst") as Exchange[];
export const readReplication = (version: string): Replication =>
  unpackJson(version, "replication.json.zst") as Replication;

export const recordedFile = (version: string, name: string): string => join(releasesFolder, version, name);

function unpackJson(version: string, name: string): unknown {
  return JSON.parse(Buffer.from(Bun.zstdDecompressSync(readFileSync(recordedFile(version, name)))).toString("utf8"));
}

/** The database format of a release. */
export function formatOf(version: string): number {
  const directory = mkdtempSync(join(tmpdir(), "ostiary-format-"));
  try {
    unpackDirectory(version, "edge", directory);
    const store = new SqliteDatabase(must(currentStorePath(directory)));
    try {
      return Number(store.prepare("PRAGMA user_version").values()[0]?.[0]);
    } finally {
      store.close();
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Puts the data of a node of that release where a node of today expects them. */
export function unpackDirectory(version: string, node: NodeName, target: string): void {
  mkdirSync(target, { recursive: true });
  const source = recordedFile(version, node);
  for (const name of readdirSync(source)) {
    const path = join(source, name);
    if (!name.endsWith(".zst")) cpSync(path, join(target, name));
    else writeFileSync(join(target, name.slice(0, -".zst".length)), Bun.zstdDecompressSync(readFileSync(path)));
  }
}
