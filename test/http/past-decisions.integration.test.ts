/** Logged decisions that are explained and replayed later: on the data, the policy and the clock of their time. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "bun:test";
import { pick, random as seeded } from "../../scripts/benchmark/random.ts";
import type { LoggedDecision } from "../../src/decisions/logged-decision.ts";
import { inEnvironment } from "../../src/telemetry/current-environment.ts";
import { must } from "../../src/util/assert.ts";
import { seedsOf } from "../seeds.ts";
import { eventually, withCluster, type Cluster } from "../replication/cluster.ts";
import { type Api, apiOf, fact, Org, Repo, role, User, value } from "./api.ts";

const all = { "decisions.log": "all" };
const json = { "content-type": "application/json" };

const rules = (more: string) => `
actor User {}
resource Org {
  roles = ["member", "admin"]; permissions = ["read", "delete"];
  "read" if "member"; "member" if "admin"; ${more}
}
resource Repo {
  roles = ["reader", "writer"]; permissions = ["read", "write"]; relations = { parent: Org, fork_of: Repo };
  "read" if "reader"; "write" if "writer"; "reader" if "writer"; "reader" if "member" on "parent";
  "reader" if "reader" on "fork_of";
}
has_role(user: User, "reader", repo: Repo) if expires(user, repo, time) and time > @current_unix_time;
declare expires(User, Repo, Integer);
`;
const anything = { type: null, id: null } as never;
const policies = [
  rules('"delete" if "admin";'),
  rules('"delete" if "member";'),
  rules('"delete" if "admin"; "read" if "admin";'),
];

interface Explained extends Pick<LoggedDecision, "result" | "count" | "digest"> {
  readonly decision: LoggedDecision;
  readonly explanation: { readonly allowed: boolean; readonly policy: { readonly id: number } | null } | null;
}

async function ok(api: Api, method: string, path: string, body?: unknown): Promise<unknown> {
  const answer = await api.call(method, path, { body, headers: path.startsWith("/access") ? json : {} });
  expect([path, answer.status, answer.text]).toEqual([path, 200, answer.text]);
  return answer.json;
}

async function logged(api: Api, query = "order=newest"): Promise<LoggedDecision[]> {
  const found: LoggedDecision[] = [];
  for (let next: string | null = ""; next !== null;) {
    const page = (await ok(api, "GET", `/api/decisions?${query}${next && `&after=${next}`}`)) as {
      readonly decisions: readonly LoggedDecision[];
      readonly next: string | null;
    };
    found.push(...page.decisions);
    next = page.next;
  }
  return found;
}

async function expectReproduced(api: Api, decision: LoggedDecision): Promise<void> {
  const { result, count, digest } = decision;
  const explained = (await ok(api, "GET", `/api/decisions/${decision.id}/explain`)) as Explained;
  expect({ ...explained, decision }).toMatchObject({ result, count, digest });
  if (decision.kind !== "authorize") return expect(explained.explanation).toBeNull();
  expect(explained.explanation?.allowed).toBe(result === "allow");
  expect(explained.explanation?.policy?.id ?? null).toBe(decision.policy);
}

const seeds = seedsOf(1, "PAST_DECISION_SEED");
const steps = Math.ceil(Number(process.env["PAST_DECISION_STEPS"] ?? 90) / seeds.length);

test.each(seeds)(
  `every decision of a random history of ${steps} steps can be explained later, seed %i`,
  (seed) =>
    withCluster(async (cluster) => {
      const random = seeded(seed);
      let primary = await cluster.primary();
      let api = apiOf(primary);
      const some = <T>(list: readonly T[]): T => must(pick(random, list));
      const users = ["ann", "bob", "eve"].map(User);
      const orgs = ["acme", "other"].map(Org);
      const repos = ["1", "2", "3"].map(Repo);
      const facts = () =>
        some([
          () => role(some(users).id, some(["member", "admin"]), some(orgs)),
          () => role(some(users).id, some(["reader", "writer"]), some(repos)),
          () => fact("has_relation", some(repos), value("String", "parent"), some(orgs)),
          () => fact("has_relation", some(repos), value("String", "fork_of"), some(repos)),
          () =>
            fact(
              "expires",
              some(users),
              some(repos),
              value("Integer", String(Math.floor(Date.now() / 1000) + 3 - Math.floor(random() * 6))),
            ),
        ])();
      const ask = async (): Promise<void> => {
        const [actor, resource] = [some(users), some<{ type: string; id: string }>([...orgs, ...repos])];
        const body = {
          actor_type: actor.type,
          actor_id: actor.id,
          action: some(["read", "write", "delete"]),
          resource_type: resource.type,
          resource_id: resource.id,
          context_facts: random() < 0.2 ? [facts()] : [],
        };
        const { resource_id: _, ...list } = body;
        const parts = { subject: actor, action: { name: body.action }, resource };
        await some([
          () => ok(api, "POST", "/api/authorize", body),
          () => ok(api, "POST", "/api/authorize", body),
          () => ok(api, "POST", "/api/authorize", body),
          () => ok(api, "POST", "/api/authorize_resources", { ...body, resources: repos }),
          () => ok(api, "POST", "/api/list", { ...list, ...(random() < 0.5 && { page_size: 1 }) }),
          () => ok(api, "POST", "/api/actions", body),
          () => ok(api, "POST", "/api/bulk_actions", [body, { ...body, context_facts: [] }]),
          () =>
            ok(api, "POST", "/api/query", {
              fact: fact("has_role", actor, value("String", "reader"), { type: "Repo", id: null } as never),
            }),
          () => ok(api, "POST", "/access/v1/evaluation", parts),
          () => ok(api, "POST", "/access/v1/search/subject", { ...parts, subject: { type: "User" } }),
        ])();
      };
      // Decisions without a policy.
      for (let step = 0; step < 3; step++) await ask();
      await ok(api, "POST", "/api/policy", { src: policies[0] });
      for (let step = 0; step < steps; step++) {
        const draw = random();
        if (draw < 0.5) await ask();
        else if (draw < 0.75) await ok(api, "POST", "/api/batch", [{ inserts: [facts(), facts()] }]);
        else if (draw < 0.85)
          await ok(api, "POST", "/api/batch", [{ deletes: [fact("has_role", some(users), anything, anything)] }]);
        else if (draw < 0.92) await ok(api, "POST", "/api/policy", { src: `${some(policies)}# ${step}` });
        else if (draw < 0.94) await ok(api, "POST", "/api/clear_data", {});
        else if (draw < 0.97) await ok(api, "POST", "/api/keys", { name: "k", role: "read" });
        else {
          // A start begins an epoch.
          await primary.stop();
          primary = await cluster.primary();
          api = apiOf(primary);
        }
      }
      const decisions = await logged(api);
      expect(decisions.length).toBeGreaterThan(steps / 10);
      for (const decision of decisions) await expectReproduced(api, decision);
      // In another order the data are copied again.
      await expectReproduced(api, must(decisions.at(-1)));
      await expectReproduced(api, must(decisions[0]));
    }, all),
  240_000,
);

async function withHistory(body: (api: Api, cluster: Cluster) => Promise<void>, flags = {}): Promise<void> {
  await withCluster(
    async (cluster) => {
      const api = apiOf(await cluster.primary());
      await ok(api, "POST", "/api/policy", { src: policies[0] });
      await ok(api, "POST", "/api/batch", [{ inserts: [role("ann", "member", Org("acme"))] }]);
      await body(api, cluster);
    },
    { ...all, ...flags },
  );
}

const question = { actor_type: "User", actor_id: "ann", action: "delete", resource_type: "Org", resource_id: "acme" };

describe("a decision that cannot be explained", () => {
  test("of another node, or an unknown one", () =>
    withHistory(async (api) => {
      for (const [id, status] of [
        ["00000000-1", 404],
        ["x", 400],
        ["%ff", 400],
      ] as const)
        expect((await api.call("GET", `/api/decisions/${id}/explain`)).status).toBe(status);
    }));

  test("before the beginning of the log of a node", () =>
    withHistory(
      async (api) => {
        await ok(api, "POST", "/api/authorize", question);
        for (let index = 0; index < 20; index++)
          await ok(api, "POST", "/api/batch", [{ inserts: [role(`user ${index}`, "admin", Org("acme"))] }]);
        const [decision] = await logged(api);
        await eventually(async () => {
          const answer = await api.call("GET", `/api/decisions/${must(decision).id}/explain`);
          expect(answer.status).toBe(410);
          expect(answer.text).toContain("does not reach back to offset");
        });
      },
      { "retention.events": "5", "advanced.logTrimIntervalMs": "50ms" },
    ));

  test("whose question is not in the log as a whole", () =>
    withHistory(
      async (api) => {
        await ok(api, "POST", "/api/authorize", question);
        const [decision] = await logged(api);
        expect(decision).toMatchObject({
          redacted: ["actor"],
          actor: { type: "User", hash: expect.any(String) as string },
        });
        const answer = await api.call("GET", `/api/decisions/${must(decision).id}/explain`);
        expect([answer.status, (answer.json as { message: string }).message]).toEqual([
          410,
          expect.stringContaining("(actor)"),
        ]);
      },
      { "advanced.decisionsHash": "actor" },
    ));
});

test("an edge explains its own decisions, also those of the snapshot that it began with", () =>
  withHistory(async (primary, cluster) => {
    const edge = apiOf(await cluster.edge("edge", primary));
    await eventually(() => expect(edge.node.state()).toMatchObject({ offset: must(primary.node.state()).offset }));
    await ok(edge, "POST", "/api/authorize", { ...question, action: "read" });
    await ok(primary, "POST", "/api/batch", [{ deletes: [role("ann", "member", Org("acme"))] }]);
    await eventually(() => expect(edge.node.state()).toMatchObject({ offset: must(primary.node.state()).offset }));
    await ok(edge, "POST", "/api/authorize", { ...question, action: "read" });
    const decisions = await logged(edge);
    expect(decisions.map(({ result }) => result)).toEqual(["deny", "allow"]);
    for (const decision of decisions) await expectReproduced(edge, decision);
    expect(await logged(primary)).toEqual([]);
  }));

test("hosted environments wait for each other, and only two of them keep a process and a copy", async () => {
  const copies: string[] = [];
  const explained = { count: 0, all: Promise.withResolvers<void>() };
  const host = (id: string): Promise<void> =>
    inEnvironment(id, () =>
      withHistory(async (api, cluster) => {
        copies.push(join(cluster.directory, "primary", "past-decisions.db"));
        await ok(api, "POST", "/api/authorize", question);
        // So that the data of the decision have to be reconstructed.
        await ok(api, "POST", "/api/batch", [{ inserts: [role("bob", "member", Org("acme"))] }]);
        const [decision] = await logged(api);
        await expectReproduced(api, must(decision));
        if (++explained.count === 3) explained.all.resolve();
        await explained.all.promise;
        expect(copies.filter((path) => existsSync(path))).toHaveLength(2);
        // The process of this environment may be gone meanwhile.
        await expectReproduced(api, must(decision));
      }),
    );
  await Promise.all(["a", "b", "c"].map(host));
  expect(copies).toHaveLength(3);
});

describe("a replay", () => {
  test("lists the decisions that another policy changes, each on the data of its time, and explains them", () =>
    withHistory(async (api) => {
      await ok(api, "POST", "/api/authorize", question);
      await ok(api, "POST", "/api/authorize", { ...question, action: "read" });
      await ok(api, "POST", "/api/batch", [{ deletes: [role("ann", "member", Org("acme"))] }]);
      await ok(api, "POST", "/api/authorize", question);
      await ok(api, "POST", "/api/actions", question);
      const [actions, second, , first] = await logged(api);
      const replay = (await ok(api, "POST", "/api/decisions/replay", { src: policies[1] })) as {
        readonly changed: readonly {
          readonly decision: LoggedDecision;
          readonly now: object;
          readonly explanation: { readonly allowed: boolean };
        }[];
      };
      expect(replay).toMatchObject({ replayed: 4, changed_count: 1, complete: true, skipped: [] });
      expect(replay.changed).toMatchObject([
        { decision: { id: must(first).id, result: "deny" }, now: { result: "allow" } },
      ]);
      expect(replay.changed[0]?.explanation.allowed).toBe(true);
      // The policy of the node, and later explanations, are as before.
      for (const decision of [actions, second, first]) await expectReproduced(api, must(decision));
      const none = await ok(api, "POST", "/api/decisions/replay", { src: policies[2], limit: 2 });
      expect(none).toMatchObject({ replayed: 2, changed_count: 0, complete: false });
      const wrong = await api.call("POST", "/api/decisions/replay", { body: { src: "actor User {" } });
      expect([wrong.status, (wrong.json as { code: string }).code]).toEqual([400, "invalid_policy"]);
      const nothing = await ok(api, "POST", "/api/decisions/replay", {
        src: policies[1],
        since: "2100-01-01T00:00:00Z",
      });
      expect(nothing).toMatchObject({ replayed: 0, complete: true });
    }));
});
