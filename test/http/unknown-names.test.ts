/**
 * The header `Ostiary-Hint`: which names of a question the policy does not have. Without it a typing mistake looks like a
 * denial or like an empty list. Bodies do not change, because official clients accept no other members.
 */
import { expect, test } from "bun:test";
import { headerText, textOfHeader } from "../../src/util/header-text.ts";
import { type Api, fact, sharedPrimary, User, value } from "./api.ts";

const withCleanPrimary = sharedPrimary();

const policy = `
actor User {}
resource Project {
  roles = ["member"];
  permissions = ["read", "delete", "löschen"];
  relations = { parent: Project };
  "read" if "member";
  "delete" if "member";
  "member" if "member" on "parent";
}
`;

async function load(api: Api): Promise<void> {
  await api.call("POST", "/api/policy", { body: { src: policy } });
  const member = fact("has_role", User("ann"), value("String", "member"), value("Project", "x"));
  await api.call("POST", "/api/batch", { body: [{ inserts: [member] }] });
}

async function ask(api: Api, path: string, body: object) {
  const { status, json, headers } = await api.call("POST", path, {
    body,
    headers: { "content-type": "application/json" },
  });
  const hint = headers.get("ostiary-hint");
  return { status, json, hint: hint === null ? null : textOfHeader(hint) };
}

const ann = { actor_type: "User", actor_id: "ann" };
const x = { resource_type: "Project", resource_id: "x" };
const noType = "the policy has no type `Projct`: did you mean `Project`?";
const noAction = "the policy has no permission `delet` of `Project`: did you mean `delete`?";
const projct = { ...x, resource_type: "Projct" };
const row = (type: string) => ({ type, ids: null });
const bound = (type: string, id: string) => ({ type, ids: [id] });

const bindings = `
dialect: postgres
facts:
  has_relation(Project:_, String:parent, Project:_):
    query: SELECT id, parent FROM project
`;

const questions: readonly (readonly [path: string, body: object, json: unknown, hint: string | null])[] = [
  ["/api/authorize", { ...ann, action: "read", ...x }, { allowed: true }, null],
  ["/api/authorize", { ...ann, action: "löschen", ...x }, { allowed: false }, null],
  ["/api/authorize", { ...ann, action: "read", ...projct }, { allowed: false }, noType],
  ["/api/authorize", { ...ann, action: "delet", ...x }, { allowed: false }, noAction],
  ["/api/authorize", { ...ann, action: "read", ...x, actor_type: "Usr" }, { allowed: false }, noTypeOf("Usr", "User")],
  [
    "/api/authorize_resources",
    { ...ann, action: "read", resources: [value("Project", "x"), value("Projct", "x"), value("Projct", "y")] },
    { results: [value("Project", "x")] },
    noType,
  ],
  ["/api/list", { ...ann, action: "read", resource_type: "Projct" }, { results: [] }, noType],
  ["/api/list", { ...ann, action: "delet", resource_type: "Project" }, { results: [] }, noAction],
  [
    "/api/list",
    { ...ann, action: "read", resource_type: "Projct", page_size: 5 },
    { results: [], next_page_token: null },
    noType,
  ],
  ["/api/list", { ...ann, action: "read", resource_type: "Project" }, { results: ["x"] }, null],
  ["/api/actions", { ...ann, ...projct }, { results: [] }, noType],
  [
    "/api/bulk_actions",
    [
      { ...ann, ...x },
      { ...ann, ...projct },
    ],
    [{ results: ["delete", "read"] }, { results: [] }],
    noType,
  ],
  [
    "/api/query",
    { fact: fact("has_relation", value("Project", "x"), value("String", "parnt"), value("Project", "y")) },
    { results: [] },
    "the policy has no relation `parnt` of `Project`: did you mean `parent`?",
  ],
  [
    "/api/evaluate_query",
    {
      predicate: ["has_role", ["u", "r", "p"]],
      calls: [],
      constraints: {
        u: bound("User", "nobody"),
        r: { type: "String", ids: ["member", "membr"] },
        p: row("Project"),
      },
      context_facts: [],
    },
    { results: [] },
    "the policy has no role `membr` of `Project`: did you mean `member`?",
  ],
  ["/api/evaluate_query", queryOf("is_membr"), { results: [] }, "the policy has no predicate `is_membr`"],
  [
    "/access/v1/evaluation",
    { subject: User("ann"), action: { name: "delet" }, resource: value("Project", "x") },
    { decision: false },
    noAction,
  ],
  [
    "/access/v1/evaluations",
    {
      subject: User("ann"),
      action: { name: "read" },
      evaluations: ["Project", "Projct", "Projct"].map((type) => ({ resource: value(type, "x") })),
    },
    { evaluations: [{ decision: true }, { decision: false }, { decision: false }] },
    noType,
  ],
  [
    "/access/v1/search/subject",
    { subject: { type: "Usr" }, action: { name: "read" }, resource: value("Project", "x") },
    { results: [] },
    noTypeOf("Usr", "User"),
  ],
  [
    "/access/v1/search/resource",
    { subject: User("ann"), action: { name: "read" }, resource: { type: "Projct" } },
    { results: [] },
    noType,
  ],
  [
    "/api/authorize_query",
    { query: { ...ann, action: "delet", ...x }, data_bindings: bindings },
    { sql: "SELECT FALSE AS allowed" },
    noAction,
  ],
  ["/access/v1/search/action", { subject: User("ann"), resource: value("Projct", "x") }, { results: [] }, noType],
];

