/** Parity reports over HTTP and with the official client: matching decisions and expectations, bounds, isolation. */
import { describe, expect, test } from "bun:test";
import { statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ParityHandle } from "oso-cloud";
import { defaultLimits } from "../../src/config/limits.ts";
import type { Decision } from "../../src/decisions/decision-entry.ts";
import { DecisionStore } from "../../src/decisions/decision-store.ts";
import type { ParityPosition } from "../../src/decisions/parity-reports.ts";
import { RecentDecisions } from "../../src/decisions/recent-decisions.ts";
import { Redaction } from "../../src/decisions/redaction.ts";
import { renderMetrics } from "../../src/telemetry/metrics.ts";
import { adminKey, eventually, withCluster, withDirectory } from "../replication/cluster.ts";
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

/** The file of a decision log, and a function that adds a decision and what was expected of it. */
async function withStore(body: (store: DecisionStore, add: AddReport) => void): Promise<void> {
  await withDirectory(async (directory) => {
    const redaction = new Redaction({ omit: [], hash: [], hashKey: new Uint8Array(1) });
    const store = DecisionStore.open(join(directory, "decisions.db"), redaction, () => {});
    try {
      body(store, (keyId, requestId, expected, isKnown = true) => {
        const decisions = isKnown ? [{ ...decisionOf(keyId, requestId, true, "{}"), isSelected: true }] : [];
        store.append(decisions, 0, [
          { keyId, requestId, expected, timeMs: 1, ...(isKnown ? { allowed: true, decidedMs: 0 } : unknown) },
        ]);
      });
    } finally {
      store.close();
    }
  });
}

const unknown = { allowed: null, decidedMs: null };

type AddReport = (keyId: string, requestId: string, expected: boolean, isKnown?: boolean) => void;

const page = { limit: 10_000, bytesMax: 1e9, oldestMs: 0 };

function decisionOf(keyId: string, requestId: string, allowed = true, asked = "q".repeat(50)): Decision {
  const version = { epoch: "0123456789abcdef", offset: 2 ** 40, policyId: 7, clock: 1_795_000_000, isCached: true };
  const common = { kind: "authorize", isBody: true, traceId: null, result: undefined, version } as const;
  return { ...common, keyId, requestId, question: asked, allowed, timeMs: 0, durationUs: 12 };
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

  test("cannot displace the reports of another key, and matches go before mismatches", () =>
    withStore((store, add) => {
      for (const id of ["1", "2"]) add("quiet", id, id === "2");
      add("loud", "mismatch", false);
      for (let index = 0; index < 100; index++) {
        add("loud", `${index}`, true);
        add("loud", `unknown ${index}`, true, false);
        store.parity.limit(30);
      }
      expect(store.parity.counts("quiet")).toEqual({ mismatch: 1, pending: 0, match: 1 });
      const { mismatch, pending, match } = store.parity.counts("loud");
      expect([mismatch, pending + match]).toEqual([1, 27]);
      for (let index = 0; index < 100; index++) {
        add("loud", `m ${index}`, false);
        store.parity.limit(30);
      }
      const ids = store.parity.page("loud", undefined, page).reports.map(({ requestId }) => requestId);
      expect(ids.slice(0, 3)).toEqual(["m 99", "m 98", "m 97"]);
      expect(store.parity.counts("quiet")).toEqual({ mismatch: 1, pending: 0, match: 1 });
    }));

  test("do not lose the decisions of their reports because of other decisions", () =>
    withStore((store, add) => {
      add("quiet", "1", false);
      const flood = Array.from({ length: 20_000 }, (_, index) => decisionOf("loud", `${index}`, true, "{}"));
      store.append(
        flood.map((each) => ({ ...each, isSelected: true })),
        0,
      );
      while (store.removeExcess(100_000));
      expect(store.counts().written).toBeWithin(1, 10_000);
      expect(store.parity.page("quiet", undefined, page).reports).toMatchObject([
        { result: "mismatch", decision: { request_id: "1", id: `${store.name}-1` } },
      ]);
    }));
});

describe("a report in the file", () => {
  const known = (requestId: string, timeMs: number, allowed = true) => ({
    ...decisionOf("key", requestId, allowed, "{}"),
    timeMs,
    isSelected: true,
  });
  const expectation = (requestId: string, decidedMs: number | null, allowed = true) => ({
    ...{ keyId: "key", requestId, expected: true, timeMs: 1 },
    ...{ allowed: decidedMs === null ? null : allowed, decidedMs },
  });
  const found = (store: DecisionStore) =>
    store.parity.page(undefined, undefined, page).reports.map(({ requestId, allowed, decision }) => ({
      ...{ requestId, allowed, id: decision?.id.split("-")[1] },
    }));

  test("has the decision of its time, whatever the clock did between", () =>
    withStore((store) => {
      for (let index = 0; index < 2000; index++) store.append([known(`${index % 500}`, 1000 + (index % 700))], 0);
      const times = Array.from({ length: 500 }, (_, request) => request);
      store.append(
        [],
        0,
        times.map((request) => expectation(`${request}`, 1000 + ((1500 + request) % 700))),
      );
      expect(found(store)).toEqual(
        times.toReversed().map((request) => ({ requestId: `${request}`, allowed: true, id: `${1501 + request}` })),
      );
    }));

  test("has no decision that was dropped, and none with another result than its own", () =>
    withStore((store) => {
      store.append([known("1", 10)], 0, [expectation("1", 10)]);
      store.append([known("2", 11)], 5, [expectation("1", 12, false), expectation("2", 11), expectation("3", 11)]);
      store.append([], 0, [expectation("2", null)]);
      expect(found(store)).toEqual([
        { requestId: "1", allowed: false, id: undefined },
        { requestId: "2", allowed: true, id: "7" },
        { requestId: "3", allowed: true, id: undefined },
      ]);
    }));

  test("has any text as its request id", () =>
    withStore((store) => {
      const ids = ["a\0b", "\u0001", "\u{1f600}", "0AF76519-16cd-43dd-8448-eb211c80319c"];
      store.append(
        [],
        0,
        ids.map((id) => expectation(id, null)),
      );
      expect(found(store).map(({ requestId }) => requestId)).toEqual(ids.toReversed());
    }));
});

