/** The first command that anybody runs: every answer right, its traces whole, and nothing left running however it ends. */
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

test.each([
  ["while it starts", "primary"],
  ["when all is running", "All settings"],
])(
  "scripts/up takes everything down when it is interrupted %s",
  async (_when, sign) => {
    await builtBinary();
    const up = Bun.spawn([join(projectRoot, "scripts", "up")], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      timeout: 60_000,
    });
    let told = "";
    const decoder = new TextDecoder();
    for await (const chunk of up.stdout) {
      told += decoder.decode(chunk, { stream: true });
      if (told.includes(sign)) up.kill("SIGINT");
    }
    await up.exited;
    const urls = [...told.matchAll(/ready at (http:\S+)/g)].flatMap((match) => match[1] ?? []);
    expect(urls.length).toBeGreaterThan(0);
    for (const url of urls)
      expect(
        await fetch(url).then(
          () => "answers",
          () => "gone",
        ),
      ).toBe("gone");
    if (sign === "All settings") expect(up.exitCode).toBe(0);
  },
  70_000,
);