function noTypeOf(type: string, meant: string): string {
  return `the policy has no type \`${type}\`: did you mean \`${meant}\`?`;
}

function queryOf(predicate: string): object {
  return { predicate: [predicate, ["u"]], calls: [], constraints: { u: row("User") }, context_facts: [] };
}

test("each kind of question names what the policy does not have", () =>
  withCleanPrimary(async (api) => {
    await load(api);
    for (const [path, body, json, hint] of questions) {
      // The second answer comes from the caches.
      for (const round of ["first", "again"])
        expect([path, round, await ask(api, path, body)]).toEqual([path, round, { status: 200, json, hint }]);
    }
  }));

test("a new policy makes the hint of a cached denial disappear", () =>
  withCleanPrimary(async (api) => {
    await load(api);
    const question = { ...ann, action: "delet", ...x };
    expect((await ask(api, "/api/authorize", question)).hint).toBe(noAction);
    await api.call("POST", "/api/policy", { body: { src: policy.replace('"delete", ', '"delete", "delet", ') } });
    expect(await ask(api, "/api/authorize", question)).toMatchObject({ json: { allowed: false }, hint: null });
  }));

test("denials with the same types and action share a hint, until the policy has the name", () =>
  withCleanPrimary(async (api) => {
    await load(api);
    const hintOf = async (id: string) =>
      (await ask(api, "/api/authorize", { ...ann, action: "read", ...projct, resource_id: id })).hint;
    expect([await hintOf("x"), await hintOf("y")]).toEqual([noType, noType]);
    await api.call("POST", "/api/policy", { body: { src: `${policy} resource Projct {}` } });
    expect([await hintOf("x"), await hintOf("y"), await hintOf("z")]).toEqual([null, null, null]);
    await load(api);
    expect([await hintOf("x"), await hintOf("z")]).toEqual([noType, noType]);
  }));

test("an own `allow` rule may ask for roles and relations with the name of the action", () =>
  withCleanPrimary(async (api) => {
    const own = `allow(actor: Actor, action: String, project: Resource) if has_role(actor, action, project) or has_relation(project, action, actor);`;
    await api.call("POST", "/api/policy", { body: { src: policy + own } });
    for (const action of ["member", "parent", "read"])
      expect((await ask(api, "/api/authorize", { ...ann, action, ...x })).hint).toBeNull();
    expect((await ask(api, "/api/authorize", { ...ann, action: "membr", ...x })).hint).toBe(
      "the policy has no permission `membr` of `Project`: did you mean `member`?",
    );
  }));

