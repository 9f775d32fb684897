/** Sequence numbers of heads are never used twice, even after crashes and disk failures. */
import { expect, test } from "bun:test";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { HeadSequence } from "../../src/replication/transport/head-sequence.ts";
import { withDirectory } from "./cluster.ts";
import { withCapturedLog } from "./captured-log.ts";

const open = (directory: string): HeadSequence => new HeadSequence(directory, 10, () => 1_000_000);
const take = (sequence: HeadSequence, count: number): (number | undefined)[] =>
  Array.from({ length: count }, () => sequence.next());

test("a restart continues after the last reserved number", () =>
  withDirectory(async (directory) => {
    const used: (number | undefined)[] = [];
    for (const count of [1, 25, 3, 0, 12]) {
      const sequence = open(directory);
      expect(sequence.last).toBeGreaterThanOrEqual(Math.max(0, ...used.map(Number)));
      used.push(...take(sequence, count));
    }
    expect(new Set(used).size).toBe(41);
    expect(used).toEqual(used.toSorted((one, two) => Number(one) - Number(two)));
    expect(used[0]).toBe(1);
  }));

test("numbers are reserved before they are used", () =>
  withDirectory(async (directory) => {
    const sequence = open(directory);
    for (let count = 0; count < 40; count++) {
      const number = Number(sequence.next());
      expect(Number(readFileSync(join(directory, "head-sequence"), "utf8"))).toBeGreaterThan(number);
      expect(sequence.last).toBe(number);
    }
  }));

test("if nothing can be written, the reserved numbers are used up, and then there are none until it can", () =>
  withCapturedLog(async (lines) => {
    await withDirectory(async (above) => {
      const directory = join(above, "data");
      mkdirSync(directory);
      const sequence = open(directory);
      expect(take(sequence, 2)).toEqual([1, 2]);
      rmSync(directory, { recursive: true });
      const rest = take(sequence, 20);
      expect(rest.slice(0, 8)).toEqual([3, 4, 5, 6, 7, 8, 9, 10]);
      expect(rest.slice(8).every((number) => number === undefined)).toBe(true);
      expect(sequence.last).toBe(10);
      expect(lines.filter((line) => line.includes("cannot be reserved"))).toHaveLength(1);
      expect(lines.filter((line) => line.includes("no sequence number is left"))).toHaveLength(1);
      mkdirSync(directory);
      expect(take(sequence, 3)).toEqual([11, 12, 13]);
    });
  }));

test("a damaged file is no reason to begin again", () =>
  withDirectory(async (directory) => {
    for (const damaged of ["x", "-5", "1e9", "12 "]) {
      writeFileSync(join(directory, "head-sequence"), damaged);
      expect(open(directory).next()).toBe(1_000_000);
    }
  }));
