/** `GET /api/facts` in pages, and the facts of an object: on each role of node with one token, with writes between the pages, and its errors. */
import { describe, expect, test } from "bun:test";
import type { Fact } from "../../src/store/facts/fact.ts";
import { eventually, withCluster } from "../replication/cluster.ts";
import { admin, apiOf, fact, Org, primaryForAllTests, Repo, role, value, type Api } from "./api.ts";

interface FactsPage {
  readonly results: readonly Fact[];
  readonly next_page_token: string | null;
}

const polar = `
actor User {}
resource Org { roles = ["member"]; permissions = ["read"]; "read" if "member"; }
resource Repo { roles = ["member"]; permissions = ["read"]; relations = { org: Org }; "read" if "member"; "member" if "member" on "org"; }
`;

const facts = [
  ...Array.from({ length: 40 }, (_, index) => role(`user-${index % 7}`, "member", Org(`org-${index}`))),
  ...Array.from({ length: 15 }, (_, index) =>
    fact("has_relation", Repo(`repo-${index}`), value("String", "org"), Org(`org-${index % 4}`)),
  ),
];

describe("on one node", () => {
  let api: Api;
  primaryForAllTests(async (started) => {
    api = started;
    await api.call("POST", "/api/policy", { body: { src: polar } });
    expect((await api.call("POST", "/api/batch", { body: [{ inserts: facts }] })).status).toBe(200);
  });

  test.each([1, 7, 55, 1000, 999_999_999])("pages of %i facts are all facts in order", async (size) => {
    const pages = await readPages([api], `page_size=${size}`);
    expect(pages.flatMap(({ results }) => results)).toEqual(sorted(facts));
    expect(pages).toHaveLength(Math.ceil(facts.length / size));
  });

  test.each([
    ["predicate=has_role", (one: Fact) => one.predicate === "has_role"],
    ["predicate=has_role&args.0.type=User&args.0.id=user-3", ({ args }: Fact) => args[0]?.id === "user-3"],
    [
      "predicate=has_role&args.2.type=Org&args.2.id=org-9",
      ({ args, predicate }: Fact) => predicate === "has_role" && args[2]?.id === "org-9",
    ],
    ["args.0.type=Repo", ({ args }: Fact) => args[0]?.type === "Repo"],
    ["contains.type=Org&contains.id=org-3", ({ args }: Fact) => args.some(({ id }) => id === "org-3")],
    ["contains.type=Repo", ({ args }: Fact) => args[0]?.type === "Repo"],
    ["contains.type=Org&contains.id=nobody", () => false],
    ["predicate=has_permission", () => false],
  ])("%s selects facts", async (filter, matches) => {
    const pages = await readPages([api], `page_size=3&${filter}`);
    expect(pages.flatMap(({ results }) => results)).toEqual(sorted(facts.filter(matches)));
  });

  test("the answer without pages has the same facts, and no token", async () => {
    const whole = (await api.call("GET", "/api/facts?predicate=has_role")).json as Fact[];
    const pages = await readPages([api], "predicate=has_role&page_size=9");
    expect(sorted(whole)).toEqual(pages.flatMap(({ results }) => results));
  });

  test("a token alone continues with the largest size", async () => {
    const first = await readPage(api, "page_size=2");
    const rest = await readPage(api, `page_token=${first.next_page_token}`);
    expect(rest).toEqual({ results: sorted(facts).slice(2), next_page_token: null });
  });

  test.each([
    ["page_size=0", "`page_size` in the query must be a whole number from 1 on"],
    ["page_size=x", "`page_size`"],
    ["page_size=1e3", "`page_size`"],
    ["page_token=", undefined],
    ["page_size=1&contains.id=x", "`contains.type` in the query must say"],
    ["page_size=1&args.1.id=x", "`args.1.type` in the query must say"],
    ["page_size=1&page_token=x", "the `page_token` is malformed"],
    ["page_size=1&page_token=W10", "the `page_token` is malformed"],
    ["predicate=has_role&contains.type=Org", "add `page_size`"],
  ])("%s", async (query, message) => {
    const { status, json } = await api.call("GET", `/api/facts?${query}`);
    if (message === undefined) expect(status).toBe(200);
    else expect([status, (json as { message: string }).message]).toEqual([400, expect.stringContaining(message)]);
  });

  test("a token of another filter, or a changed one, is refused", async () => {
    const { next_page_token: token } = await readPage(api, "page_size=1&predicate=has_role");
    const other = await api.call("GET", `/api/facts?page_size=1&predicate=has_relation&page_token=${token}`);
    expect([other.status, other.text]).toEqual([400, expect.stringContaining("belongs to another question")]);
    const text = Buffer.from(token ?? "", "base64url").toString();
    for (const changed of [
      `${text}x`,
      text.slice(0, -1),
      text.replace("[1,", "[2,"),
      text.replace(",3,", ",1,"),
      "[]",
    ]) {
      const forged = Buffer.from(changed).toString("base64url");
      const answer = await api.call("GET", `/api/facts?page_size=1&predicate=has_role&page_token=${forged}`);
      expect([answer.status, answer.text]).toEqual([400, expect.stringContaining("malformed")]);
    }
  });

  test.each([Org("org-3"), Repo("repo-3"), value("User", "user-2"), value("String", "org"), value("None", "x")])(
    "the facts that mention %j, in pages",
    async (object) => {
      const mentions = ({ args }: Fact) => args.some(({ type, id }) => type === object.type && id === object.id);
      for (const size of [1, 3, 1000]) {
        const pages = await readPages([api], `page_size=${size}`, undefined, objectPath(object));
        expect(sorted(pages.flatMap(({ results }) => results))).toEqual(sorted(facts.filter(mentions)));
      }
    },
  );

  test("an object can have any characters in its id", async () => {
    const id = "a/b?c#d%2F é*\u0001";
    const special = role(id, "member", Org("special/../x"));
    await api.call("POST", "/api/batch", { body: [{ inserts: [special] }] });
    for (const object of [value("User", id), Org("special/../x")])
      expect((await readPages([api], "", undefined, objectPath(object))).flatMap(({ results }) => results)).toEqual([
        special,
      ]);
    await api.call("POST", "/api/batch", { body: [{ deletes: [special] }] });
  });

  test.each([
    ["page_size=0", 400, "`page_size`"],
    ["page_token=x", 400, "malformed"],
    ["predicate=has_role", 400, "`predicate` in the query must be `page_size` or `page_token`"],
  ])("the facts of an object with %s", async (query, status, message) => {
    const answer = await api.call("GET", `${objectPath(Org("org-3"))}?${query}`);
    expect([answer.status, answer.text]).toEqual([status, expect.stringContaining(message)]);
  });

  test.each([
    ["User/%ff", "the id in the path is not percent-encoded UTF-8"],
    ["%ff/x", "the type in the path is not percent-encoded UTF-8"],
    [`User/${"x".repeat(513)}`, "must not be longer than 512 bytes"],
  ])("an object that is none is refused (%#)", async (path, message) => {
    const answer = await api.call("GET", `/api/objects/${path}/facts`);
    expect([answer.status, answer.text]).toEqual([400, expect.stringContaining(message)]);
  });

  test("ids that begin with a text are completed, without those of deleted facts", async () => {
    const idsOf = async (query: string) => {
      const { status, json } = await api.call("GET", `/api/objects?${query}`);
      return [status, json];
    };
    expect(await idsOf("type=User&prefix=user-")).toEqual([
      200,
      { ids: Array.from({ length: 7 }, (_, index) => `user-${index}`), more: false },
    ]);
    expect(await idsOf("type=Org&prefix=org-1&page_size=2")).toEqual([200, { ids: ["org-1", "org-10"], more: true }]);
    expect(await idsOf("type=Nothing")).toEqual([200, { ids: [], more: false }]);
    const one = [role("zoe", "member", Org("zoo"))];
    await api.call("POST", "/api/batch", { body: [{ inserts: one }] });
    expect(await idsOf("type=User&prefix=zo")).toEqual([200, { ids: ["zoe"], more: false }]);
    await api.call("POST", "/api/batch", { body: [{ deletes: one }] });
    expect(await idsOf("type=User&prefix=zo")).toEqual([200, { ids: [], more: false }]);
    for (const query of ["", "prefix=x", "type=User&page_size=0", "type=User&page_size=101"])
      expect(await idsOf(query)).toMatchObject([400, { code: "invalid_request" }]);
  });

  test("a token of another object, or of another policy, is refused", async () => {
    const { next_page_token: token } = await readPage(api, "page_size=1", objectPath(Org("org-3")));
    const other = await api.call("GET", `${objectPath(Org("org-2"))}?page_token=${token}`);
    expect([other.status, other.text]).toEqual([400, expect.stringContaining("belongs to another question")]);
    const withoutIndexes =
      "actor User {} declare has_role(User, String, Org); declare has_relation(Repo, String, Org);";
    expect((await api.call("POST", "/api/policy", { body: { src: withoutIndexes } })).status).toBe(200);
    const gone = await api.call("GET", `${objectPath(Org("org-3"))}?page_token=${token}`);
    expect([gone.status, gone.text]).toEqual([409, expect.stringContaining("begin without a `page_token`")]);
    const pages = await readPages([api], "page_size=1", undefined, objectPath(Org("org-3")));
    expect(pages.flatMap(({ results }) => results)).toHaveLength(4);
    await api.call("POST", "/api/policy", { body: { src: polar } });
  });

  test("ids of the greatest length fit into a token", async () => {
    const id = (last: string) => "\u0001".repeat(511) + last;
    const long = ["a", "b", "c"].map((last) => role(id(last), "member", Org(id(last))));
    await api.call("POST", "/api/batch", { body: [{ inserts: long }] });
    const pages = await readPages([api], `page_size=1&args.0.type=User&args.0.id=${encodeURIComponent(id("b"))}`);
    expect(pages.flatMap(({ results }) => results)).toEqual(long.slice(1, 2));
    const all = await readPages([api], "page_size=1&predicate=has_role");
    expect(all.flatMap(({ results }) => results)).toEqual(
      sorted([...facts, ...long].filter((one) => one.predicate === "has_role")),
    );
    await api.call("POST", "/api/batch", { body: [{ deletes: long }] });
  });
});

