/** `ostiary tell`, `delete`, `get`, `inspect`, `clear` and the questions, against a development node. */
import * as Bun from "bun";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { projectRoot } from "../../scripts/built-binary.ts";
import { startDevNode, type DevNode } from "./dev-node.ts";
import { workspace } from "./workspace.ts";

const { run } = workspace();
let node: DevNode;

beforeAll(async () => {
  node = await startDevNode([join(projectRoot, "scripts/example/policy.polar")], {
    environment: { OSTIARY_WILDCARD_DELETE_FACTS_MAX: "500" },
  });
});
afterAll(() => node.stop());

async function ostiary(...words: string[]) {
  return run(words, "", node.access);
}

/** What the command prints; it must succeed and print no errors. */
async function outputOf(...words: string[]): Promise<string> {
  const { status, output, errors } = await ostiary(...words);
  expect({ words, status, errors }).toEqual({ words, status: 0, errors: "" });
  return output;
}

const linesOf = async (...words: string[]): Promise<string[]> =>
  (await outputOf(...words))
    .split("\n")
    .filter((line) => line !== "")
    .toSorted();

beforeEach(() => outputOf("clear", "--confirm"));

describe("facts", () => {
  test("are stored, printed in the form of the official command line, and deleted", async () => {
    const fact = "has_role(User:ann, String:owner, Organization:acme)";
    expect(await outputOf("tell", "has_role", "User:ann", "owner", "Organization:acme")).toBe(`${fact} stored\n`);
    expect(await outputOf("tell", "has_role", "User:ann", "owner", "Organization:acme")).toBe(
      `${fact} was stored already\n`,
    );
    expect(await linesOf("get")).toEqual([fact]);
    expect(await outputOf("delete", "has_role", "User:ann", "owner", "Organization:acme")).toBe("1 fact deleted\n");
    expect(await outputOf("delete", "has_role", "User:ann", "owner", "Organization:acme")).toBe("0 facts deleted\n");
    expect(await ostiary("get")).toMatchObject({ status: 0, output: "", errors: "(no results)\n" });
  });

  test("with a name that the policy does not have are stored with a warning", async () => {
    const fact = "has_role(User:ann, String:ownr, Organization:acme)";
    expect(await ostiary("tell", "has_role", "User:ann", "ownr", "Organization:acme")).toEqual({
      status: 0,
      output: `${fact} stored\n`,
      errors:
        "warning: check the stored facts: the policy has no role `ownr` of `Organization`: did you mean `owner`?\n",
    });
    expect(await linesOf("get")).toEqual([fact]);
  });

  test("with more arguments than a pattern stay, and the command says so", async () => {
    await outputOf("tell", "has_role", "User:ann", "owner", "Organization:acme");
    expect(await ostiary("delete", "has_role")).toEqual({
      status: 2,
      output: "",
      errors: "error: `has_role` has no arguments; write one for each of the facts, `_` matches all\n",
    });
    expect(await ostiary("delete", "has_role", "User:ann")).toEqual({
      status: 0,
      output: "0 facts deleted\n",
      errors:
        "warning: facts with 3 arguments stay, such as has_role(User:ann, String:owner, Organization:acme); to delete them, write all arguments, `_` matches all\n",
    });
    expect(await outputOf("delete", "has_role", "User:bob")).toBe("0 facts deleted\n");
    expect((await ostiary("authorize", "User:ann", "read", "Repository:x", "-c", "has_role")).errors).toBe(
      "error: `has_role` has no arguments; write a fact like `has_role User:ann reader Repository:x`\n",
    );
  });

  test("can be found by predicate, type and id, with wildcards for each", async () => {
    const written = [
      "has_role(User:ann, String:owner, Organization:acme)",
      "has_role(User:bob, String:member, Organization:acme)",
      "has_role(User:bob, String:member, Organization:initech)",
      "has_role(User:eve, String:member, Team:bob)",
      "is_banned(User:bob)",
      "is_public(Repository:x)",
    ];
    for (const fact of written) await outputOf("tell", fact);
    const matching = (pattern: RegExp): string[] => written.filter((fact) => pattern.test(fact)).toSorted();
    expect(await linesOf("get", "_")).toEqual(written.toSorted());
    expect(await linesOf("get", "has_role")).toEqual(matching(/^has_role/));
    expect(await linesOf("get", "has_role", "_", "member", "Organization:_")).toEqual(matching(/member, Organ/));
    expect(await linesOf("get", "has_role", "User:_", "_:_", "_:acme")).toEqual(matching(/:acme/));
    expect(await linesOf("get", "has_role", "_:bob")).toEqual(matching(/^has_role\(\w+:bob/));
    expect(await linesOf("get", "has_role", "_", "_", "_:bob")).toEqual(matching(/Team:bob/));
    expect(await linesOf("get", "_", "User:bob")).toEqual(matching(/\(User:bob/));
    expect(await linesOf("inspect", "Repository:x")).toEqual(matching(/Repository:x/));
    expect(await linesOf("inspect", "Organization:_")).toEqual(matching(/Organization:/));
    expect(await linesOf("inspect", "_:bob")).toEqual(matching(/:bob/));
    expect(await linesOf("inspect", "_")).toEqual(written.toSorted());
    expect(JSON.parse(await outputOf("get", "is_banned", "--json"))).toEqual([
      { predicate: "is_banned", args: [{ type: "User", id: "bob" }] },
    ]);
    expect(JSON.parse(await outputOf("inspect", "User:nobody", "--json"))).toEqual([]);

    expect(await outputOf("delete", "has_role", "_:bob", "_", "_")).toBe("2 facts deleted\n");
    expect(await ostiary("delete", "has_role", "_")).toMatchObject({ status: 0, output: "0 facts deleted\n" });
    expect(await linesOf("get")).toEqual(matching(/ann|eve|^is/));
  });

  test("are not found by the bare name of a type, which is a string, and the commands say so", async () => {
    await outputOf("tell", "has_role", "User:ann", "owner", "Organization:acme");
    const errors = "warning: `User` is a string here; `User:_` is any value of the type `User`\n";
    const words = ["has_role", "User", "_", "_"];
    expect(await ostiary("get", ...words)).toEqual({ status: 0, output: "", errors: `(no results)\n${errors}` });
    expect(await ostiary("inspect", "User", "--json")).toEqual({ status: 0, output: "[]\n", errors });
    expect(await ostiary("delete", ...words)).toEqual({ status: 0, output: "0 facts deleted\n", errors });
    expect(await ostiary("query", ...words)).toEqual({ status: 0, output: "(no results)\n", errors });
    expect(await ostiary("get", "has_role", "_", "admin")).toMatchObject({ errors: "(no results)\n" });
  });

  test("with any id are printed so that the output can be used again", async () => {
    const ids = ["a b", "a:b", '"q"', "_", "(x,y)", "ünï", "\u202e", "-5"];
    for (const id of ids) await outputOf("tell", "is_banned", `User:${JSON.stringify(id)}`);
    const printed = await linesOf("get", "is_banned");
    expect(printed).toHaveLength(ids.length);
    expect(printed).toContain('is_banned(User:"_")');
    for (const fact of printed) expect(await outputOf("delete", fact)).toBe("1 fact deleted\n");
    expect((await ostiary("get")).output).toBe("");
  });

  test("more than a node deletes at once are deleted in parts", async () => {
    // More than a page of facts, which has 1000.
    const count = 1200;
    const inserts = Array.from({ length: count }, (_, index) => ({
      predicate: "has_role",
      args: [
        { type: "User", id: `user-${index}` },
        { type: "String", id: "member" },
        { type: "Organization", id: "acme" },
      ],
    }));
    const response = await fetch(`${node.url}/api/batch`, {
      method: "POST",
      headers: { Authorization: `Bearer ${node.access.OSO_AUTH}` },
      body: JSON.stringify([{ inserts }]),
    });
    expect(response.status).toBe(200);
    await outputOf("tell", "is_banned", "User:ann");
    expect(await linesOf("get", "has_role")).toHaveLength(count);
    expect(JSON.parse(await outputOf("get", "has_role", "--json"))).toHaveLength(count);
    expect(await outputOf("delete", "has_role", "User:_", "_", "Organization:acme")).toBe("1,200 facts deleted\n");
    expect(await linesOf("get")).toEqual(["is_banned(User:ann)"]);
  });

  test("are cleared only with --confirm", async () => {
    await outputOf("tell", "is_banned", "User:ann");
    const refused = await ostiary("clear");
    expect([refused.status, refused.output]).toEqual([2, ""]);
    expect(refused.errors).toContain(`this deletes all facts of ${node.url}`);
    expect(await linesOf("get")).toHaveLength(1);
    await outputOf("clear", "--confirm");
    expect((await ostiary("get")).output).toBe("");
  });

  test.each([
    [["tell", "is_banned", "User:_"], "`User:_` has a wildcard"],
    [["tell", "is_banned", "b c:d"], "`b c:d` is not an argument of a fact"],
    [["tell", "_", "User:ann"], "`_` is not the name of a predicate"],
    [["delete", "_", "User:ann"], "`ostiary clear` deletes all facts"],
    [["query", "_"], "`query` needs the name of a predicate"],
    [["authorize", "ann", "read", "Repository:x"], "`ann` is not a valid actor"],
    [["list", "User:ann", "read", "Repository:_"], "`Repository:_` is not a type; write it without an id"],
    [["list", "User:ann", "read", "Repository", "-c", "is_banned User:_"], "`User:_` has a wildcard"],
  ])("wrong usage %p has status 2", async (words, message) => {
    const { status, output, errors } = await ostiary(...words);
    expect([status, output]).toEqual([2, ""]);
    expect(errors).toContain(message);
  });

  test("that the node refuses are failures with status 1", async () => {
    const { status, output, errors } = await ostiary("tell", "no_such_predicate", "User:ann");
    expect([status, output]).toEqual([1, ""]);
    expect(errors).toContain("answered 400: ");
  });
});

describe("questions", () => {
  beforeEach(async () => {
    await outputOf("tell", "has_role", "User:ann", "owner", "Organization:acme");
    await outputOf("tell", "has_role", "User:ann", "member", "Organization:in itech");
  });

  test("authorize prints the decision; its status is 1 for a denial, and 2 without an answer", async () => {
    expect(await ostiary("authorize", "User:ann", "delete", "Organization:acme")).toEqual({
      status: 0,
      output: "Allowed\n",
      errors: "",
    });
    expect(await ostiary("authorize", "User:bob", "read", "Organization:acme")).toEqual({
      status: 1,
      output: "Denied\n",
      errors: "",
    });
    expect(JSON.parse((await ostiary("authorize", "User:bob", "read", "Organization:acme", "--json")).output)).toEqual({
      allowed: false,
    });
    const words = ["authorize", "User:ann", "delete", "Organization:acme"];
    for (const environment of [
      { ...node.access, OSO_AUTH: "e_0123456789_x_0123456789abcdef" },
      { ...node.access, OSO_URL: "http://127.0.0.1:1" },
      { OSO_URL: node.url },
    ]) {
      const { status, output, errors } = await run(words, "", environment);
      expect([status, output]).toEqual([2, ""]);
      expect(errors).toStartWith("error: ");
    }
  });

  test("take context facts in both forms", async () => {
    const context = [
      "-c",
      "has_role User:bob member Organization:acme",
      "-c",
      'has_role(User:"c d", "owner", Organization:acme)',
    ];
    expect(await outputOf("authorize", "User:bob", "read", "Organization:acme", ...context)).toBe("Allowed\n");
    expect(await outputOf("actions", "User:c d", "Organization:acme", ...context)).toBe("delete\ninvite\nread\n");
    expect(await outputOf("list", "User:bob", "read", "Organization", ...context)).toBe("acme\n");
    expect(await outputOf("explain", "User:bob", "read", "Organization:acme", ...context)).toStartWith("allowed: ");
    expect((await ostiary("actions", "User:bob", "Organization:acme")).errors).toBe("(no results)\n");
  });

  test("about several resources", async () => {
    const resources = ["Organization:acme", "Organization:none", "Organization:in itech"];
    expect(await outputOf("authorize-resources", "User:ann", "read", ...resources)).toBe(
      'Organization:acme\nOrganization:"in itech"\n',
    );
    expect(JSON.parse(await outputOf("authorize-resources", "User:ann", "delete", ...resources, "--json"))).toEqual([
      { type: "Organization", id: "acme" },
    ]);
    expect(await outputOf("list", "User:ann", "read", "Organization")).toBe("acme\nin itech\n");
    expect(JSON.parse(await outputOf("list", "User:ann", "delete", "Organization", "--json"))).toEqual(["acme"]);
  });

  test("query prints derived facts", async () => {
    expect(await linesOf("query", "has_role", "User:ann", "_", "Organization:acme")).toEqual([
      "has_role(User:ann, String:member, Organization:acme)",
      "has_role(User:ann, String:owner, Organization:acme)",
    ]);
    expect(await outputOf("query", "has_role", "User:eve", "String:_", "Organization:acme")).toBe("(no results)\n");
    expect(JSON.parse(await outputOf("query", "is_banned", "User:_", "-c", "is_banned User:eve", "--json"))).toEqual([
      { predicate: "is_banned", args: [{ type: "User", id: "eve" }] },
    ]);
  });
});

describe("a question about an earlier moment", () => {
  const asked = ["User:ann", "read", "Organization:acme"] as const;

  test("is answered as then by each command", async () => {
    const entity = (type: string, id: string) => ({ type, id });
    const args = [entity("User", "ann"), entity("String", "owner"), entity("Organization", "acme")];
    const stored = await fetch(`${node.url}/api/batch`, {
      method: "POST",
      headers: { authorization: `Bearer ${node.access.OSO_AUTH}` },
      body: JSON.stringify([{ inserts: [{ predicate: "has_role", args }] }]),
    });
    const at = ["--at", stored.headers.get("osooffset") ?? ""];
    await outputOf("clear", "--confirm");
    expect(await ostiary("authorize", ...asked)).toMatchObject({ status: 1, output: "Denied\n" });
    expect(await ostiary("authorize", ...asked, ...at)).toMatchObject({ status: 0, output: "Allowed\n" });
    expect(await linesOf("authorize-resources", ...asked, ...at)).toEqual(["Organization:acme"]);
    expect(await linesOf("list", "User:ann", "read", "Organization", ...at)).toEqual(["acme"]);
    expect(await linesOf("actions", "User:ann", "Organization:acme", ...at)).toContain("read");
    expect(await outputOf("query", "has_role", "User:ann", "String:_", "Organization:acme", ...at)).toContain("owner");
    expect(await outputOf("explain", ...asked, ...at)).toContain("allowed");
  });

  test("is refused with the reason of the node, or if the text is none", async () => {
    expect(await ostiary("authorize", ...asked, "--at", "yesterday")).toMatchObject({
      status: 2,
      errors: expect.stringContaining("`yesterday` is no moment") as string,
    });
    expect(await ostiary("list", "User:ann", "read", "Organization", "--at", "3 May")).toMatchObject({
      status: 2,
      errors: expect.stringContaining("`3 May` is no moment") as string,
    });
  });

  test("is not taken from a node that answers for the present", async () => {
    const old = Bun.serve({ port: 0, fetch: () => Response.json({ allowed: true }) });
    try {
      const access = { ...node.access, OSO_URL: old.url.origin };
      expect(await run(["authorize", ...asked, "--at", "1"], "", access)).toMatchObject({
        status: 2,
        output: "",
        errors: expect.stringContaining("answered for the present") as string,
      });
    } finally {
      await old.stop(true);
    }
  });
});
