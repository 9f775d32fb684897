/**
 * The areas of `scripts/test --full` that have passed with the present tree, so that the next run continues with the
 * others. Any change of a file starts anew.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { treeHash } from "../../test/tree-hash.ts";
import { projectRoot } from "../built-binary.ts";

export const progressDirectory = join(projectRoot, "node_modules", ".cache", "ostiary-tests");
const path = join(progressDirectory, "full.json");

export interface AreaOutcome {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly seconds: number;
}

interface Progress {
  readonly tree: string;
  readonly areas: Readonly<Record<string, AreaOutcome>>;
}

const present = (): string =>
  treeHash("src", "test", "scripts", "appliance", "compose", "README.md", "package.json", "bun.lock").toString("hex");
/** What a run reads: files that change meanwhile are not what it has tested. */
const atStart = present();

/** By the name of the area. */
export function readProgress(): Readonly<Record<string, AreaOutcome>> {
  let progress: Progress;
  try {
    progress = JSON.parse(readFileSync(path, "utf8")) as Progress;
  } catch {
    return {};
  }
  return progress.tree === atStart ? progress.areas : {};
}

/** Whether the outcome is kept: not if files have changed since the start. */
export function recordOutcome(area: string, outcome: AreaOutcome): boolean {
  if (present() !== atStart) return false;
  const progress: Progress = { tree: atStart, areas: { ...readProgress(), [area]: outcome } };
  mkdirSync(progressDirectory, { recursive: true });
  writeFileSync(`${path}.new`, JSON.stringify(progress, null, 2));
  renameSync(`${path}.new`, path);
  return true;
}
