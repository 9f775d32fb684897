/** Questions about earlier moments (`Ostiary-At`): answered as at that time, on every kind of node. */
import { describe, expect, test } from "bun:test";
import { setTimeout as sleep } from "node:timers/promises";
import { pick, random as seeded } from "../../scripts/benchmark/random.ts";
import { must } from "../../src/util/assert.ts";
import { seedsOf } from "../seeds.ts";
import { ask as send, createEnvironment, fill, mayRead } from "../environments/host.ts";
import { adminKey, converged, eventually, withCluster } from "../replication/cluster.ts";
import { type Api, apiOf, fact, Org, Repo, role, User, value, withPrimary } from "./api.ts";

const rules = (more: string) => `
actor User {}
resource Org { roles = ["member", "admin"]; permissions = ["read", "delete"]; "read" if "member"; "member" if "admin"; ${more} }
resource Repo {
  roles = ["reader", "writer"]; permissions = ["read", "write"]; relations = { parent: Org, fork_of: Repo };
  "read" if "reader"; "write" if "writer"; "reader" if "writer"; "reader" if "member" on "parent";
  "reader" if "reader" on "fork_of";
}
has_role(user: User, "reader", repo: Repo) if expires(user, repo, time) and time > @current_unix_time;
declare expires(User, Repo, Integer);
`;
const policies = [rules('"delete" if "admin";'), rules('"delete" if "member";'), rules("")];
const bindings = `facts:\n  has_relation(Repo:_, String:parent, Org:_):\n    query: SELECT id, org FROM repo\n`;
const Text = (id: string) => value("String", id);
const anything = { type: null, id: null } as never;

interface Question {
  readonly path: string;
  readonly body: object;
}

interface Recorded extends Question {
  readonly at: string;
  readonly text: string;
}

const ask = (api: Api, { path, body }: Question, at?: string) =>
  api.call("POST", path, { body, headers: at === undefined ? {} : { "ostiary-at": at } });

async function write(api: Api, path: string, body: unknown): Promise<string> {
  const answer = await api.call("POST", path, { body });
  expect([path, answer.status, answer.text]).toEqual([path, 200, answer.text]);
  return must(answer.headers.get("osooffset"));
}

async function expectThen(api: Api, { at, text, ...question }: Recorded): Promise<void> {
  const answer = await ask(api, question, at);
  const position = answer.headers.get("ostiary-at");
  expect({ ...question, at, status: answer.status, text: answer.text, position }).toEqual({
    ...question,
    at,
    status: 200,
    text,
    position: at,
  });
}

const seeds = seedsOf(1, "MOMENT_SEED");
const steps = Math.ceil(Number(process.env["MOMENT_STEPS"] ?? 60) / seeds.length);

