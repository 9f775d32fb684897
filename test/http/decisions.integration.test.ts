/** The decision log over HTTP: what is logged, how it is found, and that it never affects answers. */
import { describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { questionText } from "../../src/cli/replay-text.ts";
import { SqliteDatabase } from "../../src/runtime/sqlite.ts";
import type { LoggedDecision } from "../../src/decisions/logged-decision.ts";
import { renderMetrics } from "../../src/telemetry/metrics.ts";
import { must } from "../../src/util/assert.ts";
import { withCapturedLog } from "../replication/captured-log.ts";
import { eventually, withCluster } from "../replication/cluster.ts";
import { type Api, apiOf, fact, Org, Repo, role, User, value, wildcardPolicy } from "./api.ts";
import { openSource } from "./event-source.ts";
import { grantKey } from "./keys.ts";
import { withLongTimers } from "./long-timers.ts";

const all = { "decisions.log": "all" };
const question = { actor_type: "User", actor_id: "bob", action: "delete", resource_type: "Org", resource_id: "acme" };

interface Page {
  readonly decisions: readonly LoggedDecision[];
  readonly next: string | null;
}

async function pageOf(api: Api, query = "", headers = {}): Promise<Page> {
  const answer = await api.call("GET", `/api/decisions${query}`, { headers });
  expect([answer.status, answer.text]).toEqual([200, answer.text]);
  return answer.json as Page;
}

/** All pages. */
async function everything(api: Api, query = "?order=oldest"): Promise<readonly LoggedDecision[]> {
  const found: LoggedDecision[] = [];
  for (let next: string | null = ""; next !== null;) {
    const page: Page = await pageOf(api, `${query}${next === "" ? "" : `&after=${next}`}`);
    found.push(...page.decisions);
    next = page.next;
  }
  return found;
}

const file = "decisions.db";
const json = { "content-type": "application/json" };

async function withPolicy(
  body: (api: Api, data: string) => Promise<void>,
  flags: Readonly<Record<string, string>> = all,
): Promise<void> {
  await withCluster(async (cluster) => {
    const primary = await cluster.primary();
    const api = apiOf(primary);
    await api.call("POST", "/api/policy", { body: { src: wildcardPolicy } });
    await api.call("POST", "/api/batch", { body: [{ inserts: [role("bob", "admin", Org("acme"))] }] });
    await body(api, primary.data);
  }, flags);
}

function ask(api: Api, id: string, change: object = {}, headers: Readonly<Record<string, string>> = {}) {
  const body = { ...question, ...change };
  return api.call("POST", "/api/authorize", { body, headers: { "X-Request-ID": id, ...headers } });
}

const idsOf = (decisions: readonly LoggedDecision[]) => decisions.map(({ request_id: id }) => id);

describe("a decision", () => {
  test("has its question, its result and what it was computed from", () =>
    withPolicy(async (api) => {
      const { epoch, offset } = must(api.node.state());
      const beforeMs = Date.now();
      await ask(api, "first");
      await ask(api, "again");
      const context = [fact("has_role", User("eve"), value("String", "admin"), Org("acme"))];
      await ask(api, "eve", { actor_id: "eve", context_facts: context });
      const { decisions, next } = await pageOf(api);
      expect(next).toBeNull();
      const from = { epoch, offset, policy: 1, key: "admin", trace_id: null, dropped_before: 0, redacted: [] };
      const asked = {
        kind: "authorize",
        action: "delete",
        resource: Org("acme"),
        question: null,
        count: null,
        digest: null,
      };
      expect(decisions).toMatchObject([
        { ...from, ...asked, actor: User("eve"), context_facts: context, result: "allow", cached: false },
        { ...from, ...asked, actor: User("bob"), context_facts: [], result: "allow", cached: true },
        { ...from, ...asked, actor: User("bob"), context_facts: [], result: "allow", cached: false },
      ]);
      expect(idsOf(decisions)).toEqual(["eve", "again", "first"]);
      const afterMs = Date.now();
      for (const { clock, time, duration_us: durationUs } of decisions) {
        expect(clock).toBeWithin(Math.floor(beforeMs / 1000), afterMs / 1000 + 1);
        expect(Date.parse(time)).toBeWithin(beforeMs, afterMs + 1);
        expect(durationUs).toBeWithin(1, (afterMs - beforeMs + 1) * 1000);
      }
    }));

  test("has the position of its own state, also if it is cached while facts change", () =>
    withPolicy(async (api) => {
      const offsets = new Map<string, number>();
      for (let index = 0; index < 30; index++) {
        const inserts = [role(`user ${index}`, "admin", Org("other"))];
        if (index % 3 === 0) await api.call("POST", "/api/batch", { body: [{ inserts }] });
        offsets.set(`${index}`, must(api.node.state()).offset);
        await ask(api, `${index}`);
      }
      for (const { request_id: id, offset } of await everything(api)) expect(offset).toBe(must(offsets.get(must(id))));
    }));

  test("is logged for each kind of question; a list has its count and a digest", () =>
    withPolicy(async (api) => {
      const { resource_id: _, ...list } = question;
      const evaluation = { subject: User("bob"), action: { name: "read" }, resource: Org("acme") };
      const asked: readonly [path: string, body: object][] = [
        ["/api/authorize_resources", { ...question, resources: [Org("acme"), Org("other")] }],
        ["/api/list", list],
        ["/api/list", { ...list, page_size: 1 }],
        ["/api/actions", question],
        ["/api/bulk_actions", [question, { ...question, actor_id: "eve" }]],
        ["/api/query", { fact: fact("has_role", User("bob"), value("String", "admin"), Org("acme")) }],
        [
          "/api/evaluate_query",
          {
            predicate: ["has_role", ["who", "role", "org"]],
            calls: [],
            constraints: {
              who: { type: "User", ids: null },
              role: { type: "String", ids: ["admin"] },
              org: { type: "Org", ids: null },
            },
            context_facts: [],
          },
        ],
        ["/access/v1/evaluation", evaluation],
        ["/access/v1/evaluations", { ...evaluation, evaluations: [{}, { subject: User("eve") }] }],
        ["/access/v1/search/subject", { ...evaluation, subject: { type: "User" } }],
        ["/access/v1/search/resource", { ...evaluation, resource: { type: "Org" } }],
        ["/access/v1/search/action", evaluation],
      ];
      for (const [index, [path, body]] of asked.entries()) {
        const answer = await api.call("POST", path, { body, headers: { ...json, "X-Request-ID": String(index) } });
        expect([path, answer.status, answer.text]).toEqual([path, 200, answer.text]);
      }
      const logged = await everything(api);
      expect(logged.map(({ request_id: id, kind, count, result }) => [Number(id), kind, result ?? count])).toEqual([
        [0, "authorize_resources", 1],
        [1, "list", 1],
        [2, "list", 1],
        [3, "actions", 2],
        [4, "bulk_actions", 2],
        [5, "query", 1],
        [6, "evaluate_query", 1],
        [7, "authorize", "allow"],
        [8, "authorize", "allow"],
        [8, "authorize", "allow"],
        [9, "list_actors", 1],
        [10, "list", 1],
        [11, "actions", 2],
      ]);
      expect([0, 5, 6].map((index) => questionText(must(logged[index]) as Parameters<typeof questionText>[0]))).toEqual(
        [
          'authorize_resources User{"bob"} delete Org{"acme"}, Org{"other"}',
          'has_role(User{"bob"}, "admin", Org{"acme"})',
          'has_role(who: User, "admin", org: Org)',
        ],
      );
      const [first, whole, paged] = logged;
      expect(first?.question).toEqual({ resources: [Org("acme"), Org("other")] });
      expect(whole).toMatchObject({ actor: User("bob"), resource: { type: "Org" }, digest: paged?.digest });
    }));

  test("keeps any text, and one that is too long keeps its result", () =>
    withPolicy(
      async (api) => {
        const strange = 'q\u0000"\\ \u{1f600} \u202e\n';
        await ask(api, "strange", { actor_id: strange, action: "x".repeat(300), resource_type: "\u00e4" });
        await ask(api, "a b \u00fc".replace("\u00fc", "%"), {});
        const long = Array.from({ length: 40 }, (_, index) => role(`user ${index}`, "admin", Org("acme")));
        await ask(api, "long", { context_facts: long });
        const logged = await everything(api);
        expect(logged).toMatchObject([
          { actor: User(strange), action: "x".repeat(300), resource: { type: "\u00e4", id: "acme" }, redacted: [] },
          { request_id: "a b %" },
          { actor: User("bob"), resource: Org("acme"), context_facts: [], redacted: ["question"], result: "allow" },
        ]);
      },
      { ...all, "advanced.decisionQuestionBytesMax": "3000" },
    ));
});

describe("the setting selects", () => {
  const counts = async (log: Readonly<Record<string, string>>): Promise<readonly LoggedDecision[]> => {
    let found: readonly LoggedDecision[] = [];
    await withPolicy(async (api) => {
      for (let index = 0; index < 60; index++) await ask(api, `${index}`, index % 2 === 0 ? {} : { actor_id: "eve" });
      const { resource_id: _, ...list } = question;
      await api.call("POST", "/api/list", { body: list });
      await api.call("POST", "/api/list", { body: { ...list, actor_id: "eve" } });
      found = await everything(api);
    }, log);
    return found;
  };

  test("nothing by default", async () => {
    expect(await counts({})).toEqual([]);
  });

  test("denials: decisions that deny, and empty lists", async () => {
    const denied = await counts({ "decisions.log": "denials" });
    expect(denied.length).toBe(31);
    expect(denied.every(({ result, count }) => result === "deny" || count === 0)).toBe(true);
  });

  test("a sample", async () => {
    expect((await counts({ "decisions.log": "sample", "decisions.sampleRatio": "0" })).length).toBe(0);
    expect((await counts({ "decisions.log": "sample", "decisions.sampleRatio": "1" })).length).toBe(62);
    expect((await counts({ "decisions.log": "sample", "decisions.sampleRatio": "0.5" })).length).toBeWithin(10, 52);
  });
});

describe("a search", () => {
  test("finds decisions by each condition, in both orders, page by page", () =>
    withPolicy(async (api) => {
      const created = await api.call("POST", "/api/keys", { body: { name: "reader", role: "read" } });
      const { id: keyId, token } = created.json as { id: string; token: string };
      const uuid = "0a1b2c3d-0000-4000-8000-0123456789ab";
      for (let index = 0; index < 25; index++) await ask(api, `${index}`, { actor_id: `user ${index % 5}` });
      const middleMs = Date.now() + 1;
      const middle = new Date(middleMs).toISOString();
      await eventually(() => expect(Date.now()).toBeGreaterThan(middleMs));
      await ask(api, uuid, {}, { authorization: `Bearer ${token}` });
      await ask(api, "repo", { action: "read", resource_type: "Repo", resource_id: "1" });
      const found = async (query: string) => idsOf(await everything(api, `?order=oldest&limit=4&${query}`));
      expect(await found("actor_type=User&actor_id=user 3")).toEqual(["3", "8", "13", "18", "23"]);
      expect(await found("action=read")).toEqual(["repo"]);
      expect(await found("resource_type=Repo")).toEqual(["repo"]);
      expect(await found("resource_id=acme&result=allow")).toEqual([uuid]);
      expect(await found(`key=${keyId}`)).toEqual([uuid]);
      expect(await found(`request_id=${uuid}`)).toEqual([uuid]);
      expect(await found("request_id=7")).toEqual(["7"]);
      expect(await found("action=unknown")).toEqual([]);
      expect(await found("policy=2")).toEqual([]);
      expect(await found("kind=list")).toEqual([]);
      expect(await found(`since=${middle}`)).toEqual([uuid, "repo"]);
      expect((await found(`until=${middle}`)).length).toBe(25);
      expect(await found(`trace_id=${"0".repeat(32)}`)).toEqual([]);
      expect(await found("")).toEqual(idsOf(await everything(api, "?order=newest&limit=7")).toReversed());
      const lines = await api.call("GET", "/api/decisions?limit=3", { headers: { accept: "application/x-ndjson" } });
      expect(
        lines.text
          .trim()
          .split("\n")
          .map((line) => JSON.parse(line) as unknown),
      ).toEqual((await pageOf(api)).decisions.slice(0, 3));
      expect(lines.headers.get("ostiary-next")).toBe((await pageOf(api, "?limit=3")).next);
      for (const [query, status] of [
        ["after=x", 400],
        ["after=00000000-1", 404],
        ["since=yesterday", 400],
        ["limit=0", 400],
        ["unknown=1", 400],
      ] as const)
        expect((await api.call("GET", `/api/decisions?${query}`)).status).toBe(status);
      const headers = { authorization: `Bearer ${token}` };
      expect((await api.call("GET", "/api/decisions", { headers })).status).toBe(403);
    }));

  test("examines a large log in parts", () =>
    withPolicy(async (api, data) => {
      await ask(api, "first");
      await everything(api);
      const log = new SqliteDatabase(join(data, file));
      const columns =
        "time_ms, kind, result, actor_type, actor_id, action, resource_type, resource_id, clock, duration_us, is_cached, epoch, offset, policy_id, key_id, request_id";
      log.exec("PRAGMA busy_timeout = 5000");
      log.exec(`INSERT INTO decision (id, ${columns}) WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000)
        SELECT i, ${columns.replace("request_id", "i")} FROM n, decision WHERE id = 1`);
      log.exec("UPDATE batch SET last_id = 1000000");
      log.close();
      expect((await everything(api, "?request_id=first&order=newest")).length).toBe(1);
      expect((await everything(api, "?actor_id=nobody&order=oldest")).length).toBe(0);
    }));
});

describe("requests of the console", () => {
  test("can be left out, but only those of who asks, so that nobody can hide behind their ids", () =>
    withPolicy(async (api) => {
      const { token } = await grantKey(api, { role: "read" });
      const other = { authorization: `Bearer ${token}` };
      await ask(api, "console-own");
      await ask(api, "console-of another", {}, other);
      await ask(api, "application");
      await ask(api, "my console-");
      const found = async (query: string) => idsOf(await everything(api, `?order=oldest&${query}`));
      const shown = ["console-of another", "application", "my console-"];
      expect(await found("own_console=false")).toEqual(shown);
      expect(await found("own_console=true")).toEqual(["console-own", ...shown]);
      expect(await found("")).toEqual(["console-own", ...shown]);
      const source = await openSource(api.url, { path: "/api/decisions?own_console=false" });
      await ask(api, "console-live");
      await ask(api, "live");
      const [event] = await source.count(1);
      expect((JSON.parse(must(event).data) as LoggedDecision).request_id).toBe("live");
      source.close();
    }));

  test("are listed if the log leaves out what tells them", async () => {
    for (const omitted of ["key", "request"])
      await withPolicy(
        async (api) => {
          await ask(api, "console-own");
          expect(await everything(api, "?own_console=false")).toHaveLength(1);
        },
        { ...all, "advanced.decisionsOmit": omitted },
      );
  });
});

describe("a stream", () => {
  test("sends decisions that match as they are made, and continues where it ended", () =>
    withPolicy(async (api) => {
      await ask(api, "before");
      const path = "/api/decisions?result=deny";
      const source = await openSource(api.url, { path });
      await ask(api, "allowed");
      await ask(api, "denied", { actor_id: "eve" });
      const [event] = await source.count(1);
      const first = JSON.parse(must(event).data) as LoggedDecision;
      expect(first).toMatchObject({ request_id: "denied", result: "deny", id: must(event).id });
      source.close();
      for (let index = 0; index < 300; index++) await ask(api, `${index}`, { actor_id: "eve" });
      const later = await openSource(api.url, { path, lastEventId: first.id });
      const received = await later.count(300);
      expect(received.map(({ data }) => (JSON.parse(data) as LoggedDecision).request_id)).toEqual(
        Array.from({ length: 300 }, (_, index) => `${index}`),
      );
      later.close();
    }));
});

describe("the end of a key", () => {
  test(
    "ends its streams long before a heartbeat",
    () =>
      withLongTimers(
        async (api, system) => {
          const { token } = await grantKey(api, { role: "admin", expires: "1h" });
          const source = await openSource(api.url, { key: token, path: "/api/decisions" });
          system.advance(3_600_001);
          expect(await source.ended).toBe(true);
          expect(source.comments).toEqual([]);
          expect(source.received).toMatchObject([{ type: "end", data: expect.stringContaining("expired at") }]);
        },
        { ...all, "advanced.eventHeartbeatMs": "60s" },
      ),
    60_000,
  );
});

describe("the log stays within its bounds", () => {
  test("of age, also when nothing is logged, and after a restart", () =>
    withCluster(async (cluster) => {
      const first = await cluster.primary(all);
      for (let index = 0; index < 500; index++) await ask(apiOf(first), `${index}`, { actor_id: "secret-person" });
      expect((await everything(apiOf(first))).length).toBe(500);
      await first.stop();
      const flags = {
        ...all,
        "decisions.ageMax": "1s",
        "advanced.decisionTrimIntervalMs": "50ms",
        "advanced.retentionClockSteadyMs": "100ms",
      };
      const second = await cluster.primary(flags);
      await eventually(() => expect(rowsIn(second.data)).toBe(0));
      expect(await everything(apiOf(second))).toEqual([]);
      await second.stop();
      const third = apiOf(await cluster.primary(all));
      await ask(third, "next");
      expect((await everything(third))[0]?.id).toEndWith("-501");
    }));

  test("of size: the oldest decisions go", () =>
    withPolicy(
      async (api, data) => {
        for (let round = 0; round < 12; round++) {
          const evaluations = Array.from({ length: 1000 }, (_, index) => ({
            resource: Org(`${round} ${index} ${"x".repeat(150)}`),
          }));
          const body = { subject: User("bob"), action: { name: "read" }, evaluations };
          expect((await api.call("POST", "/access/v1/evaluations", { body, headers: json })).status).toBe(200);
        }
        await eventually(() => expect(rowsIn(data)).toBeLessThan(8000));
        const kept = await everything(api, "?order=oldest&limit=1000");
        expect(kept.length).toBeGreaterThan(2000);
        expect(kept.at(-1)?.id).toEndWith("-12000");
      },
      { ...all, "decisions.bytesMax": "1MiB", "advanced.decisionTrimIntervalMs": "50ms" },
    ));
});

function rowsIn(data: string): number {
  const log = new SqliteDatabase(join(data, file), { readonly: true });
  try {
    return Number(log.prepare("SELECT count(*) FROM decision").values()[0]?.[0]);
  } finally {
    log.close();
  }
}

test("a decision of `authorize` takes at most 150 bytes of disk", () =>
  withPolicy(async (api, data) => {
    const subjects = Array.from({ length: 1000 }, () => User(crypto.randomUUID()));
    for (let round = 0; round < 20; round++) {
      const evaluations = subjects.map((subject) => ({ subject, resource: Repo(crypto.randomUUID()) }));
      await api.call("POST", "/access/v1/evaluations", {
        body: { subject: User("bob"), action: { name: "read" }, evaluations },
        headers: { ...json, "X-Request-ID": crypto.randomUUID() },
      });
    }
    expect((await pageOf(api, "?limit=1")).decisions.length).toBe(1);
    const log = new SqliteDatabase(join(data, file));
    log.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    log.close();
    expect(rowsIn(data)).toBe(20_000);
    expect(statSync(join(data, file)).size / 20_000).toBeLessThan(150);
  }));

describe("no answer depends on the log", () => {
  test("a damaged file is moved out of the way, and the decisions that are lost are counted", () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      const api = apiOf(primary);
      for (let index = 0; index < 50; index++) await ask(api, `${index}`);
      expect((await everything(api)).length).toBe(50);
      await primary.stop();
      writeFileSync(join(primary.data, file), "x".repeat(50_000));
      // On a slow machine the thread may not have copied its write-ahead log: that would repair the file.
      for (const part of ["-wal", "-shm"]) rmSync(join(primary.data, `${file}${part}`), { force: true });
      await withCapturedLog(async (lines) => {
        const again = await cluster.primary();
        for (let index = 0; index < 50; index++) expect((await ask(apiOf(again), `${index}`)).status).toBe(200);
        expect((await everything(apiOf(again))).length).toBe(50);
        expect(readdirSync(again.data)).toContain(`${file}.damaged`);
        await eventually(() => expect(lines.join("")).toContain("the decision log has a problem"));
      });
    }, all));

  test("a file that cannot be opened, until it can be again", () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary({ "decisions.log": "off" });
      // A directory in the place of the file cannot be opened.
      mkdirSync(join(primary.data, file));
      await primary.stop();
      await withCapturedLog(async (lines) => {
        const again = apiOf(await cluster.primary());
        const before = await entries("failed");
        for (let index = 0; index < 20; index++) expect((await ask(again, `${index}`)).status).toBe(200);
        await eventually(async () => expect(await entries("failed")).toBe(before + 20));
        expect((await again.call("GET", "/api/decisions")).status).toBe(503);
        expect(lines.join("")).toContain("the decision log has a problem");
        rmSync(join(primary.data, file), { recursive: true });
        await ask(again, "last");
        expect(await everything(again)).toMatchObject([{ request_id: "last", dropped_before: 20 }]);
      });
    }, all));

  test("a file that is deleted while the node runs: a new one begins, and the log says so", () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      const api = apiOf(primary);
      await withCapturedLog(async (lines) => {
        await ask(api, "first");
        expect(await everything(api)).toMatchObject([{ request_id: "first" }]);
        for (const name of readdirSync(primary.data).filter((found) => found.startsWith(file)))
          rmSync(join(primary.data, name));
        const last = await eventually(async () => {
          await ask(api, "last");
          return must((await everything(api)).at(0));
        });
        expect(last).toMatchObject({ request_id: "last" });
        expect(lines.join("")).toContain(`${file}\` was deleted or moved`);
        expect(readdirSync(primary.data)).toContain(file);
      });
    }, all));

  test("decisions for which there is no room are counted, in the metric and in the log", () =>
    withPolicy(
      async (api) => {
        const before = await entries("dropped");
        const evaluations = Array.from({ length: 1000 }, (_, index) => ({ resource: Org(`${index}`) }));
        const body = { subject: User("bob"), action: { name: "read" }, evaluations };
        await Promise.all(
          Array.from({ length: 20 }, () => api.call("POST", "/access/v1/evaluations", { body, headers: json })),
        );
        await ask(api, "last");
        const logged = await everything(api, "?order=oldest&limit=1000");
        const dropped = logged.reduce((sum, { dropped_before: count }) => sum + count, 0);
        expect(dropped).toBeGreaterThan(0);
        expect(dropped).toBe((await entries("dropped")) - before);
        expect(logged.length + dropped).toBe(20_001);
        expect(logged.at(-1)).toMatchObject({ request_id: "last", id: expect.stringMatching(/-20001$/) as unknown });
      },
      { ...all, "advanced.decisionBufferBytesMax": "70000" },
    ));
});

async function entries(result: string): Promise<number> {
  const pattern = new RegExp(`^ostiary_decision_log_entries_total{result="${result}"} (\\d+)$`, "m");
  return Number(pattern.exec(await renderMetrics())?.[1] ?? 0);
}
