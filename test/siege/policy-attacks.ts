/**
 * Policies that are expensive to check, as uploads with an admin key and as checks with a read key. Each has a failing
 * test, so that no upload becomes the active policy.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "../../scripts/built-binary.ts";
import { repeatedly, type AttackContext } from "./attack.ts";

const examplePolicy = readFileSync(join(projectRoot, "scripts", "example", "policy.polar"), "utf8");

export async function expensivePolicies(context: AttackContext): Promise<void> {
  const { admin, read } = context.plan.keys;
  const policies = [longLists(28, 4000), manyTests(13_000), nestedTests()];
  let sent = 0;
  await repeatedly(context, 3, async () => {
    const index = sent++;
    const body = JSON.stringify({ src: policies[index % policies.length], filename: "siege.polar" });
    const node = index % 2 === 0 ? "primary" : "edge";
    const isUpload = index % 3 !== 2;
    const path = isUpload ? "/api/policy" : index % 2 === 0 ? "/api/validate" : "/api/test";
    const status = await context.ask(node, { path, key: isUpload ? admin : read, body, timeoutMs: 60_000 });
    if (isUpload && status === 200) context.count("an expensive policy became active");
    await context.pause(500);
  });
}

const failing = `
test "siege: this fails, so that the policy is refused" {
  setup { has_role(User{"siege"}, "support"); }
  assert_not allow(User{"siege"}, "create_organization");
}
`;

/** Rules with an `in` and thousands of names each. */
function longLists(rules: number, names: number): string {
  // Short ones: a body may be 960 KiB, and in it each quote takes two bytes.
  const list = Array.from({ length: names }, (_, index) => `"${index.toString(36)}"`).join(",");
  const rule = (index: number): string =>
    `allow(_user: User, action: String, _resource: Team) if action in [${list}] and action = "x${index}";\n`;
  return examplePolicy + Array.from({ length: rules }, (_, index) => rule(index)).join("") + failing;
}

function manyTests(count: number): string {
  const one = (index: number): string => `test "${index}"{assert_not allow(User{"u"},"x",Team{"t"});}\n`;
  return examplePolicy + Array.from({ length: count }, (_, index) => one(index)).join("") + failing;
}

/** Tests over long chains of folders. */
function nestedTests(): string {
  const chain = Array.from(
    { length: 400 },
    (_, index) => `has_relation(Folder{"f${index + 1}"}, "parent", Folder{"f${index}"});`,
  );
  const one = (index: number): string => `test "c${index}" { setup { fixture chain; }
  assert allow(User{"u"}, action: String, Folder{"f399"}) iff action in ["read", "create_repository"]; }\n`;
  const fixture = `test fixture chain { has_role(User{"u"}, "admin", Folder{"f0"}); ${chain.join(" ")} }\n`;
  return examplePolicy + fixture + Array.from({ length: 150 }, (_, index) => one(index)).join("") + failing;
}
