/** `POST /api/explain`: the decision that `/api/authorize` makes, with its reasons, on every kind of node. */
import { describe, expect, test } from "bun:test";
import { explanationSchema, type Explanation, type ExplainedStep } from "../../src/engine/explain/explanation.ts";
import { explanationLines } from "../../src/engine/explain/explanation-text.ts";
import { eventually, withCluster } from "../replication/cluster.ts";
import {
  apiOf,
  clientOf,
  fact,
  User,
  value,
  wildcardPolicy,
  withPrimary,
  type Answer,
  type Api,
  type CallOptions,
  sharedPrimary,
} from "./api.ts";

const withCleanPrimary = sharedPrimary();

const policy = `actor User {}
resource Folder {
  roles = ["reader", "writer"]; permissions = ["read"]; relations = { parent: Folder };
  "reader" if "writer";
  role if role on "parent";
  "read" if "reader";
}
resource Report { permissions = ["read", "print"]; relations = { folder: Folder }; "read" if "reader" on "folder"; }
resource Page { permissions = ["read"]; }
has_permission(_: User, "read", Page{"home"});
has_permission(user: User, "read", page: Page) if
  has_pass(user, page, ends) and @current_unix_time < ends;
has_permission(user: User, "print", report: Report) if
  has_permission(user, "read", report) and not is_secret(report);
allow(user: User, action: String, resource: Resource) if
  has_permission(user, action, resource) and not is_banned(user);
`;

const Folder = (id: string) => value("Folder", id);
const Report = (id: string) => value("Report", id);
const Page = (id: string) => value("Page", id);
const Text = (id: string) => value("String", id);
const role = (user: string, name: string, folder: string) => fact("has_role", User(user), Text(name), Folder(folder));
const relation = (from: ReturnType<typeof value>, name: string, to: ReturnType<typeof value>) =>
  fact("has_relation", from, Text(name), to);

const facts = [
  role("ann", "writer", "top"),
  relation(Folder("middle"), "parent", Folder("top")),
  relation(Folder("low"), "parent", Folder("middle")),
  relation(Report("plan"), "folder", Folder("low")),
  relation(Report("plans"), "folder", Folder("low")),
  fact("is_secret", Report("plans")),
  fact("is_banned", User("eve")),
  role("eve", "reader", "low"),
  fact("has_pass", User("ann"), Page("p"), value("Integer", "4102444800")),
  fact("has_pass", User("old"), Page("p"), value("Integer", "1577836800")),
];

function body(actor: string, action: string, resource: ReturnType<typeof value>, contextFacts: object[] = []) {
  return {
    actor_type: "User",
    actor_id: actor,
    action,
    resource_type: resource.type,
    resource_id: resource.id,
    context_facts: contextFacts,
  };
}

async function loaded(api: Api): Promise<void> {
  expect((await api.call("POST", "/api/policy", { body: { src: policy, filename: "files.polar" } })).status).toBe(200);
  expect((await api.call("POST", "/api/batch", { body: [{ inserts: facts }] })).status).toBe(200);
}

/** The explanation; its decision is that of `/api/authorize`. */
async function explained(api: Api, question: object, options: CallOptions = {}): Promise<Explanation> {
  const answer = await api.call("POST", "/api/explain", { ...options, body: question });
  expect([answer.status, answer.text]).toEqual([200, answer.text]);
  const explanation = explanationSchema.parse(answer.json);
  const decided = await api.call("POST", "/api/authorize", { body: question });
  expect(decided.json).toEqual({ allowed: explanation.allowed });
  // The schema describes the whole explanation.
  expect(answer.json).toEqual(explanation as object);
  return explanation;
}

function factsOf(step: ExplainedStep | null): string[] {
  if (step?.kind === "fact") return [`${step.from}: ${step.fact.text}`];
  return step?.kind === "rule" ? step.steps.flatMap(factsOf) : [];
}