test("names of a question can neither break the header nor make it long", () =>
  withCleanPrimary(async (api) => {
    await load(api);
    const hostile = ["delet\r\nSet-Cookie: a=b", "100% löschen\u202e", "😀".repeat(128), "%0d%0aX: y"];
    for (const action of hostile) {
      const body = { ...ann, action, ...x };
      const { headers, json } = await api.call("POST", "/api/authorize", { body });
      const hint = headers.get("ostiary-hint") ?? "";
      expect([action, json, hint]).toEqual([action, { allowed: false }, expect.stringMatching(/^[ -~]{20,1000}$/)]);
      expect(headers.get("set-cookie")).toBeNull();
    }
    const resources = Array.from({ length: 500 }, (_, index) => value(`${index} ${"ä".repeat(50)}`, "x"));
    const { headers } = await api.call("POST", "/api/authorize_resources", {
      body: { ...ann, action: "read", resources },
    });
    expect(headers.get("ostiary-hint")).toMatch(/^[ -~]{900,1000} \.\.\.$/);
  }));

test("a header has each text, except for lone surrogates and what is too long", () => {
  for (const text of ["a `b` c", "50 % of %41", "ä\r\n\0\u007f", "😀"])
    expect([text, textOfHeader(headerText(text))]).toEqual([text, text]);
  expect(textOfHeader(headerText("\ud800"))).toBe("\ufffd");
  expect(headerText("ä".repeat(1000)).length).toBeLessThanOrEqual(1000);
  expect(textOfHeader("100%")).toBe("100%");
});

test("a write has a hint for stored names that the policy does not have, and stores them all the same", async () => {
  await withCleanPrimary(async (api) => {
    await load(api);
    const role = (name: string, type = "Project") =>
      fact("has_role", User("eve"), value("String", name), value(type, "x"));
    const noRole = "check the stored facts: the policy has no role `membr` of `Project`: did you mean `member`?";
    const insert = (...facts: readonly unknown[]) => ask(api, "/api/batch", [{ inserts: facts }]);
    expect(await insert(role("membr"))).toMatchObject({ status: 200, hint: noRole });
    expect(await insert(role("member"))).toMatchObject({ status: 200, hint: null });
    // It changes nothing the second time.
    expect(await insert(role("membr"))).toMatchObject({ status: 200, hint: null });
    const relation = fact("has_relation", value("Project", "x"), value("String", "parnt"), value("Project", "y"));
    const { json, hint } = await ask(api, "/api/facts", relation);
    expect({ json, hint }).toMatchObject({ json: relation, hint: expect.stringContaining("no relation `parnt`") });
    const stored = await api.call("GET", "/api/facts?predicate=has_role");
    expect(stored.json).toHaveLength(3);
  });
});

test("a write has no hint for a name that a rule takes from the fact", () =>
  withCleanPrimary(async (api) => {
    const insert = async (source: string, name: string, type = "Project") => {
      expect((await api.call("POST", "/api/policy", { body: { src: source } })).status).toBeLessThan(300);
      const role = fact("has_role", User("eve"), value("String", name), value(type, "x"));
      const { status, hint } = await ask(api, "/api/batch", [{ inserts: [role] }]);
      expect(status).toBe(200);
      return hint;
    };
    const custom = `${policy}
      resource Team { roles = ["lead"]; permissions = ["read"]; "read" if "lead"; }
      has_permission(user: User, action: String, project: Project) if
        has_role(user, role, project) and grants_permission(role, action);`;
    expect(await insert(custom, "auditor")).toBeNull();
    const ofTeam = "check the stored facts: the policy has no role `auditor` of `Team`";
    expect(await insert(custom, "auditor", "Team")).toBe(ofTeam);
    // A role that is only passed on is known if the other type has it.
    const passing = `${policy} resource Task {
      roles = ["worker"]; permissions = ["read"]; relations = { project: Project };
      role if role on "project"; "read" if "worker";
    }`;
    expect(await insert(passing, "worker")).toBeNull();
    expect(await insert(passing, "nosuch")).toContain("the policy has no role `nosuch` of `Project`");
    const own = `allow(actor: Actor, action: String, project: Resource) if has_role(actor, action, project);`;
    expect(await insert(policy + own, "reviewer")).toBeNull();
  }));
