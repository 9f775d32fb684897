/** Lists with open answers: when they are refused, what the error says, and how much work a refusal takes. */
import { expect, test } from "bun:test";
import { defaultLimits } from "../../src/config/limits.ts";
import type { EngineOptions } from "../../src/engine/engine.ts";
import type { Query } from "../../src/engine/request/questions.ts";
import type { Fact, Value } from "../../src/store/facts/fact.ts";
import { insertion, openEngineInMemory, openLiveEngine } from "../cases/engine-target.ts";

const policy = `global { roles = ["admin"]; }
actor User {}
resource Document {
  roles = ["reader"];
  permissions = ["read"];
  "read" if "reader";
  "read" if global "admin";
}
resource Patient {}
allow(a, act, d) if has_permission(a, act, d) and not is_archived(d);
allow(user: User, "greet", patient: Patient) if
  is_open(patient) and not (mark matches Mark and has_mark(patient, mark) and not cleared(user, mark));
has_permission(user: User, "see", user: User) if is_member(user) or is_open(user);
has_permission(user: User, "meet", user: User);
`;

const value = (text: string): Value => {
  const [type = "", id] = text.split(":");
  return id === undefined ? { type: "String", id: type } : { type, id };
};
const fact = (predicate: string, ...args: string[]): Fact => ({ predicate, args: args.map(value) });
const ann = value("User:ann");
const admin = fact("has_role", "User:ann", "admin");
const reader = fact("has_role", "User:ann", "reader", "Document:1");

const everyUserWho = (action: string, resource: string | null): Query => ({
  calls: [{ predicate: "allow", variables: ["u", "a", "r"] }],
  variables: new Map([
    ["u", { type: "User", ids: null }],
    ["a", { type: "String", ids: [action] }],
    ["r", resource === null ? { type: "User", ids: null } : { type: "Patient", ids: [resource] }],
  ]),
  contextFacts: [],
});

const open = (facts: readonly Fact[], options: EngineOptions = {}) =>
  openEngineInMemory({ policy, facts, contextFacts: [], now: 1 }, options);

test.each(["statement", "evaluator"] as const)("the error names the rule and the reason: %s", (strategy) => {
  using engine = open([admin], { strategy });
  expect(() => engine.list(ann, "read", "Document")).toThrow(
    "the answers can't be listed: the rule `allow(a, act, d) if has_permission(a, act, d) and not is_archived(d)` " +
      "(case.polar:10) restricts a value of `Document` only by `not` or a comparison, and it holds for values that " +
      "no fact names; ask for a concrete value, or bind it to a fact in the rule",
  );
  expect(() => engine.query(everyUserWho("meet", null))).toThrow(
    'the answers can\'t be listed: the rule `has_permission(user: User, "meet", user: User)` (case.polar:14) holds for',
  );
});

test.each(["statement", "evaluator"] as const)("two equal values have an error of their own: %s", (strategy) => {
  const plain = `actor User {}\nhas_permission(user: User, "meet", user: User);\n`;
  using engine = openEngineInMemory({ policy: plain, facts: [], contextFacts: [], now: 1 }, { strategy });
  expect(() => engine.query(everyUserWho("meet", null))).toThrow(
    'the answers can\'t be listed: the rule `has_permission(user: User, "meet", user: User)` (case.polar:2) holds for ' +
      "every value of `User` together with itself, and an answer can't say that two values are equal; ask for a " +
      "concrete value of one of them",
  );
});

test("the facts decide, although the plan is the same", () => {
  using engine = openLiveEngine(1, {});
  engine.apply({ kind: "policy", id: 1, source: policy, filename: "case.polar" });
  engine.apply(insertion([reader]));
  const asked = engine.asking([]);
  expect(asked.list(ann, "read", "Document")).toEqual(["1"]);
  engine.apply(insertion([admin]));
  expect(() => asked.list(ann, "read", "Document")).toThrow("can't be listed");
  engine.apply({ kind: "facts", inserted: [], deleted: [{ ...admin, args: [...admin.args] }] });
  expect(asked.list(ann, "read", "Document")).toEqual(["1"]);
  // A fact that only the request has.
  expect(() => engine.asking([admin]).list(ann, "read", "Document")).toThrow("can't be listed");
});

test("the serving thread answers, and the evaluator decides only what the statement can't", () => {
  const facts = [
    reader,
    fact("is_open", "Patient:1"),
    fact("has_mark", "Patient:1", "Mark:vip"),
    fact("cleared", "User:bob", "Mark:vip"),
  ];
  const limits = { ...defaultLimits, queryStepsMax: 1, servingThreadQueryStepsMax: 1 };
  using engine = open(facts, { limits, onServingThread: true });
  expect(engine.list(ann, "read", "Document")).toEqual(["1"]);
  expect(engine.query(everyUserWho("greet", "2"))).toEqual([]);
  expect(() => engine.query(everyUserWho("greet", "1"))).toThrow("it takes many steps");
  using other = open(facts);
  expect(other.query(everyUserWho("greet", "1")).map((row) => row["u"])).toEqual(["bob"]);
});

test("a refusal of the evaluator does not wait for all values of the type", () => {
  const facts = Array.from({ length: 20_000 }, (_, index) => fact("is_archived", `Document:${index}`));
  const limits = { ...defaultLimits, queryStepsMax: 50_000 };
  using engine = open([admin, ...facts], { strategy: "evaluator", limits });
  expect(() => engine.list(ann, "read", "Document")).toThrow("can't be listed");
});

test.each([true, false])(
  "a limit refuses no list whose wildcard was not found yet: serving thread %p",
  (onServingThread) => {
    const source = `actor User {}
    resource Document { permissions = ["read"]; }
    has_permission(_: User, "read", document: Document) if not is_archived(document);
    has_permission(user: User, "read", _: Document) if is_trusted(user);
  `;
    const archived = Array.from({ length: 10 }, (_, index) => fact("is_archived", `Document:${index}`));
    const input = { policy: source, facts: [fact("is_trusted", "User:ann"), ...archived], contextFacts: [], now: 1 };
    const answers = Array.from({ length: 100 }, (_, steps) => {
      const limits = { ...defaultLimits, queryStepsMax: steps, servingThreadQueryStepsMax: steps };
      using engine = openEngineInMemory(input, { strategy: "evaluator", limits, onServingThread });
      try {
        return engine.list(ann, "read", "Document").join();
      } catch (error) {
        return error instanceof Error ? error.message : "";
      }
    });
    const expensive = onServingThread
      ? "it takes many steps"
      : "the question takes more steps than allowed: ask for less, or for one value";
    expect(new Set(answers)).toEqual(new Set([expensive, "*"]));
  },
);

test.each([
  ["statement", "has more than 3 answers"],
  ["evaluator", "needs more rows than allowed"],
] as const)("too many answers are refused with a remedy: %s", (strategy, problem) => {
  const limits = { ...defaultLimits, queryRowsMax: 3 };
  const facts = [1, 2, 3, 4].map((id) => fact("has_role", "User:ann", "reader", `Document:${id}`));
  using engine = open(facts, { strategy, limits });
  expect(() => engine.list(ann, "read", "Document")).toThrow(`the question ${problem}: ask for less, or for one value`);
});
