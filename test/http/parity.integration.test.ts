/** Parity reports over HTTP and with the official client: matching decisions and expectations, bounds, isolation. */
import { describe, expect, test } from "bun:test";
import { statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ParityHandle } from "oso-cloud";
import { renderMetrics } from "../../src/telemetry/metrics.ts";
import { adminKey, eventually, withCluster } from "../replication/cluster.ts";
import { apiOf, clientOf, fact, Org, Repo, role, User, value, wildcardPolicy, withPrimary, type Api } from "./api.ts";

const question = { actor_type: "User", actor_id: "bob", action: "delete", resource_type: "Org", resource_id: "acme" };
const member = role("bob", "admin", Org("acme"));

interface Page {
  readonly counts: { readonly mismatch: number; readonly pending: number; readonly match: number };
  readonly reports: readonly Record<string, unknown>[];
  readonly next: string | null;
}

async function pageOf(api: Api, query = "", headers = {}): Promise<Page> {
  const answer = await api.call("GET", `/api/parity${query}`, { headers });
  expect([answer.status, answer.text]).toEqual([200, answer.text]);
  return answer.json as Page;
}

function ask(api: Api, id: string, body: object = question, headers = {}) {
  return api.call("POST", "/api/authorize", { body, headers: { "X-Request-ID": id, ...headers } });
}

async function report(api: Api, id: string, expected: boolean, headers = {}): Promise<string> {
  const answer = await api.call("POST", "/api/expect", { body: { request_id: id, expected }, headers });
  expect([answer.status, answer.headers.get("osooffset")]).toEqual([200, null]);
  return (answer.json as { message: string }).message;
}

async function withPolicy(body: (api: Api) => Promise<void>, flags = {}): Promise<void> {
  await withPrimary(async (api) => {
    await api.call("POST", "/api/policy", { body: { src: wildcardPolicy } });
    await api.call("POST", "/api/batch", { body: [{ inserts: [member] }] });
    await body(api);
  }, flags);
}

async function keyOf(api: Api, role: string): Promise<{ readonly id: string; readonly authorization: string }> {
  const created = await api.call("POST", "/api/keys", { body: { name: role, role } });
  const { id, token } = created.json as { id: string; token: string };
  return { id, authorization: `Bearer ${token}` };
}