test("a read continues on each node, and has each fact once that exists all the time", () =>
  withCluster(async (cluster) => {
    const primary = await cluster.primary();
    const api = apiOf(primary);
    await api.call("POST", "/api/policy", { body: { src: polar } });
    await api.call("POST", "/api/batch", { body: [{ inserts: facts }] });
    const edge = apiOf(await cluster.edge("edge", primary));
    const fallback = apiOf(await cluster.fallback(primary, { refresh: "1h" }));
    for (const { node } of [edge, fallback]) await eventually(() => expect(node.health().ok).toBe(true));
    await eventually(() => expect(edge.node.health().offset).toBe(api.node.health().offset as number));
    await eventually(() => expect(fallback.node.health().offset).toBe(api.node.health().offset as number));
    const [gone] = facts;
    const pages = await readPages([api, edge, fallback], "page_size=4", async (page) => {
      const added = role(`user-${page}`, "member", Org(`new-${page}`));
      await api.call("POST", "/api/batch", { body: [{ inserts: [added] }, { deletes: [gone] }] });
    });
    const read = pages.flatMap(({ results }) => results).map((one) => JSON.stringify(one));
    expect(new Set(read).size).toBe(read.length);
    for (const one of facts.slice(1)) expect(read).toContain(JSON.stringify(one));
    const member = value("String", "member");
    await eventually(() => expect(edge.node.health().offset).toBe(api.node.health().offset as number));
    const ofObject = await readPages([api, edge], "page_size=4", undefined, objectPath(member));
    const found = ofObject.flatMap(({ results }) => results).map((one) => JSON.stringify(one));
    expect(new Set(found).size).toBe(found.length);
    for (const one of facts.slice(1)) expect(found.includes(JSON.stringify(one))).toBe(one.predicate === "has_role");
    const [page] = await readPages([fallback], "", undefined, objectPath(Org("org-3")));
    expect(page?.results).toHaveLength(4);
  }));

