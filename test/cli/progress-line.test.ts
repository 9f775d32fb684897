/** Long steps show their progress on a terminal, and only there. */
import * as Bun from "bun";
import { expect, test } from "bun:test";
import { join } from "node:path";
import { projectRoot } from "../../scripts/built-binary.ts";
import { workspace } from "./workspace.ts";

const { write, path } = workspace();

const program = `
import { appendFileSync, writeFileSync } from "node:fs";
import { withProgress } from ${JSON.stringify(join(projectRoot, "src/cli/progress-line.ts"))};
const pause = () => Bun.sleep(600);
await withProgress(async (progress) => {
  progress.begin("reading");
  await pause();
  progress.begin("unpacking", { path: "growing", bytes: 1000, next: "checking" });
  await pause();
  writeFileSync("growing", "x".repeat(999));
  await pause();
  appendFileSync("growing", "x");
  await pause();
  progress.begin("going back");
  // The thread is busy meanwhile.
  for (const until = performance.now() + 900; performance.now() < until; ) progress.reached(33, 99);
  progress.begin("the end");
  await pause();
});
process.stdout.write("done");
`;

test("on a terminal, with percentages if the total is known, and the line is cleared at the end", async () => {
  const decoder = new TextDecoder();
  let shown = "";
  const child = Bun.spawn([process.execPath, write("progress.ts", program)], {
    cwd: path("."),
    terminal: {
      cols: 120,
      rows: 40,
      data: (_terminal, bytes) => void (shown += decoder.decode(bytes, { stream: true })),
    },
  });
  await child.exited;
  for (let tries = 0; !shown.endsWith("done") && tries < 100; tries++) await Bun.sleep(10);
  child.terminal?.close();
  const lines = shown.split("\r\u001b[2K").map((line) => line.replace(/ \(\d+ s\)$/, ""));
  expect(lines.filter((line, index) => line !== lines[index - 1])).toEqual([
    "",
    "reading",
    "unpacking: 0 %",
    "unpacking: 99 %",
    "checking",
    "going back: 33 %",
    "the end",
    "done",
  ]);
});

test("in a pipe there is no progress line", async () => {
  const child = Bun.spawn([process.execPath, write("progress.ts", program)], {
    cwd: path("."),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [output, errors] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  expect({ output, errors }).toEqual({ output: "done", errors: "" });
});
