/**
 * The formatter: `format/*.polar` are policies, and the `.txt` files have their canonical form. Its invariants are
 * tested with all policies of the tests and with random ones. `FUZZ_SEED` repeats a run, `FUZZ_RUNS` makes it longer.
 */
import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { format } from "../../src/polar/format.ts";
import { tokenize } from "../../src/polar/lexer.ts";
import { parse } from "../../src/polar/parser.ts";
import { createReport } from "../../src/polar/report.ts";
import { policySpec, writePolicy } from "../fuzz/policy.ts";
import { expectGolden, readCases } from "../golden.ts";
import { compileText, limits } from "./compile.ts";
import { quota, seededRuns } from "../seeds.ts";
import { hasCorpus, policyTexts } from "./texts.ts";
import { syntax } from "./random-syntax.ts";
import { withoutSpans } from "./without-spans.ts";

function formatted(text: string): string {
  const result = format({ name: "policy.polar", text }, limits);
  if ("diagnostics" in result) throw new Error(`does not parse: ${JSON.stringify(result.diagnostics[0])}\n${text}`);
  return result.text;
}

function read(text: string) {
  const source = { name: "policy.polar", text };
  const report = createReport();
  const tree = withoutSpans(parse(source, limits.depthMax, report));
  const { tokens, comments } = tokenize(source, createReport());
  return {
    valid: !report.diagnostics.some(({ severity }) => severity === "error"),
    tree,
    tokens,
    comments: comments.map(({ start, end }) => text.slice(start, end).trimEnd()),
  };
}

/** The invariants for every text that parses. */
function holds(text: string): void {
  const before = read(text);
  const once = formatted(text);
  const after = read(once);
  expect(after.tree).toBe(before.tree);
  expect(after.comments).toEqual(before.comments);
  expect(formatted(once)).toBe(once);
  expect(once).not.toMatch(/[ \t]$|\n\n\n|\{\n\n|\n\n *\}/m);
  expect(once).toMatch(/^$|^[^\n][^]*[^\n]\n$|^[^\n]\n$/);
}

const directory = join(import.meta.dirname, "format");

for (const suite of readdirSync(directory).filter((name) => name.endsWith(".polar"))) {
  test(`the canonical form of ${suite}`, () => {
    const answers = readCases(join(directory, suite)).map(({ name, text }) => `# --- ${name}\n${formatted(text)}`);
    expectGolden(join(directory, suite.replace(".polar", ".txt")), answers.join(""));
  });
}

test("a line has at most a hundred columns without its comment", () => {
  const rule = (length: number) => `f(x) if g("${"x".repeat(length - 14)}");`;
  expect(rule(100)).toHaveLength(100);
  expect(formatted(`${rule(100)} # more`)).toBe(`${rule(100)} # more\n`);
  expect(formatted(rule(101))).toBe(`f(x) if\n  ${rule(101).slice(8)}\n`);
});

test("the policies of the project are in canonical form", () => {
  const scripts = join(import.meta.dirname, "../../scripts");
  const names = readdirSync(scripts, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".polar"));
  expect(names.length).toBeGreaterThan(1);
  for (const name of names) {
    const text = readFileSync(join(scripts, name), "utf8");
    expect(formatted(text)).toBe(text);
  }
});

const texts = policyTexts().filter((text) => read(text).valid);

test(`policies keep their tree, comments and meaning (${hasCorpus ? "with" : "without"} ../shared/corpus)`, () => {
  expect(texts.length).toBeGreaterThan(150);
  for (const text of texts) {
    holds(text);
    const before = compileText(text);
    const after = compileText(formatted(text));
    expect(withoutSpans(after.policy)).toBe(withoutSpans(before.policy));
    const reported = ({ diagnostics }: typeof before) => diagnostics.map(({ code, message }) => `${code}: ${message}`);
    const left = reported(before).filter((line) => !line.startsWith("syntax/omitted-semicolon"));
    expect(reported(after)).toEqual(left);
  }
});

