/** The routes of local authorization, on all roles, with stored data bindings. */
import { describe, expect, test } from "bun:test";
import { converged, eventually, withCluster } from "../replication/cluster.ts";
import { apiOf, fact, Org, Repo, role, withPrimary, type Api, sharedPrimary } from "./api.ts";

const withCleanPrimary = sharedPrimary();

const policy = `
actor User {}
resource Org { roles = ["member"]; }
resource Repo {
  roles = ["reader", "owner"]; permissions = ["read", "delete"]; relations = { parent: Org };
  "reader" if "member" on "parent"; "reader" if "owner"; "read" if "reader"; "delete" if "owner";
}
`;
const bindings = `dialect: sqlite
facts:
  has_relation(Repo:_, parent, Org:_):
    query: SELECT id, org FROM repos
`;
const ann = { actor_type: "User", actor_id: "ann" };
const read = { ...ann, action: "read", resource_type: "Repo" };
const authorizeBody = { query: { ...read, resource_id: "anvil" }, data_bindings: bindings };
const listBody = { query: read, column: "repos.id", data_bindings: bindings };

async function prepare(api: Api): Promise<void> {
  await api.call("POST", "/api/policy", { body: { src: policy } });
  await api.call("POST", "/api/batch", { body: [{ inserts: [role("ann", "member", Org("acme"))] }] });
}

async function sqlOf(api: Api, path: string, body: object, headers?: Record<string, string>): Promise<string> {
  const { status, json, text } = await api.call("POST", path, { body, ...(headers && { headers }) });
  if (status !== 200) throw new Error(text);
  return (json as { sql: string }).sql;
}

async function refused(api: Api, path: string, body: object, status = 400): Promise<string> {
  const answer = await api.call("POST", path, { body });
  expect(answer.status).toBe(status);
  return (answer.json as { message: string }).message;
}

