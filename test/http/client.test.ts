/** The unmodified npm package `oso-cloud`, with all of its calls for normal work. */
import { describe, expect, test } from "bun:test";
import { Oso, typedVar } from "oso-cloud";
import { adminKey } from "../replication/cluster.ts";
import { clientOf, Org, Repo, User, value, wildcardPolicy, type Api, sharedPrimary } from "./api.ts";

const withCleanPrimary = sharedPrimary();

const Field = (id: string) => value("Field", id);

/** A client of a primary with the policy and the facts of the wildcard examples. */
async function withExample(body: (oso: Oso, api: Api) => Promise<void>): Promise<void> {
  await withCleanPrimary(async (api) => {
    const oso = clientOf(api.url);
    await oso.policy(wildcardPolicy);
    await oso.batch((transaction) => {
      transaction.insert(["has_role", User("alice"), "member", Org("acme")]);
      transaction.insert(["has_role", User("bob"), "admin", Org("acme")]);
      transaction.insert(["has_relation", Repo("anvil"), "parent", Org("acme")]);
    });
    await body(oso, api);
  });
}

describe("facts", () => {
  test("insert, get, delete, with wildcards", () =>
    withExample(async (oso) => {
      await oso.insert(["has_role", User("eve"), "member", Repo("anvil")]);
      await oso.insert(["has_role", User("eve"), "member", Repo("anvil")]);
      expect(await oso.get(["has_role", User("eve"), null, null])).toEqual([
        ["has_role", User("eve"), value("String", "member"), Repo("anvil")],
      ]);
      expect((await oso.get(["has_role"] as never)).length).toBe(3);
      expect((await oso.get(["has_role", { type: "User" }, "member", { type: "Org" }])).length).toBe(1);

      await oso.delete(["has_role", User("nobody"), "member", Repo("anvil")]);
      await oso.delete(["has_role", null, null, { type: "Repo" }]);
      expect(await oso.get(["has_role", null, null, { type: "Repo" }])).toEqual([]);
      expect((await oso.get(["has_role", null, null, { type: "Org" }])).length).toBe(2);
    }));

  test("a batch inserts and deletes in the order of its calls", () =>
    withExample(async (oso) => {
      await oso.batch((transaction) => {
        for (const id of ["1", "2", "3", "4"]) transaction.insert(["has_role", User("eve"), "member", Org(id)]);
        transaction.delete(["has_role", User("eve"), null, Org("1")]);
        transaction.delete(["has_role", User("eve"), "member", null]);
        transaction.insert(["has_role", User("eve"), "member", Org("1")]);
      });
      expect((await oso.get(["has_role", User("eve"), null, null])).map((fact) => fact[3])).toEqual([Org("1")]);
    }));

  test("a fact that no rule uses is refused with the message that users of Oso Cloud know", () =>
    withExample(async (oso) => {
      const wrong = oso.insert(["has_role", User("eve"), "member", value("Lab", "x")]);
      await expect(wrong).rejects.toThrow(/not used in policy.*\(Request ID: [0-9a-f-]{36}\)/);
    }));
});

describe("questions", () => {
  test("authorize, with context facts of this request only", () =>
    withExample(async (oso) => {
      expect(await oso.authorize(User("bob"), "delete", Org("acme"))).toBe(true);
      expect(await oso.authorize(User("alice"), "delete", Org("acme"))).toBe(false);
      expect(
        await oso.authorize(User("alice"), "delete", Org("acme"), [["has_role", User("alice"), "admin", Org("acme")]]),
      ).toBe(true);
      expect(await oso.authorize(User("alice"), "delete", Org("acme"))).toBe(false);
    }));

  test("list and listPaginated", () =>
    withExample(async (oso) => {
      for (const id of ["b", "c", "a"]) await oso.insert(["has_role", User("bob"), "admin", Org(id)]);
      expect(await oso.list(User("bob"), "delete", "Org")).toEqual(["a", "acme", "b", "c"]);
      expect(await oso.list(User("carol"), "read", "Org")).toEqual(["*"]);
      const first = await oso.listPaginated(User("bob"), "delete", "Org", 3);
      expect(first.results).toEqual(["a", "acme", "b"]);
      const second = await oso.listPaginated(User("bob"), "delete", "Org", 3, first.nextPageToken ?? "");
      expect(second).toEqual({ results: ["c"], nextPageToken: null });
      expect(await oso.list(User("eve"), "write", "Repo", [["has_role", User("eve"), "admin", Repo("x")]])).toEqual([
        "x",
      ]);
    }));

  test("actions", () =>
    withExample(async (oso) => {
      expect(await oso.actions(User("bob"), Repo("anvil"))).toEqual(["read", "write"]);
      expect(await oso.actions(User("carol"), Repo("anvil"))).toEqual([]);
    }));

  test("policy and metadata", () =>
    withExample(async (oso) => {
      const metadata = await oso.getPolicyMetadata();
      expect(Object.keys(metadata.resources).toSorted()).toEqual(["Field", "Org", "Repo", "User", "global"]);
      await expect(oso.policy("resource {")).rejects.toThrow(/policy\.polar:1:\d+: /);
      await oso.policy(wildcardPolicy);
    }));
});

