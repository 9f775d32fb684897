/** `ostiary import openfga` and `ostiary import spicedb`: the files that they write, and what they print. */
import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { workspace } from "./workspace.ts";

const { path, read, write, run } = workspace();

const schema = `definition user {}
definition doc {
  relation viewer: user
}
`;

describe("ostiary import spicedb", () => {
  test("writes a policy and facts, and does not replace files unless it is told to", async () => {
    write("schema.zed", schema);
    write("relationships.txt", "doc:1#viewer@user:ann\n");
    const parameters = ["import", "spicedb", "schema.zed", "relationships.txt", "--out", "docs"];
    const first = await run(parameters);
    expect(first).toEqual({
      status: 0,
      output: "docs/policy.polar and docs/facts.ndjson (1 fact) written\n",
      errors: "",
    });
    expect(read("docs/facts.ndjson")).toBe(
      '{"predicate":"has_role","args":[{"type":"User","id":"ann"},{"type":"String","id":"viewer"},{"type":"Doc","id":"1"}]}\n',
    );
    expect(read("docs/policy.polar")).toStartWith("# Translated from schema.zed.\n\nactor User {}\n");
    const again = await run(parameters);
    expect(again.status).toBe(1);
    expect(again.errors).toContain(
      "`docs/policy.polar` exists; name another directory with --out, or replace it with --force",
    );
    expect((await run([...parameters, "--force"])).status).toBe(0);
  });

  test("lists what has no equivalent, in the policy too, and ends with status 1", async () => {
    const caveat = 'caveat named(name string) { name.startsWith("x") }\n';
    write("caveat.zed", caveat + schema.replace("viewer: user", "viewer: user with named"));
    const { status, output } = await run(["import", "spicedb", "caveat.zed", "--out", "caveats"]);
    expect(status).toBe(1);
    const problem = 'Polar cannot compute `name.startsWith("x")`: a relationship has to store it';
    const listed = `caveat.zed:1: caveat \`named\`: ${problem}, as \`condition_name_startsWith_x(condition, …)\``;
    expect(output).toContain(`without an equivalent:\n  ${listed}\n`);
    expect(read("caveats/policy.polar")).toContain(`# Without an equivalent:\n#   ${listed}\n`);
    const json = await run(["import", "spicedb", "caveat.zed", "--out", "caveats", "--force", "--json"]);
    expect(json.status).toBe(1);
    expect(JSON.parse(json.output)).toEqual({
      policy: "caveats/policy.polar",
      facts: "caveats/facts.ndjson",
      count: 0,
      tests: 0,
      passed: true,
      untranslated: [{ place: { file: "caveat.zed", line: 1 }, message: listed.slice("caveat.zed:1: ".length) }],
    });
  });

  test("refuses files that it cannot read, and writes nothing", async () => {
    write("broken.zed", "definition user {");
    expect((await run(["import", "spicedb", "broken.zed", "--out", "none"])).errors).toContain(
      "broken.zed:1: expected",
    );
    expect((await run(["import", "spicedb", "missing.zed", "--out", "none"])).errors).toContain(
      "`missing.zed` cannot be read",
    );
    expect(existsSync(path("none"))).toBe(false);
  });
});

test("ostiary import openfga runs the tests of a store", async () => {
  write(
    "store.fga.yaml",
    `model: |
  model
    schema 1.1
  type user
  type doc
    relations
      define viewer: [user]
tuples:
  - {user: user:ann, relation: viewer, object: doc:1}
tests:
  - name: viewers
    check:
      - {user: user:ann, object: doc:1, assertions: {viewer: true}}
`,
  );
  const { status, output } = await run(["import", "openfga", "store.fga.yaml", "--out", "fga"]);
  expect(output).toBe(
    "pass  viewers (1 of 1)\n1 of 1 tests passed\nfga/policy.polar and fga/facts.ndjson (1 fact) written\n",
  );
  expect(status).toBe(0);
});