test("each question has its SQL, which folds what does not depend on rows", () =>
  withCleanPrimary(async (api) => {
    await prepare(api);
    const sql = await sqlOf(api, "/api/authorize_query", authorizeBody);
    expect(sql).toMatch(/^SELECT EXISTS \(.*SELECT id, org FROM repos\n.* AS allowed$/s);
    expect(await sqlOf(api, "/api/list_query", listBody)).toContain("CAST(repos.id AS TEXT) COLLATE BINARY =");
    const actions = {
      query: { ...ann, resource_type: "Repo", resource_id: "anvil", context_facts: [] },
      data_bindings: bindings,
    };
    expect(await sqlOf(api, "/api/actions_query", actions)).toMatch(/^SELECT .* AS "actions" FROM /s);

    const owner = role("ann", "owner", Repo("anvil"));
    const withContext = { ...authorizeBody, query: { ...authorizeBody.query, context_facts: [owner] } };
    expect(await sqlOf(api, "/api/authorize_query", withContext)).toBe("SELECT TRUE AS allowed");
    const unknown = { ...listBody, query: { ...read, action: "frob" } };
    expect(await sqlOf(api, "/api/list_query", unknown)).toBe("FALSE");
    const stranger = { ...authorizeBody, query: { ...authorizeBody.query, actor_id: "bob" } };
    expect(await sqlOf(api, "/api/authorize_query", stranger)).toBe("SELECT FALSE AS allowed");
  }));

test("a query selects columns, or filters one", () =>
  withCleanPrimary(async (api) => {
    await prepare(api);
    const query = {
      predicate: ["allow", ["var_a", "var_b", "var_c"]],
      calls: [],
      constraints: {
        var_a: { type: "User", ids: ["ann"] },
        var_b: { type: "String", ids: ["read"] },
        var_c: { type: "Repo", ids: null },
      },
      context_facts: [],
    };
    const select = (columns: object) => ({
      ...{ query, data_bindings: bindings },
      mode: { mode: "select", query_vars_to_output_column_names: columns },
    });
    expect(await sqlOf(api, "/api/evaluate_query_local", select({ var_c: "repo" }))).toContain('AS "repo"');
    expect(await sqlOf(api, "/api/evaluate_query_local", select({}))).toMatch(/^SELECT .* AS result$/s);
    const mode = { mode: "filter", query_var: "var_c", output_column_name: "repos.id" };
    const filter = { query, data_bindings: bindings, mode };
    expect(await sqlOf(api, "/api/evaluate_query_local", filter)).toContain("CAST(repos.id AS TEXT) COLLATE BINARY =");
    const other = { ...filter, mode: { ...mode, query_var: "var_x" } };
    expect(await refused(api, "/api/evaluate_query_local", other)).toContain("`var_x`");
    // So many ids go to a worker process as JSON.
    const ids = Array.from({ length: 20_000 }, (_, index) => `repository-${index}`);
    const many = { ...query, constraints: { ...query.constraints, var_c: { type: "Repo", ids } } };
    expect(await sqlOf(api, "/api/evaluate_query_local", { ...filter, query: many })).toContain("repository-19999");
  }));

test("an edge and a fallback answer as the primary does, at the position of a token", () =>
  withCluster(async (cluster) => {
    const running = await cluster.primary();
    const primary = apiOf(running);
    await prepare(primary);
    const edgeRunning = await cluster.edge("edge", running);
    const edge = apiOf(edgeRunning);
    await converged(edge.node, primary.node);
    const before = "SELECT TRUE AS allowed";
    const asked = { ...authorizeBody, query: { ...authorizeBody.query, actor_id: "eve" } };
    const written = await edge.call("POST", "/api/batch", {
      body: [{ inserts: [role("eve", "owner", Repo("anvil"))] }],
    });
    const token = { OsoOffset: written.headers.get("osooffset") ?? "" };
    for (const api of [primary, edge]) expect(await sqlOf(api, "/api/authorize_query", asked, token)).toBe(before);

    // A write through the edge stores bindings everywhere.
    const body = { data_bindings: bindings };
    const stored = await edge.call("PUT", "/api/bindings/shop", { body });
    expect([stored.status, stored.json]).toEqual([200, { message: "data bindings stored" }]);
    const position = { OsoOffset: stored.headers.get("osooffset") ?? "" };
    const named = { query: authorizeBody.query, data_bindings_name: "shop" };
    const inline = await sqlOf(primary, "/api/authorize_query", authorizeBody);
    for (const api of [primary, edge]) expect(await sqlOf(api, "/api/authorize_query", named, position)).toBe(inline);

    const fallback = apiOf(await cluster.fallback(running));
    await eventually(async () => expect(await sqlOf(fallback, "/api/authorize_query", named)).toBe(inline));
    expect(await sqlOf(fallback, "/api/list_query", listBody)).toBe(await sqlOf(primary, "/api/list_query", listBody));
    const refusedThere = await fallback.call("PUT", "/api/bindings/shop", { body });
    expect(refusedThere.json).toMatchObject({ code: "read_only" });
  }));

describe("stored data bindings", () => {
  test("are stored, replaced, listed and removed, and are no API keys", () =>
    withCleanPrimary(async (api) => {
      await prepare(api);
      const put = (name: string, text: string) =>
        api.call("PUT", `/api/bindings/${name}`, { body: { data_bindings: text } });
      expect((await put("shop", bindings)).status).toBe(200);
      const again = await put("shop", bindings);
      expect([again.status, again.json]).toEqual([202, { message: "data bindings unchanged" }]);
      const longer = `# for the shop\n${bindings}`;
      expect((await put("shop", longer)).status).toBe(200);
      expect((await put("Blog-2", bindings)).status).toBe(200);
      const { json: listed } = await api.call("GET", "/api/bindings");
      const entry = (name: string, text: string) => ({ name, bytes: text.length, stored: expect.any(String) });
      expect(listed).toEqual({ bindings: [entry("Blog-2", bindings), entry("shop", longer)] });
      const { json: one } = await api.call("GET", "/api/bindings/shop");
      expect(one).toEqual({ ...entry("shop", longer), data_bindings: longer });

      const { json: keys } = await api.call("GET", "/api/keys");
      expect((keys as { keys: { id: string }[] }).keys.map(({ id }) => id)).toEqual(["admin"]);
      expect((await api.call("DELETE", "/api/keys/bindings%2Fshop")).status).toBe(404);
      const forged = await api.call("GET", "/api/bindings", {
        headers: { authorization: `Bearer e_test_bindings_${"0".repeat(48)}` },
      });
      expect(forged.status).toBe(401);
      // Facts are another matter.
      await api.call("POST", "/api/clear_data");

      expect((await api.call("DELETE", "/api/bindings/shop")).json).toEqual({ message: "data bindings removed" });
      expect((await api.call("DELETE", "/api/bindings/shop")).status).toBe(404);
      expect((await api.call("GET", "/api/bindings/shop")).status).toBe(404);
      expect(
        await refused(api, "/api/authorize_query", { query: authorizeBody.query, data_bindings_name: "shop" }, 404),
      ).toBe(
        "no data bindings are stored under the name `shop`: store them with `ostiary bindings put`, or send their text as `data_bindings`",
      );
      const long = { query: authorizeBody.query, data_bindings_name: "x".repeat(10_000) };
      expect((await refused(api, "/api/authorize_query", long, 404)).length).toBeLessThan(300);
      const { json: events } = await api.call("GET", "/api/events");
      const changes = (events as { events: { type: string; data: object }[] }).events.filter(
        ({ type }) => type === "ostiary.bindings.changed",
      );
      expect(changes.map(({ data }) => data)).toEqual([
        { stored: ["shop"], removed: [] },
        { stored: ["shop"], removed: [] },
        { stored: ["Blog-2"], removed: [] },
        { stored: [], removed: ["shop"] },
      ]);
      expect(JSON.stringify(events)).not.toContain("SELECT");
      await eventually(async () => {
        const { json: audit } = await api.call("GET", "/api/audit");
        const { entries } = audit as { entries: { action: string; target: string; result: string }[] };
        const own = entries.filter(({ action }) => action.startsWith("bindings"));
        expect(own.map(({ action, target, result }) => `${action} ${target} ${result}`).toSorted()).toEqual([
          "bindings.delete shop ok",
          "bindings.delete shop refused",
          "bindings.put Blog-2 ok",
          "bindings.put shop ok",
          "bindings.put shop ok",
          "bindings.put shop unchanged",
        ]);
      });
    }));

  test("need an admin key to change, and a read key to use", () =>
    withCleanPrimary(async (api) => {
      await prepare(api);
      const keys = new Map<string, Record<string, string>>();
      for (const name of ["read", "write"]) {
        const { json } = await api.call("POST", "/api/keys", { body: { name, role: name } });
        keys.set(name, { authorization: `Bearer ${(json as { token: string }).token}` });
      }
      const grant = { role: "write", only_predicates: ["bindings/x"] };
      const { json: limited } = await api.call("POST", "/api/keys", { body: { name: "limited", grant } });
      const limitedKey = { authorization: `Bearer ${(limited as { token: string }).token}` };
      expect((await api.call("GET", "/api/bindings", { headers: limitedKey })).status).toBe(200);
      const put = (headers: Record<string, string> | undefined) =>
        api.call("PUT", "/api/bindings/shop", { body: { data_bindings: bindings }, ...(headers && { headers }) });
      expect((await put(keys.get("read"))).status).toBe(403);
      expect((await put(keys.get("write"))).status).toBe(403);
      expect((await put(undefined)).status).toBe(200);
      const headers = keys.get("read") ?? {};
      const named = { query: authorizeBody.query, data_bindings_name: "shop" };
      expect(await sqlOf(api, "/api/authorize_query", named, headers)).toContain("repos");
      expect(await sqlOf(api, "/api/list_query", listBody, headers)).toContain("repos");
      expect((await api.call("GET", "/api/bindings/shop", { headers })).status).toBe(200);
      expect((await api.call("DELETE", "/api/bindings/shop", { headers })).status).toBe(403);
    }));

  test("are at most so many, with names that are parts of a path", () =>
    withPrimary(
      async (api) => {
        const put = (name: string) => api.call("PUT", `/api/bindings/${name}`, { body: { data_bindings: bindings } });
        expect((await put("a")).status).toBe(200);
        expect((await put("b")).status).toBe(200);
        expect((await put("c")).json).toMatchObject({
          message: expect.stringContaining("there are 2 data bindings already"),
        });
        for (const name of ["%7B", "a%2Fb", "-a", "a".repeat(65)]) {
          const answer = await put(name);
          expect([name, answer.status]).toEqual([name, 400]);
          expect(answer.json).toMatchObject({ message: expect.stringContaining("the name of data bindings") });
        }
        expect(await put("%FF")).toMatchObject({ status: 400, json: { message: expect.stringContaining("UTF-8") } });
        const invalid = await api.call("PUT", "/api/bindings/a", { body: { data_bindings: "facts: 1" } });
        expect(invalid.json).toMatchObject({
          message: expect.stringContaining("the data bindings are invalid: `facts`"),
        });
      },
      { "advanced.storedBindingsMax": "2" },
    ));
});

test("errors name the place in the bindings and the remedy", () =>
  withPrimary(
    async (api) => {
      await prepare(api);
      const ask = (text: string) => refused(api, "/api/authorize_query", { ...authorizeBody, data_bindings: text });
      expect(await ask("facts:\n  a(User:_): &x\n    query: SELECT 1\n  b(User:_): *x\n")).toContain(
        "line 2, column 14: `&` or `*`",
      );
      expect(await ask(`facts:\n${"  a(User:_):\n    query: SELECT 1\n".repeat(2)}`)).toContain("a second time");
      expect(await ask(`a: ${"[".repeat(1000)}${"]".repeat(1000)}`)).toContain("more than 16 lists or groups");
      expect(await ask(`facts:\n  a(User:_):\n    query: SELECT '${"x".repeat(20_000)}'\n`)).toContain(
        "more than 10000 bytes",
      );
      expect(await ask(`${"a: b\n".repeat(1900)}`)).toContain("this name is set a second time");
      expect(await ask("facts:\n  a(User:_): { query: SELECT 1; DROP TABLE x }\n")).toContain(
        "more than one statement",
      );
      expect(await ask("")).toContain("the data bindings are invalid");
      const neither = await refused(api, "/api/list_query", { query: read, column: "id" });
      expect(neither).toBe(
        "the body must have either `data_bindings`, the YAML text, or `data_bindings_name`, the name of stored ones",
      );
      expect(await refused(api, "/api/list_query", { ...listBody, data_bindings_name: "x" })).toBe(neither);
      expect(await refused(api, "/api/list_query", { ...listBody, column: "id; DROP TABLE repos" })).toContain(
        "is not the name of a column",
      );
      expect(await refused(api, "/api/authorize_query", { data_bindings: bindings })).toContain(
        "`query` in the body is missing",
      );
      const mode = { mode: "other" };
      expect(await refused(api, "/api/evaluate_query_local", { query: {}, data_bindings: bindings, mode })).toContain(
        "in the body",
      );
    },
    { "advanced.bindingsBytesMax": "10000" },
  ));

test("large bindings are parsed once, in a worker process", () =>
  withCleanPrimary(async (api) => {
    await prepare(api);
    const offloaded = async () => {
      const { text } = await api.call("GET", "/metrics");
      return Number(/^ostiary_offloaded_queries_total\{kind="listLocal"\} (\d+)$/m.exec(text)?.[1] ?? 0);
    };
    const text =
      bindings +
      Array.from(
        { length: 200 },
        (_, index) => `  is_${index}(Repo:_):\n    query: SELECT id FROM t${index} WHERE flag\n`,
      ).join("");
    expect(text.length).toBeGreaterThan(8192);
    const body = { ...listBody, data_bindings: text };
    const first = await sqlOf(api, "/api/list_query", body);
    expect(await offloaded()).toBe(1);
    expect(await sqlOf(api, "/api/list_query", body)).toBe(first);
    expect(await offloaded()).toBe(1);
  }));

test("many central values are read in a worker process, and too many are refused", () =>
  withPrimary(
    async (api) => {
      await prepare(api);
      const repos = Array.from({ length: 900 }, (_, index) => role("ann", "reader", Repo(`r${index}`)));
      await api.call("POST", "/api/batch", { body: [{ inserts: repos }] });
      expect(await sqlOf(api, "/api/list_query", listBody)).toContain("'r899'");
      await api.call("POST", "/api/batch", {
        body: [
          {
            inserts: repos.map(({ args: [user, name, repo] }) => fact("has_role", user!, name!, Repo(`s${repo?.id}`))),
          },
        ],
      });
      expect(await refused(api, "/api/list_query", listBody)).toMatch(
        /the SQL would contain too many values of .*\(at most 1000 in one condition\): bind these facts/,
      );
    },
    { "advanced.localValuesMax": "1000", "limits.servingThreadAnswerValuesMax": "100" },
  ));

test("the explanation of a decision shows which rows can change it", () =>
  withCleanPrimary(async (api) => {
    await prepare(api);
    const question = { ...read, resource_id: "anvil" };
    const { json } = await api.call("POST", "/api/explain", { body: { ...question, data_bindings: bindings } });
    expect(json).toMatchObject({
      allowed: false,
      local: {
        ...{ dialect: "sqlite", decision: "depends", more: false },
        sql: await sqlOf(api, "/api/authorize_query", authorizeBody),
        alternatives: [
          {
            rules: [{ text: '"reader" if "member" on "parent"' }],
            rows: [
              {
                ...{ signature: "has_relation(Repo:_, parent, Org:_)", predicate: "has_relation" },
                args: [
                  { type: "Repo", id: "anvil", column: null },
                  { type: "String", id: "parent", column: null },
                  { type: "Org", id: null, column: "r0_2" },
                ],
              },
            ],
          },
        ],
      },
    });
    const { json: central } = await api.call("POST", "/api/explain", { body: question });
    expect(central).not.toHaveProperty("local");
    const denied = { ...question, action: "delete", data_bindings: bindings };
    const { json: deny } = await api.call("POST", "/api/explain", { body: denied });
    expect(deny).toMatchObject({ local: { decision: "deny", sql: "SELECT FALSE AS allowed", alternatives: [] } });
  }));

test("the decision log has questions about SQL, with the hash of their bindings", () =>
  withPrimary(
    async (api) => {
      await prepare(api);
      await api.call("PUT", "/api/bindings/shop", { body: { data_bindings: bindings } });
      await sqlOf(api, "/api/list_query", listBody);
      await sqlOf(api, "/api/authorize_query", { query: authorizeBody.query, data_bindings_name: "shop" });
      await sqlOf(api, "/api/authorize_query", {
        query: { ...authorizeBody.query, actor_id: "bob" },
        data_bindings_name: "shop",
      });
      const { json } = await api.call("GET", "/api/decisions");
      const { decisions } = json as { decisions: Record<string, unknown>[] };
      expect(decisions.map(({ kind, count }) => [kind, count]).toSorted()).toEqual([
        ["authorize_query", 0],
        ["authorize_query", 1],
        ["list_query", 1],
      ]);
      expect(JSON.stringify(decisions)).not.toContain("SELECT");
      expect(decisions).toContainEqual(
        expect.objectContaining({ actor: { type: "User", id: "ann" }, kind: "list_query" }),
      );
      const replayed = await api.call("POST", "/api/decisions/replay", { body: { src: policy } });
      expect(replayed.json).toMatchObject({ replayed: 2, changed: [] });
    },
    { "decisions.log": "all" },
  ));