describe("reports", () => {
  test("come after or before the decision; mismatches are listed first", () =>
    withPolicy(async (api) => {
      await ask(api, "right");
      expect(await report(api, "right", true)).toBe("the decision was as expected");
      await ask(api, "wrong");
      expect(await report(api, "wrong", false)).toBe("the decision was not as expected");
      expect(await report(api, "early", false)).toBe("this node does not know the decision yet");
      expect(await report(api, "never", true)).toBe("this node does not know the decision yet");
      expect((await pageOf(api)).reports[1]).toEqual({
        result: "pending",
        expected: true,
        allowed: null,
        request_id: "never",
        key: "admin",
        time: expect.any(String),
      });
      const facts = [fact("has_role", User("bob"), value("String", "member"), Repo("anvil"))];
      await ask(api, "early", { ...question, action: "read", context_facts: facts });
      const { counts, reports, next } = await pageOf(api);
      expect(counts).toEqual({ mismatch: 2, pending: 1, match: 1 });
      expect(next).toBeNull();
      expect(reports.map(({ result, request_id }) => [result, request_id])).toEqual([
        ["mismatch", "early"],
        ["mismatch", "wrong"],
        ["pending", "never"],
        ["match", "right"],
      ]);
      expect(reports[0]).toEqual({
        result: "mismatch",
        expected: false,
        allowed: true,
        request_id: "early",
        key: "admin",
        time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
        decision: expect.stringMatching(/^[0-9a-f]{8}-\d+$/),
        redacted: [],
        actor: User("bob"),
        action: "read",
        resource: Org("acme"),
        context_facts: facts,
      });
      expect(await renderMetrics()).toMatch(/ostiary_parity_results_total\{result="mismatch"\} [1-9]/);
    }));

  test("a request without an id has the one of its response; a repeated report replaces the first", () =>
    withPolicy(async (api) => {
      const answer = await api.call("POST", "/api/authorize", { body: question });
      const id = answer.headers.get("x-request-id") ?? "";
      await report(api, id, false);
      await report(api, id, false);
      expect((await pageOf(api)).counts).toEqual({ mismatch: 1, pending: 0, match: 0 });
      await report(api, id, true);
      expect((await pageOf(api)).counts).toEqual({ mismatch: 0, pending: 0, match: 1 });
    }));

  test("a request id that is used again is that of the later decision, also if the first one was reported", () =>
    withPolicy(async (api) => {
      await ask(api, "1");
      expect(await report(api, "1", true)).toBe("the decision was as expected");
      await ask(api, "1", { ...question, actor_id: "eve" });
      expect(await report(api, "1", true)).toBe("the decision was not as expected");
      expect((await pageOf(api)).reports).toMatchObject([{ result: "mismatch", actor: User("eve") }]);
      await ask(api, "2", { ...question, actor_id: "eve" });
      expect((await pageOf(api)).counts).toEqual({ mismatch: 1, pending: 0, match: 0 });
    }));

  test.each(["key", "request"])(
    "have no decision if the log does not have its %s: it could be another one",
    (omitted) =>
      withPolicy(
        async (api) => {
          const victim = { authorization: (await keyOf(api, "read")).authorization };
          const own = { authorization: (await keyOf(api, "read")).authorization };
          await ask(api, "1", question, own);
          await ask(api, "1", { ...question, actor_id: "victim" }, victim);
          expect(await report(api, "1", true, own)).toBe("the decision was as expected");
          await ask(api, "2", { ...question, actor_id: "later" }, own);
          expect(await report(api, "1", false, own)).toBe("the decision was not as expected");
          const { reports } = await pageOf(api, "", own);
          expect(reports).toMatchObject([{ result: "mismatch", expected: false, allowed: true }]);
          expect(reports[0]).not.toHaveProperty("actor");
          expect((await pageOf(api, "", victim)).reports).toEqual([]);
        },
        { "decisions.log": "all", "advanced.decisionsOmit": omitted },
      ),
  );

  test("pages have each report once, while others arrive", () =>
    withPolicy(async (api) => {
      for (let index = 0; index < 7; index++) {
        await ask(api, `id ${index}`);
        await report(api, `id ${index}`, index > 3);
      }
      const listed: unknown[] = [];
      for (let query = "?limit=2"; ;) {
        const { reports, next } = await pageOf(api, query);
        expect(reports.length).toBeLessThanOrEqual(2);
        listed.push(...reports.map(({ request_id }) => request_id));
        if (next === null) break;
        await ask(api, `late ${listed.length}`);
        await report(api, `late ${listed.length}`, true);
        query = `?limit=2&after=${next}`;
      }
      expect(listed.filter((id) => String(id).startsWith("id"))).toEqual([3, 2, 1, 0, 6, 5, 4].map((n) => `id ${n}`));
      expect(new Set(listed).size).toBe(listed.length);
      for (const query of ["?after=x", "?after=match", "?limit=0", "?limit=x", "?other=1"])
        expect((await api.call("GET", `/api/parity${query}`)).status).toBe(400);
    }));

  test("very large bodies are kept without their context facts", () =>
    withPolicy(
      async (api) => {
        const facts = Array.from({ length: 100 }, (_, index) => role("u".repeat(500), "member", Org(`${index}`)));
        await ask(api, "large", { ...question, context_facts: facts });
        await report(api, "large", false);
        await ask(api, "padded", { ...question, padding: "x".repeat(5000) });
        await report(api, "padded", false);
        // From the decision cache.
        await ask(api, "padded again", { ...question, padding: "x".repeat(5000) });
        await report(api, "padded again", false);
        await ask(api, "small", { ...question, context_facts: facts.slice(0, 2), padding: "x".repeat(5000) });
        await report(api, "small", false);
        const { reports } = await pageOf(api);
        expect(reports).toMatchObject([
          { request_id: "small", actor: User("bob"), context_facts: facts.slice(0, 2) },
          { request_id: "padded again", actor: User("bob"), context_facts: [] },
          { request_id: "padded", actor: User("bob"), context_facts: [] },
          { request_id: "large", allowed: true, resource: Org("acme"), context_facts: [], redacted: ["question"] },
        ]);
      },
      { "advanced.decisionQuestionBytesMax": "10KiB" },
    ));
});

describe("API keys", () => {
  test("see their own reports, admin keys those of all; the same request id is another decision for each", () =>
    withPolicy(async (api) => {
      const [one, other] = [await keyOf(api, "read"), await keyOf(api, "write")];
      const [first, second] = [{ authorization: one.authorization }, { authorization: other.authorization }];
      await ask(api, "1", question, first);
      await ask(api, "1", { ...question, actor_id: "eve" }, second);
      expect(await report(api, "1", true, first)).toBe("the decision was as expected");
      expect(await report(api, "1", true, second)).toBe("the decision was not as expected");
      expect(await report(api, "1", true)).toBe("this node does not know the decision yet");
      expect((await pageOf(api, "", first)).reports).toMatchObject([{ result: "match", key: one.id }]);
      expect((await pageOf(api, "", second)).reports).toMatchObject([{ result: "mismatch", actor: User("eve") }]);
      expect((await pageOf(api)).counts).toEqual({ mismatch: 1, pending: 1, match: 1 });
      for (const authorization of ["Bearer e_test_x_y", "Basic x", ""]) {
        const refused = await api.call("POST", "/api/expect", { headers: { authorization }, body: {} });
        expect(refused.status).toBe(401);
        expect((await api.call("GET", "/api/parity", { headers: { authorization } })).status).toBe(401);
      }
    }));
});

