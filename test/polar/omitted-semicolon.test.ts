/**
 * A `;` that may be left out: the policy without it has the same tree, with a warning for each, and `fmt` writes it again.
 * Elsewhere a missing `;` stays an error. `FUZZ_SEED` repeats a run, `FUZZ_RUNS` makes it longer.
 */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { format } from "../../src/polar/format.ts";
import { tokenize } from "../../src/polar/lexer.ts";
import { parse } from "../../src/polar/parser.ts";
import { createReport } from "../../src/polar/report.ts";
import type { Statement } from "../../src/polar/syntax.ts";
import type { Token } from "../../src/polar/token.ts";
import { must } from "../../src/util/assert.ts";
import { policySpec, writePolicy } from "../fuzz/policy.ts";
import { seededRuns } from "../seeds.ts";
import { compileText, limits } from "./compile.ts";
import { syntax } from "./random-syntax.ts";
import { policyTexts } from "./texts.ts";
import { withoutSpans } from "./without-spans.ts";

function read(text: string) {
  const source = { name: "policy.polar", text };
  const report = createReport();
  const program = parse(source, limits.depthMax, report);
  const { tokens } = tokenize(source, createReport());
  return { program, tokens, tree: withoutSpans(program), diagnostics: report.diagnostics };
}

interface OptionalSemicolon {
  readonly at: number;
  /** Whether a line has to end there. */
  readonly endsLine: boolean;
}

/** Each `;` that may be left out, by its offset. */
function optionalSemicolons(text: string): OptionalSemicolon[] {
  const { program, tokens } = read(text);
  const ends = new Set(program.statements.flatMap(completeAtLineEnd));
  return tokens.flatMap((token, index): OptionalSemicolon[] => {
    const [before, next] = [tokens[index - 1], must(tokens[index + 1] ?? token)];
    if (!isSemicolon(token) || !before || isOneOf(before, ";{}") || isSemicolon(next)) return [];
    if (isOneOf(next, "}")) return [{ at: token.start, endsLine: false }];
    return ends.has(before.end) || ends.has(token.end) ? [{ at: token.start, endsLine: true }] : [];
  });
}

function isSemicolon(token: Token): boolean {
  return isOneOf(token, ";");
}

function isOneOf({ kind, text }: Token, marks: string): boolean {
  return kind === "punctuation" && marks.includes(text);
}

/** The ends of statements that are complete at the end of a line. */
function completeAtLineEnd(statement: Statement): number[] {
  switch (statement.kind) {
    case "block":
      return [...statement.sections, ...statement.rules].map(({ span }) => span.end);
    case "declare":
      return [statement.span.end];
    case "fixture":
      return statement.facts.map(({ span }) => span.end);
    case "test":
      return statement.setup.map(({ span }) => span.end);
    default:
      return [];
  }
}

/** The text without some of its optional semicolons. */
function withoutSome(
  text: string,
  chosen: (index: number) => boolean,
): { readonly text: string; readonly left: number } {
  const found = optionalSemicolons(text).filter((_, index) => chosen(index));
  const without = found
    .toReversed()
    .reduce((changed, { at, endsLine }) => changed.slice(0, at) + (endsLine ? "\n" : "") + changed.slice(at + 1), text);
  return { text: without, left: found.length };
}

function holds(text: string, chosen: (index: number) => boolean): number {
  const { text: without, left } = withoutSome(text, chosen);
  const [before, after] = [read(text), read(without)];
  expect({ without, tree: after.tree }).toEqual({ without, tree: before.tree });
  const found = after.diagnostics.map(({ code, severity }) => `${severity} ${code}`);
  expect(found).toEqual(Array.from({ length: left }, () => "warning syntax/omitted-semicolon"));
  const formatted = format({ name: "policy.polar", text: without }, limits);
  expect("text" in formatted && read(formatted.text).diagnostics).toEqual([]);
  expect("text" in formatted && read(formatted.text).tree).toBe(before.tree);
  return left;
}

const texts = policyTexts().filter((text) => read(text).diagnostics.length === 0);

describe("the tree stays the same without", () => {
  test("any optional `;` of the policies of the tests", () => {
    const left = texts.map((text) => holds(text, () => true));
    expect(left.reduce((sum, count) => sum + count, 0)).toBeGreaterThan(500);
  });

  test.each(seededRuns(20_240_501, 200))(
    "some optional `;` of $runs random texts with seed $seed",
    ({ seed, runs }) => {
      const text = fc.oneof(syntax, policySpec.map(writePolicy), fc.constantFrom(...texts));
      fc.assert(
        fc.property(text, fc.infiniteStream(fc.boolean()), (one, choices) => {
          const drawn = [...choices.take(optionalSemicolons(one).length)];
          holds(one, (index) => must(drawn[index]));
        }),
        { numRuns: runs, seed },
      );
    },
  );
});

test("a rule that could continue on the next line needs its `;`", () => {
  const lines = [
    "allow(u: User, a, d: Doc) if may(u, a, d)\nis_public(d);",
    'resource Doc { roles = ["a", "b"]; "a" if "b" "b" if "a"; }',
    'f("a")\ng("b");',
    'test "t" { assert f("a")\nassert f("b"); }',
    'resource Doc { roles = ["a"] permissions = ["p"]; }',
    'f("a")',
  ];
  for (const text of lines) {
    const errors = compileText(text).diagnostics.filter(({ severity }) => severity === "error");
    expect({ text, codes: [...new Set(errors.map(({ code }) => code))] }).toMatchObject({
      text,
      codes: ["syntax/missing-semicolon"],
    });
  }
});
