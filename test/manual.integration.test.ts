/** The commands of the README and the manual print what the pages show. UPDATE=1 writes their outputs anew. */
import * as Bun from "bun";
import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { builtBinary, projectRoot } from "../scripts/built-binary.ts";
import { traced } from "./console/flows/traced.ts";
import { manualPaths, readDocument } from "./manual/document.ts";
import { isShown, runDocument, runnable, withOutputs } from "./manual/session.ts";

const isUpdating = process.env["UPDATE"] === "1";
const shown = ["README.md", ...manualPaths].map(readDocument).filter((document) => runnable(document).length > 0);
const hasTools = ["bash", "curl"].every((tool) => Bun.which(tool) !== null);

// As in the process of a node: events have the trace of their request.
traced();

test("several pages show outputs of commands", () => {
  expect(shown.length).toBeGreaterThan(5);
});

test.skipIf(!hasTools).each(shown.map((document) => [document.path, document] as const))(
  "the commands of %s (skipped without bash and curl)",
  async (path, document) => {
    const runs = await runDocument(document, await builtBinary());
    expect(runs.length).toBe(runnable(document).length);
    if (isUpdating) writeFileSync(join(projectRoot, path), withOutputs(document, runs));
    for (const run of runs.filter((each) => !isUpdating && !isShown(each)))
      expect({ command: run.command, output: run.printed }).toEqual({ command: run.command, output: run.output.text });
  },
  180_000,
);