function objectPath({ type, id }: Fact["args"][number]): string {
  return `/api/objects/${encodeURIComponent(type)}/${encodeURIComponent(id)}/facts`;
}

async function readPage(api: Api, query: string, path = "/api/facts"): Promise<FactsPage> {
  const { status, json } = await api.call("GET", `${path}?${query}`, { headers: admin });
  expect(status).toBe(200);
  expect(Object.keys(json as object)).toEqual(["results", "next_page_token"]);
  return json as FactsPage;
}

/** Reads all pages, from the nodes in turns. */
async function readPages(
  apis: readonly Api[],
  query: string,
  between?: (page: number) => Promise<void>,
  path?: string,
) {
  const pages: FactsPage[] = [];
  for (let token: string | null = ""; token !== null; token = pages.at(-1)?.next_page_token ?? null) {
    const api = apis[pages.length % apis.length] as Api;
    pages.push(await readPage(api, `${query}&page_token=${token}`, path));
    await between?.(pages.length);
  }
  return pages;
}

/** The order of the facts of these tests, whose texts have only characters of ASCII and one number of arguments. */
function sorted(list: readonly Fact[]): Fact[] {
  const keyOf = ({ predicate, args }: Fact) => [predicate, ...args.flatMap(({ type, id }) => [type, id])].join("\0");
  return list.toSorted((one, other) => (keyOf(one) < keyOf(other) ? -1 : 1));
}
