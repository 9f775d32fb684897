/** Parses `test "name" { … }` and `test fixture name { … }`. */
import { beforeBrace, beforeBraceOrLine, expect, expectName, expectSemicolon, unexpected } from "./expect.ts";
import { parseExpression } from "./parse-expression.ts";
import { parseCall, parseConcrete, parseHead } from "./parse-term.ts";
import { isAssertion, parseBraces } from "./recovery.ts";
import { quote } from "./report.ts";
import type { Span } from "./span.ts";
import { type Stream, acceptWord, advance, isMark, isWord, peek, refuse, spanFrom, spanOf } from "./stream.ts";
import type { Assertion, Call, Fixture, SetupItem, Test } from "./syntax.ts";
import type { Token } from "./token.ts";

export function parseTest(stream: Stream): Test | Fixture | undefined {
  const start = advance(stream);
  if (isWord(peek(stream), "fixture")) return parseFixture(stream, start);
  const title = peek(stream);
  if (title.kind !== "string") return unexpected(stream, "the name of the test in quotes, or `fixture`");
  advance(stream);
  const open = peek(stream);
  if (!expect(stream, "{", "to begin the test")) return undefined;

  const setup: SetupItem[] = [];
  const assertions: Assertion[] = [];
  let setups = 0;
  let setupSpan: Span | undefined;
  parseBraces(stream, open, () => {
    const word = peek(stream);
    if (!isWord(word, "setup")) {
      const assertion = parseAssertion(stream);
      if (assertion) assertions.push(assertion);
      return assertion && true;
    }
    if (setups > 0 || assertions.length > 0) {
      const message = setups > 0 ? "a test has one `setup` only" : "`setup` must come before the assertions";
      refuse(stream, "syntax/misplaced-setup", message, "move its facts to the `setup` at the top");
    }
    setups += 1;
    if (!parseSetup(stream, setup)) return undefined;
    setupSpan = spanFrom(stream, word);
    return true;
  });
  const name = { text: title.text, span: spanOf(stream, title) };
  return { kind: "test", name, setup, setupSpan, assertions, span: spanFrom(stream, start) };
}

function parseFixture(stream: Stream, start: Token): Fixture | undefined {
  advance(stream);
  const name = expectName(stream, "the name of the fixture");
  const open = peek(stream);
  if (!name || !expect(stream, "{", "to begin the fixture")) return undefined;
  const facts: Call[] = [];
  parseBraces(stream, open, () => {
    if (isUse(stream)) {
      const hint = "include both in the `setup` of the test";
      return refuse(stream, "syntax/nested-fixture", "a fixture cannot include another", hint);
    }
    const fact = parseFact(stream);
    if (fact) facts.push(fact);
    return fact && true;
  });
  return { kind: "fixture", name, facts, span: spanFrom(stream, start) };
}

function parseSetup(stream: Stream, setup: SetupItem[]): true | undefined {
  advance(stream);
  const open = peek(stream);
  if (!expect(stream, "{", "after `setup`")) return undefined;
  const item = (): true | undefined => {
    const parsed = isUse(stream) ? parseUse(stream) : parseFact(stream);
    if (parsed) setup.push(parsed);
    return parsed && true;
  };
  parseBraces(stream, open, item, isAssertion);
  return true;
}

/** `fixture name`, as opposed to a fact whose predicate is called `fixture`. */
function isUse(stream: Stream): boolean {
  return isWord(peek(stream), "fixture") && !isMark(peek(stream, 1), "(");
}

function parseUse(stream: Stream): SetupItem | undefined {
  const start = advance(stream);
  const name = expectName(stream, "the name of a fixture");
  if (!name || !expectSemicolon(stream, "after the fixture", beforeBraceOrLine)) return undefined;
  return { kind: "useFixture", name, span: spanFrom(stream, start) };
}

function parseFact(stream: Stream): Call | undefined {
  const fact = parseCall(stream, parseConcrete);
  if (fact && isWord(peek(stream), "if"))
    return refuse(stream, "syntax/rule-in-test", "a test holds facts, not rules", "move the rule out of the test");
  return fact && expectSemicolon(stream, "after the fact", beforeBraceOrLine) && fact;
}

/** Reports the negation in `assert not p(…)`; the caller reads it as `assert_not p(…)`. */
function skipNegation(stream: Stream): boolean {
  const token = peek(stream);
  if (!isMark(token, "!") && !isWord(token, "not")) return false;
  const message = `\`assert ${token.text}\` is not an assertion`;
  refuse(stream, "syntax/negated-assertion", message, "write `assert_not …`");
  advance(stream);
  return true;
}

/** `("assert" | "assert_not") head [ "iff" expr ] ";"` */
function parseAssertion(stream: Stream): Assertion | undefined {
  const start = peek(stream);
  const isAssert = isWord(start, "assert");
  if (!isAssert && !isWord(start, "assert_not")) return unexpected(stream, "`setup`, `assert` or `assert_not`");
  advance(stream);
  const expected = isAssert && !skipNegation(stream);
  const head = parseHead(stream);
  if (!head) return undefined;
  const hasCondition = acceptWord(stream, "iff");
  const iff = hasCondition ? parseExpression(stream) : undefined;
  if ((hasCondition && !iff) || !expectSemicolon(stream, `after ${quote(start.text)}`, beforeBrace)) return undefined;
  return { expected, head, iff, span: spanFrom(stream, start) };
}
