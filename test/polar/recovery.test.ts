/** Error recovery: a small mistake gives one message, for any text after it. */
import { expect, test } from "bun:test";
import { tokenize } from "../../src/polar/lexer.ts";
import { createReport } from "../../src/polar/report.ts";
import { compileText } from "./compile.ts";
import { policyTexts } from "./texts.ts";

const texts = policyTexts().filter((text) => compileText(text).policy !== undefined);

/** Each position of the mark in a valid policy, and the diagnostics of the policy without it. */
function* without(mark: string): Generator<{ readonly before: string; readonly errors: string[] }> {
  for (const text of texts) {
    const { tokens } = tokenize({ name: "policy.polar", text }, createReport());
    for (const { start, end } of tokens.filter((token) => token.kind === "punctuation" && token.text === mark)) {
      const { diagnostics } = compileText(text.slice(0, start) + text.slice(end));
      const errors = diagnostics.filter(({ severity }) => severity === "error");
      yield { before: text.slice(Math.max(0, start - 80), end), errors: errors.map(({ code }) => code) };
    }
  }
}

test("a missing `;` gives one message, or none if it was redundant", () => {
  const found = [...without(";")];
  expect(found.length).toBeGreaterThan(1000);
  expect(found.filter(({ errors }) => errors.length > 1)).toEqual([]);
  const codes = new Set(found.flatMap(({ errors }) => errors));
  expect([...codes].sort()).toEqual(["syntax/missing-semicolon", "syntax/unexpected-token"]);
});

test("a missing `)` gives one message", () => {
  const found = [...without(")")];
  expect(found.length).toBeGreaterThan(1000);
  expect(found.filter(({ errors }) => errors.length !== 1)).toEqual([]);
});
