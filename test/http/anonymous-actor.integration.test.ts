/** Actors with an empty id: old clients send it for anonymous visitors. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { apiOf, fact, value, type Api, sharedPrimary } from "./api.ts";
import { eventually, withCluster } from "../replication/cluster.ts";

const withCleanPrimary = sharedPrimary();

setDefaultTimeout(60_000);

const policy = `
actor User {}
actor Robot {}
resource File {
  roles = ["reader"]; permissions = ["read", "write"];
  "read" if "reader";
  "read" if is_public(resource);
}
has_permission(_: User, "write", f: File) if is_open(f);
`;
const File = (id: string) => value("File", id);
const nobody = value("User", "");
const readerOf = (user: { type: string; id: string }, id: string) =>
  fact("has_role", user, value("String", "reader"), File(id));

async function ask(api: Api, path: string, body: unknown): Promise<unknown> {
  const answer = await api.call("POST", path, { body });
  expect({ status: answer.status, text: answer.text }).toMatchObject({ status: 200 });
  return answer.json;
}

async function load(api: Api): Promise<void> {
  await ask(api, "/api/policy", { src: policy });
  const inserts = [
    fact("is_public", File("news")),
    fact("is_open", File("guestbook")),
    readerOf(value("User", "ann"), "diary"),
    readerOf(value("User", " "), "blank"),
  ];
  await ask(api, "/api/batch", [{ inserts }]);
}

const actor = { actor_type: "User", actor_id: "" };
const mayRead = async (api: Api, id: string, more: object = {}) => {
  const body = { ...actor, action: "read", resource_type: "File", resource_id: id, ...more };
  return ((await ask(api, "/api/authorize", body)) as { allowed: boolean }).allowed;
};

/** All questions about the anonymous actor: what is public is allowed, and nothing else. */
async function checkAnonymous(api: Api): Promise<void> {
  // Twice: from the database, and from the decision cache.
  for (const _ of [1, 2]) {
    expect(await mayRead(api, "news")).toBe(true);
    for (const id of ["diary", "blank", "guestbook", "other"]) expect(await mayRead(api, id)).toBe(false);
    expect(await mayRead(api, "blank", { actor_id: " " })).toBe(true);
    expect(await mayRead(api, "diary", { actor_id: "ann" })).toBe(true);
  }
  const onFile = { ...actor, resource_type: "File" };
  expect(await ask(api, "/api/list", { ...onFile, action: "read" })).toEqual({ results: ["news"] });
  expect(await ask(api, "/api/list", { ...onFile, action: "read", page_size: 10 })).toMatchObject({
    results: ["news"],
  });
  expect(await ask(api, "/api/actions", { ...onFile, resource_id: "guestbook" })).toEqual({ results: ["write"] });
  expect(await ask(api, "/api/bulk_actions", [{ ...onFile, resource_id: "news" }])).toEqual([{ results: ["read"] }]);
  const resources = [File("news"), File("diary")];
  expect(await ask(api, "/api/authorize_resources", { ...actor, action: "read", resources })).toEqual({
    results: [File("news")],
  });
  expect(await ask(api, "/api/explain", { ...onFile, action: "read", resource_id: "diary" })).toMatchObject({
    allowed: false,
    question: { args: [nobody, value("String", "read"), File("diary")] },
  });
  expect(await ask(api, "/api/explain", { ...onFile, action: "read", resource_id: "news" })).toMatchObject({
    allowed: true,
  });
  const filesOf = (ids: string[] | null) => ({
    predicate: ["allow", ["u", "a", "f"]],
    calls: [],
    constraints: {
      u: { type: "User", ids },
      a: { type: "String", ids: ["read"] },
      f: { type: "File", ids: null },
    },
    context_facts: [],
  });
  expect(await ask(api, "/api/evaluate_query", filesOf([""]))).toEqual({
    results: [{ u: "", a: "read", f: "news" }],
  });
  expect(await ask(api, "/api/evaluate_query", filesOf(["", "ann"]))).toEqual({
    results: [
      { u: "", a: "read", f: "news" },
      { u: "ann", a: "read", f: "diary" },
      { u: "ann", a: "read", f: "news" },
    ],
  });
  const anything = { type: null, id: null };
  const pattern = { predicate: "has_permission", args: [nobody, value("String", "read"), anything] };
  expect(await ask(api, "/api/query", { fact: pattern })).toEqual({
    results: [fact("has_permission", nobody, value("String", "read"), File("news"))],
  });
}

test("gets what is public, on each role", () =>
  withCluster(async (cluster) => {
    const running = await cluster.primary();
    const primary = apiOf(running);
    await load(primary);
    const edge = apiOf(await cluster.edge("edge", running));
    const fallback = apiOf(await cluster.fallback(running, { refresh: "1h" }));
    await eventually(() =>
      expect(edge.node.health()).toMatchObject({ ok: true, offset: primary.node.health().offset }),
    );
    await eventually(() => expect(fallback.node.health().ok).toBe(true));
    for (const api of [primary, edge, fallback]) await checkAnonymous(api);
  }));

test("may stand in context facts of its own question, and in no others", () =>
  withCleanPrimary(async (api) => {
    await load(api);
    const context_facts = [readerOf(nobody, "diary")];
    expect(await mayRead(api, "diary", { context_facts })).toBe(true);
    expect(await mayRead(api, "diary")).toBe(false);
    const list = { ...actor, action: "read", resource_type: "File", context_facts };
    expect(await ask(api, "/api/list", list)).toEqual({ results: ["diary", "news"] });
    const pattern = { predicate: "has_role", args: [nobody, { type: null, id: null }, { type: "File", id: null }] };
    expect(await ask(api, "/api/query", { fact: pattern, context_facts })).toEqual({ results: context_facts });

    for (const [more, problem] of [
      [{ actor_id: "ann" }, "argument 1 has an empty type or id"],
      [{ actor_type: "Robot" }, "argument 1 has an empty type or id"],
      [{ context_facts: [readerOf(nobody, "")] }, "argument 3 has an empty type or id"],
    ] as const) {
      const body = { ...list, resource_id: "diary", ...more };
      for (const path of ["authorize", "list", "actions", "explain"]) {
        const refused = await api.call("POST", `/api/${path}`, { body });
        expect([path, refused.status, refused.json]).toEqual([
          path,
          400,
          { message: expect.stringContaining(problem), code: "invalid_request" },
        ]);
      }
    }
  }));

test("can be stored by no write", () =>
  withCleanPrimary(async (api) => {
    await load(api);
    const stored = readerOf(nobody, "diary");
    const { offset } = api.node.health();
    for (const [method, path, body] of [
      ["POST", "batch", [{ inserts: [stored] }]],
      ["POST", "batch", [{ deletes: [stored] }]],
      ["POST", "facts", stored],
      ["DELETE", "facts", stored],
      ["POST", "bulk_load", [stored]],
      ["POST", "bulk_delete", [stored]],
      ["POST", "bulk", { delete: [], tell: [stored] }],
    ] as const) {
      const refused = await api.call(method, `/api/${path}`, { body });
      expect([path, refused.status, refused.text]).toEqual([path, 400, expect.stringContaining("must not be empty")]);
    }
    expect(api.node.health().offset).toBe(offset);
  }));
