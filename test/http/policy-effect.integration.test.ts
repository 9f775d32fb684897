/** `POST /api/policy_effect`: what a policy would change, before it is loaded. */
import { describe, expect, test } from "bun:test";
import { defaultLimits } from "../../src/config/limits.ts";
import { DecisionLog, unloggedDecisions } from "../../src/decisions/decision-log.ts";
import { PastDecisions } from "../../src/decisions/past-decisions.ts";
import { PastProcess } from "../../src/decisions/past-process.ts";
import { converged, withCluster, withDirectory } from "../replication/cluster.ts";
import { admin, type Api, apiOf, clientOf, Org, User, withPrimary } from "./api.ts";

const policy = (rule: string) => `actor User {}
resource Org { roles = ["member", "guest"]; permissions = ["read", "pay"]; "read" if "member"; ${rule} }
test "members read" {
  setup { has_role(User{"ann"}, "member", Org{"acme"}); }
  assert allow(User{"ann"}, "read", Org{"acme"});
}
`;
const before = policy('"read" if "guest"; "pay" if "member";');
const after = policy('"pay" if "member";').replace(', "guest"', "");
const { decisions: noDecisions } = unloggedDecisions(defaultLimits);
const all = { "decisions.log": "all" };

interface Effect {
  readonly tests: { readonly success: boolean };
  readonly unused_facts: readonly object[];
  readonly decisions: Readonly<Record<string, unknown>> | null;
}

async function prepare(api: Api): Promise<void> {
  const client = clientOf(api.url);
  await client.policy(before);
  await client.insert(["has_role", User("gil"), "guest", Org("acme")]);
  await client.insert(["has_role", User("ann"), "member", Org("acme")]);
  for (const user of ["gil", "ann", "eve"]) await client.authorize(User(user), "read", Org("acme"));
}

async function effectOf(api: Api, body: object, headers = {}): Promise<Effect> {
  const answer = await api.call("POST", "/api/policy_effect", { body, headers });
  expect([answer.status, answer.text]).toEqual([200, answer.text]);
  return answer.json as Effect;
}

const changed = {
  replayed: 3,
  changed_count: 1,
  complete: true,
  skipped: [],
  changed: [{ decision: { actor: User("gil"), result: "allow" }, now: { result: "deny" } }],
};

describe("the effect of a policy", () => {
  test("has its tests, the facts that it would not use, and the decisions that would change", () =>
    withPrimary(async (api) => {
      await prepare(api);
      const { offset } = api.node.health();
      const files = [
        { filename: "a.polar", src: after },
        { filename: "b.polar", src: "actor Robot {}" },
      ];
      const effect = await effectOf(api, { files });
      expect(effect).toMatchObject({
        tests: { success: true, tests: [{ name: "members read", passed: 1, total: 1 }] },
        unused_facts: [],
        decisions: changed,
      });
      const other = await effectOf(api, { src: after.replaceAll("Org", "Team"), decisions: 0 });
      expect(other).toMatchObject({
        unused_facts: [{ facts: "has_role(User, String, Org)", count: 2 }],
        decisions: null,
      });
      const refused = await effectOf(api, { src: "actor User {" });
      expect(refused).toMatchObject({ tests: { success: false }, unused_facts: [], decisions: null });
      expect(api.node.health().offset).toBe(offset);
    }, all));

  test("shows logged decisions to administrators only, and says why they are missing", () =>
    withPrimary(async (api) => {
      await prepare(api);
      const made = await api.call("POST", "/api/keys", { body: { name: "ci", role: "write" } });
      const headers = { authorization: `Bearer ${(made.json as { token: string }).token}` };
      const effect = await effectOf(api, { src: after }, headers);
      expect(effect.tests.success).toBe(true);
      expect(effect.decisions).toEqual({
        omitted: "logged decisions need a key with the role `admin`, because they show what applications ask",
      });
    }, all));

  test("is sent with its progress, and cancelled when the client leaves", () =>
    withPrimary(async (api) => {
      await prepare(api);
      const start = (signal?: AbortSignal) =>
        fetch(`${api.url}/api/policy_effect`, {
          method: "POST",
          headers: { ...admin, accept: "text/event-stream" },
          body: JSON.stringify({ src: after }),
          ...(signal && { signal }),
        });
      const stop = new AbortController();
      const left = await start(stop.signal);
      await left.body?.getReader().read();
      stop.abort();
      const answer = await start();
      expect(answer.headers.get("content-type")).toBe("text/event-stream");
      const events = (await answer.text()).trimEnd().split("\n\n");
      const parsed = events.map((text) => {
        const [event = "", data = ""] = text.split("\n");
        return [event.slice("event: ".length), JSON.parse(data.slice("data: ".length))] as const;
      });
      expect(parsed.map(([event]) => event)).toEqual(["tests", "unused_facts", "progress", "decisions"]);
      expect(Object.fromEntries(parsed)).toMatchObject({
        tests: { success: true },
        progress: { examined: 3 },
        decisions: changed,
      });
    }, all));

  test("ends only its own work when its client leaves late", () =>
    withPrimary(async (api) => {
      await withDirectory(async (data) => {
        const log = new DecisionLog({ decisions: { ...noDecisions, log: "all" }, limits: defaultLimits, data });
        const process = new PastProcess(() => api.node.engine().path, defaultLimits, data);
        const past = new PastDecisions(process, log);
        try {
          const replay = { filter: {}, limit: 10, source: after, filename: null };
          const stop = new AbortController();
          const nothing = { replayed: 0, isComplete: true };
          expect(await past.replay({ ...replay, signal: stop.signal }, "first")).toMatchObject(nothing);
          const other = past.replay(replay, "second");
          // So that the process works for the second client.
          await new Promise((resolve) => setImmediate(resolve));
          stop.abort();
          expect(await other).toMatchObject(nothing);
        } finally {
          process.close();
          await log.close();
        }
      });
    }));

  test("is that of the node that is asked: an edge has its own log", () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      await prepare(apiOf(primary));
      const edge = apiOf(await cluster.edge("edge", primary));
      await converged(edge.node, primary.node);
      await clientOf(edge.url).authorize(User("gil"), "read", Org("acme"));
      const effect = await effectOf(edge, { src: after });
      expect(effect.decisions).toMatchObject({ replayed: 1, changed_count: 1 });
    }, all));
});
