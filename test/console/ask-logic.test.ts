/**
 * Questions of the console without a browser: their addresses, the commands, programs and policy tests that are made of
 * them, which run here, and explanations as trees.
 */
import * as Bun from "bun";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "../../scripts/built-binary.ts";
import { type Explanation, factsIn, treeOf, type TreeNode } from "../../src/console/ui/ask/explanation.ts";
import {
  type Draft,
  draftIn,
  draftQuery,
  formatCall,
  isEmpty,
  type Question,
  questionOf,
  requestOf,
} from "../../src/console/ui/ask/question.ts";
import { curlCommand, policyTest, typeScriptProgram } from "../../src/console/ui/ask/snippets.ts";
import { type Fact, formatFact } from "../../src/console/ui/facts/fact-text.ts";
import { must } from "../../src/util/assert.ts";
import { loadExample } from "../e2e/cluster.ts";
import { type Api, clientOf, primaryForAllTests } from "../http/api.ts";
import { adminKey } from "../replication/cluster.ts";

const noDraft: Draft = { kind: "authorize", actor: "", action: "", resource: "", type: "", calls: "", context: [] };
const reader: Fact = {
  predicate: "has_role",
  args: [
    { type: "User", id: 'it\'s "Zoé"' },
    { type: "String", id: "reader" },
    { type: "Repository", id: "kernel" },
  ],
};

const drafts: readonly (readonly [Draft, unknown])[] = [
  [{ ...noDraft, actor: "User:bob", action: "read", resource: "Repository:compiler" }, true],
  [{ ...noDraft, actor: "User:bob", action: "delete", resource: "Repository:compiler" }, false],
  [{ ...noDraft, actor: "User:mallory", action: "read", resource: "Repository:compiler" }, false],
  [{ ...noDraft, actor: 'User:it\'s "Zoé"', action: "read", resource: "Repository:kernel", context: [reader] }, true],
  [{ ...noDraft, kind: "list", actor: "User:bob", action: "write", type: "Repository" }, ["compiler", "linker"]],
  [{ ...noDraft, kind: "list", actor: "User:nobody", action: "write", type: "Repository" }, []],
  [
    { ...noDraft, kind: "who", type: "User", action: "write", resource: "Repository:kernel", context: [reader] },
    ["alice", "dave"],
  ],
  [{ ...noDraft, kind: "actions", actor: "User:carol", resource: "Issue:typo" }, ["close", "comment", "read"]],
  [
    {
      ...noDraft,
      kind: "query",
      calls: 'has_relation(folder: Folder, "parent", Folder:acme)\nhas_role(User:alice, "admin", folder)',
    },
    ["acme/src"],
  ],
];