test.each(seeds)(
  `a question about any moment of a random history of ${steps} steps has the answer of that moment, seed %i`,
  (seed) =>
    withCluster(async (cluster) => {
      const random = seeded(seed);
      let primary = await cluster.primary();
      let api = apiOf(primary);
      const some = <T>(list: readonly T[]): T => must(pick(random, list));
      const users = ["ann", "bob", "eve"].map(User);
      const orgs = ["acme", "other"].map(Org);
      const repos = ["1", "2", "3"].map(Repo);
      // The times are far from now, so that the second of the question does not matter.
      const times = ["1000000000", "4000000000"];
      const facts = () =>
        some([
          () => role(some(users).id, some(["member", "admin"]), some(orgs)),
          () => role(some(users).id, some(["reader", "writer"]), some(repos)),
          () => fact("has_relation", some(repos), Text("parent"), some(orgs)),
          () => fact("has_relation", some(repos), Text("fork_of"), some(repos)),
          () => fact("expires", some(users), some(repos), value("Integer", some(times))),
        ])();
      const question = (): Question => {
        const [actor, resource] = [some(users), some([...orgs, ...repos])];
        const body = {
          ...{ actor_type: actor.type, actor_id: actor.id, action: some(["read", "write", "delete"]) },
          ...{ resource_type: resource.type, resource_id: resource.id },
          context_facts: random() < 0.2 ? [facts()] : [],
        };
        const { resource_id: _, ...list } = body;
        const { action: _action, ...actions } = body;
        return some<Question>([
          { path: "/api/authorize", body },
          { path: "/api/authorize", body },
          { path: "/api/explain", body },
          { path: "/api/list", body: list },
          { path: "/api/actions", body: actions },
          { path: "/api/bulk_actions", body: [actions, { ...actions, context_facts: [] }] },
          { path: "/api/authorize_resources", body: { ...body, resources: repos } },
          {
            path: "/api/query",
            body: { fact: fact("has_role", actor, Text("reader"), { type: "Repo", id: null } as never) },
          },
          {
            path: "/api/evaluate_query",
            body: {
              predicate: ["allow", "who", "what", "repo"],
              calls: [],
              constraints: { who: { type: "User" }, what: { type: "String" }, repo: { type: "Repo" } },
              context_facts: [],
            },
          },
          {
            path: "/api/authorize_query",
            body: { query: { ...body, resource_type: "Repo" }, data_bindings: bindings },
          },
        ]);
      };
      const recorded: Recorded[] = [];
      const record = async (at: string): Promise<void> => {
        for (let count = 0; count < 3; count++) {
          const asked = question();
          const { status, text } = await ask(api, asked);
          if (status === 200) recorded.push({ ...asked, at, text });
        }
      };
      await record(await write(api, "/api/policy", { src: policies[0] }));
      for (let step = 0; step < steps; step++) {
        const draw = random();
        if (draw < 0.6) await record(await write(api, "/api/batch", [{ inserts: [facts(), facts()] }]));
        else if (draw < 0.8)
          await record(
            await write(api, "/api/batch", [{ deletes: [fact("has_role", some(users), anything, anything)] }]),
          );
        else if (draw < 0.92) await record(await write(api, "/api/policy", { src: `${some(policies)}# ${step}` }));
        else if (draw < 0.95) await record(await write(api, "/api/clear_data", {}));
        else {
          // A start begins an epoch.
          await primary.stop();
          primary = await cluster.primary();
          api = apiOf(primary);
        }
      }
      expect(new Set(recorded.map(({ path }) => path)).size).toBeGreaterThan(7);
      expect(recorded.length).toBeGreaterThan(2 * steps);
      for (const each of recorded.toReversed()) await expectThen(api, each);
      // In any order the data are copied again.
      for (let count = 0; count < 10; count++) await expectThen(api, some(recorded));
      const edge = await cluster.edge("edge", primary);
      await converged(edge.node, primary.node);
      // The log of an edge begins when it starts.
      const known = recorded.length;
      for (let step = 0; step < 5; step++)
        await record(await write(api, "/api/batch", [{ inserts: [facts(), facts()] }]));
      await converged(edge.node, primary.node);
      for (const each of recorded.slice(known)) await expectThen(apiOf(edge), each);
      const { at, ...early } = must(recorded[0]);
      expect((await ask(apiOf(edge), early, at)).status).toBe(410);
    }),
  240_000 + 300 * steps,
);

const question: Question = {
  path: "/api/authorize",
  body: { actor_type: "User", actor_id: "ann", action: "read", resource_type: "Repo", resource_id: "1" },
};

/** Ann reads the repository for 2 seconds. */
async function withPass(api: Api): Promise<{ readonly at: string; readonly seconds: number }> {
  await write(api, "/api/policy", { src: policies[0] });
  const seconds = Math.floor(Date.now() / 1000) + 2;
  const pass = fact("expires", User("ann"), Repo("1"), value("Integer", String(seconds)));
  return { at: await write(api, "/api/batch", [{ inserts: [pass] }]), seconds };
}

