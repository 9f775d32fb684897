/** The routes that check, test, format and explain a policy with a read key, without storing it. */
import { describe, expect, test } from "bun:test";
import { apiOf, clientOf, Org, role, User, withPrimary, type Api, sharedPrimary } from "./api.ts";
import { eventually, withCluster } from "../replication/cluster.ts";

const withCleanPrimary = sharedPrimary();

const good = `actor User {}
resource Org { roles = ["member", "admin"]; permissions = ["read"]; "read" if "member"; "member" if "admin"; }
test "members read" {
  setup { has_role(User{"ann"}, "member", Org{"acme"}); }
  assert allow(User{"ann"}, "read", Org{"acme"});
  assert_not allow(User{"bob"}, "read", Org{"acme"});
}
`;
const failing = good.replace('assert_not allow(User{"bob"}', 'assert allow(User{"bob"}');
const broken = 'actor User {}\nresource Org { permissions = ["read"]; "read" if "membr"; }\n';

async function reader(api: Api): Promise<Record<string, string>> {
  const made = await api.call("POST", "/api/keys", { body: { name: "ci", role: "read" } });
  return { authorization: `Bearer ${(made.json as { token: string }).token}` };
}

describe("a policy that is only checked", () => {
  test("is checked and tested with a read key, and changes nothing", async () => {
    await withCleanPrimary(async (api) => {
      await clientOf(api.url).policy(good);
      const before = await api.call("GET", "/api/policy");
      const headers = await reader(api);
      const offset = api.node.health().offset;
      const refused = await api.call("POST", "/api/policy", { headers, body: { src: failing } });
      expect(refused.status).toBe(403);

      const valid = await api.call("POST", "/api/validate", { headers, body: { src: failing } });
      expect([valid.status, valid.json]).toEqual([200, { success: true, problems: [] }]);

      const wrong = await api.call("POST", "/api/validate", { headers, body: { src: broken, filename: "b.polar" } });
      expect(wrong.status).toBe(200);
      expect(wrong.json).toMatchObject({
        success: false,
        problems: [{ file: "b.polar", line: 2, column: 50, code: "block/undeclared-name", severity: "error" }],
      });

      const failed = await api.call("POST", "/api/test", { headers, body: { src: failing } });
      expect(failed.json).toMatchObject({
        success: false,
        errors: [{ error_type: "AssertionFailed" }],
        tests: [{ name: "members read", passed: 1, total: 2 }],
        problems: [],
        failures: [{ test: "members read", code: "test/failed", line: 6, message: "expected true, came false" }],
      });
      const unfit = await api.call("POST", "/api/test", { headers, body: { src: broken } });
      expect(unfit.json).toMatchObject({ success: false, errors: [{ error_type: "ValidationFailed" }], tests: [] });

      expect(await api.call("GET", "/api/policy")).toMatchObject({ text: before.text });
      expect(api.node.health().offset).toBe(offset);
    });
  });

  test("can have several files, which keep their names", async () => {
    await withCleanPrimary(async (api) => {
      const [blocks = "", tests = ""] = good.split(/(?=test )/);
      const files = [
        { filename: "tests.polar", src: tests.replace('"read"', '"raed"') },
        { filename: "blocks.polar", src: blocks },
      ];
      const answer = await api.call("POST", "/api/test", { body: { files, coverage: true } });
      expect(answer.json).toMatchObject({
        success: false,
        failures: [{ file: "tests.polar", line: 3 }],
        coverage: { rules: 2, exercised: 0, complete: true, unexercised: [{ file: "blocks.polar", line: 2 }, {}] },
      });
      const nothing = await api.call("POST", "/api/validate", { body: {} });
      expect([nothing.status, nothing.text]).toEqual([
        400,
        '{"message":"the body must have either `src`, the text of the policy, or `files`","code":"invalid_request"}',
      ]);
    });
  });

  test("is formatted file by file, and a file with syntax errors is not", async () => {
    await withCleanPrimary(async (api) => {
      const headers = await reader(api);
      const files = [
        { filename: "<script>.polar", src: "actor   User{} # one\n" },
        { filename: "formatted.polar", src: "actor Group {}\n" },
        { filename: "broken.polar", src: "actor {" },
      ];
      const answer = await api.call("POST", "/api/format", { headers, body: { files } });
      expect([answer.status, answer.json]).toMatchObject([
        200,
        {
          success: false,
          files: [
            { file: "<script>.polar", changed: true, problems: [], text: "actor User {} # one\n" },
            { file: "formatted.polar", changed: false, problems: [], text: "actor Group {}\n" },
            { file: "broken.polar", changed: false, problems: [{ line: 1, severity: "error" }] },
          ],
        },
      ]);
    });
  });

  test("shows its shorthand rules in longhand, or its errors", async () => {
    await withCleanPrimary(async (api) => {
      const headers = await reader(api);
      const answer = await api.call("POST", "/api/explain_rules", { headers, body: { src: good } });
      expect(answer.json).toMatchObject({
        success: true,
        problems: [],
        rules: [
          {
            file: "policy.polar",
            line: 2,
            shorthand: '"read" if "member";',
            longhand: 'has_permission(actor: Actor, "read", resource: Org) if has_role(actor, "member", resource);',
          },
          { line: 2, shorthand: '"member" if "admin";' },
        ],
        implicit: [
          "allow(actor, action, resource) if has_permission(actor, action, resource);",
          "allow(actor, action) if has_permission(actor, action);",
        ],
      });
      const wrong = await api.call("POST", "/api/explain_rules", { headers, body: { src: broken } });
      expect(wrong.json).toMatchObject({ success: false, problems: [{ line: 2 }], rules: [], implicit: [] });
    });
  });

  test("gets warnings about stored facts that would be unused, like an upload", async () => {
    await withCleanPrimary(async (api) => {
      const oso = clientOf(api.url);
      await oso.policy(good);
      const facts = [role("ann", "member", Org("acme")), role("bob", "admin", Org("acme"))];
      await api.call("POST", "/api/batch", { body: [{ inserts: facts }] });
      const other =
        'actor User {}\nresource Org { permissions = ["read"]; }\nhas_permission(u: User, "read", o: Org) if owns(u, o);';

      const asked = await api.call("POST", "/api/validate", { body: { src: other } });
      const message =
        "the policy no longer uses stored facts: 2 `has_role(User, String, Org)`; they stay, and are ignored until a policy uses them again";
      expect(asked.json).toMatchObject({
        success: true,
        problems: [{ code: "fact/orphaned", severity: "warning", message }],
      });

      const loaded = await api.call("POST", "/api/policy", { body: { src: other } });
      expect([loaded.status, loaded.json]).toEqual([200, { message: `policy loaded; ${message}` }]);
      const doubtful = await api.call("POST", "/api/policy", {
        body: { src: `${other} is_public(o: Org) if opened(o, by);` },
      });
      const { message: said } = doubtful.json as { readonly message: string };
      expect(Object.keys(doubtful.json as object)).toEqual(["message"]);
      expect(said).toStartWith(
        "policy loaded; the policy has 2 warnings, which `POST /api/validate` lists: policy.polar:",
      );
      expect(said).toContain("(hint: ");
      expect(await oso.authorize(User("ann"), "read", Org("acme"))).toBe(false);
      const bare = await api.call("POST", "/api/policy", { body: { src: good.replace(/;(\s*\})/g, "$1") } });
      expect(bare.status).toBe(200);
      expect((bare.json as { readonly message: string }).message).toContain("missing `;` after");
      const back = await api.call("POST", "/api/policy", { body: { src: good } });
      expect(back.json).toEqual({ message: "policy loaded" });
      expect(await oso.authorize(User("ann"), "read", Org("acme"))).toBe(true);
    });
  });

  test("cannot block the node: a check has a time limit, and a limited number waits", async () => {
    const slow = `actor User {} resource R { roles = ["r"]; }
      has_role(u: User, "r", r: R) if edge(u, a) and edge(a, b) and edge(b, c) and edge(c, d) and edge(d, e) and edge(e, f) and is_end(f, r);
      test "slow" { setup { ${Array.from({ length: 60 }, (_, from) => Array.from({ length: 60 }, (_, to) => `edge(User{"${from}"}, User{"${to}"});`).join("")).join("\n")} is_end(R{"x"}, R{"y"}); is_end(User{"x"}, R{"y"}); }
        assert_not has_role(User{"1"}, "r", R{"y"}); }`;
    await withPrimary(
      async (api) => {
        await clientOf(api.url).policy(good);
        const answers = Array.from({ length: 4 }, () => api.call("POST", "/api/test", { body: { src: slow } }));
        let checked = 0;
        for (const answer of answers) void answer.then(({ status }) => (checked += status === 429 ? 0 : 1));
        expect(await clientOf(api.url).authorize(User("ann"), "read", Org("acme"))).toBe(false);
        expect(checked).toBe(0);
        const refusals = await Promise.all(answers);
        expect(refusals.filter(({ status }) => status === 429)).toHaveLength(2);
        // The two others were checked until their time was over. What they are told depends on the machine.
        for (const { status, text } of refusals.filter(({ status }) => status !== 429)) {
          expect([400, 503]).toContain(status);
          if (status === 503) expect(text).toContain("this machine is too busy to check the policy in time");
        }
        await eventually(async () => {
          const after = await api.call("POST", "/api/test", { body: { src: good } });
          expect(after.json).toMatchObject({ success: true });
        });
      },
      { "advanced.policyCheckTimeMsMax": "4s", "advanced.policyChecksWaitingMax": "4" },
    );
  }, 120_000);

  test("can be checked on all nodes", async () => {
    await withCluster(async (cluster) => {
      const primary = await cluster.primary();
      await clientOf(primary.url).policy(good);
      for (const node of [await cluster.edge("edge", primary), await cluster.fallback(primary, { refresh: "1h" })]) {
        await eventually(() => expect(node.node.health().ok).toBe(true));
        const answer = await apiOf(node).call("POST", "/api/test", { body: { src: failing } });
        expect([answer.status, answer.json]).toMatchObject([200, { success: false, failures: [{ line: 6 }] }]);
      }
    });
  });
});
