/** Values, facts and patterns in command lines. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  formatFact,
  parseFactText,
  parseFactWords,
  parsePatternWord,
  parsePatternWords,
} from "../../src/cli/parse-fact.ts";
import { seededRuns } from "../seeds.ts";

const value = (type: string | null, id: string | null) => ({ type, id });

describe("a word", () => {
  test.each([
    ["owner", "String", "owner"],
    ["a b, c", "String", "a b, c"],
    ["5", "String", "5"],
    ["true", "String", "true"],
    ['"a:b"', "String", "a:b"],
    ["String:a:b", "String", "a:b"],
    ["User:ann", "User", "ann"],
    ["User:a b:c", "User", "a b:c"],
    ['User:"a \\"b\\""', "User", 'a "b"'],
    ["User::b", "User", ":b"],
    ["Shop::Item:5", "Shop::Item", "5"],
    ["Größe:zu groß", "Größe", "zu groß"],
    ['User:"\\\\0 "', "User", "\\0 "],
    ['User{"\\0"}', "User", "\0"],
    ['User{"ann"}', "User", "ann"],
    ["Folder{7}", "Folder", "7"],
    ["Integer:-5", "Integer", "-5"],
    ["Boolean:true", "Boolean", "true"],
    ["_", null, null],
    ["_:_", null, null],
    ["User:_", "User", null],
    ["_:ann", null, "ann"],
    ["_:a b", null, "a b"],
    ['_:"_"', null, "_"],
    ['String:"_"', "String", "_"],
    ["User:_x", "User", "_x"],
  ])("%s", (word, type, id) => expect(parsePatternWord(word)).toEqual(value(type, id)));

  test.each(["", ":ann", "User:", "a b:c", "5:x", '"\\q"'])("refused: %p", (word) =>
    expect(() => parsePatternWord(word)).toThrow(),
  );
});

const stored = {
  predicate: "has_role",
  args: [value("User", "ann"), value("String", "reader"), value("Repository", "a b")],
};

test("a fact is words, or one word", () => {
  expect(parseFactWords(["has_role", "User:ann", "reader", "Repository:a b"])).toEqual(stored as never);
  expect(parseFactWords(['has_role(User:ann, "reader", Repository:"a b")'])).toEqual(stored as never);
  expect(parseFactText('has_role User:ann  reader Repository:"a b"')).toEqual(stored as never);
  expect(parseFactText('has_role User:ann reader Repository{"a b"}')).toEqual(stored as never);
  expect(parseFactText('has_role(User{"ann"}, "reader", Repository:"a b")')).toEqual(stored as never);
  expect(parseFactText('in_group User:ann Group:"x (y)"').args[1]).toEqual({ type: "Group", id: "x (y)" });
});

test("a fact has no wildcards, and a predicate is a name", () => {
  for (const words of [["p", "_"], ["p", "User:_"], ["_", "User:ann"], ["p(User:_)"], ["p q"], [""], ["p(_)"]])
    expect(() => parseFactWords(words)).toThrow();
  expect(() => parseFactWords(["p", "User:_"])).toThrow("`User:_` has a wildcard");
});

test("a pattern can have wildcards for everything", () => {
  const any = value(null, null);
  expect(parsePatternWords([])).toEqual({ predicate: null, args: [] });
  expect(parsePatternWords(["_", "User:ann"])).toEqual({ predicate: null, args: [value("User", "ann")] });
  expect(parsePatternWords(["has_role", "_", "maintainer", "Repository:_"])).toEqual({
    predicate: "has_role",
    args: [any, value("String", "maintainer"), value("Repository", null)],
  });
  expect(parsePatternWords(["has_role(_, _:x, User:_)"])).toEqual({
    predicate: "has_role",
    args: [any, value(null, "x"), value("User", null)],
  });
});

test("the printed form of every fact is understood again, as one word, on one line", () => {
  const type = fc.constantFrom("User", "String", "Integer", "A::B");
  const id = fc.oneof(
    fc.string({ unit: "grapheme", minLength: 1 }),
    fc.constantFrom("_", '"', "a:b", "\u202ex", "(,)", "5", ":B:x"),
  );
  const fact = fc.record({
    predicate: fc.constantFrom("p", "has_role"),
    args: fc.array(fc.record({ type, id }), { minLength: 1, maxLength: 5 }),
  });
  for (const { seed, runs } of seededRuns(1, 200))
    fc.assert(
      fc.property(fact, (given) => {
        const text = formatFact(given);
        expect(text).not.toContain("\n");
        expect(parseFactWords([text])).toEqual(given);
        expect(parsePatternWords([text])).toEqual(given);
      }),
      { numRuns: runs, seed },
    );
});