test("the clock is that of the moment: the time that is asked for, or that of the last event", () =>
  withPrimary(async (api) => {
    const { at, seconds } = await withPass(api);
    await sleep(seconds * 1000 + 1100 - Date.now());
    expect((await ask(api, question)).json).toEqual({ allowed: false });
    const offset = must(at.split(":")[1]);
    const timeOf = (second: number): string => new Date(second * 1000).toISOString();
    for (const [moment, allowed] of [
      [at, true],
      [offset, true],
      [timeOf(seconds - 0.5), true],
      [timeOf(seconds - 0.5).replace("Z", "+00:00"), true],
      [timeOf(seconds + 1), false],
      [String(Number(offset) - 1), false],
      [timeOf(seconds - 3600), false],
    ] as const) {
      const answer = await ask(api, question, moment);
      expect([moment, answer.status, answer.json]).toEqual([moment, 200, { allowed }]);
    }
    const explained = await ask(api, { ...question, path: "/api/explain" }, offset);
    expect(explained.json).toMatchObject({ allowed: true });
    expect(explained.headers.get("ostiary-at")).toBe(at);
  }));

describe("a moment is refused", () => {
  test("if it is none, in the future, or of another history", () =>
    withPrimary(async (api) => {
      const { at } = await withPass(api);
      for (const [moment, status, message] of [
        ["yesterday", 400, "is no moment"],
        ["2026-05-03", 400, "is no moment"],
        ["2026-05-03T14:00:00", 400, "is no moment"],
        ["-1", 400, "is no moment"],
        ["9999", 400, "there is no offset 9999: the newest is offset"],
        ["2999-01-01T00:00:00Z", 400, "the data end at"],
        [`0123456789abcdef:${at.split(":")[1]}`, 410, "does not have offset"],
        [at.replace(/:.*/, ":99999"), 400, "there is no offset 99999"],
      ] as const) {
        const answer = await ask(api, question, moment);
        expect([moment, answer.status, answer.text]).toEqual([moment, status, expect.stringContaining(message)]);
      }
    }));

  test("before the beginning of the log, with the earliest moment", () =>
    withPrimary(
      async (api) => {
        const { at } = await withPass(api);
        for (let index = 0; index < 20; index++)
          await write(api, "/api/batch", [{ inserts: [role(`user ${index}`, "admin", Org("acme"))] }]);
        await eventually(async () => {
          const answer = await ask(api, question, at);
          expect([answer.status, answer.text]).toEqual([410, expect.stringContaining("the earliest point is offset")]);
        });
        expect((await ask(api, question, "2020-01-01T00:00:00Z")).status).toBe(410);
      },
      { "retention.events": "5", "advanced.logTrimIntervalMs": "50ms" },
    ));

  test("by endpoints that know no moments, and with pages", () =>
    withPrimary(async (api) => {
      const { at } = await withPass(api);
      const headers = { "ostiary-at": at };
      for (const [method, path, body] of [
        ["GET", "/api/facts?predicate=has_role", undefined],
        ["POST", "/api/batch", [{ inserts: [role("ann", "admin", Org("acme"))] }]],
        ["GET", "/api/policy", undefined],
      ] as const) {
        const answer = await api.call(method, path, { ...(body && { body }), headers });
        expect([path, answer.status, answer.text]).toEqual([path, 400, expect.stringContaining("no earlier moments")]);
      }
      const evaluation = {
        ...{ subject: User("ann"), action: { name: "read" }, resource: Repo("1") },
      };
      const authzen = await api.call("POST", "/access/v1/evaluation", {
        body: evaluation,
        headers: { ...headers, "content-type": "application/json" },
      });
      expect([authzen.status, authzen.text]).toEqual([400, expect.stringContaining("no earlier moments")]);
      expect((await api.call("GET", "/api/facts?predicate=has_role")).json).toEqual([]);
      const list = { actor_type: "User", actor_id: "ann", action: "read", resource_type: "Repo", page_size: 10 };
      const paged = await ask(api, { path: "/api/list", body: list }, at);
      expect([paged.status, paged.text]).toEqual([400, expect.stringContaining("page_size")]);
    }));

  test("without a key, before anything else", () =>
    withPrimary(async (api) => {
      const { at } = await withPass(api);
      const answer = await fetch(`${api.url}/api/authorize`, {
        method: "POST",
        headers: { "ostiary-at": at },
        body: JSON.stringify(question.body),
      });
      expect(answer.status).toBe(401);
    }));
});