test("pages of the reports of all keys merge those of each key", () =>
  withStore((store, add) => {
    for (let index = 0; index < 300; index++) add(`key ${index % 7}`, `${index}`, index % 3 === 1, index % 3 > 0);
    const whole = store.parity.page(undefined, undefined, page).reports.map(({ requestId }) => requestId);
    const expected = { mismatch: 2, pending: 0, match: 1 };
    const ids = (["mismatch", "pending", "match"] as const).flatMap((result) =>
      Array.from({ length: 100 }, (_, index) => String(297 - 3 * index + expected[result])),
    );
    expect(whole).toEqual(ids);
    const inPages: string[] = [];
    for (let after: ParityPosition | undefined; ;) {
      const { reports, next } = store.parity.page(undefined, after, { ...page, limit: 37 });
      inPages.push(...reports.map(({ requestId }) => requestId));
      if (next === undefined) break;
      after = next;
    }
    expect(inPages).toEqual(ids);
  }));

describe("recent decisions", () => {
  const kept = (recent: RecentDecisions, keyId: string, requestId: string): Decision | undefined => {
    const { isSelected = false, ...found } = recent.find(keyId, requestId) ?? {};
    expect(isSelected).toBe(false);
    return "kind" in found ? (found as Decision) : undefined;
  };

  test("are found by key and request id, the latest ones only", () => {
    const recent = new RecentDecisions(200_000);
    for (let index = 0; index < 5000; index++) {
      recent.add(decisionOf("key", `${index}`), false);
      // Lookups complete the index, at different times.
      if (index % 97 === 0) expect(recent.find("key", `${index}`)?.requestId).toBe(`${index}`);
    }
    const found = Array.from({ length: 5000 }, (_, index) => kept(recent, "key", `${index}`)).filter(Boolean);
    expect(found.length).toBeWithin(500, 1500);
    expect(found).toEqual(Array.from(found, (_, index) => decisionOf("key", `${5000 - found.length + index}`)));
    expect(recent.find("other", "4999")).toBeUndefined();
    recent.add(decisionOf("key", "4999", false), false);
    expect(recent.find("key", "4999")?.allowed).toBe(false);
  });

  test("a repeated request id is that of the later decision, also after the first one is gone", () => {
    const recent = new RecentDecisions(5000);
    recent.add(decisionOf("key", "same", true), false);
    for (let index = 0; index < 8; index++) recent.add(decisionOf("key", `${index}`), false);
    expect(recent.find("key", "same")?.allowed).toBe(true);
    recent.add(decisionOf("key", "same", false), false);
    expect(recent.find("key", "same")?.allowed).toBe(false);
    for (let index = 0; index < 8; index++) recent.add(decisionOf("key", `${index}`), false);
    expect(recent.find("key", "same")?.allowed).toBe(false);
    for (let index = 0; index < 40; index++) recent.add(decisionOf("key", `${index}`), false);
    expect(recent.find("key", "same")).toBeUndefined();
  });

  test("all strings and numbers come back", () => {
    const recent = new RecentDecisions(4000);
    const given: Decision = {
      ...decisionOf("\u00e4", "\u{1f600} x", false, '{"\u00fc": "\u20ac"}'),
      traceId: "0123456789abcdef0123456789abcdef",
      timeMs: 1_795_000_000_123.5,
      durationUs: 4_000_000_000,
    };
    recent.add(given, false);
    recent.add(decisionOf("", "", true, ""), false);
    expect(kept(recent, "\u00e4", "\u{1f600} x")).toEqual(given);
    expect(kept(recent, "", "")).toEqual(decisionOf("", "", true, ""));
  });

  test("a decision larger than the limit is not kept", () => {
    const recent = new RecentDecisions(100);
    expect(recent.add(decisionOf("key", "1"), false)).toBe(false);
    expect(recent.find("key", "1")).toBeUndefined();
  });
});

test("the defaults keep many thousand decisions", () => {
  const recent = new RecentDecisions(defaultLimits.recentDecisionsBytesMax);
  const text = JSON.stringify(question);
  for (let index = 0; index < 13_000; index++) recent.add(decisionOf("key", `${index}`, true, text), false);
  for (let index = 5000; index < 13_000; index++) expect(recent.find("key", `${index}`)).toBeDefined();
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
