/** `ostiary explain-rules`: its output can replace the explained rules. */
import { expect, test } from "bun:test";
import { workspace } from "./workspace.ts";

const { run, write } = workspace();

const names = `actor User {}
resource Org { roles = ["member"]; }
resource Doc {
  roles = ["reader"]; permissions = ["read"]; relations = { org: Org };
`;
const blocks = `${names}  "reader" if "member" on "org"; # why
  "read" if
    "reader";
}
`;
const longhand = `# blocks.polar:5:3: "reader" if "member" on "org";
has_role(actor: Actor, "reader", resource: Doc) if
  org matches Org and
  has_relation(resource, "org", org) and
  has_role(actor, "member", org);

# blocks.polar:6:3: "read" if "reader";
has_permission(actor: Actor, "read", resource: Doc) if has_role(actor, "reader", resource);

# Implicit, because no rule of the policy is called \`allow\`:
allow(actor, action, resource) if has_permission(actor, action, resource);
allow(actor, action) if has_permission(actor, action);
`;

test("prints each rule with its position and its longhand, as formatted Polar", async () => {
  write("blocks.polar", blocks);
  expect(await run(["explain-rules", "blocks.polar"])).toEqual({ status: 0, output: longhand, errors: "" });
  expect(await run(["fmt"], longhand)).toMatchObject({ status: 0, output: longhand });
  const tests = `test "t" {
    setup { has_role(User{"ann"}, "member", Org{"o"}); has_relation(Doc{"d"}, "org", Org{"o"}); }
    assert allow(User{"ann"}, "read", Doc{"d"});
  }`;
  const files = [write("names.polar", `${names}}`), write("longhand.polar", longhand), write("tests.polar", tests)];
  expect(await run(["test", ...files])).toMatchObject({ status: 0, errors: "" });
});

test("as JSON, over several files", async () => {
  write("blocks.polar", blocks);
  write(
    "rules.polar",
    'allow(u: User, "read", d: Doc) if has_permission(u, "read", d);\nactor User { roles = ["a", "b"]; "a" if "b"; }',
  );
  const { status, output } = await run(["explain-rules", "--json", "rules.polar", "blocks.polar"]);
  expect(status).toBe(0);
  const [first, second] = longhand.split(/\n\n/).map((part) => part.slice(part.indexOf("\n") + 1));
  expect(JSON.parse(output)).toMatchObject({
    success: true,
    rules: [
      {
        file: "rules.polar",
        line: 2,
        column: 34,
        shorthand: '"a" if "b";',
        longhand: 'has_role(actor: Actor, "a", resource: User) if has_role(actor, "b", resource);',
      },
      { file: "blocks.polar", line: 5, column: 3, shorthand: '"reader" if "member" on "org";', longhand: first },
      { file: "blocks.polar", line: 6, column: 3, shorthand: '"read" if "reader";', longhand: second },
    ],
    implicit: [],
  });
});

test("a policy without shorthand has nothing to explain", async () => {
  write("plain.polar", "allow(_, _, _);\n");
  expect(await run(["explain-rules", "plain.polar"])).toMatchObject({
    status: 0,
    output: "# No rule of the policy is shorthand.\n",
  });
});

test("a wrong policy is refused with its problems", async () => {
  write("wrong.polar", 'resource R { roles = ["a"]; "a" if "b"; }\n');
  const told = await run(["explain-rules", "wrong.polar"]);
  expect(told).toMatchObject({ status: 1, output: "" });
  expect(told.errors).toContain("wrong.polar:1:36: error: ");
  const asJson = await run(["explain-rules", "--json", "wrong.polar"]);
  expect(JSON.parse(asJson.output)).toMatchObject({ success: false, problems: [{ line: 1 }], rules: [], implicit: [] });
});
