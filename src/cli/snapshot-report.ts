/** The report of `ostiary snapshot inspect`. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defaultLimits } from "../config/limits.ts";
import { snapshotFileError } from "../replication/snapshots/import-snapshot.ts";
import { unpackSnapshotInWorker, verifySnapshotInWorker } from "../replication/snapshots/snapshot-jobs.ts";
import { realSystem } from "../replication/system.ts";
import { requireKnownFormat, type SnapshotManifest } from "../store/snapshot/snapshot-header.ts";
import type { NodeKeyHashes } from "../store/keys/node-keys.ts";
import { openSnapshot, type Snapshot } from "../store/snapshot/snapshot.ts";
import { type Authenticity, authenticityOf } from "../store/snapshot/snapshot-mac.ts";
import { formatMegabytes } from "../util/megabytes.ts";
import { printable } from "../util/printable.ts";
import { reasonOf } from "../util/reason.ts";
import { iso } from "./backup.ts";
import { originText } from "./node-data.ts";
import type { ProgressLine } from "./progress-line.ts";

export interface SnapshotReport extends Partial<SnapshotManifest> {
  readonly file: string;
  /** The size of the file in bytes. */
  readonly size?: number;
  /** Whether its MAC proves that a node of the environment made it. */
  readonly authenticity?: Authenticity;
  /** The checked part: the packed bytes, or also the unpacked database. */
  readonly checked: "bytes" | "everything";
  /** The error in the file; null if there is none. */
  readonly problem: string | null;
  /** The parts that a node rebuilds when it imports the file. */
  readonly warnings: readonly string[];
}

/** Throws AppError if the file cannot be read. */
export async function inspectSnapshot(
  file: string,
  { full, nodeKeyHashes }: { readonly full: boolean; readonly nodeKeyHashes: NodeKeyHashes | undefined },
  progress: ProgressLine,
): Promise<SnapshotReport> {
  const checked = full ? "everything" : "bytes";
  const warnings: string[] = [];
  let snapshot: Snapshot | undefined;
  let authenticity: Authenticity | undefined;
  const report = (problem: string | null): SnapshotReport => {
    const origin = authenticity === undefined ? {} : { authenticity };
    const found = snapshot === undefined ? {} : { size: snapshot.size, ...snapshot.manifest, ...origin };
    return { file, ...found, checked, problem, warnings };
  };
  try {
    snapshot = openSnapshot(file);
    requireKnownFormat(snapshot.manifest);
    authenticity = authenticityOf(snapshot.signed, nodeKeyHashes);
    progress.begin("checking");
    await (full ? unpackTemporarily(snapshot, warnings, progress) : verifySnapshotInWorker(realSystem, snapshot));
    return report(null);
  } catch (error) {
    const problem = snapshotFileError(file, error);
    if (problem.code === "not_found") throw problem;
    return report(reasonOf(error));
  }
}

async function unpackTemporarily(snapshot: Snapshot, warnings: string[], progress: ProgressLine): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "ostiary-inspect-"));
  const path = join(directory, "copy.db");
  try {
    progress.begin("unpacking", { path, bytes: snapshot.manifest.unpackedBytes, next: "checking" });
    await unpackSnapshotInWorker(realSystem, snapshot, path, defaultLimits, (warning) => warnings.push(warning));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

export function describeReport(report: SnapshotReport): string {
  const { file, problem, warnings, checked } = report;
  const verdict =
    checked === "bytes"
      ? "the SHA-256 is right; `--full` also checks the content"
      : "the file and its content are valid";
  const rows: (readonly [string, string])[] = [
    ...manifestRows(report),
    [problem === null ? "check" : "problem", problem ?? verdict],
    ...warnings.map((warning) => ["warning", warning] as const),
  ];
  return `${printable(file)}\n${rows.map(([name, value]) => `  ${name.padEnd(12)}${printable(value)}\n`).join("")}`;
}

function manifestRows({ size, authenticity, ...manifest }: SnapshotReport): (readonly [string, string])[] {
  const { kind, environment, epoch, offset, timeMs, madeMs, hash, digest, schema, unpackedBytes, sha256, nodeKey } =
    manifest;
  if (size === undefined || unpackedBytes === undefined) return [];
  return [
    ["kind", `${kind}`],
    ["environment", `${environment}`],
    ["position", `offset ${offset} of epoch ${epoch}, chain hash ${hash}`],
    ["digest", `${digest}`],
    ["last change", timeMs === 0 ? "none yet" : iso(timeMs ?? 0)],
    ["made", iso(madeMs ?? 0)],
    ["size", `${formatMegabytes(size)} MB, unpacked ${formatMegabytes(unpackedBytes)} MB in format ${schema}`],
    ["SHA-256", `${sha256}`],
    ...(authenticity === undefined ? [] : [["origin", originText(authenticity, nodeKey)] as const]),
  ];
}
