/** The AuthZEN Authorization API 1.0, first the scenario of its certification, then what the specification leaves open. */
import { describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { once } from "node:events";
import { defaultLimits } from "../../src/config/limits.ts";
import { createApp } from "../../src/features/app.ts";
import { requestParsers } from "../../src/http/request/request-schemas.ts";
import { adminKey, eventually, withCluster } from "../replication/cluster.ts";
import { apiOf, fact, primaryForAllTests, value, withPrimary, type Answer, type Api, sharedPrimary } from "./api.ts";

const withCleanPrimary = sharedPrimary();

const policy = `
actor user {}

resource record {
  roles = ["reader", "editor"];
  permissions = ["read", "write", "delete", "audit"];
  "reader" if "editor";
  "read" if "reader";
}

has_permission(user: user, "write", record: record) if
  has_role(user, "editor", record) and
  not has_property(record, "status", "archived");

has_permission(user: user, "write", record: record) if
  has_property(user, "role", "admin") and
  has_property(record, "status", "archived");

has_permission(user: user, "delete", record: record) if
  has_role(user, "editor", record) and
  has_property("delete", "soft", true);

has_permission(user: user, "audit", record: record) if
  has_property(user, "level", level) and level > 2 and
  has_property(record, "tags.kind", "public") and
  has_context("network", "office") and
  not has_context("risk", 9);
`;

const [alice, bob] = [
  { type: "user", id: "alice" },
  { type: "user", id: "bob" },
];
const [record1, record2] = [
  { type: "record", id: "record-1" },
  { type: "record", id: "record-2" },
];
const [read, write] = [{ name: "read" }, { name: "write" }];
const [active, archived] = [{ status: "active" }, { status: "archived" }];
const admin = { ...bob, properties: { role: "admin" } };

const facts = [
  fact("has_role", alice, value("String", "editor"), record1),
  fact("has_role", alice, value("String", "editor"), record2),
  fact("has_role", bob, value("String", "reader"), record1),
  fact("has_property", bob, value("String", "role"), value("String", "admin")),
  fact("has_property", record1, value("String", "status"), value("String", "active")),
  fact("has_property", record2, value("String", "status"), value("String", "archived")),
];

async function load(api: Api): Promise<void> {
  expect((await api.call("POST", "/api/policy", { body: { src: policy } })).json).toEqual({ message: "policy loaded" });
  expect((await api.call("POST", "/api/batch", { body: [{ inserts: facts }] })).status).toBe(200);
}

let api: Api;
primaryForAllTests(async (primary) => {
  api = primary;
  await load(api);
});

const json = { "Content-Type": "application/json" };

function post(path: string, body: unknown, headers: Readonly<Record<string, string>> = {}, to = api): Promise<Answer> {
  return to.call("POST", `/access/v1/${path}`, { body, headers: { ...json, ...headers } });
}

/** The body of a successful response. */
async function ask(path: string, body: unknown, to = api): Promise<unknown> {
  const answer = await post(path, body, {}, to);
  expect([answer.status, answer.text, answer.headers.get("content-type")]).toEqual([
    200,
    answer.text,
    "application/json",
  ]);
  return answer.json;
}

const evaluate = (subject: object, action: object, resource: object, context?: object) =>
  ask("evaluation", { subject, action, resource, ...(context && { context }) });
const decision = (allowed: boolean) => ({ decision: allowed });

describe("Basic", () => {
  test("the eight decisions", async () => {
    expect(await evaluate(alice, read, record1)).toEqual(decision(true));
    expect(await evaluate(alice, write, record1)).toEqual(decision(true));
    expect(await evaluate(bob, read, record1)).toEqual(decision(true));
    expect(await evaluate(bob, write, record1)).toEqual(decision(false));
    expect(await evaluate(alice, write, { ...record2, properties: archived })).toEqual(decision(false));
    expect(await evaluate(admin, write, { ...record2, properties: archived })).toEqual(decision(true));
    const soft = (soft: boolean) => ({ name: "delete", properties: { soft } });
    expect(await evaluate(alice, soft(true), record1)).toEqual(decision(true));
    expect(await evaluate(alice, soft(false), record1)).toEqual(decision(false));
    // The same without stored properties.
    const [eve, other] = [
      { ...alice, id: "eve", properties: { role: "admin" } },
      { ...record1, id: "other" },
    ];
    expect(await evaluate(eve, write, { ...other, properties: archived })).toEqual(decision(true));
    expect(await evaluate(eve, write, { ...other, properties: active })).toEqual(decision(false));
    expect(await evaluate({ ...eve, properties: {} }, write, { ...other, properties: archived })).toEqual(
      decision(false),
    );
    expect(await evaluate(alice, write, { ...record1, properties: archived })).toEqual(decision(false));
  });

  test("context, other properties and unknown members change nothing", async () => {
    const context = { time: "2025-06-27T18:03-07:00", ip: "192.168.1.1" };
    expect(await evaluate(alice, read, record1, context)).toEqual(decision(true));
    const subject = {
      ...alice,
      properties: { department: "Sales", role: "manager", score: 0.7, long: "x".repeat(9999) },
    };
    const resource = {
      ...record1,
      properties: { ...active, owner: "bob", nothing: null, nested: { a: [[{ b: 1 }]] } },
    };
    const action = { name: "read", properties: { method: "GET" } };
    const unknown = { foo: "bar", futureField: { nested: true }, context: { a: 1.5, "": "*" } };
    expect(await ask("evaluation", { subject, action, resource, ...unknown })).toEqual(decision(true));
  });

  test.each([
    ["no subject", { action: read, resource: record1 }, "`subject` in the body is missing, it must be an object"],
    ["no action", { subject: alice, resource: record1 }, "`action` in the body is missing, it must be an object"],
    ["no resource", { subject: alice, action: read }, "`resource` in the body is missing, it must be an object"],
    ["no type", { subject: { id: "alice" }, action: read, resource: record1 }, "`subject.type`"],
    ["no id", { subject: { type: "user" }, action: read, resource: record1 }, "`subject.id`"],
    ["no name", { subject: alice, action: {}, resource: record1 }, "`action.name`"],
    ["no resource type", { subject: alice, action: read, resource: { id: "1" } }, "`resource.type`"],
    ["no resource id", { subject: alice, action: read, resource: { type: "record" } }, "`resource.id`"],
    ["null", { subject: null, action: read, resource: record1 }, "`subject` in the body"],
    ["a text", { subject: "alice", action: read, resource: record1 }, "`subject` in the body must be an object"],
    ["a number", { subject: alice, action: { name: 123 }, resource: record1 }, "`action.name` in the body must be"],
    ["a list of properties", { subject: { ...alice, properties: [] }, action: read, resource: record1 }, "an object"],
    ["a context of text", { subject: alice, action: read, resource: record1, context: "x" }, "`context` in the body"],
    ["a list", [], "the body must be an object"],
    ["a malformed body", '{"subject":', "the body is not JSON"],
    ["an empty body", "", "the body must be an object"],
  ])("400 with a message for %s", async (_, body, message) => {
    for (const path of ["evaluation", "evaluations"]) {
      const answer = await post(path, body);
      expect([answer.status, answer.headers.get("content-type")]).toEqual([400, "application/json"]);
      expect([typeof answer.json, String(answer.json)]).toEqual(["string", expect.stringContaining(message)]);
    }
  });

  test("the content type, keys and request ids", async () => {
    const body = JSON.stringify({ subject: alice, action: read, resource: record1 });
    for (const type of ["text/plain", "application/x-www-form-urlencoded", ""]) {
      const answer = await post("evaluation", body, { "Content-Type": type });
      expect([answer.status, answer.json]).toEqual([400, "the header `Content-Type` must be `application/json`"]);
    }
    // The request waits for a position that does not come.
    const { epoch, offset } = api.node.health();
    const headers = { "Content-Type": "text/plain", OsoOffset: `${epoch}:${Number(offset) + 1}` };
    expect((await post("evaluation", body, headers)).status).toBe(503);
    expect((await post("evaluation", body, { "Content-Type": "Application/JSON; charset=utf-8" })).status).toBe(200);
    const refused = await post("evaluation", "no JSON", { authorization: "" });
    expect([refused.status, refused.headers.get("www-authenticate")]).toEqual([401, "Bearer"]);
    expect(refused.json).toBe("no API key was sent, send it as `Authorization: Bearer <key>`");
    for (let time = 0; time < 3; time++) {
      const answer = await post("evaluation", body, { "X-Request-ID": `id ${time}` });
      expect([answer.headers.get("x-request-id"), answer.json]).toEqual([`id ${time}`, decision(true)]);
    }
    expect((await post("evaluation", body)).headers.get("x-request-id")).toMatch(/^\S+$/);
    const long = "x".repeat(4000);
    expect((await post("evaluation", body, { "X-Request-ID": long })).headers.get("x-request-id")).toBe(long);
  });
});

describe("Batch", () => {
  const batch = (body: object) => ask("evaluations", body);
  const decisions = (...allowed: boolean[]) => ({ evaluations: allowed.map(decision) });

  test("defaults, items that replace them, and properties of each item", async () => {
    const items = [{ resource: record1 }, { resource: record2 }];
    expect(await batch({ subject: alice, action: read, evaluations: items })).toEqual(decisions(true, true));
    const actions = [{ action: read }, { action: write }];
    expect(await batch({ subject: bob, resource: record1, evaluations: actions })).toEqual(decisions(true, false));
    const records = [
      { resource: { ...record1, properties: active } },
      { resource: { ...record2, properties: archived } },
    ];
    expect(await batch({ subject: alice, action: write, evaluations: records })).toEqual(decisions(true, false));
    const subjects = [{ subject: alice }, { subject: admin }];
    const resource = { ...record2, properties: archived };
    expect(await batch({ action: write, resource, evaluations: subjects })).toEqual(decisions(false, true));
    const whole = [
      { subject: alice, action: read, resource: record1 },
      { subject: bob, action: write, resource: record1 },
    ];
    expect(await batch({ evaluations: whole })).toEqual(decisions(true, false));
    const all = { subject: alice, action: read, resource: record1 };
    expect(await batch({ ...all, evaluations: [{}, { action: null, other: 1 }] })).toEqual(decisions(true, true));
    // A member of an item replaces that of the defaults whole: nothing of a default fills a gap.
    const parts = [
      { subject: { type: "user" } },
      { subject: { id: "alice" } },
      { action: {} },
      { resource: { type: "record" } },
      { resource: { id: record1.id, properties: active } },
      {},
    ];
    const gap = (place: string) => ({
      decision: false,
      context: { error: { status: 400, message: `\`${place}\` in the body is missing, it must be a text` } },
    });
    expect(await batch({ ...all, evaluations: parts })).toEqual({
      evaluations: [
        ...["subject.id", "subject.type", "action.name", "resource.id", "resource.type"].map(gap),
        decision(true),
      ],
    });
    // The properties of a default do not stay when the item has another entity.
    const archivedDefault = { ...record1, properties: archived };
    expect(
      await batch({
        subject: alice,
        action: write,
        resource: archivedDefault,
        evaluations: [{}, { resource: record1 }],
      }),
    ).toEqual(decisions(false, true));
  });

  test("the context is inherited, and replaced as a whole", async () => {
    const subject = { ...alice, properties: { level: 3 } };
    const resource = { ...record1, properties: { tags: { kind: "public" } } };
    const all = { subject, action: { name: "audit" }, resource, context: { network: "office", risk: 1 } };
    const evaluations = [
      {},
      { context: { network: "office", risk: 9 } },
      { context: {} },
      { context: null },
      { context: { network: "office" } },
    ];
    expect(await batch({ ...all, evaluations })).toEqual(decisions(true, false, false, true, true));
  });

  test("short circuits return what was executed", async () => {
    const evaluations = [write, read, { name: "delete" }, read].map((action) => ({ action }));
    const all = { subject: alice, resource: { ...record2, properties: archived }, evaluations };
    const semantics = (evaluations_semantic: unknown) => ({ ...all, options: { evaluations_semantic, other: 1 } });
    expect(await batch(semantics("execute_all"))).toEqual(decisions(false, true, false, true));
    expect(await batch(semantics(null))).toEqual(decisions(false, true, false, true));
    expect(await batch(semantics("permit_on_first_permit"))).toEqual(decisions(false, true));
    expect(await batch(semantics("deny_on_first_deny"))).toEqual(decisions(false));
    const answer = await post("evaluations", semantics("other"));
    expect([answer.status, answer.json]).toEqual([
      400,
      "`options.evaluations_semantic` in the body must be `execute_all` or `deny_on_first_deny` or `permit_on_first_permit`",
    ]);
  });

  test("without items it is one evaluation", async () => {
    for (const evaluations of [undefined, null, []])
      expect(await batch({ subject: alice, action: read, resource: record1, evaluations })).toEqual(decision(true));
  });

  test("a malformed item is denied alone", async () => {
    const error = (message: string) => ({ decision: false, context: { error: { status: 400, message } } });
    const evaluations = [
      { resource: record1 },
      {},
      5,
      { resource: { type: 1 } },
      { resource: { ...record1, properties: { status: "x".repeat(600) } } },
      { resource: record1, context: "x" },
      { resource: record1 },
    ];
    expect(await batch({ subject: alice, action: read, evaluations })).toEqual({
      evaluations: [
        decision(true),
        error("`resource` in the body is missing, it must be an object"),
        error("the body must be an object"),
        error("`resource.type` in the body must be a text"),
        error("`resource.properties.status` in the body must not be longer than 512 bytes"),
        error("`context` in the body must be an object"),
        decision(true),
      ],
    });
    expect((await post("evaluations", { subject: "alice", action: read, evaluations })).status).toBe(400);
    expect((await post("evaluations", { subject: alice, evaluations: {} })).status).toBe(400);
  });

  test("many items, and too many", async () => {
    const items = Array.from({ length: 1000 }, (_, index) => ({ resource: { type: "record", id: `record-${index}` } }));
    const { evaluations } = (await batch({ subject: alice, action: read, evaluations: items })) as {
      evaluations: { decision: boolean }[];
    };
    expect(evaluations.flatMap(({ decision }, index) => (decision ? [index] : []))).toEqual([1, 2]);
    const answer = await post("evaluations", { evaluations: [...items, {}] });
    expect([answer.status, answer.json]).toEqual([413, "`evaluations` in the body must have at most 1000 entries"]);
  });
});

describe("Search", () => {
  test("subjects, resources and actions", async () => {
    const searchUsers = (action: object, resource: object, more = {}) =>
      ask("search/subject", { subject: { type: "user", id: "ignored" }, action, resource, ...more });
    expect(await searchUsers(read, record1)).toEqual({ results: [alice, bob] });
    expect(await searchUsers(read, record1, { context: { time: "now" } })).toEqual({ results: [alice, bob] });
    expect(await searchUsers(write, { ...record2, properties: archived })).toEqual({ results: [bob] });
    const searchRecords = (subject: object, action: object) =>
      ask("search/resource", { subject, action, resource: { type: "record" } });
    expect(await searchRecords(alice, read)).toEqual({ results: [record1, record2] });
    expect(await searchRecords(admin, write)).toEqual({ results: [record2] });
    expect(await searchRecords({ ...alice, properties: { role: "admin" } }, write)).toEqual({
      results: [record1, record2],
    });
    const searchActions = (subject: object, resource: object) => ask("search/action", { subject, resource, page: {} });
    expect(await searchActions(alice, record1)).toEqual({ results: [read, write] });
    expect(await searchActions(admin, { ...record2, properties: archived })).toEqual({ results: [write] });
  });

  test("unknown ids, types and actions have no results", async () => {
    const [unknown, spaceship] = [
      { type: "user", id: "nobody" },
      { type: "spaceship", id: "1" },
    ];
    const none = { results: [] };
    for (const subject of [unknown, spaceship])
      for (const resource of [record1, { type: "record", id: "none" }, spaceship]) {
        expect(await ask("search/action", { subject, resource })).toEqual(none);
        expect(await ask("search/resource", { subject, action: read, resource: { type: resource.type } })).toEqual(
          none,
        );
        expect(await evaluate(subject, read, resource)).toEqual(decision(false));
      }
    for (const resource of [{ type: "record", id: "none" }, spaceship])
      expect(await ask("search/subject", { subject: { type: "user" }, action: read, resource })).toEqual(none);
    for (const [type, action] of [
      ["spaceship", read],
      ["user", { name: "fly" }],
    ] as const)
      expect(await ask("search/subject", { subject: { type }, action, resource: record1 })).toEqual(none);
  });

  test.each([
    ["search/subject", { subject: { type: "user" }, resource: record1 }],
    ["search/subject", { subject: { type: "user" }, action: read, resource: { type: "record" } }],
    ["search/subject", { subject: {}, action: read, resource: record1 }],
    ["search/resource", { action: read, resource: { type: "record" } }],
    ["search/resource", { subject: { type: "user" }, action: read, resource: { type: "record" } }],
    ["search/action", { subject: alice }],
    ["search/action", { subject: alice, resource: record1, page: 5 }],
    ["search/action", { subject: alice, resource: record1, page: { limit: -1 } }],
    ["search/subject", { subject: { type: "user" }, action: read, resource: record1, page: { token: "x" } }],
    [
      "search/subject",
      { subject: { type: "user" }, action: read, resource: record1, page: { token: "x".repeat(2000) } },
    ],
  ])("400 from %s for %j", async (path, body) => {
    const answer = await post(path, body);
    expect([answer.status, typeof answer.json]).toEqual([400, "string"]);
  });

  test("pages continue at the revision of the first one", async () => {
    const users = { subject: { type: "user" }, action: read, resource: record1 };
    const records = { subject: alice, action: read, resource: { type: "record" } };
    const [many, none] = [100, 1].map((limit) => ({ limit }));
    expect(await ask("search/subject", { ...users, page: many })).toEqual({
      page: { next_token: "" },
      results: [alice, bob],
    });
    for (const [path, search, [first, second]] of [
      ["search/subject", users, [alice, bob]],
      ["search/resource", records, [record1, record2]],
    ] as const) {
      const page = (await ask(path, { ...search, page: none })) as { page: { next_token: string }; results: object[] };
      expect(page).toEqual({ page: { next_token: expect.stringMatching(/./) }, results: [first] });
      expect(Object.keys(page)).toEqual(["page", "results"]);
      const token = page.page.next_token;
      expect(await ask(path, { ...search, page: { token } })).toEqual({ page: { next_token: "" }, results: [second] });
      const empty = (await ask(path, { ...search, page: { limit: 0 } })) as typeof page;
      expect(empty).toEqual({ page: { next_token: expect.stringMatching(/./) }, results: [] });
      const rest = { page: { next_token: "" }, results: [first, second] };
      expect(await ask(path, { ...search, page: { token: empty.page.next_token } })).toEqual(rest);
      const other = await post(path, { ...search, action: write, page: { token } });
      expect([other.status, String(other.json)]).toEqual([400, expect.stringContaining("belongs to another question")]);
    }
  });

  test("a wildcard stands for every id, and a search that nothing limits is refused", () =>
    withCleanPrimary(async (other) => {
      const src = `actor user {} resource record { permissions = ["read"]; }
        has_permission(_: user, "read", _: record);
        has_permission(user: user, "list", record: record) if not is_hidden(user, record);`;
      await other.call("POST", "/api/policy", { body: { src } });
      const anyone = { type: "user", id: "*" };
      expect(await ask("search/subject", { subject: anyone, action: read, resource: record1 }, other)).toEqual({
        results: [anyone],
      });
      const action = { name: "list" };
      const refused = await post("search/subject", { subject: { type: "user" }, action, resource: record1 }, {}, other);
      expect([refused.status, typeof refused.json]).toEqual([400, "string"]);
    }));
});

describe("properties", () => {
  const audit = (subject: object, resource: object, context: object) =>
    evaluate(
      { ...alice, properties: subject },
      { name: "audit" },
      { ...record1, properties: resource },
      context,
    ) as Promise<{ decision: boolean }>;

  test("nested objects have names with dots, lists have a fact for each element", async () => {
    const context = { network: "office" };
    expect(await audit({ level: 3 }, { tags: { kind: "public" } }, context)).toEqual(decision(true));
    expect(await audit({ level: [1, 3] }, { tags: [{ kind: "secret" }, { kind: "public" }] }, context)).toEqual(
      decision(true),
    );
    expect(await audit({ level: 2 }, { tags: { kind: "public" } }, context)).toEqual(decision(false));
    expect(await audit({ level: "3" }, { tags: { kind: "public" } }, context)).toEqual(decision(false));
    expect(await audit({ level: 3 }, { "tags.kind": "public" }, context)).toEqual(decision(true));
    expect(await audit({ level: 3 }, { tags: { kind: "public" } }, { ...context, risk: [[9]] })).toEqual(
      decision(false),
    );
  });

  test("a value that the policy could use, but no fact can hold, is an error", async () => {
    const resource = { tags: { kind: "public" } };
    const refused = async (subject: object, context: object) =>
      String(
        (
          await post("evaluation", {
            subject: { ...alice, properties: subject },
            action: { name: "audit" },
            resource: { ...record1, properties: resource },
            context,
          })
        ).json,
      );
    expect(await refused({ level: 3.5 }, {})).toBe(
      "`subject.properties.level` in the body must be a whole number of at most 15 digits, or a text",
    );
    expect(await refused({ level: 2 ** 60 }, {})).toContain("`subject.properties.level`");
    expect(await refused({ role: "*" }, {})).toContain("`subject.properties.role` in the body must not be `*`");
    expect(await refused({}, { network: "x".repeat(513) })).toContain(
      "`context.network` in the body must not be longer",
    );
    // The policy uses no such names and types.
    expect(await refused({}, { ["n".repeat(600)]: "x", other: 0.5, network: true, risk: "" })).toBe("[object Object]");
  });

  test("names can be variables of the policy", () =>
    withCleanPrimary(async (other) => {
      const src = `actor user {} resource record { permissions = ["read"]; }
        has_permission(user: user, "read", record: record) if
          required(record, name, wanted) and has_property(user, name, wanted) and
          not (forbidden(record, key) and has_context(key, level) and level > 0);`;
      await other.call("POST", "/api/policy", { body: { src } });
      const texts = [value("String", "team"), value("String", "core")];
      const stored = [fact("required", record1, ...texts), fact("forbidden", record1, value("String", "a.b"))];
      expect((await other.call("POST", "/api/batch", { body: [{ inserts: stored }] })).status).toBe(200);
      const request = (context: object) => {
        return { subject: { ...alice, properties: { team: ["x", "core"] } }, action: read, resource: record1, context };
      };
      expect(await ask("evaluation", request({ a: 1 }), other)).toEqual(decision(true));
      expect(await ask("evaluation", request({ a: { b: 1 } }), other)).toEqual(decision(false));
      const refused = await post("evaluation", request({ ["n".repeat(600)]: 1 }), {}, other);
      expect([refused.status, refused.json]).toEqual([
        400,
        `\`context.${"n".repeat(64)}…\` in the body must have a name of 1 to 512 bytes, other than \`*\``,
      ]);
    }));

  test("the properties of one request are unknown to others", async () => {
    expect(await evaluate({ ...alice, id: "eve", properties: { role: "admin" } }, write, record2)).toEqual(
      decision(true),
    );
    expect(await evaluate({ ...alice, id: "eve" }, write, record2)).toEqual(decision(false));
    expect((await api.call("GET", "/api/facts?predicate=has_property")).json).toHaveLength(3);
  });

  test("names of properties are data", async () => {
    const properties = '{"__proto__": {"status": "archived"}, "constructor": "x", "toString": 1}';
    const body = `{"subject": ${JSON.stringify(alice)}, "action": {"name": "write"}, "resource":
      {"type": "record", "id": "record-1", "properties": ${properties}}}`;
    expect(await ask("evaluation", body)).toEqual(decision(true));
  });

  test("are bounded in number, size and depth", async () => {
    const evaluation = (properties: object) => ({ subject: { ...alice, properties }, action: read, resource: record1 });
    const many = { role: Array.from({ length: 101 }, (_, index) => `r${index}`) };
    expect(await ask("evaluation", evaluation({ role: many.role.slice(1), other: many.role }))).toEqual(decision(true));
    const tooMany = await post("evaluation", evaluation(many));
    expect([tooMany.status, tooMany.json]).toEqual([
      413,
      "the policy uses 101 properties of this request, at most 100 are allowed",
    ]);
    const list = await post("evaluation", evaluation({ list: new Array(100_000).fill(true) }));
    expect([list.status, list.json]).toEqual([
      413,
      "all properties and contexts in the body together are larger than 1048576 bytes",
    ]);
    const deep = `${'{"a":'.repeat(3000)}1${"}".repeat(3000)}`;
    const nested = await post(
      "evaluation",
      `{"subject": {"type": "user", "id": "alice", "properties": ${deep}}, "action": {"name": "read"}, "resource": {}}`,
    );
    expect([nested.status, nested.json]).toEqual([
      400,
      "the properties or the context in the body are nested too deeply",
    ]);
  });

  test("a large body is parsed on the other thread, with the same result", async () => {
    const padding = { padding: "x".repeat(200_000), nulls: new Array(1000).fill(null) };
    expect(
      await ask("evaluation", {
        subject: admin,
        action: write,
        resource: { ...record2, properties: archived },
        padding,
      }),
    ).toEqual(decision(true));
    const parse = requestParsers(defaultLimits).evaluations;
    const body = { evaluations: [{}, 5], subject: admin, context: { a: { b: [1, true] } } };
    expect(JSON.parse(JSON.stringify(parse(body)))).toEqual(parse(body));
  });
});

test("a policy without properties ignores them, and its decisions come from the cache", () =>
  withCleanPrimary(async (other) => {
    const src = `actor user {} resource record { roles = ["reader"]; permissions = ["read"]; "read" if "reader"; }`;
    await other.call("POST", "/api/policy", { body: { src } });
    const role = fact("has_role", alice, value("String", "reader"), record1);
    await other.call("POST", "/api/batch", { body: [{ inserts: [role] }] });
    const properties = { role: "*", score: 0.5, long: "x".repeat(1000) };
    for (let time = 0; time < 3; time++)
      expect(
        await ask(
          "evaluation",
          { subject: { ...alice, properties }, action: read, resource: record1, context: properties },
          other,
        ),
      ).toEqual(decision(true));
    const hits = /ostiary_decision_cache_total\{result="hit"\} (\d+)/;
    const { text } = await other.call("GET", "/metrics");
    expect(Number(hits.exec(text)?.[1])).toBeGreaterThanOrEqual(2);
  }));

test(
  "worker processes answer what may take long, with the same facts",
  () =>
    withPrimary(
      async (other) => {
        await load(other);
        const resource = { ...record2, properties: archived };
        const body = { action: write, resource, evaluations: [{ subject: alice }, { subject: admin }] };
        expect(await ask("evaluations", body, other)).toEqual({ evaluations: [decision(false), decision(true)] });
        const search = { subject: { type: "user" }, action: write, resource, page: { limit: 1 } };
        expect(await ask("search/subject", search, other)).toEqual({ page: { next_token: "" }, results: [bob] });
        expect(await ask("search/action", { subject: admin, resource }, other)).toEqual({ results: [write] });
        const { text } = await other.call("GET", "/metrics");
        for (const kind of ["authorize", "actorListing", "actions"])
          expect(text).toMatch(new RegExp(`ostiary_offloaded_queries_total\\{kind="${kind}"\\} [1-9]`));
      },
      { "advanced.servingThreadQueryRowsMax": "1" },
    ),
  60_000,
);

test(
  "all roles answer, with consistency tokens",
  () =>
    withCluster(async (cluster) => {
      const running = await cluster.primary();
      const primary = apiOf(running);
      await load(primary);
      const edge = apiOf(await cluster.edge("edge", running));
      const fallback = apiOf(await cluster.fallback(running, { refresh: "1h" }));
      for (const { node } of [edge, fallback])
        await eventually(() => expect(node.health()).toMatchObject({ offset: primary.node.health().offset }));
      const body = { subject: alice, action: { name: "delete", properties: { soft: true } }, resource: record1 };
      for (const each of [primary, edge, fallback]) expect(await ask("evaluation", body, each)).toEqual(decision(true));
      const inserts = [fact("has_role", { type: "user", id: "new" }, value("String", "editor"), record1)];
      const written = await primary.call("POST", "/api/batch", { body: [{ inserts }] });
      const headers = { OsoOffset: written.headers.get("osooffset") ?? "" };
      const later = { ...body, subject: { type: "user", id: "new" } };
      expect((await post("evaluation", later, headers, edge)).json).toEqual(decision(true));
      await running.stop();
      for (const each of [edge, fallback]) {
        expect(await ask("evaluation", body, each)).toEqual(decision(true));
        expect(await ask("search/action", { subject: alice, resource: record1 }, each)).toEqual({
          results: [read, write],
        });
      }
    }),
  60_000,
);

describe("Discovery", () => {
  const path = "/.well-known/authzen-configuration";
  const document = (url: string) => ({
    policy_decision_point: url,
    access_evaluation_endpoint: `${url}/access/v1/evaluation`,
    access_evaluations_endpoint: `${url}/access/v1/evaluations`,
    search_subject_endpoint: `${url}/access/v1/search/subject`,
    search_resource_endpoint: `${url}/access/v1/search/resource`,
    search_action_endpoint: `${url}/access/v1/search/action`,
  });

  test("has the configured URL, and needs no key", () =>
    withPrimary(
      async (other) => {
        const headers = { authorization: "", Host: "evil.example", "X-Forwarded-Host": "evil.example" };
        const answer = await other.call("GET", path, { headers });
        expect([answer.status, answer.headers.get("content-type")]).toEqual([200, "application/json"]);
        expect(answer.headers.get("cache-control")).toBe("max-age=3600");
        expect(answer.json).toEqual(document("https://pdp.example.com"));
        expect((await other.call("GET", `${path}/tenant`)).status).toBe(404);
        const socket = connect(Number(new URL(other.url).port), "127.0.0.1");
        socket.write(`GET ${path} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n`);
        let received = "";
        socket.on("data", (data) => (received += String(data)));
        await once(socket, "close");
        expect(received).toContain("https://pdp.example.com");
        expect(received).not.toContain("evil");
      },
      { publicUrl: "https://pdp.example.com" },
    ));

  test("follows the well-known path with that of the URL", () =>
    withPrimary(
      async (other) => {
        expect((await other.call("GET", `${path}/tenant/1`)).json).toEqual(
          document("https://pdp.example.com/tenant/1"),
        );
        const answer = await other.call("GET", path);
        expect([answer.status, answer.json]).toEqual([
          404,
          { message: `the discovery document is at \`${path}/tenant/1\`, as \`publicUrl\` says`, code: "not_found" },
        ]);
      },
      { publicUrl: "https://pdp.example.com/tenant/1" },
    ));

  test("names the setting if it is not set", async () => {
    const answer = await api.call("GET", path);
    expect([answer.status, answer.json]).toEqual([
      404,
      { message: "this node does not know its public URL: set `publicUrl` in its configuration", code: "not_found" },
    ]);
    const app = createApp(api.node, defaultLimits, { publicUrl: "https://x.example" });
    const response = await app.fetch(new Request(`http://localhost${path}`));
    app.close();
    expect(await response.json()).toMatchObject({ policy_decision_point: "https://x.example" });
  });
});

test("the key is checked before the body, and a read key is enough", async () => {
  const created = await api.call("POST", "/api/keys", { body: { name: "pep", role: "read" } });
  const { token } = created.json as { token: string };
  const body = { subject: alice, action: read, resource: record1 };
  expect((await post("evaluation", body, { authorization: `Bearer ${token}` })).json).toEqual(decision(true));
  const wrong = `Bearer ${adminKey.slice(0, -1)}x`;
  expect((await post("evaluations", body, { authorization: wrong })).status).toBe(401);
});