describe("the official client", () => {
  async function check(api: Api, oso: ReturnType<typeof clientOf>): Promise<void> {
    for (const [expected, isEarly] of [
      [true, true],
      [false, false],
    ] as const) {
      const parityHandle = new ParityHandle();
      if (isEarly) parityHandle.expect(expected);
      expect(await oso.authorize(User("bob"), "delete", Org("acme"), { parityHandle })).toBe(true);
      if (!isEarly) parityHandle.expect(expected);
    }
    // The client does not wait for the answer, and does not catch its error.
    await eventually(async () =>
      expect((await pageOf(api)).counts).toMatchObject({ mismatch: 1, pending: 0, match: 1 }),
    );
  }

  test("reports to a primary, an edge and a fallback, also while the primary is away", () =>
    withCluster(async (cluster) => {
      const running = await cluster.primary();
      const primary = apiOf(running);
      await primary.call("POST", "/api/policy", { body: { src: wildcardPolicy } });
      await primary.call("POST", "/api/batch", { body: [{ inserts: [member] }] });
      const edge = apiOf(await cluster.edge("edge", running, { maxStaleness: "10s" }));
      const fallback = apiOf(await cluster.fallback(running, { refresh: "1h" }));
      for (const { node } of [edge, fallback])
        await eventually(() => expect(node.health()).toMatchObject({ offset: primary.node.health().offset }));
      for (const api of [primary, edge]) await check(api, clientOf(api.url));
      await ask(edge, "before");
      await running.stop();
      await check(fallback, clientOf(fallback.url));
      // Its data are too old for answers, and no position of another history can come.
      await eventually(async () => expect((await ask(edge, "stale")).status).toBe(503));
      const headers = { OsoOffset: "0123456789abcdef:99" };
      expect(await report(edge, "before", true, headers)).toBe("the decision was as expected");
      expect((await pageOf(edge, "", headers)).counts).toEqual({ mismatch: 1, pending: 0, match: 2 });
    }));

  test("reports stay when the node restarts", () =>
    withCluster(async (cluster) => {
      const first = await cluster.primary();
      let api = apiOf(first);
      await api.call("POST", "/api/policy", { body: { src: wildcardPolicy } });
      await ask(api, "wrong");
      await report(api, "wrong", true);
      await report(api, "later \u{1f600}", false);
      await ask(api, "right");
      await report(api, "right", false);
      const before = await pageOf(api);
      expect(before.counts).toEqual({ mismatch: 1, pending: 1, match: 1 });
      await first.stop();
      const path = join(first.data, "decisions.db");
      expect(statSync(path).mode & 0o777).toBe(0o600);
      const second = await cluster.primary();
      api = apiOf(second);
      expect(await pageOf(api)).toEqual(before);
      await report(api, "wrong", false);
      await report(api, "new", true);
      await second.stop();
      const third = await cluster.primary();
      api = apiOf(third);
      const { counts, reports } = await pageOf(api);
      expect(counts).toEqual({ mismatch: 0, pending: 2, match: 2 });
      expect(reports.map(({ request_id }) => request_id)).toEqual(["new", "later \u{1f600}", "wrong", "right"]);
      await third.stop();
      // A damaged file costs the reports, not the start.
      writeFileSync(path, "no database".repeat(100));
      const fourth = await cluster.primary();
      expect((await pageOf(apiOf(fourth))).counts).toEqual({ mismatch: 0, pending: 0, match: 0 });
    }));

  test("reports are listed also after a limit was lowered", () =>
    withCluster(async (cluster) => {
      const first = await cluster.primary();
      await clientOf(first.url).policy(wildcardPolicy);
      const facts = ["a", "b"].map((id) => fact("has_role", User(id), value("String", "member"), Repo("anvil")));
      await ask(apiOf(first), "two facts", { ...question, context_facts: facts });
      await report(apiOf(first), "two facts", true);
      const before = await pageOf(apiOf(first));
      expect(before.reports).toHaveLength(1);
      await first.stop();
      const limits = { "advanced.contextFactsMax": "1", "advanced.identifierBytesMax": "4" };
      const second = await cluster.primary(limits);
      expect(await pageOf(apiOf(second))).toEqual(before);
    }));

  test("reports stay when a node changes its role", () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      await clientOf(primary.url).policy(wildcardPolicy);
      const promotable = await cluster.promotable("edge", { primary: primary.url });
      const authorization = { authorization: `Bearer ${adminKey}` };
      const call = (path: string, body?: object) =>
        fetch(promotable.url + path, {
          method: body === undefined ? "GET" : "POST",
          headers: authorization,
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        });
      await eventually(async () => expect((await call("/api/parity")).status).toBe(200));
      await call("/api/expect", { request_id: "1", expected: true });
      await primary.stop();
      await eventually(async () => expect((await call("/api/promote", { force: true })).status).toBe(200));
      expect(((await (await call("/api/parity")).json()) as Page).counts.pending).toBe(1);
    }));
});
