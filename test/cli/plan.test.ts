/**
 * `ostiary plan`. The files in `plans/` contain its output for typical questions, with the SQL and SQLite's plan. None
 * of the plans scans a whole table of facts.
 */
import { describe, expect, test } from "bun:test";
import { cpSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { defaultLimits, type Limits } from "../../src/config/limits.ts";
import { passes } from "../../src/datalog/pipeline.ts";
import { applyEvent } from "../../src/log/state/apply.ts";
import type { PlanReport } from "../../src/engine/query/plan-report.ts";
import { openStore } from "../../src/store/connection/open-store.ts";
import { createState } from "../../src/store/log/store-state.ts";
import { expectGolden } from "../golden.ts";
import { workspace } from "./workspace.ts";

const { run, write, path } = workspace();

const company = join(import.meta.dirname, "../../scripts/example/policy.polar");
const walked = `actor User {}
resource Folder { roles = ["reader"]; permissions = ["read"]; relations = { parent: Folder }; "read" if "reader"; }
has_role(user: User, "reader", folder: Folder) if
  above matches Folder and has_relation(folder, "parent", above) and has_role(user, "reader", above) and not sealed(folder);
`;
const groups = `actor User {}
actor Group {}
resource Document { roles = ["reader"]; permissions = ["read"]; "read" if "reader"; }
has_role(user: Actor, role: String, document: Document) if
  group matches Group and has_group(user, group) and has_role(group, role, document);
`;
const mutual = `actor User {}
resource Folder { roles = ["reader"]; permissions = ["read"]; relations = { drive: Drive }; "read" if "reader"; role if role on "drive"; }
resource Drive { roles = ["reader"]; relations = { home: Folder }; role if role on "home"; }
`;
const hidden = `actor User {}
resource Folder {}
resource Document {}
allow(user: User, "read", document: Document) if
  folder matches Folder and sees(user, folder) and not hidden(folder) and lies_in(document, folder);
`;
const notLinear = `actor User {}
resource Folder { permissions = ["read"]; relations = { parent: Folder }; "read" if is_near(actor, resource); }
is_near(user: User, folder: Folder) if other matches Folder and likes(user, other) and reaches(folder, other);
reaches(a: Folder, c: Folder) if b matches Folder and reaches(a, b) and reaches(b, c);
reaches(a: Folder, b: Folder) if has_relation(a, "parent", b);
`;

const questions: readonly (readonly [name: string, policy: string, question: string])[] = [
  ["authorize", company, "allow(User:_, read, Repository:_)"],
  ["authorize-small", company, "allow(User:_, add_member, Team:_)"],
  ["list", company, "allow(User:_, write, Repository:?)"],
  ["actions", company, "allow(User:_, String:?, Organization:_)"],
  ["who-can", company, "allow(User:?, delete, Repository:_)"],
  ["walked", walked, "allow(User:_, read, Folder:_)"],
  ["groups", groups, "allow(User:_, read, Document:_)"],
  ["mutual", mutual, "allow(User:_, read, Folder:_)"],
  ["hidden", hidden, "allow(User:_, read, Document:?)"],
  ["step-by-step", notLinear, "allow(User:_, read, Folder:_)"],
];

async function plan(policy: string, question: string, ...flags: string[]) {
  if (policy === company) cpSync(company, path("policy.polar"));
  else write("policy.polar", policy);
  return run(["plan", ...flags, "policy.polar", question]);
}

describe("the plan of", () => {
  test.each(questions)("%s", async (name, policy, question) => {
    const { status, output, errors } = await plan(policy, question);
    expect({ status, errors }).toEqual({ status: 0, errors: "" });
    expectGolden(join(import.meta.dirname, "plans", `${name}.txt`), output);
  });

  test.each(questions)("%s scans no whole table of facts", async (_, policy, question) => {
    const { output } = await plan(policy, question, "--json");
    const { sql, queryPlan } = JSON.parse(output) as PlanReport;
    const facts = new Set([...(sql ?? "").matchAll(/\b(?:fact|closure)_\d+ AS (t\d+)/g)].map((match) => match[1]));
    expect(queryPlan.filter((step) => facts.has(/^\s*SCAN (t\d+)/.exec(step)?.[1]))).toEqual([]);
    expect(sql === null || facts.size > 0).toBe(true);
  });
});

describe("the passes of", () => {
  const traced = ["authorize-small", "list", "groups", "walked", "hidden", "step-by-step"];

  test.each(questions.filter(([name]) => traced.includes(name)))("%s", async (name, policy, question) => {
    const { status, output, errors } = await plan(policy, question, "--passes");
    expect({ status, errors }).toEqual({ status: 0, errors: "" });
    expectGolden(join(import.meta.dirname, "plans", `${name}-passes.txt`), output);
  });

  test("a question are the listed ones in order, and the last one has the SQL of the plan", async () => {
    const { output } = await plan(groups, "allow(User:_, read, Document:_)", "--passes", "--json");
    const { passes: reported = [], sql } = JSON.parse(output) as PlanReport;
    expect(reported.map(({ pass, why }) => [pass, why])).toEqual(Object.entries(passes));
    expect(reported.at(-1)?.program).toEqual([String(sql)]);
  });

  test("a question are reported only on request", async () => {
    const { output } = await plan(groups, "allow(User:_, read, Document:_)", "--json");
    expect(JSON.parse(output)).not.toHaveProperty("passes");
  });

  test("a question without an answer end with the pass that finds that", async () => {
    const { output } = await plan(company, "no_such(User:_)", "--passes", "--json");
    const { passes: reported = [] } = JSON.parse(output) as PlanReport;
    const removed = reported.find(({ pass }) => pass === "remove unproductive");
    expect(removed?.program).toEqual(["nothing can answer the question"]);
    expect(reported.map(({ pass }) => pass)).not.toContain("unfold");
  });
});

test("recursion over stored facts is not walked, but recursion with a condition is", async () => {
  const report = async (policy: string, question: string): Promise<PlanReport> =>
    JSON.parse((await plan(policy, question, "--json")).output);
  const kept = await report(company, "allow(User:_, read, Repository:_)");
  expect(kept.closures.map(({ step }) => step)).toEqual([
    'has_relation(from, "parent", to)',
    'has_relation(from, "parent", to)',
  ]);
  expect(kept.rules?.nodes.filter(({ recursive }) => recursive)).toEqual([]);
  const rules = await report(walked, "allow(User:_, read, Folder:_)");
  expect(rules.closures).toEqual([]);
  expect(rules.rules?.nodes.filter(({ recursive }) => recursive)).not.toEqual([]);
});

test.each([
  // Permissions may be stored as facts.
  ["allow(User:_, fly, Repository:_)", "statement"],
  ["allow(User:_, read, Repository:r7)", "statement"],
  ['allow(User:_, "read", Repository:"r 7")', "statement"],
  ["no_such(User:_)", "nothing"],
])("%s is answered: %s", async (question, answeredBy) => {
  const { status, output } = await plan(company, question, "--json");
  expect(status).toBe(0);
  expect((JSON.parse(output) as PlanReport).answeredBy).toBe(answeredBy as PlanReport["answeredBy"]);
});

test.each([
  ["alow(User:_, read, Repository:_)", ["the policy has no predicate `alow`: did you mean `allow`?"]],
  ["allow(User:_, read, Repository:_, String:_)", ["`allow` has another number of arguments in the policy: 2 or 3"]],
  [
    "allow(Usr:_, read, Repositry:_)",
    [
      "the policy has no type `Usr`: did you mean `User`?",
      "the policy has no type `Repositry`: did you mean `Repository`?",
    ],
  ],
  ["allow(Actor:_, read, Repository:_)", ["no value has the type `Actor` itself: use a concrete type"]],
  [
    "allow(User:_, wirte, Repository:_)",
    ["the policy has no permission `wirte` of `Repository`: did you mean `write`?"],
  ],
  ["allow(User:_, add_member, Repository:_)", ["the policy has no permission `add_member` of `Repository`"]],
  [
    "has_role(User:_, ownr, Organization:_)",
    ["the policy has no role `ownr` of `Organization`: did you mean `owner`?"],
  ],
  ["has_role(User:_, suport)", ["the policy has no role `suport`: did you mean `support`?"]],
  [
    "has_relation(Repository:_, fodler, Folder:_)",
    ["the policy has no relation `fodler` of `Repository`: did you mean `folder`?"],
  ],
  ["allow(User:_, read, Repository:_)", []],
  ["has_role(User:_, String:?, Folder:_)", []],
])("names that the policy does not have are reported for %s", async (question, unknown) => {
  const { output } = await plan(company, question, "--json");
  expect((JSON.parse(output) as PlanReport).unknown).toEqual(unknown);
  const printed = (await plan(company, question)).output.split("\n");
  expect(printed.filter((line) => unknown.some((sentence) => line === `  ${sentence}`))).toHaveLength(unknown.length);
});

test("an unknown type is reported only if no rule takes any type", async () => {
  const unknownUnder = async (policy: string): Promise<readonly string[]> =>
    (JSON.parse((await plan(policy, "allow(Person:_, read, Page:_)", "--json")).output) as PlanReport).unknown;
  expect(await unknownUnder("allow(actor, _action, resource) if owns(actor, resource);")).toEqual([]);
  expect(await unknownUnder('actor User {} allow(actor: User, "read", resource) if owns(actor, resource);')).toEqual([
    "the policy has no type `Person`",
  ]);
});

test("the rules that can leave a value open are named", async () => {
  const policy = `${walked} allow(user: User, "see", folder: Folder) if not sealed(folder) and likes(user, "all");`;
  const { output } = await plan(policy, "allow(User:_, see, Folder:?)", "--json");
  const { answeredBy, refusals, sql } = JSON.parse(output) as PlanReport;
  const text = 'allow(user: User, "see", folder: Folder) if not sealed(folder) and likes(user, "all")';
  expect(answeredBy).toBe("statement");
  expect(refusals).toMatchObject([{ rule: { text }, reason: "restricted", type: "Folder" }]);
  expect(sql).toContain("AS open");
  const place = refusals[0]?.rule?.place;
  expect((await plan(policy, "allow(User:_, see, Folder:?)")).output).toContain(
    `${text}    # ${place?.file}:${place?.line}:${place?.column}, Folder: every value but some\n`,
  );
  const decision = JSON.parse((await plan(policy, "allow(User:_, see, Folder:_)", "--json")).output) as PlanReport;
  expect(decision.refusals).toEqual([]);
});

describe("a wrong command", () => {
  test.each(["allow", "allow(User:_", "allow(_, read)", "allow(User:_, , Repository:_)", "allow(User:_, 'x', Doc:_)"])(
    "with the question %s is refused with the form of a question",
    async (question) => {
      const { status, output, errors } = await plan(company, question);
      expect({ status, output }).toEqual({ status: 2, output: "" });
      expect(errors).toContain("`Type:_` (given with the question)");
    },
  );

  test("without a policy file is refused with an example", async () => {
    const { status, errors } = await run(["plan", "allow(User:_, read, Repository:_)"]);
    expect(status).toBe(2);
    expect(errors).toContain("ostiary plan policy.polar");
  });

  test("with a policy that has errors prints them", async () => {
    const { status, output, errors } = await plan("actor User {", "allow(User:_, read, Repository:_)");
    expect({ status, output }).toEqual({ status: 1, output: "" });
    expect(errors).toContain("policy.polar:1");
  });
});

test("the rules of several files have positions in their own file", async () => {
  write("a.polar", readFileSync(company, "utf8"));
  write("b.polar", 'has_permission(user: User, "read", team: Team) if likes(user, team);\n');
  const { output } = await run(["plan", "a.polar", "b.polar", "allow(User:_, read, Team:_)"]);
  expect(output).toContain("# a.polar:104:1");
  expect(output).toContain("# b.polar:1:1");
});

describe("the plan of a node's store", () => {
  const parent = (child: number) => ({
    predicate: "has_relation",
    args: [
      { type: "Folder", id: String(child) },
      { type: "String", id: "parent" },
      { type: "Folder", id: String(child + 1) },
    ],
  });
  const nested = `actor User {}
resource Folder { roles = ["reader"]; permissions = ["read"]; relations = { parent: Folder }; "read" if "reader"; role if role on "parent"; }`;

  /** The output for a store with a chain of folders. */
  async function planOver(limits: Limits) {
    const directory = path(`data-${limits.closureRowsMax}`);
    mkdirSync(directory);
    const store = openStore(join(directory, "store-1.db"));
    createState(store, "default", "0000000000000001");
    const effects = [
      { kind: "policy" as const, id: 1, source: nested, filename: "nested.polar" },
      { kind: "facts" as const, inserted: Array.from({ length: 20 }, (_, child) => parent(child)), deleted: [] },
    ];
    for (const [index, effect] of effects.entries()) {
      const event = { offset: index + 1, timeMs: 0, traceparent: null, effect };
      store.transaction(() => applyEvent(store, event, limits));
    }
    store.close();
    return run(["plan", "--data", directory, "allow(User:_, read, Folder:_)"]);
  }

  test("has the rows of its closures, and a bound of the rows that the statement examines", async () => {
    const { status, output } = await planOver(defaultLimits);
    expect(status).toBe(0);
    expect(output).toMatch(/on the serving thread: it examines at most \d+ rows/);
    expect(output).toContain(`closure_1: has_relation(from, "parent", to), 210 rows`);
    expect(output).toContain("nested.polar:2:");
  });

  test("has the closures that are too large and walked", async () => {
    const { status, output } = await planOver({ ...defaultLimits, closureRowsMax: 100 });
    expect(status).toBe(0);
    expect(output).toContain("Closures that are too large for a table, walked instead\n  closure_1: has_relation");
    expect(output).toContain(", walked\n");
  });

  test("needs a store in the directory, and no policy file", async () => {
    const question = "allow(User:_, read, Folder:_)";
    expect(await run(["plan", "--data", path("nowhere"), question])).toMatchObject({ status: 2 });
    const both = await run(["plan", "--data", path("nowhere"), "policy.polar", question]);
    expect(both).toMatchObject({ status: 2, errors: expect.stringContaining("give no policy file") });
  });
});
