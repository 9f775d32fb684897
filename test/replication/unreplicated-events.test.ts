/** Files of unreplicated events: what they hold, and that a save that fails leaves no part of one. */
import { expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { saveUnreplicated } from "../../src/replication/replica/unreplicated-events.ts";
import type { Log } from "../../src/store/log/log.ts";
import type { StoreState } from "../../src/store/log/store-state.ts";
import type { Cluster } from "../sim/cluster.ts";
import { Operator } from "../sim/operator.ts";

const state = { epoch: "0123456789abcdef", offset: 5 } as StoreState;

/** A log with the events 4 and 5, whose reads after offset `failsAfter` fail. */
function logOf(failsAfter = Number.POSITIVE_INFINITY): Log {
  const row = (offset: number) => ({ offset, timeMs: 0, body: `{"request":"r${offset}"}` });
  return {
    read(after: number) {
      if (after >= failsAfter) throw new Error("the disk is broken");
      return after >= 5 ? [] : [row(Math.max(4, after + 1))];
    },
  } as unknown as Log;
}

function withDirectory(body: (directory: string) => void): void {
  const directory = mkdtempSync(join(tmpdir(), "ostiary-unreplicated-"));
  try {
    body(directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

test("the events after the common offset are saved, one on each line", () => {
  withDirectory((directory) => {
    const saved = saveUnreplicated(directory, logOf(), state, 2);
    expect(saved).toMatchObject({ events: 2, trimmed: 1 });
    const lines = readFileSync(saved?.path ?? "", "utf8")
      .trim()
      .split("\n");
    expect(lines.map((line) => JSON.parse(line) as object)).toMatchObject([{ offset: 4 }, { offset: 5 }]);
  });
});

test("a save that fails leaves no file", () => {
  withDirectory((directory) => {
    expect(() => saveUnreplicated(directory, logOf(4), state, 3)).toThrow("the disk is broken");
    expect(readdirSync(directory)).toEqual([]);
  });
});

test("the simulated operator ignores a part of a file that a crash has left", () => {
  withDirectory((directory) => {
    const saved = saveUnreplicated(directory, logOf(), state, 3);
    writeFileSync(`${saved?.path ?? ""}.new`, '{"epoch":"0123456789abcdef","offs');
    const operator = new Operator({ machines: [{ directory }] } as unknown as Cluster);
    expect(operator.unreplicated().map(({ request }) => request)).toEqual(["r4", "r5"]);
  });
});
