/**
 * The README is short, its first minute works, its picture shows what the program prints, and its figures are those of
 * the manual. `manual.test.ts` checks the names and links in it.
 */
import * as Bun from "bun";
import { describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { devDependencies, version } from "../package.json";
import { builtBinary, projectRoot } from "../scripts/built-binary.ts";
import { recordTerminal } from "../scripts/recording/record.ts";
import { must } from "../src/util/assert.ts";
import { startDevNode } from "./cli/dev-node.ts";
import { expectGolden } from "./golden.ts";
import { named, readDocument } from "./manual/document.ts";

const readme = readDocument("README.md");
const linesMax = 125;

test("the README is short", () => {
  expect(readme.text.split("\n").length - 1).toBeLessThanOrEqual(linesMax);
});

test("the README names the version of the client that the tests use", () => {
  expect(readme.text).toContain(`version ${devDependencies["oso-cloud"]} is what the tests use`);
});

test("its picture shows what the program prints", async () => {
  const [path = "", ...more] = named(/(?<=^!\[.*\]\().*(?=\)$)/gm, readme.text);
  expect(more).toEqual([]);
  expectGolden(join(projectRoot, path), await recordTerminal());
}, 60_000);

test("its figures are those of the manual", () => {
  const rowsOf = (text: string): string[][] =>
    [...text.matchAll(/^\| (.*) \|$/gm)].map(([, columns = ""]) => columns.split("|").map((text) => text.trim()));
  const manual = rowsOf(readDocument("appliance/manual/performance.md").text);
  const [, ...shown] = rowsOf(/^## How fast$[^]*?(?=^## )/m.exec(readme.text)?.[0] ?? "").filter(
    ([first = ""]) => !first.startsWith("--"),
  );
  expect(shown.length).toBeGreaterThan(5);
  const expected = shown.map(([what = ""]) => {
    const [, second = "", third = "", fourth] = must(manual.find(([first]) => first === what));
    return fourth === undefined ? [what, "", second] : [what, third, fourth];
  });
  expect(shown).toEqual(expected);
});

const install = readDocument("appliance/manual/install.md");

test.each(named(/(?<=^|`)scripts\/(?!bun|example)\w+/gm, readme.text + install.text))(
  "%s --help says how to call it",
  (script) => {
    const ran = Bun.spawnSync([join(projectRoot, script), "--help"], {
      env: { ...process.env, OSTIARY_PACKAGES: "installed" },
    });
    expect(ran.stdout.toString()).toStartWith(script);
    expect(ran.exitCode).toBe(0);
  },
);

describe("the first minute", () => {
  const shells = ["sh", "bash", "zsh"].filter((shell) => Bun.which(shell) !== null);
  const script = readme.blocks.find(({ text }) => text.includes("ostiary dev"))?.text ?? "";

  test("begins with the build", () => {
    expect(script).toStartWith("scripts/build\n");
  });

  test("puts the binary on the PATH before it runs it", () => {
    const before = readme.text.slice(0, readme.text.search(/^ostiary /m));
    expect(before).toContain('export PATH="$PWD/dist:$PATH"');
  });

  test.each(shells)("runs in %s", async (shell) => {
    await builtBinary();
    // The node would run until somebody presses Ctrl-C; another test asks it.
    const ran = Bun.spawnSync([shell], {
      cwd: projectRoot,
      stdin: Buffer.from(script.replace("scripts/build\n", "").replace(/^ostiary dev .*$/m, "")),
    });
    expect(ran.stderr.toString()).toBe("");
    expect(ran.stdout.toString()).toEndWith("tests passed\n");
    expect(ran.exitCode).toBe(0);
  });
});

test("the package that applications install has the name that the manual gives", () => {
  const folder = mkdtempSync(join(tmpdir(), "ostiary-pack-"));
  try {
    const { text } = readDocument("appliance/manual/getting-started.md");
    const [file = ""] = named(/(?<=`)ostiary-.*\.tgz(?=`)/g, text);
    expect(text).toContain("`scripts/bun pm pack`");
    const packed = Bun.spawnSync([process.execPath, "pm", "pack", "--destination", folder, "--quiet"], {
      cwd: projectRoot,
    });
    expect({ errors: packed.exitCode === 0 ? "" : packed.stderr.toString() }).toEqual({ errors: "" });
    expect(existsSync(join(folder, file.replace("<version>", version)))).toBe(true);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test.each(["README.md", "appliance/manual/getting-started.md"])(
  "the example in %s works as written in an empty folder, and prints what it shows",
  async (path) => {
    const example = readDocument(path).blocks.find(({ language }) => language === "ts")?.text ?? "";
    const shown = [...example.matchAll(/^console\.log\(.*\); \/\/ (.*)$/gm)].map(([, answer = ""]) => answer);
    expect(shown.length).toBeGreaterThan(3);
    const folder = mkdtempSync(join(tmpdir(), "ostiary-readme-"));
    const node = await startDevNode(["scripts/example/policy.polar"], { directory: projectRoot });
    try {
      // As after `npm install oso-cloud`.
      mkdirSync(join(folder, "node_modules"));
      symlinkSync(join(projectRoot, "node_modules", "oso-cloud"), join(folder, "node_modules", "oso-cloud"));
      const [name = ""] = named(/(?<=save this as\s`)[^`]+/g, readDocument(path).text);
      writeFileSync(join(folder, name), example.replace("http://127.0.0.1:8080", node.url));
      const run = Bun.spawn([Bun.which("node") ?? process.execPath, name], {
        cwd: folder,
        stdout: "pipe",
        stderr: "pipe",
      });
      const [output, errors] = await Promise.all([run.stdout.text(), run.stderr.text(), run.exited]);
      // Node and Bun print other quotes.
      const answers = output.trim().replaceAll('"', "'").split("\n");
      expect({ answers, errors }).toEqual({ answers: shown, errors: "" });
    } finally {
      await node.stop();
      rmSync(folder, { recursive: true, force: true });
    }
  },
);
