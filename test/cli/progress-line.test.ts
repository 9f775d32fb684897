/** Long steps show their progress on a terminal, and only there. */
import { afterEach, expect, test } from "bun:test";
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { withProgress } from "../../src/cli/progress-line.ts";
import { useStreams } from "../../src/runtime/process.ts";

afterEach(() => useStreams());

/** Replaces the standard streams. `until` resolves when standard error shows a text. */
function streams(isTTY: boolean) {
  let shown = "";
  let [expected, found] = ["", () => {}];
  const stream = () => Object.assign(new PassThrough(), { isTTY });
  const stderr = stream();
  stderr.on("data", (bytes: Buffer) => {
    shown += bytes.toString();
    if (shown.includes(expected)) found();
  });
  useStreams({ stdin: stream(), stdout: stream(), stderr });
  return {
    shown: () => shown,
    until: (text: string) =>
      new Promise<void>((resolve) => {
        [expected, found] = [text, resolve];
        if (shown.includes(text)) resolve();
      }),
  };
}

test("on a terminal, with percentages if the total is known, and the line is cleared at the end", async () => {
  const { shown, until } = streams(true);
  const directory = mkdtempSync(join(tmpdir(), "ostiary-progress-"));
  const path = join(directory, "growing");
  try {
    await withProgress(async (progress) => {
      progress.begin("reading");
      await until("reading");
      progress.begin("unpacking", { path, bytes: 1000, next: "checking" });
      await until("unpacking: 0 %");
      writeFileSync(path, "x".repeat(999));
      await until("unpacking: 99 %");
      appendFileSync(path, "x");
      await until("checking");
      progress.begin("going back");
      // The thread is busy meanwhile.
      while (!shown().includes("going back: 33 %")) progress.reached(33, 99);
      progress.begin("the end");
      await until("the end");
    });
  } finally {
    rmSync(directory, { recursive: true });
  }
  const lines = shown()
    .split("\r\u001b[2K")
    .map((line) => line.replace(/ \(\d+ s\)$/, ""));
  expect(lines.filter((line, index) => line !== lines[index - 1])).toEqual([
    ...["", "reading", "unpacking: 0 %", "unpacking: 99 %", "checking", "going back: 33 %", "the end", ""],
  ]);
});

test("in a pipe there is no progress line, but the warnings are printed", async () => {
  const { shown } = streams(false);
  await withProgress(async (progress) => {
    progress.begin("reading");
    progress.reached(33, 99);
    progress.warn("one line was skipped");
  });
  expect(shown()).toBe("warning: one line was skipped\n");
});
