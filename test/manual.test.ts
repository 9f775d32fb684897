/**
 * The README and the manual are true as far as a machine can tell: the names in them exist, their lists are complete, and
 * their links lead somewhere. UPDATE=1 writes generated tables anew; then read the diff. `manual.integration.test.ts`
 * runs the commands.
 */
import * as Bun from "bun";
import { beforeAll, describe, expect, test } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import { projectRoot } from "../scripts/built-binary.ts";
import { defaultLimits } from "../src/config/limits.ts";
import { oldNames } from "../src/config/renamed-settings.ts";
import { formerSettings, groupHeadings, settings, type Setting } from "../src/config/settings.ts";
import { allEndpoints } from "../src/features/all-endpoints.ts";
import { createApp } from "../src/features/app.ts";
import { errorCatalogue } from "../src/http/middleware/error-catalogue.ts";
import { describeMetrics } from "../src/telemetry/metrics.ts";
import { runCommand } from "./cli/run-command.ts";
import {
  anchorsOf,
  linksOf,
  manualPaths,
  named,
  proseOf,
  readDocument,
  sourceOf,
  type Document,
} from "./manual/document.ts";
import { codesInSource } from "./polar/codes-in-source.ts";
import { withCluster } from "./replication/cluster.ts";
import { alertRules, sectionOf } from "./telemetry/observability.ts";
import { oldWordsIn } from "./tidy/words.ts";

const isUpdating = process.env["UPDATE"] === "1";
const codes = new Set(codesInSource("src/policy", "src/polar/checks"));

const documents = ["README.md", ...manualPaths].map(readDocument);
const page = (name: string): Document => readDocument(`appliance/manual/${name}.md`);
const forDevelopers = ["src/ARCHITECTURE.md", "src/REFERENCE.md", "test/README.md"];
const architecture = forDevelopers.map(readDocument);
const namedInArchitecture = architecture.flatMap(({ inBackticks }) => [...inBackticks]);
const allCode = documents.flatMap(({ code }) => code);

const filesOf = (pattern: string): string => [...new Bun.Glob(pattern).scanSync(projectRoot)].map(sourceOf).join("\n");