describe.each(seededRuns(20_240_501, 40))("random, $runs times with seed $seed:", ({ seed, runs, isKnown }) => {
  const parameters = { numRuns: runs, seed };

  test("policies", () => {
    fc.assert(
      fc.property(policySpec, (spec) => {
        const text = writePolicy(spec);
        holds(text);
        expect(withoutSpans(compileText(formatted(text)).policy)).toBe(withoutSpans(compileText(text).policy));
      }),
      parameters,
    );
  });

  test("texts of every form that the grammar has", () => {
    fc.assert(fc.property(syntax, holds), { ...parameters, numRuns: runs * 3 });
  });

  const anyText = fc.oneof(fc.constantFrom(...texts), policySpec.map(writePolicy), syntax);
  const gaps = [
    " # c\n",
    "\n# c\n",
    "\n\n  # c  \n",
    "# c\r\n\r\n",
    "\n\n\n",
    " ",
    "\r\n#\n#d\n",
    "#\n",
    "#;\n",
    "\ufeff",
  ];
  const insertion = fc.record({ at: fc.nat(), text: fc.constantFrom(...gaps) });

  test("comments and blanks between any two tokens", () => {
    fc.assert(
      fc.property(anyText, fc.array(insertion, { minLength: 1, maxLength: 30 }), (text, insertions) => {
        holds(insert(text, insertions));
      }),
      { ...parameters, numRuns: runs * 3 },
    );
  });

  test("long lines, of all lengths", () => {
    fc.assert(
      fc.property(anyText, fc.array(insertion, { maxLength: 3 }), fc.nat({ max: 40 }), (text, insertions, longer) => {
        const strings = read(text).tokens.filter(({ kind }) => kind === "string");
        const wide = strings.toReversed().reduce((wider, { end }) => splice(wider, end - 1, "x".repeat(longer)), text);
        holds(insert(wide, insertions));
      }),
      { ...parameters, numRuns: runs * 2 },
    );
  });

  test("mutations that still parse", () => {
    const change = fc.record({ at: fc.nat(), with: fc.nat(), drop: fc.boolean() });
    let parsed = 0;
    fc.assert(
      fc.property(anyText, fc.array(change, { minLength: 1, maxLength: 3 }), (text, changes) => {
        const mutated = mutate(text, changes);
        if (!read(mutated).valid) return;
        parsed += 1;
        holds(mutated);
      }),
      { ...parameters, numRuns: runs * 5 },
    );
    console.log(`seed ${seed}, ${runs * 5} changed texts: ${parsed} parse`);
    expect(parsed).toBeGreaterThanOrEqual(quota(runs * 5, 0.1, isKnown));
  });
});

describe("errors that prevent formatting are reported:", () => {
  const source = (text: string) => ({ name: "policy.polar", text });

  test("syntax errors, as in a compilation", () => {
    const text = 'f(x) if;\ng("a")\nresource R { roles = ["a"] }';
    const result = format(source(text), limits);
    expect(result).toEqual({ diagnostics: compileText(text).diagnostics });
    expect("diagnostics" in result && result.diagnostics.map(({ code }) => code)).toEqual([
      "syntax/unexpected-token",
      "syntax/missing-semicolon",
      "syntax/omitted-semicolon",
    ]);
  });

  test("a text that is too long, and nesting that is too deep", () => {
    expect(format(source("f(x);"), { ...limits, sourceBytesMax: 4 })).toMatchObject({
      diagnostics: [{ code: "syntax/too-long" }],
    });
    expect(format(source("f(x) if ((g(x)));"), { ...limits, depthMax: 1 })).toMatchObject({
      diagnostics: [{ code: "syntax/too-deep" }],
    });
  });

  test("but neither a `;` that may be left out", () => {
    const bare =
      'resource R { roles = ["a"] # c\n "a" if "b" # d\n}\ndeclare f(R)\ntest "t" { setup { f(R{"x"}) } assert f(R{"x"}) }';
    expect(formatted(bare)).toBe(
      [
        "resource R {",
        '  roles = ["a"]; # c',
        '  "a" if "b"; # d',
        "}",
        "",
        "declare f(R);",
        "",
        'test "t" {',
        "  setup {",
        '    f(R{"x"});',
        "  }",
        '  assert f(R{"x"});',
        "}",
        "",
      ].join("\n"),
    );
  });

  test("nor semantic errors", () => {
    expect(formatted('resource R{"a" if "b"  ;}')).toBe('resource R {\n  "a" if "b";\n}\n');
  });
});

interface Change {
  readonly at: number;
  readonly with: number;
  readonly drop: boolean;
}

/** Removes tokens, or replaces them by others of the same kind. */
function mutate(text: string, changes: readonly Change[]): string {
  let changed = text;
  for (const { at, with: other, drop } of changes) {
    const { tokens } = read(changed);
    const place = tokens[at % tokens.length];
    const alike = tokens.filter(({ kind }) => kind === place?.kind);
    const found = alike[other % alike.length];
    if (!place || !found) continue;
    const replacement = drop ? " " : changed.slice(found.start, found.end);
    changed = changed.slice(0, place.start) + replacement + changed.slice(place.end);
  }
  return changed;
}

function splice(text: string, at: number, more: string): string {
  return text.slice(0, at) + more + text.slice(at);
}

function insert(text: string, insertions: readonly { readonly at: number; readonly text: string }[]): string {
  const { tokens } = read(text);
  // `NOT(x)` is a call and `NOT (x)` another language's negation, so nothing comes between the two.
  const places = tokens.filter(({ text: mark }, index) => mark !== "(" || tokens[index - 1]?.text !== "NOT");
  const byPosition = Map.groupBy(insertions, ({ at }) => places[at % places.length]?.start ?? 0);
  const parts: string[] = [];
  let from = 0;
  for (const [place, found] of [...byPosition].sort(([one], [other]) => one - other)) {
    parts.push(text.slice(from, place), ...found.map((one) => one.text));
    from = place;
  }
  return parts.join("") + text.slice(from);
}
