/** The README is true where that can be asked of a machine: what it names exists, and its example gives the answers that it shows. */
import { beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { devDependencies, version } from "../package.json";
import { builtBinary, projectRoot } from "../scripts/built-binary.ts";
import { settings } from "../src/config/settings.ts";
import { metrics } from "../src/telemetry/metrics.ts";

const binary = await builtBinary();
const readme = readFileSync(join(projectRoot, "README.md"), "utf8");

/** Lines of the blocks of code, those that a backslash continues as one, and what stands in backticks. */
const blocks = [...readme.matchAll(/^```(\w*)\n(.*?)^```$/gms)].map(([, language, text]) => ({
  language,
  text: text ?? "",
}));
const lines = blocks.flatMap(({ text }) => text.replaceAll("\\\n", " ").split("\n"));
const prose = readme.replaceAll(/^```.*?^```$/gms, "");
const inBackticks = [...prose.matchAll(/`([^`]+)`/g)].map(([, text]) => text ?? "");
const code = [...lines, ...inBackticks];

const unique = (found: Iterable<string>): string[] => [...new Set(found)].toSorted();
const named = (pattern: RegExp, text = readme): string[] => unique([...text.matchAll(pattern)].map(([match]) => match));
const sourceOf = (path: string): string => readFileSync(join(projectRoot, path), "utf8");

describe("the README names", () => {
  test("scripts, folders and files that exist", () => {
    const paths = named(/(?<!\[)\b(?:src|scripts|test|appliance|compose)\/[\w./-]*[\w/]/g);
    expect(paths.length).toBeGreaterThan(20);
    expect(paths.filter((path) => !existsSync(join(projectRoot, path)))).toEqual([]);
  });

  test("folders of the tree, and none is left out", () => {
    const inTree = [...new Bun.Glob("src/*").scanSync({ cwd: projectRoot, onlyFiles: false })].filter(
      (path) => !path.includes("."),
    );
    expect(inTree.filter((path) => !inBackticks.includes(path))).toEqual([]);
  });

  test("variables that are settings", () => {
    const known = [...settings.map(({ variable }) => variable as string), "OSTIARY_CONFIG"];
    const variables = named(/\bOSTIARY_[A-Z][A-Z_]*/g);
    expect(variables.length).toBeGreaterThan(1);
    expect(variables.filter((variable) => !known.includes(variable))).toEqual([]);
  });

  test("routes that there are", () => {
    const routes = [...new Bun.Glob("src/http/routes/*.ts").scanSync(projectRoot)].map(sourceOf).join("\n");
    const paths = unique(code.flatMap((text) => named(/(?<=^|[ 0])\/(?:api\/\w+|healthcheck|metrics)/g, text)));
    expect(paths).toContain("/metrics");
    expect(paths.filter((path) => !routes.includes(`"${path}"`))).toEqual([]);
  });

  test("metrics and headers that there are", () => {
    const shown = JSON.stringify(Object.keys(metrics)) + sourceOf("src/telemetry/metrics.ts");
    const names = named(/\bostiary_\w+/g);
    expect(names.length).toBeGreaterThan(0);
    expect(names.filter((name) => !shown.includes(`"${name}"`))).toEqual([]);
    const sources = [...new Bun.Glob("src/http/**/*.ts").scanSync(projectRoot)].map(sourceOf).join("\n");
    for (const header of named(/\b(?:X-[A-Za-z-]+|Server-Timing|Retry-After|OsoOffset)\b/g))
      expect(sources).toContain(header);
  });

  test("the versions that these are", () => {
    expect(named(/(?<=`ostiary:)[\d.]+/g)).toEqual([version]);
    expect(readme).toContain(`version ${devDependencies["oso-cloud"]} is what the tests use`);
  });

  test("files and headings where its links lead", () => {
    const headings = named(/^#+ .+$/gm).map((line) =>
      line
        .replace(/^#+ /, "")
        .toLowerCase()
        .replaceAll(/[^\w -]/g, "")
        .replaceAll(" ", "-"),
    );
    for (const [, target] of readme.matchAll(/\]\(([^)]+)\)/g)) {
      if (target === undefined || target.startsWith("https://")) continue;
      const [path, anchor] = target.split("#");
      if (path) expect({ target, there: existsSync(join(projectRoot, path)) }).toEqual({ target, there: true });
      if (anchor !== undefined) expect(headings).toContain(anchor);
    }
  });
});