describe("an explanation", () => {
  test("of an allowed action is its derivation, with rules, positions, facts, and the path of recursion", () =>
    withCleanPrimary(async (api) => {
      await loaded(api);
      const why = await explained(api, body("ann", "read", Report("plan")));
      expect(why).toMatchObject({
        allowed: true,
        question: { predicate: "allow", args: [User("ann"), Text("read"), Report("plan")] },
        policy: { id: expect.any(Number), filename: "files.polar" },
        denial: null,
        truncated: null,
      });
      expect(explanationLines(why).join("\n")).toBe(`allowed: allow(User{"ann"}, "read", Report{"plan"})
  allow(User{"ann"}, "read", Report{"plan"}) by allow(user: User, action: String, resource: Resource) if has_permission(user, action, resource) and … (files.polar:15:1)
    has_permission(User{"ann"}, "read", Report{"plan"}) by "read" if "reader" on "folder" (files.polar:8:84)
      has_relation(Report{"plan"}, "folder", Folder{"low"}) is a fact
      has_role(User{"ann"}, "reader", Folder{"low"}) by "reader" if "writer" (files.polar:4:3)
        has_role(User{"ann"}, "writer", Folder{"low"}) by role if role on "parent" (files.polar:5:3), 2 times
          has_relation(Folder{"low"}, "parent", Folder{"middle"}) is a fact
          has_relation(Folder{"middle"}, "parent", Folder{"top"}) is a fact
          has_role(User{"ann"}, "writer", Folder{"top"}) is a fact
    not is_banned(User{"ann"}) holds`);
    }));

  test("marks context facts and facts of the policy", () =>
    withCleanPrimary(async (api) => {
      await loaded(api);
      const contextFacts = [role("zoe", "reader", "low"), role("ann", "writer", "top")];
      const zoe = await explained(api, body("zoe", "read", Report("plan"), contextFacts));
      expect(factsOf(zoe.derivation)).toEqual([
        'stored: has_relation(Report{"plan"}, "folder", Folder{"low"})',
        'context: has_role(User{"zoe"}, "reader", Folder{"low"})',
      ]);
      // A stored fact needs no context fact.
      const ann = await explained(api, body("ann", "read", Folder("top"), contextFacts));
      expect(factsOf(ann.derivation)).toEqual(['stored: has_role(User{"ann"}, "writer", Folder{"top"})']);
      // A context fact can have a predicate that only rules define.
      const any = await explained(
        api,
        body("zoe", "print", Report("plans"), [fact("has_permission", User("zoe"), Text("print"), Report("plans"))]),
      );
      expect(factsOf(any.derivation)).toEqual(['context: has_permission(User{"zoe"}, "print", Report{"plans"})']);
      const home = await explained(api, body("zoe", "read", Page("home")));
      expect(home.derivation).toMatchObject({
        steps: [{ kind: "fact", from: "policy", rule: { file: "files.polar", line: 10, column: 1 } }, {}],
      });
    }));

  test("of a denied action names the missing facts, or those that should not exist", () =>
    withCleanPrimary(async (api) => {
      await loaded(api);
      const bob = await explained(api, body("bob", "read", Folder("middle")));
      expect(bob.derivation).toBeNull();
      expect(explanationLines(bob).slice(0, 10).join("\n")).toBe(`denied: allow(User{"bob"}, "read", Folder{"middle"})
  allow(user: User, action: String, resource: Resource) if has_permission(user, action, resource) and … (files.polar:15:1)
    holds:   not is_banned(User{"bob"})
    missing: has_permission(User{"bob"}, "read", Folder{"middle"})
      "read" if "reader" (files.polar:6:3)
        missing: has_role(User{"bob"}, "reader", Folder{"middle"})
          role if role on "parent" (files.polar:5:3)
            holds:   has_relation(Folder{"middle"}, "parent", Folder{"top"})
            missing: has_role(User{"bob"}, "reader", Folder{"top"})
              "reader" if "writer" (files.polar:4:3)`);
      const missing = bob.denial?.attempts[0]?.missing[0];
      expect(missing).toMatchObject({
        kind: "call",
        storable: true,
        call: { predicate: "has_permission", args: [User("bob"), {}, {}] },
      });

      const eve = await explained(api, body("eve", "read", Folder("low")));
      expect(eve.denial?.attempts[0]?.missing).toEqual([
        { kind: "test", text: 'not is_banned(User{"eve"})', because: 'is_banned(User{"eve"})' },
      ]);
      const secret = JSON.stringify(await explained(api, body("ann", "print", Report("plans"))));
      expect(secret).toContain('"because":"is_secret(Report{\\"plans\\"})"');
      const slip = JSON.stringify(await explained(api, body("ann", "raed", Folder("top"))));
      expect(slip).toContain('"did_you_mean":"read"');
      expect(slip).toContain('"unknown":["the policy has no permission `raed` of `Folder`: did you mean `read`?"]');
    }));

  test("of comparisons with the clock has the compared value, not the present time", () =>
    withCleanPrimary(async (api) => {
      await loaded(api);
      const ann = JSON.stringify(await explained(api, body("ann", "read", Page("p"))));
      expect(ann).toContain('{"kind":"condition","text":"@current_unix_time < 4102444800"}');
      const old = JSON.stringify(await explained(api, body("old", "read", Page("p"))));
      expect(old).toContain('{"kind":"test","text":"@current_unix_time < 1577836800","because":null}');
    }));

  test("of a permission of all users names the fact of the policy, for every value", () =>
    withCleanPrimary(async (api) => {
      await api.call("POST", "/api/policy", { body: { src: wildcardPolicy } });
      const why = await explained(api, body("anybody", "read", value("Org", "acme")));
      expect(explanationLines(why).join("\n")).toBe(`allowed: allow(User{"anybody"}, "read", Org{"acme"})
  has_permission(User{"anybody"}, "read", Org{"acme"}) by "read" if global "user" (policy.polar:7:23)
    has_role(User{"anybody"}, "user") is a fact of the policy (policy.polar:3:1)`);
      const open = `actor User {} resource Page { permissions = ["read"]; roles = ["reader"]; "read" if "reader"; }
        resource Site {} has_role(_: User, "reader", _: Page) if site matches Site and published(site);`;
      expect((await api.call("POST", "/api/policy", { body: { src: open } })).status).toBe(200);
      await api.call("POST", "/api/batch", { body: [{ inserts: [fact("published", value("Site", "s"))] }] });
      const page = await explained(api, body("anybody", "read", Page("any")));
      expect(factsOf(page.derivation)).toEqual(['stored: published(Site{"s"})']);
    }));

  test("needs a key with the role read, and refuses the same requests as `/api/authorize` with the same messages", () =>
    withPrimary(async (api) => {
      const empty = await explained(api, body("ann", "read", Folder("top")));
      expect(empty).toMatchObject({ allowed: false, policy: null, derivation: null, denial: null, truncated: null });
      await loaded(api);
      const made = await api.call("POST", "/api/keys", { body: { name: "support", role: "read" } });
      const headers = { authorization: `Bearer ${(made.json as { token: string }).token}` };
      await explained(api, body("ann", "read", Folder("top")), { headers });
      const odd: [unknown, Record<string, string>?][] = [
        [{}],
        ["{"],
        [{ ...body("ann", "read", Folder("top")), actor_id: 7 }],
        [body("ann", "read", Folder("top"), [fact("has_role", User("*"), Text("x"), Folder("y"))])],
        [body("ann", "read", Folder("top"), [fact("level", User("ann"), value("Integer", "x"))])],
        [body("ann", "read", Folder("top")), { authorization: "Bearer nobody" }],
        [body("ann", "read", Folder("top")), { osooffset: "what" }],
      ];
      await explained(api, body("ann", "read", value("Integer", "seven")));
      for (const [sent, extra = {}] of odd) {
        const asked = (path: string): Promise<Answer> => api.call("POST", path, { body: sent, headers: extra });
        const [mine, theirs] = [await asked("/api/explain"), await asked("/api/authorize")];
        expect([mine.status, mine.text]).toEqual([theirs.status, theirs.text]);
        expect(mine.status).toBeGreaterThanOrEqual(400);
      }
    }));

  test(
    "is the same, byte for byte, on all nodes",
    () =>
      withCluster(async (cluster) => {
        const primary = await cluster.primary();
        await loaded(apiOf(primary));
        const { headers } = await apiOf(primary).call("POST", "/api/batch", {
          body: [{ inserts: [role("new", "reader", "low")] }],
        });
        const osooffset = headers.get("osooffset") ?? "";
        const edge = await cluster.edge("edge", primary);
        const fallback = await cluster.fallback(primary, { refresh: "1h" });
        for (const { node } of [edge, fallback]) await eventually(() => expect(node.health().ok).toBe(true));
        for (const question of [body("new", "print", Report("plan")), body("bob", "read", Report("plan"))]) {
          const texts = await Promise.all(
            [primary, primary, edge, fallback].map(async (node) => {
              const answer = await apiOf(node).call("POST", "/api/explain", { body: question, headers: { osooffset } });
              expect(answer.status).toBe(200);
              return answer.text;
            }),
          );
          expect(new Set(texts).size).toBe(1);
        }
      }),
    60_000,
  );
});

