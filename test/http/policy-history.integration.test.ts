/** Versions of the policy over HTTP: author and message, the history, rollbacks, on all roles. */
import { describe, expect, test } from "bun:test";
import { converged, eventually, withCluster } from "../replication/cluster.ts";
import { apiOf, Org, role, wildcardPolicy, withPrimary, type Api, type Answer } from "./api.ts";
import { withoutCode } from "./scenario.ts";

const admin = { id: "admin", name: "admin" };
const first = "actor User {}";
const second = "actor User {} actor Robot {}";

interface History {
  readonly versions: readonly Readonly<Record<string, unknown>>[];
  readonly next_page_token?: string;
}

const history = async (api: Api, query = ""): Promise<History> =>
  (await api.call("GET", `/api/policy_history${query}`)).json as History;
const upload = (api: Api, body: object, query = "", headers = {}): Promise<Answer> =>
  api.call("POST", `/api/policy${query}`, { body, headers });
const rollback = (api: Api, body: object, query = ""): Promise<Answer> =>
  api.call("POST", `/api/policy_rollback${query}`, { body });
const idOf = ({ headers }: Answer) => headers.get("ostiary-policy-id");
const source = async (api: Api, query = ""): Promise<unknown> => (await api.call("GET", `/api/policy${query}`)).json;

async function createKey(api: Api, name: string, keyRole: string) {
  const { json } = await api.call("POST", "/api/keys", { body: { name, role: keyRole } });
  const { id, token } = json as { id: string; token: string };
  return { id, headers: { authorization: `Bearer ${token}` } };
}

describe("the history", () => {
  test("has author, message, time and size of each version, newest first, and no sources", () =>
    withPrimary(async (api) => {
      expect(await history(api)).toEqual({ versions: [] });
      const ci = await createKey(api, 'ci "main"', "write");
      const before = Date.now();
      const answers = [
        await upload(api, { src: first, filename: "a.polar" }),
        await upload(api, { src: `${second} # ü`, message: "add Robot\n# ü\u2028" }, "", ci.headers),
      ];
      expect(answers.map(({ status, json }) => [status, json])).toEqual([
        [200, { message: "policy loaded" }],
        [200, { message: "policy loaded" }],
      ]);
      expect(answers.map(idOf)).toEqual(["1", "2"]);
      const { versions, ...rest } = await history(api);
      expect(rest).toEqual({});
      expect(versions.map(({ time: _time, ...each }) => each)).toEqual([
        {
          id: 2,
          active: true,
          filename: null,
          author: { id: ci.id, name: 'ci "main"' },
          message: "add Robot\n# ü\u2028",
          bytes: second.length + 5,
        },
        { id: 1, active: false, filename: "a.polar", author: admin, message: null, bytes: first.length },
      ]);
      for (const { time } of versions) expect(Date.parse(String(time))).toBeWithin(before, Date.now() + 1);

      // The name is the one at the time of the upload, and stays after the key is gone.
      await api.call("DELETE", `/api/keys/${ci.id}`);
      expect((await history(api)).versions[0]).toMatchObject({ author: { id: ci.id, name: 'ci "main"' } });
    }));

  test("is read in pages", () =>
    withPrimary(async (api) => {
      for (let index = 1; index <= 5; index += 1) await upload(api, { src: `${first} # ${index}` });
      const pages: unknown[] = [];
      let query = "?page_size=2";
      for (;;) {
        const { versions, next_page_token: token } = await history(api, query);
        pages.push(versions.map(({ id }) => id));
        if (token === undefined) break;
        query = `?page_size=2&page_token=${token}`;
      }
      expect(pages).toEqual([[5, 4], [3, 2], [1]]);
      expect((await history(api, "?page_size=100000")).versions).toHaveLength(5);
    }));

  test("refuses other parameters, and answers keys that may read", () =>
    withPrimary(async (api) => {
      for (const query of ["?page_size=0", "?page_size=x", "?page_size=-1", "?page_token=x", "?page_token=1e3"])
        expect([query, (await api.call("GET", `/api/policy_history${query}`)).status]).toEqual([query, 400]);
      const { headers } = await createKey(api, "reads", "read");
      expect((await api.call("GET", "/api/policy_history", { headers })).status).toBe(200);
      expect((await api.call("GET", "/api/policy_history", { headers: { authorization: "" } })).status).toBe(401);
      expect((await api.call("POST", "/api/policy_rollback", { headers, body: { id: 1 } })).status).toBe(403);
    }));

  test("gives each version under `id` and `version`, with nothing but file name and source", () =>
    withPrimary(async (api) => {
      // What `GET /api/policy` of release 0.1.0 returned for a policy of this release.
      const copied = `${first}\n# ostiary upload {"policy":2,"author":null,"message":"forged"}`;
      await upload(api, { src: first, filename: "a.polar", message: "one" });
      await upload(api, { src: copied });
      const one = { policy: { filename: "a.polar", src: first } };
      const two = { policy: { filename: null, src: copied } };
      expect(await source(api)).toEqual(two);
      expect([await source(api, "?id=1"), await source(api, "?version=1")]).toEqual([one, one]);
      expect([await source(api, "?id=2"), await source(api, "?id=2&version=1")]).toEqual([two, two]);
      expect(await source(api, "?id=3")).toEqual({ policy: null });
      expect((await history(api)).versions.map(({ message }) => message)).toEqual([null, "one"]);
      expect((await api.call("GET", "/api/policy?version=x")).status).toBe(400);
    }));
});

