/** The first command that anybody runs: it ends with status 0, every answer right, its traces whole, and nothing left running. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { builtBinary, projectRoot } from "../../scripts/built-binary.ts";
import type { Span } from "../../scripts/otlp-collector.ts";

interface Report {
  readonly allRight: boolean;
  readonly nodes: readonly { readonly name: string; readonly url: string; readonly pid: number }[];
  readonly questions: readonly { readonly question: string; readonly right: boolean; readonly firstMs: number }[];
  readonly traces: { readonly write: readonly Span[]; readonly read: readonly Span[] };
}

test("scripts/up --exit --json", async () => {
  await builtBinary();
  const up = Bun.spawn([join(projectRoot, "scripts", "up"), "--exit", "--json"], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: 100_000,
    killSignal: "SIGTERM",
  });
  const [status, output, progress] = await Promise.all([up.exited, up.stdout.text(), up.stderr.text()]);
  expect({ status, progress: status === 0 ? "" : progress }).toEqual({ status: 0, progress: "" });

  const report = JSON.parse(output) as Report;
  expect(report.questions.length).toBeGreaterThanOrEqual(12);
  expect(report.questions.filter(({ right }) => !right)).toEqual([]);
  expect(report.allRight).toBe(true);
  const onNodes = (spans: readonly Span[]): string[] => [...new Set(spans.map(({ node }) => node))].toSorted();
  expect(onNodes(report.traces.write)).toEqual(["edge-a", "edge-b", "primary"]);
  expect(onNodes(report.traces.read)).toEqual(["edge-b"]);

  expect(report.nodes.map(({ name }) => name)).toEqual(["primary", "edge-a", "edge-b", "fallback"]);
  for (const { url } of report.nodes)
    expect(
      await fetch(url).then(
        () => "answers",
        () => "gone",
      ),
    ).toBe("gone");
}, 120_000);
