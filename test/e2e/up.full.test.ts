/**
 * `scripts/up`, the first command of a new user: all answers are right, the traces are complete, and no process is left
 * however it ends.
 */
import * as Bun from "bun";
import { expect, test } from "bun:test";
import { join } from "node:path";
import { freePort } from "../../scripts/node-process.ts";
import { builtBinary, projectRoot } from "../../scripts/built-binary.ts";
import type { Span } from "../../scripts/otlp-collector.ts";

interface Report {
  readonly allRight: boolean;
  readonly nodes: readonly {
    readonly name: string;
    readonly url: string;
    readonly pid: number;
    readonly following?: string;
  }[];
  readonly questions: readonly { readonly question: string; readonly right: boolean; readonly firstMs: number }[];
  readonly traces: { readonly write: readonly Span[]; readonly read: readonly Span[] };
}

/** The report of `scripts/up --exit --json`, and its messages. */
async function runToItsEnd(...flags: string[]): Promise<{ readonly report: Report; readonly progress: string }> {
  await builtBinary();
  const up = Bun.spawn([join(projectRoot, "scripts", "up"), "--exit", "--json", ...flags], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: 100_000,
    killSignal: "SIGTERM",
  });
  const [status, output, progress] = await Promise.all([up.exited, up.stdout.text(), up.stderr.text()]);
  expect({ status, progress: status === 0 ? "" : progress }).toEqual({ status: 0, progress: "" });
  return { report: JSON.parse(output) as Report, progress };
}

test("scripts/up reports that edges get events over HTTP without a broker", async () => {
  const { report, progress } = await runToItsEnd("--broker", `mqtt://127.0.0.1:${await freePort()}`);
  const polling = "it gets events from the primary over HTTP, because no broker is connected";
  const { nodes } = report;
  expect(nodes.map(({ following }) => following)).toEqual([undefined, polling, polling, undefined]);
  for (const edge of ["edge-a", "edge-b"])
    expect(progress).toMatch(new RegExp(`^${edge} +ready at http:\\S+: ${polling} `, "m"));
}, 120_000);

const shells = ["sh", "bash", "zsh"].filter((shell) => Bun.which(shell) !== null);

test.each(shells)(
  "the commands that scripts/up suggests work in %s, and the fallback gives the age of its data",
  async (shell) => {
    await builtBinary();
    const up = Bun.spawn([join(projectRoot, "scripts", "up")], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      timeout: 90_000,
    });
    let told = "";
    const decoder = new TextDecoder();
    const reading = (async () => {
      for await (const chunk of up.stdout) told += decoder.decode(chunk, { stream: true });
    })();
    const says = async (text: string): Promise<void> => {
      for (let tries = 0; !told.includes(text) && tries < 3000 && up.exitCode === null; tries++) await Bun.sleep(20);
      expect(told).toContain(text);
    };
    try {
      await says("All settings");
      const commands = told.slice(told.indexOf("Try these")).match(/^ {2}\S.*$/gm) ?? [];
      expect(commands).toHaveLength(10);
      const ran = Bun.spawn([shell, ...(shell === "zsh" ? ["-f"] : [])], {
        cwd: projectRoot,
        stdin: Buffer.from(`${commands.join("\n")}\n`),
        stdout: "pipe",
        stderr: "pipe",
      });
      const [output, errors, status] = await Promise.all([ran.stdout.text(), ran.stderr.text(), ran.exited]);
      expect({ status, errors }).toEqual({ status: 0, errors: "" });
      const answers = output.match(/^\{"allowed":.*\}$/gm);
      expect(answers?.slice(0, 3)).toEqual(['{"allowed":true}', '{"allowed":false}', '{"allowed":false}']);
      expect(answers).toHaveLength(4);
      // Only that of the fallback, after the header with its age.
      expect(output.match(/^x-ostiary-snapshot-age-ms: \d+\r?\n\{"allowed":(?:true|false)\}$/gim)).toHaveLength(1);
      expect(output).toContain("ostiary_");
      await says("primary: it ended with signal SIGKILL");
      await says("edge-a: the primary does not answer: the database of this node may be old");
    } finally {
      up.kill("SIGINT");
      await Promise.all([up.exited, reading]);
    }
  },
  120_000,
);

test("scripts/up --exit --json", async () => {
  const { report } = await runToItsEnd();
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
  ["while it starts", "ready at"],
  ["when all is running", "All settings"],
])(
  "scripts/up stops everything when it is interrupted %s",
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