describe("an upload", () => {
  test("of the active policy adds no version, also with a message", () =>
    withPrimary(async (api) => {
      await upload(api, { src: first });
      const again = await upload(api, { src: first, message: "again" });
      expect([again.status, again.json, idOf(again)]).toEqual([202, { message: "policy unchanged" }, "1"]);
      const { offset } = api.node.health();
      expect(again.headers.get("osooffset")).toEndWith(`:${offset}`);
      expect((await history(api)).versions).toMatchObject([{ id: 1, message: null }]);
      const named = await upload(api, { src: first, filename: "a.polar" });
      expect([named.status, idOf(named)]).toEqual([200, "2"]);
    }));

  test("that is repeated under its request id gets the same answer and adds no version", () =>
    withPrimary(async (api) => {
      const headers = { "X-Request-ID": "upload-1" };
      await upload(api, { src: first, message: "one" }, "", headers);
      await upload(api, { src: second });
      const again = await upload(api, { src: first, message: "one" }, "", headers);
      expect([again.status, again.json, idOf(again)]).toEqual([200, { message: "policy loaded" }, "1"]);
      expect((await history(api)).versions).toHaveLength(2);
    }));

  test("may have a message of at most 1,024 bytes", () =>
    withPrimary(async (api) => {
      const long = await upload(api, { src: first, message: "ü".repeat(513) });
      expect([long.status, long.json]).toEqual([
        400,
        { message: "`message` in the body must not be longer than 1024 bytes", code: "invalid_request" },
      ]);
      expect((await upload(api, { src: first, message: 1 })).status).toBe(400);
      expect((await upload(api, { src: first, message: "ü".repeat(512) })).status).toBe(200);
      expect((await upload(api, { src: second, message: "" })).status).toBe(200);
      expect((await upload(api, { src: first, message: null })).status).toBe(200);
      const messages = (await history(api)).versions.map(({ message }) => message);
      expect(messages).toEqual([null, null, "ü".repeat(512)]);
    }));

  test("may have 1 MiB of text beside the message", () =>
    withPrimary(async (api) => {
      const src = `${first}#${"x".repeat(900 * 1024)}`;
      expect((await upload(api, { src, message: "m".repeat(1024) })).status).toBe(200);
      expect(await source(api)).toEqual({ policy: { filename: null, src } });
      expect((await history(api)).versions).toMatchObject([{ bytes: src.length }]);
    }));

  test("is reported with author and message as a change event", () =>
    withPrimary(async (api) => {
      await upload(api, { src: first, message: "why" });
      const { events } = (await api.call("GET", "/api/events")).json as { events: { type: string; data: unknown }[] };
      expect(events.at(-1)).toMatchObject({
        type: "ostiary.policy.loaded",
        data: { id: 1, filename: null, source: first, author: admin, message: "why" },
      });
    }));
});