describe.each(documents.concat(architecture).map((document) => [document.path, document] as const))(
  "%s names",
  (path, { text, code }) => {
    test("scripts, folders and files that exist", () => {
      const paths = named(/(?<![[\w/.-])(?:src|scripts|test|appliance|compose)\/[\w./-]*[\w/]/g, text);
      // A test can be named without its tier.
      const ends = ["", ".test.ts", ".integration.test.ts", ".full.test.ts"];
      // Codes of warnings look like paths.
      const exists = (path: string): boolean =>
        codes.has(path) || ends.some((end) => existsSync(join(projectRoot, path + end)));
      expect(paths.filter((path) => !exists(path))).toEqual([]);
    });

    test("variables that are settings", () => {
      const former = path.endsWith("/upgrades.md") ? ["OSTIARY_IMAGE"] : [];
      const known = [...settings.map(({ variable }) => variable), "OSTIARY_CONFIG", "OSTIARY_PACKAGES", ...former];
      const variables = named(/\bOSTIARY_[A-Z][A-Z_]*/g, text);
      expect(variables.filter((variable) => !known.includes(variable))).toEqual([]);
    });

    test("settings that exist", () => {
      // The threat model names constants too.
      const known = path.endsWith("/security.md") ? [...settings, ...formerSettings] : settings;
      const names = known.flatMap(({ path: parts }) => [parts.at(-1), parts.join(".")]);
      const limits = named(/(?<=`)[a-z]+(?:[A-Z][a-z]+)*(?:Max|Min|Ms|Bytes)(?=`)/g, text);
      const grouped = named(/(?<=`)(?:oidc|retention|log|trace|advanced)\.\w+(?=`)/g, text);
      expect(grouped.filter((name) => !names.includes(name))).toEqual([]);
      const options = sourceOf("src/client/redundant-fetch.ts");
      expect(limits.filter((name) => !names.includes(name) && !options.includes(`readonly ${name}?`))).toEqual([]);
    });

    test("routes that exist", () => {
      const routes = Object.values(allEndpoints).map(({ path: each }) => each);
      const paths = named(/(?<=^|[ 0`])\/(?:api\/\w+|healthcheck|livez|readyz|metrics)/gm, code.join("\n"));
      const exists = (path: string): boolean => routes.some((each) => each === path || each.startsWith(`${path}/:`));
      expect(paths.filter((path) => !exists(path))).toEqual([]);
    });

    test("metrics and headers that exist", () => {
      const known = describeMetrics().flatMap(({ name }) => [name, `${name}_bucket`, `${name}_count`, `${name}_sum`]);
      const former = path.endsWith("/upgrades.md") ? renamedMetrics(text).map(([name]) => name) : [];
      expect(
        named(/\bostiary_\w+\b(?!-)/g, text).filter((name) => !known.includes(name) && !former.includes(name)),
      ).toEqual([]);
      const sources = filesOf("src/**/*.ts");
      const headers = named(/\b(?:X-[A-Za-z-]+|Server-Timing|Retry-After|OsoOffset|Ostiary-[A-Z]\w+)\b/g, text);
      expect(headers.filter((header) => !sources.toLowerCase().includes(header.toLowerCase()))).toEqual([]);
    });
  },
);

test("documents use the standard terms", () => {
  const released = /^## \[\d[^]*/m;
  const texts = [
    ...["README.md", "SECURITY.md", ...forDevelopers, "src/polar/LANGUAGE.md", ...manualPaths].map(
      (path) => [path, sourceOf(path)] as const,
    ),
    ["CHANGELOG.md", sourceOf("CHANGELOG.md").replace(released, "")] as const,
  ];
  const found = texts.flatMap(([path, text]) =>
    oldWordsIn(proseOf(text), path).map((problem) => `${path}: ${problem}`),
  );
  expect(found).toEqual([]);
});

test("links between documents lead to files and headings that exist", () => {
  const linked = ["README.md", "CHANGELOG.md", "SECURITY.md", ...forDevelopers, ...manualPaths];
  const broken = linked.flatMap((path) => {
    const targets = linksOf(sourceOf(path)).filter((target) => !/^https?:/.test(target));
    return targets.filter((target) => !leadsSomewhere(path, target)).map((target) => `${path}: ${target}`);
  });
  expect(broken).toEqual([]);
});

function leadsSomewhere(from: string, target: string): boolean {
  const [file = "", anchor] = target.split("#");
  const path = file === "" ? from : posix.join(posix.dirname(from), file);
  if (!existsSync(join(projectRoot, path))) return false;
  return anchor === undefined || anchorsOf(sourceOf(path)).has(anchor);
}

describe("lists are complete", () => {
  test("REFERENCE.md names each dependency, and no other", async () => {
    const { dependencies = {}, devDependencies } = await Bun.file(join(projectRoot, "package.json")).json();
    const list = /^## Dependencies$[^]*?(?=^## )/m.exec(sourceOf("src/REFERENCE.md"))?.[0] ?? "";
    const shown = [...list.matchAll(/^- (.*?): /gm)].flatMap(([, names = ""]) =>
      [...names.matchAll(/`([^`]+)`/g)].map(([, name]) => name),
    );
    const packages = Object.keys({ ...dependencies, ...devDependencies }).map((name) =>
      name.replace(/^@(opentelemetry|codemirror)\/.*/, "@$1/*").replace(/^oso-cloud-.*/, "oso-cloud-*"),
    );
    expect(shown.toSorted()).toEqual([...new Set(packages)].toSorted());
  });

  test("the API reference has a heading for each route, and for no other", async () => {
    await withCluster(async (cluster) => {
      const { node } = await cluster.primary();
      const app = createApp(node, defaultLimits, {
        createTestEnvironment: () => Promise.resolve(""),
        redeemLoginCode: () => "",
      });
      const routes = app.routes.map(({ method, path }) => `${method} ${path}`);
      app.close();
      const headings = [...page("api").text.matchAll(/^#{2,3} `([A-Z]+ \/[^`]+)`$/gm)].map(([, name = ""]) => name);
      expect(headings.toSorted()).toEqual(routes.toSorted());
    });
  }, 30_000);

  test("its table of errors is the catalogue", () => {
    const rows = Object.entries(errorCatalogue).map(([code, { status, cause, remedy }]) => [
      String(status),
      `\`${code}\``,
      cause,
      remedy,
    ]);
    expectSection("api", "errors", tableOf([["status", "code", "cause", "what to do"], ...rows]));
  });

  test("the metrics page describes each metric, and no other", () => {
    const rows = describeMetrics().map(({ name, type, labelNames, help }) => [
      `\`${name}\``,
      type,
      unitOf(name),
      labelNames.map((label) => `\`${label}\``).join(", "),
      help,
    ]);
    expectSection("metrics", "metrics", tableOf([["metric", "type", "unit", "labels", "description"], ...rows]));
  });

  test("its table of spans names each span, and no other", () => {
    const spans = named(/(?<=\b(?:withSpan|recordSpan|span)\(\s*")[^"]+/g, filesOf("src/**/*.ts"));
    expect(spans).toContain("append");
    const rows = page("metrics").text.matchAll(/^\| ((?:`[^`]+`(?:, )?)+) +\| (?:the node asked|primary|edge)/gm);
    const shown = [...rows].flatMap(([, names = ""]) => named(/(?<=`)[^`,]+(?=`)/g, names));
    // The span of a request is renamed to its method and route.
    expect(shown.map((name) => (name === "METHOD /route" ? "request" : name)).toSorted()).toEqual(spans);
  });

  test("the settings page describes each setting, under the heading of its group", () => {
    const groups = Object.entries(groupHeadings).map(([group, heading]) => {
      const rows = settings.filter((setting) => setting.group === group).map(settingRow);
      const table = tableOf([["setting", "default", "description", "allowed"], ...rows]);
      return group === "advanced"
        ? `## Advanced settings\n\n${advancedIntroduction}\n\n${table}`
        : `### ${heading}\n\n${table}`;
    });
    expectSection("settings", "settings", groups.join("\n"));
  });

  test("the page about upgrades has each setting with another name", () => {
    const rows = [...oldNames].flatMap(([{ name, configPath }, old]) =>
      formerSettings.some((setting) => setting.name === name) || old.name.endsWith(`.${configPath.at(-1)}`)
        ? []
        : [[`\`${old.name}\``, `\`${name}\``]],
    );
    const isMoved = ([old = "", now = ""]: readonly string[]): boolean => now === `\`advanced.${old.slice(1)}`;
    const others = tableOf([["setting of 0.1.0", "0.2.0"], ...rows.filter((row) => !isMoved(row))]);
    const moved = rows.filter(isMoved).map(([old]) => old);
    expectSection("upgrades", "renamed settings", `${others}\nIn \`advanced\` are now ${moved.join(", ")}.\n`);
  });

  test("and metrics with another name, none of which is still there", () => {
    const today = describeMetrics().map(({ name }) => name);
    const renamed = renamedMetrics(page("upgrades").text);
    expect(renamed.length).toBeGreaterThan(5);
    expect(renamed.filter(([old, now]) => today.includes(old) || !today.includes(now))).toEqual([]);
  });

  test("the troubleshooting page begins with its alerts", () => {
    const rows = alertRules.map((rule) => [
      `[\`${rule.alert}\`](#${sectionOf(rule)})`,
      rule.labels.severity,
      rule.for ?? "",
      rule.annotations.summary,
    ]);
    expectSection("troubleshooting", "alerts", tableOf([["alert", "severity", "for", "meaning"], ...rows]));
  });

  test("each alert has a section with symptom, cause and remedy", () => {
    const [, ...all] = page("troubleshooting").text.split(/^## /m);
    const sections = all.filter((section) => section.includes("```promql"));
    const parts = ["**Symptom.**", "**Cause.**", "**What to do.**"];
    expect(sections.filter((section) => !parts.every((part) => section.includes(part)))).toEqual([]);
  });

  test("the architecture names each folder, each kind of request between nodes, and each table", () => {
    const folders = [...new Bun.Glob("src/**/*").scanSync({ cwd: projectRoot, onlyFiles: false })]
      .filter((path) => !path.includes("."))
      .map((path) => path.replaceAll("\\", "/"));
    const isNamed = (folder: string): boolean =>
      namedInArchitecture.includes(folder) || namedInArchitecture.includes(`${dirname(folder)}/*`);
    expect(folders.filter((folder) => !isNamed(folder))).toEqual([]);
    const requests = named(/(?<=")\/replication\/v1\/[\w-]+(?=["?])/g, filesOf("src/**/*.ts"));
    expect(requests.length).toBeGreaterThan(4);
    expect(
      requests.filter(
        (request) =>
          !architecture
            .map(({ text }) => text)
            .join("\n")
            .includes(request),
      ),
    ).toEqual([]);
    const tables = named(/(?<=CREATE TABLE )\w+/g, filesOf("src/store/**/*.sql"));
    expect(tables.filter((table) => !namedInArchitecture.includes(table))).toEqual([]);
  });

  test("the architecture can be read in one sitting", () => {
    expect(Buffer.byteLength(sourceOf("src/ARCHITECTURE.md"))).toBeLessThanOrEqual(40_000);
  });

  test("every page of the manual is linked from the README", () => {
    const links = linksOf(sourceOf("README.md"));
    expect(manualPaths.filter((path) => !links.includes(path))).toEqual([]);
  });
});

/** The rows of a table with metrics of an earlier release and their names of today. */
function renamedMetrics(text: string): (readonly [old: string, now: string])[] {
  return [...text.matchAll(/^\| `(ostiary_\w+)` +\| `(ostiary_\w+)` +\|$/gm)].map(([, old = "", now = ""]) => [
    old,
    now,
  ]);
}

/** Compares a generated section with the one between the markers of a page, and writes it with UPDATE=1. */
function expectSection(name: string, section: string, generated: string): void {
  const { path, text } = page(name);
  const [opening, closing] = [
    `<!-- ${section}: written by UPDATE=1 scripts/bun test test/manual.test.ts -->`,
    `<!-- end of ${section} -->`,
  ];
  const [start, end] = [text.indexOf(opening) + opening.length, text.indexOf(closing)];
  expect(end).toBeGreaterThan(start);
  if (isUpdating) writeFileSync(join(projectRoot, path), `${text.slice(0, start)}\n\n${generated}\n${text.slice(end)}`);
  else expect(text.slice(start, end).trim()).toBe(generated.trim());
}

/** As the formatter aligns it. */
function tableOf([heading = [], ...rows]: readonly (readonly string[])[]): string {
  const columns = rows.map((row) => row.map((cell) => cell.replaceAll("|", String.raw`\|`)));
  const widths = heading.map((_, column) =>
    Math.max(3, ...[heading, ...columns].map((row) => row[column]?.length ?? 0)),
  );
  const line = (row: readonly string[]): string =>
    `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`;
  return [line(heading), line(widths.map((width) => "-".repeat(width))), ...columns.map(line), ""].join("\n");
}

const advancedIntroduction = `Internal limits and intervals, in the section \`advanced\` of the file. The defaults fit nearly all installations:
change one only if a message, a metric or another page of this manual names it. Limits of events, policies and facts
should be the same on all nodes.`;

function settingRow({ name, default: byDefault, description, allowed }: Setting): string[] {
  const value = byDefault === undefined || byDefault === "" ? "" : `\`${String(byDefault)}\``;
  return [`\`${name}\``, value, description, allowed];
}

function unitOf(name: string): string {
  if (/_ms$|^oso_fallback_http_requests$/.test(name)) return "ms";
  if (/_seconds(?:_total)?$/.test(name)) return "s";
  if (/_bytes(?:_total)?$/.test(name)) return "bytes";
  return name.endsWith("_offset") ? "offset" : "count";
}

describe("flags", () => {
  const commands = [
    "serve",
    "dev",
    "config",
    "validate",
    "test",
    "fmt",
    "explain-rules",
    "generate-types",
    "tell",
    "delete",
    "get",
    "inspect",
    "clear",
    "authorize",
    "authorize-resources",
    "list",
    "actions",
    "query",
    "explain",
    "plan",
    "policy show",
    "policy history",
    "policy diff",
    "policy rollback",
    "keys create",
    "keys list",
    "keys rotate",
    "keys revoke",
    "env list",
    "env create",
    "env copy",
    "env key",
    "env rename",
    "env delete",
    "env restore",
    "env abandon",
    "login",
    "logout",
    "whoami",
    "health",
    "promote",
    "metrics",
    "events",
    "audit",
    "export",
    "import facts",
    "import openfga",
    "import spicedb",
    "reconcile",
    "bindings check",
    "decisions",
    "decisions explain",
    "decisions replay",
    "parity",
    "backup",
    "restore",
    "snapshot create",
    "snapshot inspect",
    "snapshot import",
    "migrate",
    "adopt-history",
    "abandon-history",
    "completion",
    "man",
    "openapi",
    "licenses",
    "version",
  ];
  const flagsOf = (text: string): string[] => named(/(?<=^|[\s[`])--[a-z][a-z-]*/g, text);
  const helps = new Map<string, string>();

  beforeAll(async () => {
    for (const command of commands) helps.set(command, await help(command));
  });

  test("belong to their command", () => {
    const used = allCode.flatMap((line) =>
      commands.flatMap((command) => {
        const called = new RegExp(`\\bostiary ${command}\\b([^|]*)`).exec(line)?.[1];
        return called === undefined ? [] : flagsOf(called).map((flag) => ({ command, flag }));
      }),
    );
    expect(used.length).toBeGreaterThan(20);
    const known = (command: string): string[] => [...flagsOf(helps.get(command) ?? ""), "--help", "--all"];
    expect(used.filter(({ command, flag }) => !known(command).includes(flag))).toEqual([]);
  });

  test("or to their script", () => {
    const used = [...allCode, ...architecture.flatMap(({ code }) => code)].flatMap((line) => {
      const [, script, rest] = /^scripts\/(\w+)(.*)/.exec(line) ?? [];
      return script === undefined || rest === undefined || script === "bun"
        ? []
        : flagsOf(rest).map((flag) => ({ script, flag }));
    });
    expect(used.length).toBeGreaterThan(3);
    expect(used.filter(({ script, flag }) => !sourceOf(`scripts/${script}.ts`).includes(` ${flag} `))).toEqual([]);
  });

  test("or, if they stand alone, to one of them", () => {
    const scripts = ["up", "bench", "chaos", "siege", "sim", "test", "release", "image", "package"].map((script) =>
      sourceOf(`scripts/${script}.ts`),
    );
    const known = [
      ...settings.map(({ flag }) => flag as string),
      ...flagsOf([...helps.values(), ...scripts].join("\n")),
    ];
    const alone = [...documents, ...architecture]
      .flatMap(({ inBackticks }) => inBackticks)
      .filter((text) => text.startsWith("--"))
      .flatMap(flagsOf);
    expect(alone.length).toBeGreaterThan(20);
    expect(alone.filter((flag) => !known.includes(flag))).toEqual([]);
  });

  test("and every command of the program is named", async () => {
    const listed = named(/(?<=^ {2})[a-z][a-z-]+(?= )/gm, (await help("")).split("\nExamples:")[0] ?? "");
    expect(listed.length).toBeGreaterThan(15);
    const shown = page("getting-started").inBackticks;
    expect(
      listed.filter(
        (command) =>
          command !== "help" &&
          !shown.some((text) => text.split(" ").at(-1) === command || text.startsWith(`ostiary ${command}`)),
      ),
    ).toEqual([]);
  });
});

describe("commands", () => {
  const shells = ["sh", "bash", "zsh"].filter((shell) => Bun.which(shell) !== null);
  const scripts = documents.flatMap(({ blocks }) =>
    blocks.filter(({ language }) => language === "sh").map(({ text }) => text),
  );

  test.each(shells)("are right for %s", (shell) => {
    expect(scripts.length).toBeGreaterThan(20);
    const all = scripts.map((script) => `{\n${script}}\n`).join("");
    const { stderr, exitCode } = Bun.spawnSync([shell, "-n"], { stdin: Buffer.from(all) });
    expect({ errors: stderr.toString(), exitCode }).toEqual({ errors: "", exitCode: 0 });
  });

  test("have no comments, which zsh refuses at its prompt, and do not rely on word splitting, which zsh does not do", () => {
    const lines = scripts.flatMap((script) => script.split("\n"));
    expect(lines.filter((line) => /(?:^|\s)#/.test(line))).toEqual([]);
    expect(lines.filter((line) => /^\$\w/.test(line.trim()))).toEqual([]);
    expect(lines.filter((line) => /^bun\b/.test(line))).toEqual([]);
    expect(allCode.filter((text) => text.startsWith("bun "))).toEqual([]);
  });
});

async function help(command: string): Promise<string> {
  const words = command === "" ? [] : command.split(" ");
  return (await runCommand([...words, "--help"], { directory: projectRoot, environment: {} })).output;
}
