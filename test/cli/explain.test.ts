/** `ostiary explain`: its output, its arguments, and its messages about wrong usage. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "../../scripts/built-binary.ts";
import { explanationSchema } from "../../src/engine/explain/explanation.ts";
import { parseEntity, parseFact } from "../../src/cli/parse-fact.ts";
import { expectGolden } from "../golden.ts";
import { apiOf, fact, value } from "../http/api.ts";
import { adminKey, withCluster } from "../replication/cluster.ts";
import { workspace } from "./workspace.ts";

const { run } = workspace();
const access = { OSO_URL: "", OSO_AUTH: adminKey };
let stop = (): void => {};
let served: Promise<void>;

const text = (id: string) => value("String", id);
const folder = (id: string) => value("Folder", id);
const repository = value("Repository", "compiler");
const relation = (from: ReturnType<typeof value>, name: string, to: ReturnType<typeof value>) =>
  fact("has_relation", from, text(name), to);
const facts = [
  ...Array.from({ length: 20 }, (_, index) => relation(folder(`${index}`), "parent", folder(`${index + 1}`))),
  relation(folder("20"), "organization", value("Organization", "acme")),
  relation(repository, "folder", folder("0")),
  fact("has_role", value("User", "ada"), text("owner"), value("Organization", "acme")),
  fact("has_role", value("User", "tom"), text("reader"), repository),
  fact("has_role_until", value("User", "old"), text("writer"), repository, value("Integer", "1577836800")),
  relation(value("Issue", "7"), "repository", repository),
  fact("is_locked", value("Issue", "7")),
  fact("is_banned", value("User", "mallory")),
];

beforeAll(async () => {
  const ready = Promise.withResolvers<void>();
  served = withCluster(async (cluster) => {
    const primary = await cluster.primary();
    const api = apiOf(primary);
    const src = readFileSync(join(projectRoot, "scripts", "example", "policy.polar"), "utf8");
    await api.call("POST", "/api/policy", { body: { src, filename: "policy.polar" } });
    await api.call("POST", "/api/batch", { body: [{ inserts: facts }] });
    access.OSO_URL = primary.url;
    ready.resolve();
    await new Promise<void>((resolve) => (stop = resolve));
  });
  await ready.promise;
});
afterAll(async () => {
  stop();
  await served;
});

const asked: readonly (readonly string[])[] = [
  ["User:ada", "read", "Repository:compiler"],
  ["User:tom", "comment", "Issue:8", "--context", 'has_relation(Issue:8, "repository", Repository:compiler)'],
  ["User:tom", "comment", "Issue:7"],
  ["User:old", "write", "Repository:compiler"],
  ["User:mallory", "read", "Organization:acme"],
  ["User:tom", "raed", "Repository:compiler"],
  ["User:nobody", "read", "Planet:mars"],
  ["Usr:tom", "raed", "Repositry:compiler"],
];

test("prints the decision and its reasons", async () => {
  const parts: string[] = [];
  for (const parameters of asked) {
    const { status, output, errors } = await run(["explain", ...parameters], "", access);
    expect([status, errors]).toEqual([0, ""]);
    parts.push(`# --- ${parameters.join(" ")}\n${output}`);
  }
  expectGolden(join(import.meta.dirname, "explain", "explanations.txt"), parts.join("\n"));
}, 60_000);

test("as JSON it is the response of the node", async () => {
  const { status, output } = await run(["explain", "User:tom", "read", 'Repository{"compiler"}', "--json"], "", access);
  expect(status).toBe(0);
  expect(explanationSchema.parse(JSON.parse(output))).toMatchObject({ allowed: true, truncated: null });
});

test("wrong usage has status 2 and a message with the correct usage, a refusal of the node status 1", async () => {
  const wrong = [
    [["ann", "read", "Repository:x"], "`ann` is not a valid actor; write its type and its id, such as `User:ann`"],
    [["User:ann", "read", "Repository:"], "`Repository:` is not a valid resource"],
    [["User:ann", "read", "Repository:x", "--context", "has_role(User:ann, reader)"], "is not a fact; write it like"],
    [["User:ann", "read"], "missing required argument 'resource'"],
  ] as const;
  for (const [parameters, message] of wrong) {
    const told = await run(["explain", ...parameters], "", access);
    expect([told.status, told.output]).toEqual([2, ""]);
    expect(told.errors).toContain(message);
  }
  const keyless = await run(["explain", "User:ann", "read", "Repository:x"]);
  expect([keyless.status, keyless.errors]).toEqual([
    2,
    "error: OSO_AUTH is not set; set it to a read key of the node, or log in with `ostiary login`\n",
  ]);
  const unknown = await run(["explain", "User:ann", "read", "Repository:x"], "", { ...access, OSO_AUTH: "e_a_b_c" });
  expect(unknown.status).toBe(1);
  expect(unknown.errors).toContain("answered 401");
}, 30_000);

test("questions that found nothing name what the policy does not have", async () => {
  const noType = "warning: the policy has no type `Repositry`: did you mean `Repository`?\n";
  const noAction = "warning: the policy has no permission `delte` of `Repository`: did you mean `delete`?\n";
  const none = "(no results)\n";
  const asked = [
    [["authorize", "User:tom", "read", "Repository:compiler"], 0, "Allowed\n", ""],
    [["authorize", "User:tom", "read", "Repositry:compiler"], 1, "Denied\n", noType],
    [["authorize", "User:tom", "read", "Repositry:compiler", "--json"], 1, '{"allowed":false}\n', noType],
    [["authorize", "User:tom", "delte", "Repository:compiler"], 1, "Denied\n", noAction],
    [["authorize-resources", "User:tom", "read", "Repositry:compiler"], 0, "", noType + none],
    [["list", "User:tom", "read", "Repositry"], 0, "", noType + none],
    [["actions", "User:tom", "Repositry:compiler", "--json"], 0, "[]\n", noType],
    [["query", "allow", "User:tom", "delte", "Repository:_"], 0, none, noAction],
    [
      ["query", "has_rle", "User:tom", "_", "_"],
      0,
      none,
      "warning: the policy has no predicate `has_rle`: did you mean `has_role`?\n",
    ],
  ] as const;
  for (const [parameters, status, output, errors] of asked)
    expect([parameters, await run(parameters, "", access)]).toEqual([parameters, { status, output, errors }]);
  const explained = await run(["explain", "User:tom", "read", "Repositry:compiler"], "", access);
  expect(explained.output).toContain("the policy has no type `Repositry`: did you mean `Repository`?");
});

describe("values on the command line", () => {
  test.each([
    ["User:ann", "User", "ann"],
    ["User:a b:c", "User", "a b:c"],
    ['User{"ann"}', "User", "ann"],
    ['User{ "a\\"b" }', "User", 'a"b'],
    ["Folder{7}", "Folder", "7"],
  ])("%s", (written, type, id) => expect(parseEntity(written, "actor")).toEqual({ type, id }));

  test.each([
    [
      ' has_role( User:ann ,"reader", Repository:"a b" ) ;',
      fact("has_role", value("User", "ann"), text("reader"), value("Repository", "a b")),
    ],
    ['level(User{"x"}, -7)', fact("level", value("User", "x"), value("Integer", "-7"))],
    ["on(Flag:a/b-c.d@e, true)", fact("on", value("Flag", "a/b-c.d@e"), value("Boolean", "true"))],
  ])("%s", (written, expected) => expect(parseFact(written)).toEqual(expected));

  test.each([
    "",
    "p",
    "p()",
    "p(",
    "p(User:ann",
    "p(User:ann,)",
    'p("a" "b")',
    "p(x)",
    'p("a") q',
    'p("\\q")',
    "p(trueish)",
  ])("refused: %s", (written) => expect(() => parseFact(written)).toThrow());
});
