/**
 * Random conditions with an evaluator of their own: each expression is a text and a function, and each value is JSON and
 * what it means. An expression has no truth (`undefined`) where the other systems have an error or miss a value.
 */
import fc from "fast-check";
import { must } from "../../src/util/assert.ts";

type Meaning = bigint | number | string | boolean | readonly Meaning[] | ReadonlyMap<string, Meaning>;
export type Meanings = Readonly<Record<string, Meaning | undefined>>;

export interface RandomExpression {
  readonly text: string;
  readonly truth: (values: Meanings) => boolean | undefined;
}

interface Given {
  readonly json: unknown;
  readonly means: Meaning;
}

const second = 1_000_000_000n;
/** 2023-01-01T00:00:00Z */
const newYear = 1_672_531_200n * second;
const given = (json: unknown, means: Meaning): Given => ({ json, means });

const ints = [
  given(0, 0n),
  given(1, 1n),
  given(-1, -1n),
  given(2, 2n),
  given("2", 2n),
  given(9_007_199_254_740_991, 9_007_199_254_740_991n),
  given("9007199254740993", 9_007_199_254_740_993n),
  given("-9223372036854775808", -9_223_372_036_854_775_808n),
];
const naturals = [given(0, 0n), given(1, 1n), given("2", 2n), given("9223372036854775807", 9_223_372_036_854_775_807n)];
const doubles = [0, 1, -1, 0.1, 0.25, 1.5, -0, 1e9, 0.1234567, 1e12].map((value) => given(value, value));
const texts = ["", "a", "b", "A", 'é"\\', "ab"].map((value) => given(value, value));
const booleans = [true, false].map((value) => given(value, value));
const times = [
  given("2023-01-01T00:00:00Z", newYear),
  given("2023-01-01T01:00:00+01:00", newYear),
  given("2022-12-31T23:59:59.999999Z", newYear - 1000n),
  given("2022-12-31T19:30:00.5-04:30", newYear + second / 2n),
  given("2024-02-29T23:59:59Z", newYear + (424n * 86_400n + 86_399n) * second),
  given("0001-01-01T00:00:00Z", -62_135_596_800n * second),
  given("9999-12-31T23:59:59Z", 253_402_300_799n * second),
  given("2023-01-01T00:00:00.000000001Z", newYear + 1n),
];
const lengths = [
  given("0s", 0n),
  given("1h30m", 5400n * second),
  given("-1.5s", (-3n * second) / 2n),
  given("1us", 1000n),
  given("1ns", 1n),
];
const wordLists = [[], ["a"], ["a", "b"], ["", 'é"\\']].map((items) => given(items, items));
const numberLists = [given([], []), given([1], [1n]), given([1, "2", -1], [1n, 2n, -1n])];
const maps = [{}, { k: "a" }, { k: "b", l: "" }].map((json) => given(json, new Map(Object.entries(json))));

/** Of IPv6 as texts. */
const addresses = [
  given("10.1.2.3", 167_838_211n),
  given("10.1.2.4", 167_838_212n),
  given("255.255.255.255", 4_294_967_295n),
  given("0.0.0.0", 0n),
  given("2001:db8::1", "2001:db8::1"),
];
const networks = ["10.0.0.0/8", "10.1.2.3/32", "10.1.2.3/31", "0.0.0.0/0", "2001:db8::/32", "10.0.0.0"];

/** Undefined for a text that is no network. */
function isIn(address: Meaning | undefined, network: Meaning | undefined): boolean | undefined {
  const [, start, bits] = /^(.*)\/(.*)$/.exec(String(network)) ?? [];
  if (start === undefined) return undefined;
  if (start.includes(":") || typeof address === "string") return start.includes(":") && typeof address === "string";
  const shift = 32 - Number(bits);
  const numbered = start.split(".").reduce((all, each) => all * 256 + Number(each), 0);
  return Math.floor(Number(address) / 2 ** shift) === Math.floor(numbered / 2 ** shift);
}

/** The parameters of all conditions, with their types and values. */
export const parameters: Readonly<Record<string, { readonly type: string; readonly values: readonly Given[] }>> = {
  n: { type: "int", values: ints },
  m: { type: "int", values: ints },
  u: { type: "uint", values: naturals },
  d: { type: "double", values: doubles },
  e: { type: "double", values: doubles },
  s: { type: "string", values: texts },
  t: { type: "string", values: texts },
  b: { type: "bool", values: booleans },
  c: { type: "bool", values: booleans },
  at: { type: "timestamp", values: times },
  until: { type: "timestamp", values: times },
  len: { type: "duration", values: lengths },
  names: { type: "list<string>", values: wordLists },
  nums: { type: "list<int>", values: numberLists },
  tags: { type: "map<string>", values: maps },
  ip: { type: "ipaddress", values: addresses },
  net: { type: "string", values: networks.map((each) => given(each, each)) },
};

type Operand = readonly [text: string, value: (values: Meanings) => Meaning | undefined];

