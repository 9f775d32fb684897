/**
 * Policies of a megabyte, or made to be expensive: they are checked in bounded time, or refused at the rule that
 * exceeds a limit.
 */
import { expect, test } from "bun:test";
import { defaultLimits } from "../../src/config/limits.ts";
import { Engine } from "../../src/engine/engine.ts";
import { activate } from "../../src/policy/active-policy.ts";
import { checkPolicy } from "../../src/engine/validation/policy-check.ts";
import { closuresOf } from "../../src/log/derived/policy-closures.ts";
import { closureTables } from "../../src/store/facts/closure-tables.ts";
import { threadCpuMs } from "../thread-cpu-time.ts";
import { apply, fact, inserted, policy, storeWith } from "./store.ts";

const types =
  'actor User {} resource Doc { roles = ["r", "banned"]; permissions = ["p"]; relations = { up: Doc }; "p" if "r"; }\n';

function errorsOf(rules: string): string[] {
  const started = threadCpuMs();
  const { diagnostics } = checkPolicy([{ name: "policy.polar", text: types + rules }], { runTests: false });
  // A bound, not a measurement: a quadratic algorithm would take minutes here.
  expect(threadCpuMs() - started).toBeLessThan(20_000);
  return diagnostics.flatMap(({ code, severity }) => (severity === "error" ? [code] : []));
}

function times(count: number, part: (index: number) => string, separator = "\n"): string {
  return Array.from({ length: count }, (_, index) => part(index)).join(separator);
}

const all = (count: number, part: (index: number) => string): string => times(count, part, " and ");

const resourceWithRules = (index: number): string => `resource R${index} {
  roles = ["viewer", "editor", "owner"]; permissions = ["view", "edit"];
  relations = { parent: R${index}, before: R${Math.max(0, index - 1)} };
  "viewer" if "editor"; "editor" if "owner"; "view" if "viewer"; "edit" if "editor";
  role if role on "parent"; "viewer" if "viewer" on "before"; "viewer" if "owner" on "parent"; }
has_permission(u: User, "view", d: R${index}) if is_public(d) and not is_banned(u, d);`;

test.each([
  ["ten thousand rules", times(1250, resourceWithRules)],
  [
    "a ring of roles",
    `resource R { roles = [${times(8000, (index) => `"r${index}",`)}];
      ${times(8000, (index) => `"r${index}" if "r${(index + 1) % 8000}";`)} }`,
  ],
  ["a chain of predicates", `${times(1900, (index) => `p${index}(u: User) if p${index + 1}(u);`)} p1900(_: User);`],
  ["rules of one head", times(8000, (index) => `has_role(u: User, "r", d: Doc) if granted(u, "${index}", d);`)],
  [
    "rules that all need each other",
    times(8000, (index) => `p(x) if q(x, "${index}") and p(x); q(x, "${index}") if p(x);`),
  ],
  ["actors", times(300, (index) => `actor A${index} { roles = ["a"]; permissions = ["b"]; "b" if "a"; }`)],
  ["policy facts", times(10_000, (index) => `has_role(User{"${index}"}, "r", Doc{"${index}"});`)],
  [
    "types that extend each other",
    times(
      2000,
      (index) => `resource R${index}${index % 90 === 0 ? "" : ` extends R${index - 1}`} { roles = ["r${index}"]; }
      has_role(u: User, "r${index}", d: R${index}) if owns${index % 20}(u, d) and not has_role(u, "x", d);`,
    ),
  ],
  ["tests", times(2000, (index) => `test "${index}" { assert_not allow(User{"ann"}, "p", Doc{"${index}"}); }`)],
])("many: %s", (_, rules) => {
  expect(errorsOf(rules)).toEqual([]);
});

test("a chain of types beyond the limit is refused with the right error", () => {
  const chain = times(25_000, (index) => `resource R${index + 1} extends R${index} {}`);
  expect(errorsOf(`resource R0 { roles = ["a"]; } ${chain} has_role(u: User, "b", d: R0) if owns(u, d);`)).toEqual([
    "block/extends-too-deep",
  ]);
});

const resources = times(200, (index) => `resource R${index} {}`);

