/**
 * Checks the language reference: each example behaves as the text says, and each table agrees with the implementation.
 */
import * as Bun from "bun";
import { beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { builtBinary, projectRoot } from "../../scripts/built-binary.ts";
import { limitsSchema } from "../../src/config/limit-schemas.ts";
import { type Limits, defaultLimits } from "../../src/config/limits.ts";
import { checkPolicy } from "../../src/engine/validation/policy-check.ts";
import { prepare } from "../../src/policy/active-policy.ts";
import { formatFactType } from "../../src/policy/fact-schema.ts";
import { resolveChanges } from "../../src/log/state/resolve.ts";
import { format } from "../../src/polar/format.ts";
import { renderDiagnostics } from "../../src/polar/render.ts";
import type { Rule } from "../../src/polar/policy.ts";
import type { Source } from "../../src/polar/source.ts";
import type { Fact, Value } from "../../src/store/facts/fact.ts";
import { must } from "../../src/util/assert.ts";
import { openEngineInMemory } from "../cases/engine-target.ts";
import { policy as policyEvent, storeWith } from "../engine/store.ts";
import { codesInSource } from "./codes-in-source.ts";
import { compileText, limits } from "./compile.ts";
import { blocks, codesIn, inBackticks, page, rowsOf } from "./page.ts";

const binary = await builtBinary();
const polar = blocks.filter(({ words }) => words[0] === "polar" && words[1] !== "longhand");
const unique = (found: Iterable<string>): string[] => [...new Set(found)].toSorted();

test("every block of code is of a kind that this test checks", () => {
  const code = String.raw`[a-z]+/[a-z]+(?:-[a-z]+)*`;
  const kinds = new RegExp(
    `^(?:polar(?: continued)?(?: (?:refused|warned)(?: ${code})+| fails)?|polar longhand|text (?:facts|answers|says|refuses .+)|sh)$`,
  );
  expect(blocks.filter(({ words }) => !kinds.test(words.join(" "))).map(({ title }) => title)).toEqual([]);
  expect(polar.length).toBeGreaterThan(15);
});

describe("the examples", () => {
  test.each(polar.map((block) => [block.title, block] as const))("%s", (_, { words, sources, text }) => {
    const [kind, ...codes] = words.filter((word) => word !== "polar" && word !== "continued");
    const { policy, diagnostics, tests } = checkPolicy(sources, { runTests: true });
    const problems = renderDiagnostics(diagnostics, sources, { color: false });
    const found = unique(diagnostics.map(({ code }) => code));
    expect({ found, problems }).toEqual({ found: codes.toSorted(), problems });
    expect(policy === undefined).toBe(kind === "refused");
    const failed = tests?.tests.filter(({ passed, total }) => passed < total).map(({ name }) => name) ?? [];
    const own = [...text.matchAll(/^test "(.*)"/gm)].map(([, name]) => must(name));
    expect(failed).toEqual(kind === "fails" ? own : []);
  });

  test("are formatted by `ostiary fmt`", () => {
    const written = blocks.filter(({ words }) => words[0] === "polar");
    const formatted = written.map(({ text }) => format({ name: "policy.polar", text }, limits));
    expect(formatted).toEqual(written.map(({ text }) => ({ text })));
  });

  test("have tests, most of them", () => {
    expect(polar.filter(({ text }) => /^test "/m.test(text)).length).toBeGreaterThan(polar.length / 2);
  });
});

/** The kinds of blocks that describe the policy before them. */
const remarks = blocks.filter(({ words }) => words[1] === "longhand" || words[0] === "text");

describe("the description of the policy before", () => {
  test.each(remarks.map((block) => [block.title, block] as const))("%s", (_, block) => {
    const lines = block.text.trimEnd().split("\n");
    switch (block.words[1]) {
      case "longhand":
        return expect(rulesOf(block.text)).toEqual(rulesOf(textOf(block.sources)));
      case "facts":
        return expect(lines.toSorted()).toEqual(acceptedFacts(block.sources));
      case "refuses":
        return expect(refusalOf(block.words.slice(2).join(" "), block.sources)).toBe(lines.join("\n"));
      case "answers":
        return expect(answers(lines, block.sources)).toEqual(lines.map(spaced));
      default:
        return expect(saidOf(block.sources)).toBe(block.text);
    }
  });
});

test("the shorthand in the table expands to the longhand next to it", () => {
  const blockText = textOf(must(blocks.find(({ words }) => words[1] === "longhand")).sources);
  const rows = rowsOf("in the block of");
  expect(rows.length).toBeGreaterThan(10);
  for (const [owner, shorthand, longhand] of rows) {
    const [type, rule, expected] = [owner, shorthand, longhand].map((cell) => must(codesIn(cell)[0]));
    const opening = type === "global" ? "global {" : `resource ${type} {`;
    const extended = blockText.replace(opening, `${opening} ${rule}`);
    const known = rulesOf(blockText);
    expect([rule, rulesOf(extended).filter((found) => !known.includes(found))]).toEqual([
      rule,
      rulesOf(must(expected)),
    ]);
  }
});

test("forms of other languages get the code next to them, and the replacement compiles", () => {
  const rows = rowsOf("instead of");
  expect(rows.length).toBeGreaterThan(10);
  for (const [written, code, cure] of rows) {
    const [bad] = codesIn(written);
    const [good] = codesIn(cure);
    expect([bad, errorsOf(must(bad))]).toEqual([bad, codesIn(code)]);
    expect([good, errorsOf(must(good))]).toEqual([good, []]);
  }
});

describe("the tables name", () => {
  test("exactly the existing errors and warnings", () => {
    const named = [...rowsOf("error"), ...rowsOf("warning")].flatMap(([codes]) => diagnosticsIn(codes));
    expect(named.toSorted()).toEqual(codesInSource("src"));
  });

  test("errors as errors and warnings as warnings", () => {
    const golden = readdirSync(join(import.meta.dirname, "diagnostics")).filter((name) => name.endsWith(".txt"));
    const shown = golden.map((name) => readFileSync(join(import.meta.dirname, "diagnostics", name), "utf8")).join("\n");
    for (const severity of ["error", "warning"]) {
      const reported = unique(
        [...shown.matchAll(new RegExp(`${severity}: .*\\[(\\S+)\\]$`, "gm"))].map(([, code]) => must(code)),
      );
      const named = rowsOf(severity).flatMap(([codes]) => diagnosticsIn(codes));
      expect(reported.length).toBeGreaterThan(2);
      expect(reported.filter((code) => !named.includes(code))).toEqual([]);
    }
  });

  test("limits with their defaults", () => {
    const written = limitsSchema.encode(defaultLimits);
    const rows = rowsOf("limit");
    expect(rows.length).toBeGreaterThan(5);
    for (const [name, value] of rows) {
      const limit = must(codesIn(name)[0]) as keyof Limits;
      expect([limit, value]).toEqual([limit, String(written[limit])]);
    }
    const mentioned = inBackticks.filter((text) => /^[a-z]+[A-Za-z]+(?:Max|Ms)$/.test(text));
    expect(mentioned.filter((name) => !(name in defaultLimits))).toEqual([]);
  });
});

describe("the page", () => {
  test("links to existing headings and files", () => {
    const headings = [...page.matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
      must(heading)
        .toLowerCase()
        .replaceAll(/[^\w -]/g, "")
        .replaceAll(" ", "-"),
    );
    const anchors = [...page.matchAll(/\]\(#([^)]+)\)/g)].map(([, anchor]) => must(anchor));
    expect(anchors.filter((anchor) => !headings.includes(anchor))).toEqual([]);
    const paths = inBackticks.filter((text) => /^(?:src|test|appliance|scripts)\/.*\.\w+$/.test(text));
    expect(paths.filter((name) => !existsSync(join(projectRoot, name)))).toEqual([]);
    expect(Math.min(anchors.length, paths.length)).toBeGreaterThan(0);
  });
});

describe("commands on the page", () => {
  const code = [
    ...blocks.filter(({ words }) => words[0] === "sh").flatMap(({ text }) => text.split("\n")),
    ...inBackticks,
  ];
  const calls = code.flatMap((line) => {
    const [, command, rest] = /^ostiary ([a-z-]+)([^#]*)/.exec(line) ?? [];
    return command === undefined || rest === undefined ? [] : [{ command, flags: flagsIn(rest) }];
  });
  const commands = unique(calls.map(({ command }) => command));
  const helps = new Map<string, string>();

  beforeAll(async () => {
    await Promise.all(commands.map(async (command) => helps.set(command, await help(command))));
  }, 30_000);

  test("exist, with their options", () => {
    expect(commands).toContain("validate");
    expect(commands.filter((command) => !helps.get(command)?.startsWith(`Usage: ostiary ${command} `))).toEqual([]);
    const unknown = ({ command, flags }: (typeof calls)[number]): boolean =>
      flags.some((flag) => !flagsIn(helps.get(command) ?? "").includes(flag));
    expect(calls.filter(unknown)).toEqual([]);
  });
});

async function help(command: string): Promise<string> {
  const program = Bun.spawn([binary, command, "--help"], {
    cwd: projectRoot,
    stdout: "pipe",
    stderr: "inherit",
  });
  return program.stdout.text();
}

function flagsIn(text: string): string[] {
  return [...text.matchAll(/(?<=^|[\s[`])--[a-z][a-z-]*/g)].map(([flag]) => flag);
}

function textOf(sources: readonly Source[]): string {
  return sources.map(({ text }) => text).join("\n");
}

/** The rules of a policy, each as text without spans and without the names of variables. */
function rulesOf(text: string): string[] {
  const { policy, diagnostics } = compileText(text);
  return must(policy, JSON.stringify(diagnostics))
    .rules.filter(({ implicit }) => !implicit)
    .map(canonical);
}

function canonical(rule: Rule): string {
  const names = new Map<string, number>();
  const number = (name: string): number => names.getOrInsertComputed(name, () => names.size);
  return JSON.stringify(rule, function (this: { kind?: string }, key, value: unknown) {
    if (key === "span") return undefined;
    const isVariable = (key === "name" && this.kind === "variable") || (key === "variable" && this.kind === "matches");
    return isVariable ? number(String(value)) : value;
  });
}

function errorsOf(text: string): string[] {
  const { diagnostics } = compileText(text);
  return unique(diagnostics.filter(({ severity }) => severity === "error").map(({ code }) => code));
}

function acceptedFacts(sources: readonly Source[]): string[] {
  const { policy } = checkPolicy(sources, { runTests: false });
  return unique(prepare(must(policy), defaultLimits).factTypes.map(formatFactType));
}

function refusalOf(fact: string, sources: readonly Source[]): string {
  const store = storeWith(policyEvent(textOf(sources)));
  try {
    resolveChanges(store, [{ inserts: factsIn(`test "" { setup { ${fact}; } }`) }]);
  } catch (error) {
    return (error as Error).message;
  } finally {
    store.close();
  }
  return "it is not refused";
}

/** The facts of the first test. */
function factsIn(text: string): readonly Fact[] {
  const { policy } = compileText(text);
  return must(policy?.tests[0]).facts;
}

/** `list(User{"ana"}, "read", Folder)   ["a"]`, for an engine with the facts of the policy's first test. */
function answers(lines: readonly string[], sources: readonly Source[]): string[] {
  const policy = textOf(sources);
  using engine = openEngineInMemory({ policy, facts: factsIn(policy), contextFacts: [], now: 0 }, {});
  return lines.map((line) => {
    const [, question, args] = must(/^(\w+)\((.*)\) /.exec(line), line);
    const values = [...must(args).matchAll(/(\w*)\{?"([^"]*)"\}?|(\w+)/g)].map(([, type, id, bare]): Value => ({
      type: bare ?? must(type),
      id: id ?? "",
    }));
    const [actor, second, third] = values;
    const answer = ask(must(question), must(actor), must(second), third);
    return spaced(`${line.slice(0, line.indexOf(")") + 1)} ${JSON.stringify(answer)}`);
  });

  function ask(question: string, actor: Value, second: Value, third: Value | undefined): unknown {
    if (question === "actions") return engine.actions(actor, second);
    if (question === "list") return engine.list(actor, second.id, must(third).type);
    return engine.authorize({ actor, action: second.id, resource: must(third) });
  }
}

function spaced(line: string): string {
  return line.replace(/ +/g, " ");
}

function saidOf(sources: readonly Source[]): string {
  const { diagnostics, tests } = checkPolicy(sources, { runTests: true });
  const failures = tests?.failures.map(({ diagnostic }) => diagnostic) ?? [];
  return renderDiagnostics([...diagnostics, ...failures], sources, { color: false });
}

/** The codes of a cell. `block/`, `rule/empty-id` means both codes of that name. */
function diagnosticsIn(cell: string | undefined): string[] {
  const codes = codesIn(cell);
  const name = codes.at(-1)?.replace(/^.*\//, "");
  return codes.map((code) => (code.endsWith("/") ? `${code}${name}` : code));
}