const parameter = (name: string): Operand => [name, (values) => values[name]];
const constant = (text: string, value: Meaning): Operand => [text, () => value];

/** Of `-1n`, `0n` and `1n`. */
function sum(left: Operand, right: Operand, sign: bigint, range: readonly [bigint, bigint]): Operand {
  return [
    `${left[0]} ${sign === 1n ? "+" : "-"} ${right[0]}`,
    (values) => {
      const [one, other] = [left[1](values), right[1](values)];
      if (typeof one !== "bigint" || typeof other !== "bigint") return undefined;
      const value = one + sign * other;
      return value < range[0] || value > range[1] ? undefined : value;
    },
  ];
}

const int64 = [-(2n ** 63n), 2n ** 63n - 1n] as const;
const years = [-62_135_596_800n * second, 253_402_300_800n * second - 1n] as const;

function operands(isSpiceDb: boolean): Readonly<Record<string, readonly Operand[]>> {
  const [n, m, at, until, len] = ["n", "m", "at", "until", "len"].map(parameter) as [
    Operand,
    Operand,
    Operand,
    Operand,
    Operand,
  ];
  return {
    int: [
      n,
      m,
      constant("1", 1n),
      constant("-1", -1n),
      constant("0x2", 2n),
      sum(n, m, 1n, int64),
      sum(n, constant("1", 1n), -1n, int64),
    ],
    uint: [parameter("u"), constant(isSpiceDb ? "1" : "1u", 1n)],
    double: [parameter("d"), parameter("e"), constant("0.1", 0.1), constant("-1.0", -1), constant("1.5e0", 1.5)],
    time: [
      at,
      until,
      constant('timestamp("2023-01-01T00:00:00Z")', newYear),
      constant('timestamp("2022-12-31T23:00:00-01:00")', newYear),
      sum(at, len, 1n, years),
      sum(until, constant('duration("1h")', 3600n * second), -1n, years),
    ],
    length: [
      len,
      constant('duration("90m")', 5400n * second),
      constant('duration("0")', 0n),
      sum(at, until, -1n, int64),
    ],
  };
}

const compare: Readonly<Record<string, (one: Meaning, other: Meaning) => boolean>> = {
  "==": (one, other) => one === other,
  "!=": (one, other) => one !== other,
  "<": (one, other) => one < other,
  "<=": (one, other) => one <= other,
  ">": (one, other) => one > other,
  ">=": (one, other) => one >= other,
};

function comparison([left, one]: Operand, operator: string, [right, other]: Operand): RandomExpression {
  return {
    text: `${left} ${operator} ${right}`,
    truth(values) {
      const [first, second] = [one(values), other(values)];
      return first === undefined || second === undefined ? undefined : must(compare[operator])(first, second);
    },
  };
}

/** An atom of these parameters. */
function of(
  text: string,
  names: readonly string[],
  truth: (...values: readonly Meaning[]) => boolean | undefined,
): RandomExpression {
  return {
    text,
    truth(values) {
      const known = names.map((name) => values[name]);
      return known.includes(undefined) ? undefined : truth(...known.filter((each) => each !== undefined));
    },
  };
}

const items = (value: Meaning | undefined): readonly Meaning[] => value as readonly Meaning[];
const entries = (value: Meaning | undefined): ReadonlyMap<string, Meaning> => value as ReadonlyMap<string, Meaning>;

/** For each item with a value of another parameter, which may be missing. */
function quantified(
  text: string,
  list: string,
  other: string,
  isAll: boolean,
  test: (item: Meaning, value: Meaning) => boolean,
): RandomExpression {
  return {
    text,
    truth(values) {
      const [all, value] = [values[list], values[other]];
      if (all === undefined) return undefined;
      const truths = items(all).map((item) => (value === undefined ? undefined : test(item, value)));
      return isAll ? conjunction(truths) : negated(conjunction(truths.map(negated)));
    },
  };
}