describe("the query builder", () => {
  const org = typedVar("Org");
  const repo = typedVar("Repo");
  const user = typedVar("User");
  const action = typedVar("String");

  test("an unbound variable is `*`, and concrete results stay in the list", () =>
    withExample(async (oso) => {
      const actionsByOrg = await oso.buildQuery(["allow", User("bob"), action, org]).evaluate(new Map([[org, action]]));
      expect(Object.fromEntries(actionsByOrg)).toEqual({ acme: ["delete"], "*": ["read"] });
      const actionsByUser = await oso
        .buildQuery(["allow", user, action, Org("acme")])
        .evaluate(new Map([[user, action]]));
      expect(Object.fromEntries(actionsByUser)).toEqual({ "*": ["read"], alice: ["read"], bob: ["delete"] });
    }));

  test("`in` gives concrete results with one and two levels", () =>
    withExample(async (oso) => {
      const some = ["anvil", "3", "5"];
      const ofAlice = await oso
        .buildQuery(["allow", User("alice"), action, repo])
        .in(repo, some)
        .evaluate(new Map([[repo, action]]));
      expect(Object.fromEntries(ofAlice)).toEqual({ anvil: ["read"] });
      const ofAll = await oso
        .buildQuery(["allow", user, action, repo])
        .in(repo, some)
        .evaluate(new Map([[user, new Map([[repo, action]])]]));
      expect([...ofAll].map(([name, repos]) => [name, Object.fromEntries(repos as Map<string, string[]>)])).toEqual([
        ["alice", { anvil: ["read"] }],
        ["bob", { anvil: ["read", "write"] }],
      ]);
      expect(
        await oso
          .buildQuery(["allow", User("alice"), action, repo])
          .in(repo, [])
          .evaluate(repo),
      ).toEqual([]);
    }));

  test("all predicates can be queried, for a boolean, for values, for tuples", () =>
    withExample(async (oso) => {
      const field = typedVar("Field");
      expect(
        await oso.buildQuery(["allow_field", User("alice"), "read", Repo("anvil"), field]).evaluate(field),
      ).toEqual(["name"]);
      expect(
        await oso.buildQuery(["allow_field", User("alice"), "read", Repo("anvil"), Field("secret")]).evaluate(),
      ).toBe(false);
      expect(await oso.buildQuery(["has_permission", User("alice"), "create_repository"]).evaluate()).toBe(true);
      expect(await oso.buildQuery(["allow", User("bob"), action, repo]).evaluate([action, repo])).toEqual([
        ["read", "anvil"],
        ["write", "anvil"],
      ]);
    }));

  test("`and` and context facts", () =>
    withExample(async (oso) => {
      const inAcme = oso
        .buildQuery(["allow", User("bob"), action, repo])
        .and(["has_relation", repo, "parent", Org("acme")])
        .withContextFacts([["has_relation", Repo("newRepo"), "parent", Org("acme")]]);
      expect(Object.fromEntries(await inAcme.evaluate(new Map([[repo, action]])))).toEqual({
        anvil: ["read", "write"],
        newRepo: ["read", "write"],
      });
      expect(await oso.buildQuery(["allow", User("bob"), "write", repo]).evaluate(repo)).toEqual(["anvil"]);
    }));
});

describe("the behaviour of the client", () => {
  test("it logs the time of the server", () =>
    withCleanPrimary(async (api) => {
      const lines: string[] = [];
      const oso = new Oso(api.url, adminKey, { debug: { logger: (_level, message) => void lines.push(message) } });
      await oso.policy(wildcardPolicy);
      expect(lines).toEqual([expect.stringMatching(/^\/policy 200 total: \d+ms, server: \d+ms/)]);
    }));

  test("it repeats an invalid request three times, without an effect", () =>
    withCleanPrimary(async (api) => {
      const oso = clientOf(api.url);
      await oso.policy(wildcardPolicy);
      const { offset } = api.node.health();
      await expect(oso.insert(["unknown", User("a")])).rejects.toThrow("not used in policy");
      expect(api.node.health().offset).toBe(offset);
    }));

  test("a URL that ends in a slash works", () =>
    withCleanPrimary(async (api) => {
      await clientOf(`${api.url}/`).policy(wildcardPolicy);
      expect(await clientOf(`${api.url}/`).authorize(User("a"), "read", Org("x"))).toBe(true);
    }));
});
