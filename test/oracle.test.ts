/** The oracle itself: wildcards, equality of answers, and refusal of undecidable input. */
import { expect, test } from "bun:test";
import type { Query, QueryRow } from "../src/engine/request/questions.ts";
import { defaultLimits } from "../src/config/limits.ts";
import { polarLimits } from "../src/policy/active-policy.ts";
import { compile } from "../src/polar/compile.ts";
import { must } from "../src/util/assert.ts";
import { parseFact } from "./cases/case.ts";
import { compilePolicy } from "./cases/compile-policy.ts";
import { oracle, TooMuchWork } from "./oracle.ts";
import { differences } from "./oracle/differences.ts";

const policy = compilePolicy(`
  actor User {}
  resource Doc {}
  sees(_: User, doc: Doc) if is_public(doc);
  sees(user: User, doc: Doc) if invited(user, doc);
  knows(user: User, user: User);
`);
const facts = ["is_public(Doc:open)", "invited(User:ann, Doc:draft)"].map(parseFact);
const slow = oracle(policy, { facts, now: 0, values: [{ type: "User", id: "zoe" }] });

function pairs(predicate: string, first: string, second: string): Query {
  return {
    calls: [{ predicate, variables: ["a", "b"] }],
    variables: new Map([
      ["a", { type: first, ids: null }],
      ["b", { type: second, ids: null }],
    ]),
    contextFacts: [],
  };
}

test("a wildcard row and concrete rows together are the right answer, also if they overlap", () => {
  const rows: QueryRow[] = [
    { a: null, b: "open" },
    { a: "ann", b: "draft" },
  ];
  expect(differences(slow, pairs("sees", "User", "Doc"), rows)).toEqual([]);
  expect(differences(slow, pairs("sees", "User", "Doc"), [...rows, { a: "zoe", b: "open" }])).toEqual([]);
});

test("an answer that is too wide, too narrow, unknown or repeated is reported", () => {
  const query = pairs("sees", "User", "Doc");
  const [everyone, ann]: [QueryRow, QueryRow] = [
    { a: null, b: "open" },
    { a: "ann", b: "draft" },
  ];
  expect(differences(slow, query, [everyone, { a: null, b: "draft" }])).toEqual([
    'row {"a":null,"b":"draft"} is too wide: a = User:zoe, b = Doc:draft is not true',
  ]);
  expect(differences(slow, query, [everyone])).toEqual(["no row for a = User:ann, b = Doc:draft"]);
  expect(differences(slow, query, [everyone, ann, { a: "who", b: "open" }])).toEqual([
    'row {"a":"who","b":"open"} holds a value that is not asked for',
  ]);
  expect(differences(slow, query, [everyone, ann, ann])).toEqual(["1 rows come twice"]);
});

test("the known users are not the answer if unknown users belong to it too", () => {
  const rows: QueryRow[] = ["ann", "zoe"].map((a) => ({ a, b: "open" }));
  expect(differences(slow, pairs("sees", "User", "Doc"), [...rows, { a: "ann", b: "draft" }])).toContain(
    "no row for a = any other User:*1, b = Doc:open",
  );
});

test("two unknown values are not equal because both are unknown", () => {
  expect(differences(slow, pairs("knows", "User", "User"), [{ a: null, b: null }])).toEqual([
    'row {"a":null,"b":null} is too wide: a = User:zoe, b = User:ann is not true',
  ]);
});

test("a value outside of the domain, an unstratified policy and too much work are refused", () => {
  expect(() =>
    slow.holds("sees", [
      { type: "User", id: "stranger" },
      { type: "Doc", id: "open" },
    ]),
  ).toThrow("User:stranger is in the oracle's domain");
  const text = "actor User {} lies(user: User) if is_user(user) and not lies(user);";
  const liar = must(compile([{ name: "liar.polar", text }], polarLimits(defaultLimits)).policy);
  expect(() => oracle(liar, { facts: [parseFact("is_user(User:ann)")], now: 0 })).toThrow("stratified");
  expect(() => oracle(policy, { facts, now: 0, conditionsMax: 3 })).toThrow(TooMuchWork);
});
