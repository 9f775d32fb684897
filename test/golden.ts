/**
 * Expected text lives in a file beside the input. `UPDATE=1 bun test …` writes it anew; then read the diff. A file may hold several cases,
 * each under a line `# --- name`, so that related cases are read together.
 */
import { expect } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";

export interface Case {
  readonly name: string;
  readonly text: string;
}

export function readCases(path: string): Case[] {
  const parts = readFileSync(path, "utf8").split(/^# --- (.+)\n/m);
  if (parts[0]?.trim()) throw new Error(`${path} has text before its first case`);
  const cases: Case[] = [];
  for (let index = 1; index < parts.length; index += 2) {
    cases.push({ name: parts[index] ?? "", text: parts[index + 1] ?? "" });
  }
  return cases;
}

export function expectGolden(path: string, actual: string): void {
  if (process.env["UPDATE"] === "1") writeFileSync(path, actual);
  if (!existsSync(path)) throw new Error(`${path} is missing: run with UPDATE=1, then read it`);
  expect(actual).toBe(readFileSync(path, "utf8"));
}
