/** Lists and records of bounded length: what is wrong inside of them is said, and nothing is transformed then. */
import { expect, test } from "bun:test";
import { z } from "zod";
import { defaultLimits } from "../../src/config/limits.ts";
import { requestParsers } from "../../src/http/request/request-schemas.ts";
import { validator } from "../../src/http/request/schema-error.ts";
import { listOf, recordOf } from "../../src/util/bounded-schema.ts";

const member = z.strictObject({ name: z.string() });
const texts = (given: readonly { readonly name: string }[]): string[] => given.map(({ name }) => name);
const parseList = validator(
  "body",
  z.strictObject({ all: listOf(member, {}) }).transform(({ all }) => texts(all)),
);
const parseRecord = validator(
  "body",
  z
    .strictObject({ all: recordOf(member, { max: 5, keyBytesMax: 5 }) })
    .transform(({ all }) => texts(Object.values(all))),
);

test("an unknown member of an element stops the transformation of the whole, and is named", () => {
  const wrong = { name: "x", nam: "y" };
  expect(() => parseList({ all: [{ name: "x" }, wrong] })).toThrow(
    "`all.1` in the body must not have `nam`: did you mean `name`?",
  );
  expect(() => parseRecord({ all: { a: wrong } })).toThrow(
    "`all.a` in the body must not have `nam`: did you mean `name`?",
  );
  expect([parseList({ all: [{ name: "x" }] }), parseRecord({ all: { a: { name: "x" } } })]).toEqual([["x"], ["x"]]);
});

test.each(["validate", "test", "policyEffect"] as const)("so does a file of a policy in `%s`", (name) => {
  const parse = requestParsers(defaultLimits)[name];
  const files = [{ filename: "a.polar", src: "", constructor: 1 }];
  expect(() => parse({ files })).toThrow(
    "`files.0` in the body must not have `constructor`: known are `filename` and `src`",
  );
});