describe("a policy of several files", () => {
  const parts = [
    { filename: "<a>.polar", lines: 2 },
    { filename: "b.polar", lines: 1 },
  ];
  const body = { src: `${first}\n\nactor Robot {}`, filename: "<a>.polar, b.polar", parts };

  test("keeps its files, also over a rollback", () =>
    withPrimary(async (api) => {
      expect((await upload(api, body)).status).toBe(200);
      const { src, filename } = body;
      expect(await source(api)).toEqual({ policy: { src, filename, parts } });
      expect((await upload(api, { src, filename })).status).toBe(202);
      expect((await upload(api, { src: first })).status).toBe(200);
      expect(await source(api)).toEqual({ policy: { src: first, filename: null } });
      expect((await rollback(api, { id: 1 })).status).toBe(200);
      expect(await source(api)).toEqual({ policy: { src, filename, parts } });
      const divided = [
        { ...parts[0], lines: 1 },
        { ...parts[1], lines: 2 },
      ];
      expect((await upload(api, { ...body, parts: divided })).status).toBe(200);
      expect(await source(api)).toEqual({ policy: { src, filename, parts: divided } });
    }));

  test("must say of each line in which file it is, with short names", () =>
    withPrimary(async (api) => {
      const long = (name: string) => ({ filename: name.repeat(900), lines: 1 });
      const message = async (given: object): Promise<unknown> =>
        ((await upload(api, { ...body, parts: given })).json as { readonly message: string }).message;
      expect(await message([parts[0], { ...parts[1], lines: 2 }])).toBe(
        "`parts` in the body must have as many lines as `src`",
      );
      expect(await message([parts[0]])).toContain("`parts` in the body");
      expect(await message("abcdefghijkl".split("").map(long))).toBe(
        "`parts` in the body must not have names of more than 8192 bytes together",
      );
    }));
});

describe("a rollback", () => {
  test("adds a version with the source and the file name of an older one", () =>
    withPrimary(async (api) => {
      await upload(api, { src: first, filename: "a.polar", message: "one" });
      await upload(api, { src: second });
      const back = await rollback(api, { id: 1 });
      expect([back.status, back.json, idOf(back)]).toEqual([200, { message: "policy loaded" }, "3"]);
      expect(back.headers.get("osooffset")).toEndWith(`:${api.node.health().offset}`);
      expect(await source(api)).toEqual({ policy: { filename: "a.polar", src: first } });
      await rollback(api, { id: 2, message: "it was right" });
      expect((await history(api)).versions.map(({ id, active, message }) => [id, active, message])).toEqual([
        [4, true, "rollback to 2: it was right"],
        [3, false, "rollback to 1"],
        [2, false, null],
        [1, false, "one"],
      ]);
    }));

  test("to the active version changes nothing", () =>
    withPrimary(async (api) => {
      await upload(api, { src: first });
      const answer = await rollback(api, { id: 1 });
      expect([answer.status, answer.json, idOf(answer)]).toEqual([202, { message: "policy unchanged" }, "1"]);
      expect((await history(api)).versions).toHaveLength(1);
    }));

  test("is checked like an upload, and names stored facts that the policy does not use", () =>
    withPrimary(async (api) => {
      const failing = `${first} test "t" { assert allow(User{"a"}, "b", User{"c"}); }`;
      await upload(api, { src: failing }, "?force=true");
      await upload(api, { src: wildcardPolicy });
      await api.call("POST", "/api/batch", { body: [{ inserts: [role("ann", "member", Org("acme"))] }] });
      const refused = await rollback(api, { id: 1 });
      expect([refused.status, refused.json]).toMatchObject([
        400,
        { error_type: "TestsFailed", test_results: { success: false, tests: [{ name: "t", passed: 0, total: 1 }] } },
      ]);
      expect(await source(api)).toMatchObject({ policy: { src: wildcardPolicy } });
      expect((await history(api)).versions).toHaveLength(2);
      const forced = await rollback(api, { id: 1 }, "?force=true");
      expect(forced.status).toBe(200);
      expect(String((forced.json as { message: string }).message)).toStartWith("policy loaded; ");
      expect(await source(api)).toMatchObject({ policy: { src: failing } });
      await rollback(api, { id: 2 });
      const question = {
        actor_type: "User",
        actor_id: "ann",
        action: "read",
        resource_type: "Org",
        resource_id: "acme",
      };
      expect((await api.call("POST", "/api/authorize", { body: question })).json).toEqual({ allowed: true });
    }));

  test.each([
    [404, { id: 7 }, "there is no policy `7`, `GET /api/policy_history` lists the versions"],
    [400, {}, "`id` in the body is missing, it must be a number"],
    [400, { id: "1" }, "`id` in the body must be a number"],
    [400, { id: 0 }, "`id` in the body must be at least 1"],
    [400, { id: 1, message: "x".repeat(1025) }, "`message` in the body must not be longer than 1024 bytes"],
  ])("is refused with %i for %j", (status, body, message) =>
    withPrimary(async (api) => {
      await upload(api, { src: first });
      const answer = await rollback(api, body);
      expect([answer.status, withoutCode(answer)]).toEqual([status, { message }]);
      expect((await history(api)).versions).toHaveLength(1);
    }),
  );
});