test.each([
  ["rule/too-many-types", `${resources} f(a: Resource, b: Resource, c: Resource) if g(a, b, c);`],
  ["rule/too-many-types", `${resources} f(_: Resource, _: Resource, _: Resource, _: Resource, _: Resource);`],
  ["rule/too-many-types", `${resources} declare f(Resource, Resource, Resource, Resource, Resource);`],
  ["rule/too-many-types", `${resources} f(a, b, c) if g(a) and g(b) and g(c); g(x: Resource) if h(x);`],
  [
    "rule/too-many-types",
    times(1000, (index) => `actor A${index} { roles = ["a"]; permissions = ["b"]; "b" if "a"; }`),
  ],
  ["rule/too-many-conditions", `f(x) if ${all(30_000, (index) => `g(x, _y${index})`)};`],
  ["rule/too-many-conditions", `f(x) if g(x) and not (${all(201, (index) => `g(x, _y${index})`)});`],
  ["rule/too-many-alternatives", `f(x) if ${all(13, (index) => `(g(x, "${index}") or h(x, "${index}"))`)};`],
  [
    "rule/too-many-alternatives",
    times(20, (rule) => `f(x) if ${all(12, (index) => `(g(x, "${rule}", "${index}") or h(x))`)};`),
  ],
  ["rule/too-many-alternatives", `f(x) if x in [${times(5000, (index) => `"${index}"`, ", ")}];`],
  ["rule/too-many-predicates", times(2001, (index) => `f(x) if p${index}(x);`)],
  ["rule/too-many-predicates", times(2001, (index) => `declare p${index}(User);`)],
])("too much: %s", (code, rules) => {
  expect(errorsOf(rules)).toEqual([code]);
});

test("tests of a policy that take too long are stopped, and fail", () => {
  const slow = `f(a) if e(a, b) and e(b, c) and e(c, d) and e(d, g) and e(g, h) and is_end(h);
    test "slow" { setup { ${times(2500, (index) => `e(User{"${index % 50}"}, User{"${Math.floor(index / 50)}"});`)} is_end(User{"x"}); }
      ${times(40, (index) => `assert_not f(User{"${index}"});`)} }
    test "after it" { assert_not f(User{"1"}); }`;
  const limits = { policyCheckTimeMsMax: 300 };
  const { tests } = checkPolicy([{ name: "policy.polar", text: types + slow }], {
    runTests: true,
    limits: { ...defaultLimits, ...limits },
  });
  expect(tests?.tests[1]).toEqual({ name: "after it", passed: 0, total: 1 });
  expect(tests?.failures.at(-1)?.diagnostic).toMatchObject({
    code: "test/error",
    message: "the tests of the policy take longer than 300 ms",
  });
});

test("the closures of many mutually recursive types are found in bounded time", () => {
  const ring = times(
    150,
    (index) => `resource R${index} { roles = ["a", "b", "c"]; permissions = ["p"];
      relations = { up: R${(index + 1) % 150}, side: R${(index * 7 + 3) % 150}, own: R${index} };
      "a" if "a" on "up"; "b" if "a"; "b" if "b" on "side"; "c" if "c" on "own"; "c" if "b"; "p" if "c"; "p" if "p" on "up"; }`,
  );
  const started = threadCpuMs();
  expect(closuresOf(activate(`actor User {}\n${ring}`, null), defaultLimits).length).toBeGreaterThan(150);
  // A bound, not a measurement: goal by goal the search would take minutes.
  expect(threadCpuMs() - started).toBeLessThan(20_000);
});

test("a closure with more steps than one statement can have is not materialized", () => {
  const rules = times(260, (index) => `reached(u: User, d: Doc) if lies${index}(d, above) and reached(u, above);`);
  const source = `actor User {} resource Doc {} reached(u: User, d: Doc) if owns(u, d); ${rules}
    allow(u: User, "see", d: Doc) if reached(u, d);`;
  const store = storeWith(policy(source), inserted(fact("owns", "User:ann", "Doc:0")));
  for (let index = 0; index < 3; index++)
    apply(store, inserted(fact(`lies${index * 100}`, `Doc:${index + 1}`, `Doc:${index}`)));
  expect(closureTables(store)).toMatchObject([{ isMaterialized: false, rows: 0 }]);
  const engine = new Engine(store);
  const maySee = (id: string): boolean =>
    engine.authorize({
      actor: { type: "User", id: "ann" },
      action: "see",
      resource: { type: "Doc", id },
      contextFacts: [],
    });
  expect(["0", "1", "2", "3", "4"].map(maySee)).toEqual([true, true, true, true, false]);
}, 60_000);