test("a fallback answers about the moment of its copy, and about none before", () =>
  withCluster(async (cluster) => {
    const primary = await cluster.primary();
    const api = apiOf(primary);
    await write(api, "/api/policy", { src: policies[0] });
    const before = await write(api, "/api/batch", [{ inserts: [role("ann", "reader", Repo("1"))] }]);
    await write(api, "/api/batch", [{ deletes: [role("ann", "reader", Repo("1"))] }]);
    const fallback = apiOf(await cluster.fallback(primary));
    const now = await write(api, "/api/batch", [{ inserts: [role("bob", "reader", Repo("1"))] }]);
    await converged(fallback.node, primary.node);
    const present = await ask(fallback, question, now);
    expect([present.status, present.json, present.headers.get("ostiary-at")]).toEqual([200, { allowed: false }, now]);
    expect((await ask(fallback, question, before)).status).toBe(410);
  }));

test("each environment has its own history", () =>
  withCluster(async (cluster) => {
    const node = await cluster.host("primary", "primary");
    const key = await createEnvironment(node, "staging");
    await fill(node, key, "ann");
    await fill(node, adminKey, "bob");
    const clear = await send(node, key, "POST", "/api/clear_data", {});
    const offset = Number(must(clear.headers.get("osooffset")).split(":")[1]);
    const ofBoth = ["ann", "bob"].map(async (user) => {
      const body = { actor_type: "User", actor_id: user, action: "read", resource_type: "Repo", resource_id: "main" };
      const response = await fetch(`${node.url}/api/authorize`, {
        method: "POST",
        headers: { Authorization: `Bearer ${key}`, "Ostiary-At": String(offset - 1) },
        body: JSON.stringify(body),
      });
      return [await response.json(), await mayRead(node, key, user)];
    });
    expect(await Promise.all(ofBoth)).toEqual([
      [{ allowed: true }, false],
      [{ allowed: false }, false],
    ]);
  }));

test("an edge refuses a write with a moment as well", () =>
  withCluster(async (cluster) => {
    const primary = await cluster.primary();
    const edge = apiOf(await cluster.edge("edge", primary));
    const before = primary.node.state();
    const answer = await edge.call("POST", "/api/batch", {
      body: [{ inserts: [role("ann", "admin", Org("acme"))] }],
      headers: { "ostiary-at": "1" },
    });
    expect([answer.status, answer.text]).toEqual([400, expect.stringContaining("no earlier moments")]);
    expect(primary.node.state()).toEqual(before);
  }));

test("questions about earlier moments are no decisions of the present, and change nothing", () =>
  withCluster(
    async (cluster) => {
      const api = apiOf(await cluster.primary());
      const { at } = await withPass(api);
      await write(api, "/api/batch", [{ deletes: [fact("expires", User("ann"), anything, anything)] }]);
      const state = api.node.state();
      for (let count = 0; count < 3; count++) expect((await ask(api, question, at)).json).toEqual({ allowed: true });
      expect((await ask(api, question)).json).toEqual({ allowed: false });
      expect(api.node.state()).toEqual(state);
      const { json } = await api.call("GET", "/api/decisions");
      expect((json as { decisions: object[] }).decisions).toMatchObject([{ result: "deny" }]);
    },
    { "decisions.log": "all" },
  ));