describe("bounds", () => {
  const chain = Array.from({ length: 40 }, (_, index) =>
    relation(Folder(`f${index}`), "parent", Folder(`f${index + 1}`)),
  );

  test("a long chain is one path", () =>
    withCleanPrimary(async (api) => {
      await loaded(api);
      const why = await explained(api, body("ann", "read", Folder("f0"), [...chain, role("ann", "reader", "f40")]));
      expect(why).toMatchObject({ allowed: true, truncated: null });
      const [, path] = explanationLines(why).join("\n").split("role if role on");
      expect(path?.split("\n").length).toBeLessThan(15);
      expect(path).toContain("40 times");
      expect(path).toContain("… 33 more of the same kind");
      expect(factsOf(why.derivation)).toHaveLength(41);
    }));

  test.each([
    ["entries", { "advanced.explanationEntriesMax": "3" }],
    ["steps", { "advanced.explanationStepsMax": "10" }],
    ["depth", { "advanced.explanationDepthMax": "2" }],
  ] as const)("on %s cut the explanation, never the decision", (reason, flags) =>
    withPrimary(async (api) => {
      await loaded(api);
      const allowed = await explained(api, body("ann", "read", Report("plan")));
      expect(allowed).toMatchObject({ allowed: true, truncated: { reason } });
      expect(explanationLines(allowed).at(-1)).toStartWith("  the explanation was cut: it ");
      const denied = await explained(api, body("bob", "read", Report("plan")));
      expect(denied).toMatchObject({ allowed: false, truncated: reason === "depth" ? null : { reason } });
    }, flags),
  );

  test("delay no other query: explanations run one at a time, and a limited number waits", () =>
    withPrimary(
      async (api) => {
        await loaded(api);
        const answers = Array.from({ length: 5 }, () =>
          api.call("POST", "/api/explain", { body: body("ann", "read", Report("plan")) }),
        );
        let explanations = 0;
        for (const answer of answers) void answer.then(({ status }) => (explanations += status === 200 ? 1 : 0));
        expect(await clientOf(api.url).authorize(User("ann"), "read", Report("plan"))).toBe(true);
        expect(explanations).toBe(0);
        const all = await Promise.all(answers);
        expect(all.map(({ status }) => status).sort()).toEqual([200, 200, 429, 429, 429]);
        expect(all.find(({ status }) => status === 429)?.headers.get("retry-after")).toBe("1");
        await explained(api, body("ann", "read", Report("plan")));
      },
      { "advanced.explanationsWaitingMax": "4" },
    ));
});