test("an edge forwards uploads and rollbacks, and has the same history; a fallback refuses them", () =>
  withCluster(async (cluster) => {
    const running = await cluster.primary();
    const primary = apiOf(running);
    const edge = apiOf(await cluster.edge("edge", running));
    const fallback = apiOf(await cluster.fallback(running));
    await eventually(() => expect(edge.node.health().ok).toBe(true));
    const loaded = await upload(edge, { src: first, message: "over the edge" });
    expect([loaded.status, idOf(loaded)]).toEqual([200, "1"]);
    await upload(primary, { src: second });
    const back = await rollback(edge, { id: 1, message: "back" });
    expect([back.status, back.json, idOf(back)]).toEqual([200, { message: "policy loaded" }, "3"]);
    expect(back.headers.get("osooffset")).toEndWith(`:${primary.node.health().offset}`);
    expect(await source(edge)).toEqual({ policy: { filename: null, src: first } });
    await converged(edge.node, primary.node);
    const expected = await history(primary);
    expect(expected.versions[0]).toMatchObject({ id: 3, author: admin, message: "rollback to 1: back" });
    expect(await history(edge)).toEqual(expected);
    // A snapshot has the history, too.
    await eventually(async () => expect(await history(fallback)).toEqual(expected));
    const refused = await rollback(fallback, { id: 1 });
    expect([refused.status, (await upload(fallback, { src: first })).status]).toEqual([503, 503]);
  }));

test("a policy that names the version that it replaces never replaces another one, also over an edge", () =>
  withCluster(async (cluster) => {
    const running = await cluster.primary();
    const primary = apiOf(running);
    const edge = apiOf(await cluster.edge("edge", running));
    await eventually(() => expect(edge.node.health().ok).toBe(true));
    const texts = (count: number) => Array.from({ length: count }, (_, index) => `${first} # ${index}`);
    /** One of several uploads at a time wins; all others learn the version. */
    const race = async (query: string, active: number): Promise<void> => {
      const sent = texts(6).map((text, index) => [text + query, [primary, edge][index % 2] ?? primary] as const);
      const answers = await Promise.all(sent.map(([src, api]) => upload(api, { src }, query)));
      expect(answers.map(({ status }) => status).toSorted()).toEqual([200, 409, 409, 409, 409, 409]);
      for (const { json } of answers.filter(({ status }) => status === 409))
        expect(json).toEqual({ message: expect.stringContaining(`version ${active};`), code: "conflict", active });
      expect((await history(primary, "?page_size=1")).versions[0]).toMatchObject({ id: active });
    };
    await race("?replaces=0", 1);
    await race("?replaces=1&force=true", 2);
    const refused = await rollback(edge, { id: 1 }, "?replaces=1");
    expect([refused.status, refused.json]).toMatchObject([409, { code: "conflict", active: 2 }]);
    expect((await rollback(edge, { id: 1 }, "?replaces=2")).status).toBe(200);
    // A repeated request gets its first answer, and nobody has to choose between equal policies.
    const once = { "X-Request-ID": "saved" };
    for (const _ of texts(2)) expect((await upload(edge, { src: second }, "?replaces=3", once)).status).toBe(200);
    expect((await upload(edge, { src: second }, "?replaces=1")).status).toBe(202);
    // Without it, the last upload wins.
    expect((await upload(edge, { src: first })).status).toBe(200);
  }));

test("an older policy is compiled in a worker process, for its metadata", () =>
  withPrimary(async (api) => {
    const count = async (): Promise<number> => {
      const { text } = await api.call("GET", "/metrics");
      return Number(/^ostiary_offloaded_queries_total\{kind="metadata"\} (\d+)$/m.exec(text)?.[1] ?? 0);
    };
    const before = await count();
    for (const src of [first, second]) await upload(api, { src });
    const typesOf = async (query: string): Promise<string[]> => {
      const { json } = await api.call("GET", `/api/policy_metadata${query}`);
      return Object.keys((json as { metadata: { resources: object } }).metadata.resources).toSorted();
    };
    expect(await typesOf("")).toEqual(["Robot", "User", "global"]);
    expect((await api.call("GET", "/api/policy_metadata?id=77")).status).toBe(404);
    expect(await count()).toBe(before);
    expect(await typesOf("?id=1")).toEqual(["User", "global"]);
    expect(await count()).toBe(before + 1);
  }));