describe("flags in the README", () => {
  const commands = [
    "serve",
    "dev",
    "config",
    "validate",
    "test",
    "fmt",
    "keys create",
    "keys list",
    "keys revoke",
    "health",
    "promote",
  ];
  const flagsOf = (text: string): string[] => named(/(?<=^|[\s[`])--[a-z][a-z-]*/g, text);
  const helps = new Map<string, string>();

  beforeAll(async () => {
    await Promise.all(commands.map(async (command) => helps.set(command, await help(command))));
  }, 30_000);

  test("belong to the command that they stand behind", () => {
    const used = code.flatMap((line) =>
      commands.flatMap((command) => {
        const called = new RegExp(`\\bostiary ${command}\\b(.*)`).exec(line)?.[1];
        return called === undefined ? [] : flagsOf(called).map((flag) => ({ command, flag }));
      }),
    );
    expect(used.length).toBeGreaterThan(5);
    expect(used.filter(({ command, flag }) => !flagsOf(helps.get(command) ?? "").includes(flag))).toEqual([]);
  });

  test("or to the script", () => {
    const used = code.flatMap((line) => {
      const [, script, rest] = /^scripts\/(\w+)(.*)/.exec(line) ?? [];
      return script === undefined || rest === undefined ? [] : flagsOf(rest).map((flag) => ({ script, flag }));
    });
    expect(used.length).toBeGreaterThan(0);
    expect(used.filter(({ script, flag }) => !sourceOf(`scripts/${script}.ts`).includes(`  ${flag} `))).toEqual([]);
  });

  test("or, where they stand alone, to one of them", () => {
    const scripts = ["up", "bench", "chaos", "siege", "sim"]
      .map((script) => sourceOf(`scripts/${script}.ts`))
      .join("\n");
    const known = [
      ...settings.map(({ flag }) => flag as string),
      ...flagsOf([...helps.values()].join("\n")),
      ...flagsOf(scripts),
    ];
    const alone = inBackticks.filter((text) => text.startsWith("--")).flatMap(flagsOf);
    expect(alone.length).toBeGreaterThan(3);
    expect(alone.filter((flag) => !known.includes(flag))).toEqual([]);
  });
});

test("the example gives the answers that the README shows", async () => {
  const example = blocks.find(({ language }) => language === "ts")?.text ?? "";
  const shown = [...example.matchAll(/^await .*; \/\/ (.*)$/gm)].map(
    ([, answer]) => JSON.parse(answer ?? "") as unknown,
  );
  expect(shown.length).toBeGreaterThan(3);
  const folder = mkdtempSync(join(tmpdir(), "ostiary-readme-"));
  const policy = join(projectRoot, "scripts", "example", "policy.polar");
  const node = Bun.spawn([binary, "dev", policy, "--port", "0"], {
    cwd: projectRoot,
    stdout: "pipe",
    stderr: "ignore",
  });
  try {
    const url = await urlOf(node.stdout);
    const program = example
      .replace("http://127.0.0.1:8080", url)
      .replaceAll(/^await (.*); \/\/ .*$/gm, "console.log(JSON.stringify(await $1));");
    writeFileSync(join(folder, "example.ts"), program);
    const run = Bun.spawn([process.execPath, join(folder, "example.ts")], {
      env: { ...process.env, NODE_PATH: join(projectRoot, "node_modules") },
      stdout: "pipe",
      stderr: "pipe",
    });
    const [output, errors] = await Promise.all([run.stdout.text(), run.stderr.text(), run.exited]);
    const answers = output
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as unknown);
    expect({ answers, errors }).toEqual({ answers: shown, errors: "" });
  } finally {
    node.kill();
    await node.exited;
    rmSync(folder, { recursive: true, force: true });
  }
}, 30_000);

async function help(command: string): Promise<string> {
  const program = Bun.spawn([binary, ...command.split(" "), "--help"], {
    cwd: projectRoot,
    stdout: "pipe",
    stderr: "inherit",
  });
  return program.stdout.text();
}

async function urlOf(output: ReadableStream<Uint8Array>): Promise<string> {
  let text = "";
  for await (const chunk of output) {
    text += new TextDecoder().decode(chunk);
    const url = /OSO_URL=(\S+)/.exec(text)?.[1];
    if (url !== undefined) return url;
  }
  throw new Error(`the node ended:\n${text}`);
}