const others: readonly RandomExpression[] = [
  of("b", ["b"], (b) => b === true),
  of("b == c", ["b", "c"], (b, c) => b === c),
  of("c != true", ["c"], (c) => c !== true),
  of('s == "a"', ["s"], (s) => s === "a"),
  of("s != t", ["s", "t"], (s, t) => s !== t),
  of("s == t", ["s", "t"], (s, t) => s === t),
  of(String.raw`t == 'é"\\'`, ["t"], (t) => t === 'é"\\'),
  of('s > ""', ["s"], (s) => s !== ""),
  of('"" >= t', ["t"], (t) => t === ""),
  of('s in ["a", "b"]', ["s"], (s) => s === "a" || s === "b"),
  of("n in [1, 2]", ["n"], (n) => n === 1n || n === 2n),
  of('s.startsWith("a")', ["s"], (s) => String(s).startsWith("a")),
  of("s < t", ["s", "t"], (s, t) => Buffer.compare(Buffer.from(String(s)), Buffer.from(String(t))) < 0),
  of("s in names", ["s", "names"], (s, names) => items(names).includes(must(s))),
  of('"a" in names', ["names"], (names) => items(names).includes("a")),
  of("n in nums", ["n", "nums"], (n, nums) => items(nums).includes(must(n))),
  of("names.size() == 0", ["names"], (names) => items(names).length === 0),
  of('names[0] == "a"', ["names"], (names) => (items(names).length === 0 ? undefined : items(names)[0] === "a")),
  of('"k" in tags', ["tags"], (tags) => entries(tags).has("k")),
  {
    text: 'tags["k"] == s',
    truth({ tags, s }) {
      const found = tags === undefined ? undefined : entries(tags).get("k");
      return found === undefined || s === undefined ? undefined : found === s;
    },
  },
  of('tags.l != "a"', ["tags"], (tags) => (entries(tags).has("l") ? entries(tags).get("l") !== "a" : undefined)),
  of('ip.in_cidr("10.1.2.3/31")', ["ip"], (ip) => isIn(ip, "10.1.2.3/31")),
  of("ip.in_cidr(net)", ["ip", "net"], isIn),
  quantified("names.exists(x, x == s)", "names", "s", false, (item, s) => item === s),
  quantified("names.all(x, x != t)", "names", "t", true, (item, t) => item !== t),
  quantified("nums.all(x, x > n)", "nums", "n", true, (item, n) => item > n),
  quantified("nums.exists(x, !(x >= n))", "nums", "n", false, (item, n) => item < n),
  both(
    quantified("names.exists(x, x == s)", "names", "s", false, (item, s) => item === s),
    quantified("names.all(y, y != t)", "names", "t", true, (item, t) => item !== t),
  ),
];

function both(one: RandomExpression, other: RandomExpression): RandomExpression {
  return {
    text: `${one.text} && ${other.text}`,
    truth: (values) => conjunction([one.truth(values), other.truth(values)]),
  };
}

function negated(truth: boolean | undefined): boolean | undefined {
  return truth === undefined ? undefined : !truth;
}

function conjunction(truths: readonly (boolean | undefined)[]): boolean | undefined {
  if (truths.includes(false)) return false;
  return truths.includes(undefined) ? undefined : true;
}

/** Each has a parameter, without which SpiceDB refuses a condition. */
export function expressions(isSpiceDb: boolean): fc.Arbitrary<RandomExpression> {
  const families = Object.values(operands(isSpiceDb));
  const compared = fc
    .constantFrom(...families)
    .chain((family) =>
      fc.tuple(fc.constantFrom(...family), fc.constantFrom(...Object.keys(compare)), fc.constantFrom(...family)),
    )
    .map(([one, operator, other]) => comparison(one, operator, other));
  return fc
    .letrec<{
      all: RandomExpression;
      leaf: RandomExpression;
      joined: RandomExpression;
      negation: RandomExpression;
      choice: RandomExpression;
    }>((tie) => ({
      leaf: fc.oneof(compared, fc.constantFrom(...others)),
      negation: tie("all").map(({ text, truth }) => ({
        text: `!(${text})`,
        truth: (values) => negated(truth(values)),
      })),
      joined: fc.tuple(tie("all"), fc.constantFrom("&&", "||"), tie("all")).map(([one, operator, other]) => ({
        text: `(${one.text}) ${operator} (${other.text})`,
        truth(values) {
          const truths = [one.truth(values), other.truth(values)];
          return operator === "&&" ? conjunction(truths) : negated(conjunction(truths.map(negated)));
        },
      })),
      choice: fc.tuple(tie("all"), tie("all"), tie("all")).map(([condition, yes, no]) => ({
        text: `(${condition.text}) ? (${yes.text}) : (${no.text})`,
        truth(values) {
          const chosen = condition.truth(values);
          return chosen === undefined ? undefined : (chosen ? yes : no).truth(values);
        },
      })),
      all: fc.oneof(
        { maxDepth: 3, depthSize: "small" },
        { weight: 3, arbitrary: tie("leaf") },
        { weight: 4, arbitrary: tie("joined") },
        { weight: 1, arbitrary: tie("negation") },
        { weight: 1, arbitrary: tie("choice") },
      ),
    }))
    .all.filter((each) => namesOf(each).length > 0);
}

/** Some of the parameters, each with a value that the number chooses. */
export function valuesOf(names: readonly string[], seed: number, share: number): Readonly<Record<string, Given>> {
  let state = seed;
  const next = (below: number): number => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return Math.floor((state / 2_147_483_648) * below);
  };
  return Object.fromEntries(
    names.flatMap((name) => {
      const { values } = must(parameters[name]);
      const chosen = must(values[next(values.length)]);
      return next(100) < share ? [[name, chosen]] : [];
    }),
  );
}

/** The parameters in an expression. */
export function namesOf({ text }: RandomExpression): string[] {
  const words = new Set(text.replaceAll(/"[^"]*"|'[^']*'/g, "").match(/\b[a-z]+\b/g));
  return Object.keys(parameters).filter((name) => words.has(name));
}
