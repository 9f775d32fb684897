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
    const shown =
      JSON.stringify(Object.keys(metrics)) +
      sourceOf("src/telemetry/metrics.ts") +
      sourceOf("src/roles/node-metrics.ts");
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
    "events",
    "backup",
    "restore",
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

describe("commands in the README", () => {
  const shells = ["sh", "bash", "zsh"].filter((shell) => Bun.which(shell) !== null);
  const scripts = blocks.filter(({ language }) => language === "sh").map(({ text }) => text);

  test.each(shells)("are right for %s", (shell) => {
    expect(scripts.length).toBeGreaterThan(5);
    const refused = scripts.flatMap((script) => {
      const { stderr, exitCode } = Bun.spawnSync([shell, "-n"], { stdin: Buffer.from(script) });
      return exitCode === 0 ? [] : [`${script}${stderr.toString()}`];
    });
    expect(refused).toEqual([]);
  });

  test("have no comments, which zsh does not take at its prompt, and rely on no word splitting, which it does not do", () => {
    const lines = scripts.flatMap((script) => script.split("\n"));
    expect(lines.filter((line) => /(?:^|\s)#/.test(line))).toEqual([]);
    expect(lines.filter((line) => /^\$\w/.test(line.trim()))).toEqual([]);
  });

  test("start with the one that puts the binary on the PATH", () => {
    const [first] = code.filter((line) => /\bostiary (?:test|dev|validate|serve|keys|events)\b/.test(line));
    const before = readme.slice(0, readme.indexOf(first ?? ""));
    expect(before).toContain('export PATH="$PWD/dist:$PATH"');
    expect(lines.filter((line) => /^bun\b/.test(line))).toEqual([]);
    expect(inBackticks.filter((text) => text.startsWith("bun "))).toEqual([]);
  });

  test.each(shells)(
    "of the first minute run in %s",
    (shell) => {
      const script = scripts.find((text) => text.includes("ostiary dev")) ?? "";
      // The node would run until somebody presses Ctrl-C; another test asks it.
      const ran = Bun.spawnSync([shell], {
        cwd: projectRoot,
        stdin: Buffer.from(script.replace(/^ostiary dev .*$/m, "")),
        env: { ...process.env, OSTIARY_PACKAGES: "installed" },
      });
      expect(ran.stderr.toString()).toBe("");
      expect(ran.stdout.toString()).toMatch(/^dist\/ostiary: .* MB/);
      expect(ran.stdout.toString()).toContain("tests passed\n");
      expect(ran.exitCode).toBe(0);
    },
    60_000,
  );

  test("pack what applications install, under the name that the README gives it", () => {
    const folder = mkdtempSync(join(tmpdir(), "ostiary-pack-"));
    try {
      const [, command = "", file = ""] = /`scripts\/(bun pm pack)`[^`]*`(ostiary-[\d.]+\.tgz)`/.exec(readme) ?? [];
      const packed = Bun.spawnSync(
        [process.execPath, ...command.split(" ").slice(1), "--destination", folder, "--quiet"],
        { cwd: projectRoot },
      );
      expect({ errors: packed.exitCode === 0 ? "" : packed.stderr.toString() }).toEqual({ errors: "" });
      expect(existsSync(join(folder, file))).toBe(true);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }, 60_000);
});

test("the policy gives the result that the README shows", () => {
  const folder = mkdtempSync(join(tmpdir(), "ostiary-policy-"));
  try {
    const policy = blocks.find(({ language }) => language === "polar")?.text ?? "";
    writeFileSync(join(folder, "policy.polar"), policy);
    const run = (...parameters: string[]) => Bun.spawnSync([binary, ...parameters], { cwd: folder });
    const shown = blocks.find(({ language }) => language === "text")?.text;
    expect(run("test", "policy.polar").stdout.toString()).toBe(shown ?? "");
    expect(run("fmt", "--check", "policy.polar").exitCode).toBe(0);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
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
