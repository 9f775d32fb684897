import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { describeJsonError } from "../../src/http/request/json-error.ts";
import { seededRuns } from "../seeds.ts";

const problems: readonly (readonly [text: string, description: string])[] = [
  ["", "line 1, column 1: the text ends, expected a value"],
  ["  ", "line 1, column 3: the text ends, expected a value"],
  ["{", "line 1, column 2: expected a name in double quotes"],
  ["{actor: 1}", "line 1, column 2: expected a name in double quotes"],
  ["{'actor': 1}", "line 1, column 2: expected a name in double quotes"],
  ['{"actor" 1}', "line 1, column 10: expected `:`"],
  ['{"actor":}', "line 1, column 10: expected a value (texts need double quotes)"],
  ['{"actor": User}', "line 1, column 11: expected a value (texts need double quotes)"],
  ['{"actor": "a"', "line 1, column 14: the text ends, expected `}`"],
  ['{"actor": "a",}', "line 1, column 15: expected a name in double quotes"],
  ['{\n  "a": 1,\n  "b": 2\n  "c": 3\n}', "line 4, column 3: expected `,` or `}`"],
  ["[1, 2", "line 1, column 6: the text ends, expected `]`"],
  ["[1, 2}", "line 1, column 6: expected `,` or `]`"],
  ["[1,]", "line 1, column 4: expected a value (texts need double quotes)"],
  ["[1] 2", "line 1, column 5: expected the end of the text"],
  ["01", "line 1, column 1: expected a value (texts need double quotes)"],
  ["nul", "line 1, column 1: expected a value (texts need double quotes)"],
  ['["\\x"]', "line 1, column 3: there is no such escape"],
  ['["a\nb"]', "line 1, column 4: expected an escape for this control character"],
  ['["a', "line 1, column 2: this text has no end"],
];

describe("the position of the first JSON error", () => {
  test.each(problems)("%j: %s", (text, description) => {
    expect(describeJsonError(text)).toBe(description);
  });

  test("is found after a million open brackets without recursion", () => {
    expect(describeJsonError("[".repeat(1_000_000))).toBe("line 1, column 1000001: the text ends, expected a value");
  });

  test("is found exactly if JSON.parse refuses the text", () => {
    const damaged = fc.tuple(fc.json(), fc.nat(), fc.constantFrom("", '"', ",", "{", "]", "\\", "1", "e", " ", "\n"));
    for (const { seed, runs } of seededRuns(1, 5000))
      fc.assert(
        fc.property(damaged, ([json, place, piece]) => {
          const at = place % (json.length + 1);
          const text = json.slice(0, at) + piece + json.slice(at + (place % 2));
          const found = describeJsonError(text);
          expect(found.endsWith("it is nested too deeply")).toBe(isJson(text));
        }),
        { numRuns: runs, seed },
      );
  });
});

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