const directory = mkdtempSync(join(projectRoot, "node_modules", ".console-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

describe("a question", () => {
  let api: Api;
  primaryForAllTests(async (started) => {
    api = started;
    await loadExample(clientOf(api.url));
  });
  let policy = "";
  beforeAll(() => {
    // Without its own tests.
    [policy = ""] = readFileSync(join(projectRoot, "scripts/example/policy.polar"), "utf8").split("test fixture");
  });

  test.each(drafts)("%j is the same in an address", (draft) => {
    expect(draftIn([draft.kind], new URLSearchParams({ ...draftQuery(draft) }))).toEqual(draft);
    expect([isEmpty(draft), isEmpty(noDraft)]).toEqual([false, true]);
  });

  test.each(drafts)("%j as a request, a command and a program", async (draft, expected) => {
    const question = known(draft);
    const { path, body } = requestOf(question);
    const answer = await api.call("POST", path, { body });
    expect([answer.status, resultOf(question, answer.json)]).toEqual([200, expected]);
    const environment = { PATH: process.env["PATH"] ?? "", OSO_AUTH: adminKey };
    const curl = await run(["sh", "-c", curlCommand(question, `${api.url}/`)], environment);
    expect(resultOf(question, JSON.parse(curl))).toEqual(expected);
    const file = join(directory, "program.ts");
    writeFileSync(
      file,
      typeScriptProgram(question, `${api.url}/`).replace("console.log(result)", "console.log(JSON.stringify(result))"),
    );
    const printed = JSON.parse(await run([process.execPath, file], environment)) as unknown;
    expect(Array.isArray(printed) ? printed.toSorted() : printed).toEqual(expected);
  });

  test.each(drafts)("%j as a test of the policy, which passes", async (draft, expected) => {
    const question = known(draft);
    const reasons =
      question.kind === "query"
        ? []
        : await Promise.all(decisionsOf(draft, expected).map((each) => explained(api, each)));
    const given = question.kind === "query" ? [relation("acme/src"), owner] : reasons.flatMap(factsIn);
    const text = must(policyTest(question, given, question.kind === "query" ? true : (expected as boolean | string[])));
    const checked = await api.call("POST", "/api/test", { body: { src: `${policy}\n${text}` } });
    expect({ text, answer: checked.json }).toMatchObject({ answer: { success: true } });
    // The same assertion fails for another answer.
    const wrong = text.includes("assert_not")
      ? text.replace("assert_not", "assert")
      : text.replace("  assert", "  assert_not");
    const failed = await api.call("POST", "/api/test", { body: { src: `${policy}\n${wrong}` } });
    expect({ wrong, answer: failed.json }).toMatchObject({ answer: { success: false } });
  });

  test("that is denied has the nearest attempts, and the facts that would remedy it", async () => {
    const explanation = await explained(api, {
      ...noDraft,
      actor: "User:bob",
      action: "delete",
      resource: "Repository:compiler",
    });
    const nodes = allNodes(must(treeOf(explanation)));
    const addable = nodes.flatMap((node) => (node.addable ? [formatFact(node.addable)] : []));
    expect(addable).toContain('has_role(User:bob, "owner", Organization:acme)');
    expect(addable).toContain('has_role(User:bob, "admin", Repository:compiler)');
    expect(nodes.find(({ kind }) => kind === "attempt")?.rule).toMatchObject({ line: expect.any(Number) });
    expect(factsIn(explanation).map(formatFact)).toContain(
      'has_relation(Repository:compiler, "folder", Folder:acme/src/tools)',
    );
    const banned = await explained(api, {
      ...noDraft,
      actor: "User:mallory",
      action: "read",
      resource: "Repository:compiler",
    });
    const unmet = allNodes(must(treeOf(banned))).find(({ kind }) => kind === "unmet");
    expect(unmet).toMatchObject({ text: 'not is_banned(User{"mallory"})', because: 'is_banned(User{"mallory"})' });
    const typo = await explained(api, {
      ...noDraft,
      actor: "User:bob",
      action: "reed",
      resource: "Repository:compiler",
    });
    expect(allNodes(must(treeOf(typo))).some(({ didYouMean }) => didYouMean === "read")).toBe(true);
  });

  test("that is allowed has rules with lines, marked context facts, and closures as paths", async () => {
    const explanation = await explained(api, {
      ...noDraft,
      actor: "User:alice",
      action: "read",
      resource: "Repository:compiler",
    });
    const nodes = allNodes(must(treeOf(explanation)));
    const paths = nodes.flatMap(({ path }) => (path === undefined ? [] : [path.map(({ id }) => id)]));
    expect(paths).toEqual([["acme/src/tools", "acme/src", "acme"]]);
    expect(nodes.filter(({ kind }) => kind === "derived").every(({ rule }) => (rule?.line ?? 0) > 0)).toBe(true);
    const assumed = await explained(api, must(drafts[3])[0]);
    const origins = allNodes(must(treeOf(assumed))).flatMap(({ origin }) => origin ?? []);
    expect(origins).toEqual(["context"]);
  });
});

describe("a question that is not complete", () => {
  test.each([
    [{}, "The actor is no object"],
    [{ actor: "ann", action: "read", resource: "Repo:x" }, "ann is no object"],
    [{ actor: "User:ann", action: "read" }, "The resource is no object"],
    [{ actor: "User:ann", resource: "Repo:x" }, "Write an action"],
    [{ kind: "list", actor: "User:ann", action: "read" }, "Write a type"],
    [{ kind: "query" }, "at least one call"],
    [{ kind: "query", calls: "allow(" }, "allow( is no call"],
    [{ kind: "query", calls: "p(_)" }, "p(_) is no call"],
    [{ kind: "query", calls: "p(x)" }, "x needs a type"],
    [{ kind: "query", calls: "p(x: User)\nq(x: Repo)" }, "x has two types"],
  ] as const)("%j: %s", (part, problem) => {
    expect(questionOf({ ...noDraft, ...part })).toEqual({ problem: expect.stringContaining(problem) });
  });

  test("has an address that can have nonsense", () => {
    const draft = draftIn(["nothing"], new URLSearchParams({ context: '[{"predicate":1},"p(User:ann)",null]' }));
    expect(draft).toEqual({ ...noDraft, context: [{ predicate: "p", args: [{ type: "User", id: "ann" }] }] });
    expect(draftIn([], new URLSearchParams({ context: "{" }))).toEqual(noDraft);
  });
});

test("a query has values and variables, whose names cannot collide", () => {
  const question = known({ ...noDraft, kind: "query", calls: 'p(value_1: User, "a, b", User{"x"}, 5, true, User:y)' });
  expect(question.kind === "query" && question.calls.map(formatCall)).toEqual([
    'p(value_1: User, "a, b", User:x, 5, true, User:y)',
  ]);
  expect(requestOf(question).body).toMatchObject({
    predicate: ["p", ["value_1", "value_2", "value_3", "value_4", "value_5", "value_6"]],
    constraints: { value_1: { type: "User", ids: null }, value_2: { type: "String", ids: ["a, b"] } },
  });
});

test("several calls without a common answer are no policy test", () => {
  const question = known({ ...noDraft, kind: "query", calls: "p(x: User)\nq(x)" });
  expect(policyTest(question, [], false)).toBeUndefined();
});

const owner: Fact = {
  predicate: "has_role",
  args: [
    { type: "User", id: "alice" },
    { type: "String", id: "admin" },
    { type: "Folder", id: "acme/src" },
  ],
};

function relation(folder: string): Fact {
  const Folder = (id: string) => ({ type: "Folder", id });
  return { predicate: "has_relation", args: [Folder(folder), { type: "String", id: "parent" }, Folder("acme")] };
}

function known(draft: Draft): Question {
  const question = questionOf(draft);
  if ("problem" in question) throw new Error(question.problem);
  return question;
}

/** The decisions behind an answer. */
function decisionsOf(draft: Draft, expected: unknown): Draft[] {
  if (!Array.isArray(expected)) return [draft];
  return (expected as string[]).map((id) => {
    const decision: Draft = { ...draft, kind: "authorize" };
    if (draft.kind === "list") return { ...decision, resource: `${draft.type}:${id}` };
    return draft.kind === "who" ? { ...decision, actor: `${draft.type}:${id}` } : { ...decision, action: id };
  });
}

async function explained(api: Api, draft: Draft): Promise<Explanation> {
  const { status, json } = await api.call("POST", "/api/explain", { body: requestOf(known(draft)).body });
  expect(status).toBe(200);
  return json as Explanation;
}

function allNodes(node: TreeNode): TreeNode[] {
  return [node, ...node.children.flatMap(allNodes)];
}

function resultOf({ kind }: Question, json: unknown): unknown {
  const { allowed, results } = json as { readonly allowed?: boolean; readonly results?: readonly unknown[] };
  if (kind === "authorize") return allowed;
  const name = kind === "who" ? "actor" : "folder";
  const ids = results?.map((row) => (typeof row === "string" ? row : (row as Record<string, string>)[name]));
  return [...new Set(ids)].toSorted();
}

async function run(command: string[], env: Record<string, string>): Promise<string> {
  const child = Bun.spawn(command, { env, stdout: "pipe", stderr: "pipe" });
  const [output, errors, status] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (status !== 0) throw new Error(errors);
  return output;
}
