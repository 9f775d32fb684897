/** The threat model in `appliance/manual/security.md`: the tests, settings, files and metrics that it names exist. */
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "../../scripts/built-binary.ts";
import { formerSettings, settings } from "../../src/config/settings.ts";

const sourceOf = (path: string): string => readFileSync(join(projectRoot, path), "utf8");
const page = sourceOf("appliance/manual/security.md");
const columns = [
  "Attacker",
  "Attack",
  "What the attacker can do",
  "What the attacker cannot do",
  "Bounded by",
  "Tests",
];

const [header = [], , ...rows] = page
  .split("\n")
  .filter((line) => line.startsWith("|"))
  .map((line) => line.split("|").slice(1, -1))
  .map((fields) => fields.map((field) => field.trim()));

interface Citation {
  /** Of the test file, without the end of its name: that says only when the file runs. */
  readonly path: string;
  readonly name: string;
}

/** `test/a` "a name", "another one"; `test/b` "a name" */
function citations(field: string): Citation[] {
  return field.split("; `test/").flatMap((part, index) => {
    const [, path = "", names = ""] = /^`([^`]+)` (.*)$/.exec(index === 0 ? part : `\`test/${part}`) ?? [];
    return names.split(/(?<="), (?=")/).map((name) => ({ path, name: name.slice(1, -1) }));
  });
}

describe("the threat model", () => {
  test("is one table without empty fields", () => {
    expect(header).toEqual(columns);
    expect(rows.length).toBeGreaterThan(30);
    expect(rows.filter((fields) => fields.length !== columns.length || fields.includes(""))).toEqual([]);
  });

  test("covers all kinds of attackers", () => {
    const kinds = ["Anonymous network client", "read key", "write key", "admin key", "broker", "Malicious node"];
    const others = ["Tampered file", "Operator mistake", "disk", "clock", "Other user"];
    for (const kind of [...kinds, ...others]) expect(rows.some(([attacker]) => attacker?.includes(kind))).toBe(true);
  });

  test("names tests that exist, in each row", () => {
    const wrong = rows.flatMap(([attacker, attack, , , , tests = ""]) => {
      const cited = citations(tests);
      const missing = cited.filter(({ path, name }) => name === "" || !isTest(path, name));
      const row = `${attacker}: ${attack}`;
      return cited.length === 0 ? [`${row}: no test`] : missing.map(({ path, name }) => `${row}: ${path} "${name}"`);
    });
    expect(wrong).toEqual([]);
  });

  test("and its lists name existing settings, files and metrics", () => {
    const code = [...page.matchAll(/`([^`]+)`/g)].map(([, text = ""]) => text);
    const names = [...settings, ...formerSettings].map(({ path }) => path.at(-1));
    const settingLike = code.filter((text) => /^[a-z]+(?:[A-Z][A-Za-z]*)+$/.test(text));
    const bounding = rows.flatMap(([, , , , bound = ""]) => [...bound.matchAll(/`([\w.]+)`/g)].map(([, text]) => text));
    const known = (name = ""): boolean => names.includes(name.split(".").at(-1));
    expect([...settingLike, ...bounding].filter((name) => !known(name))).toEqual([]);
    const paths = code.filter((text) => /^(?:appliance|compose|scripts|test)\//.test(text));
    const exists = (path: string): boolean => filesOf(path).length > 0 || existsSync(join(projectRoot, path));
    expect(paths.filter((path) => !exists(path))).toEqual([]);
    const metrics = sourceOf("src/telemetry/metrics.ts") + sourceOf("src/roles/node-metrics.ts");
    const counted = code.filter((text) => text.startsWith("ostiary_"));
    expect(counted.filter((name) => !metrics.includes(`"${name}"`))).toEqual([]);
  });
});

function isTest(path: string, name: string): boolean {
  return filesOf(path).some((file) => sourceOf(file).includes(name));
}

function filesOf(path: string): string[] {
  return [".test.ts", ".integration.test.ts", ".full.test.ts"]
    .map((end) => `${path}${end}`)
    .filter((file) => existsSync(join(projectRoot, file)));
}
