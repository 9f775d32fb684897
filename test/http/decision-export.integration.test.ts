/** What leaves the decision log: log records for a collector, and nothing of what the settings leave out or hash. */
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import type { LoggedDecision } from "../../src/decisions/logged-decision.ts";
import { eventually, withCluster } from "../replication/cluster.ts";
import { type Api, apiOf, fact, Org, role, User, value, wildcardPolicy } from "./api.ts";

const all = { "decisions.log": "all" };
const question = { actor_type: "User", actor_id: "bob", action: "delete", resource_type: "Org", resource_id: "acme" };

interface ExportedRecord {
  readonly timeUnixNano: string;
  readonly eventName: string;
  readonly body: { readonly stringValue: string };
  readonly attributes: readonly { readonly key: string; readonly value: Readonly<Record<string, unknown>> }[];
}

/** A collector that refuses its first requests. */
async function withCollector(body: (url: string, records: readonly ExportedRecord[]) => Promise<void>): Promise<void> {
  const records: ExportedRecord[] = [];
  let refusals = 1;
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const isAccepted = refusals-- <= 0 && request.url === "/v1/logs" && request.headers["x-secret"] === "1";
      if (isAccepted) {
        const { resourceLogs } = JSON.parse(gunzipSync(Buffer.concat(chunks)).toString()) as {
          resourceLogs: { scopeLogs: { logRecords: ExportedRecord[] }[] }[];
        };
        records.push(...resourceLogs.flatMap(({ scopeLogs }) => scopeLogs.flatMap(({ logRecords }) => logRecords)));
      }
      response.writeHead(isAccepted ? 200 : 503).end("{}");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    await body(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, records);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

async function load(api: Api): Promise<void> {
  await api.call("POST", "/api/policy", { body: { src: wildcardPolicy } });
  await api.call("POST", "/api/batch", { body: [{ inserts: [role("bob", "admin", Org("acme"))] }] });
}

const ask = (api: Api, id: string, body: object = question) =>
  api.call("POST", "/api/authorize", { body, headers: { "X-Request-ID": id } });

async function logged(api: Api, query = ""): Promise<readonly LoggedDecision[]> {
  const answer = await api.call("GET", `/api/decisions?order=oldest${query}`);
  return (answer.json as { decisions: LoggedDecision[] }).decisions;
}

test("decisions are exported in order, after a failure and over a restart", () =>
  withCollector(async (url, records) => {
    process.env["OTEL_EXPORTER_OTLP_ENDPOINT"] = url;
    process.env["OTEL_EXPORTER_OTLP_HEADERS"] = "x-secret=1";
    try {
      await withCluster(
        async (cluster) => {
          const first = await cluster.primary();
          await load(apiOf(first));
          await ask(apiOf(first), "first");
          await eventually(() => expect(records.length).toBeGreaterThan(0));
          await first.stop();
          const again = await cluster.primary();
          for (let index = 0; index < 20; index++) await ask(apiOf(again), `${index}`);
          const idsOf = () =>
            records.map(({ attributes }) => attributes.find(({ key }) => key === "ostiary.decision.request_id")?.value);
          const expected = ["first", ...Array.from({ length: 20 }, (_, index) => `${index}`)];
          // A node that stops before the answer of the collector sends the records again.
          const distinct = () => [...new Set(idsOf().map((given) => given?.["stringValue"]))];
          await eventually(() => expect(distinct()).toEqual(expected));
          const [record] = records;
          expect(record).toMatchObject({ eventName: "ostiary.decision", body: { stringValue: "authorize: allow" } });
          const attributes = new Map(record?.attributes.map(({ key, value: given }) => [key, Object.values(given)[0]]));
          expect(attributes.get("ostiary.decision.actor.id")).toBe("bob");
          expect(attributes.get("ostiary.decision.resource.type")).toBe("Org");
          const [decision] = await logged(apiOf(again));
          expect(Math.abs(Number(record?.timeUnixNano) / 1e6 - Date.parse(decision?.time ?? ""))).toBeLessThan(1);
        },
        { ...all, "decisions.export": "otlp" },
      );
    } finally {
      delete process.env["OTEL_EXPORTER_OTLP_ENDPOINT"];
      delete process.env["OTEL_EXPORTER_OTLP_HEADERS"];
    }
  }));

/** The bytes of all files of the log. */
function bytesOf(data: string): string {
  const names = readdirSync(data).filter((name) => /^decisions\.db(?:-wal)?$/.test(name));
  return names.map((name) => readFileSync(join(data, name), "latin1")).join("");
}

const secretFacts = [fact("has_role", User("secret-friend"), value("String", "member"), Org("secret-org"))];
const secret = { ...question, actor_id: "secret-person", resource_id: "secret-org", context_facts: secretFacts };

async function askSecrets(api: Api): Promise<void> {
  await ask(api, "secret-request", secret);
  const { resource_id: _, ...list } = secret;
  for (const [path, body] of [
    ["/api/authorize_resources", { ...secret, resources: [Org("secret-org")] }],
    ["/api/list", list],
    ["/api/actions", secret],
    ["/api/bulk_actions", [secret, { ...secret, context_facts: secretFacts }]],
    ["/api/query", { fact: fact("has_role", User("secret-person"), value("String", "member"), Org("secret-org")) }],
    [
      "/api/evaluate_query",
      {
        predicate: ["has_role", ["who", "role", "org"]],
        calls: [],
        constraints: {
          who: { type: "User", ids: ["secret-person", "secret-friend"] },
          role: { type: "String", ids: null },
          org: { type: "Org", ids: ["secret-org"] },
        },
        context_facts: secretFacts,
      },
    ],
  ] as const) {
    const answer = await api.call("POST", path, { body, headers: { "X-Request-ID": "secret-request" } });
    expect([path, answer.status, answer.text]).toEqual([path, 200, answer.text]);
  }
}

test("what is left out is nowhere in the log", () =>
  withCluster(async (cluster) => {
    const primary = await cluster.primary({ "advanced.decisionsOmit": "actor,resource,context,request,trace,key" });
    const api = apiOf(primary);
    await load(api);
    await askSecrets(api);
    const decisions = await logged(api);
    expect(decisions.length).toBe(7);
    expect(decisions[0]).toMatchObject({
      actor: { type: "User" },
      action: "delete",
      resource: { type: "Org" },
      context_facts: [],
      request_id: null,
      key: null,
      redacted: ["actor", "resource", "context", "request", "trace", "key"],
    });
    expect(JSON.stringify(decisions)).not.toContain("secret");
    expect(bytesOf(primary.data)).toContain("delete");
    expect(bytesOf(primary.data)).not.toContain("secret");
  }, all));

test("what is hashed can be searched by its value, and has the same hash everywhere", () =>
  withCluster(async (cluster) => {
    const flags = { "advanced.decisionsHash": "actor,resource,context,request" };
    const primary = await cluster.primary(flags);
    let api = apiOf(primary);
    await load(api);
    await askSecrets(api);
    await ask(api, "other");
    const decisions = await logged(api);
    expect(JSON.stringify(decisions)).not.toContain("secret");
    expect(bytesOf(primary.data)).not.toContain("secret");
    const [first, resources] = decisions;
    expect(first).toMatchObject({
      actor: { type: "User", hash: expect.stringMatching(/^[0-9a-f]{32}$/) as string },
      context_facts: [{ predicate: "has_role", args: [{ type: "User" }, { type: "String" }, first?.resource] }],
      redacted: ["actor", "resource", "context", "request"],
    });
    expect(resources?.question).toEqual({ resources: [first?.resource] });
    expect((await logged(api, "&actor_type=User&actor_id=secret-person")).length).toBe(4);
    expect((await logged(api, "&resource_id=secret-org")).length).toBe(2);
    expect((await logged(api, "&request_id=secret-request")).length).toBe(7);
    expect((await logged(api, "&actor_id=secret-friend")).length).toBe(0);
    // Another start has the same secret, another node another one.
    await primary.stop();
    api = apiOf(await cluster.primary(flags));
    expect((await logged(api, "&actor_id=secret-person")).length).toBe(4);
    const edge = apiOf(await cluster.edge("edge", api, flags));
    await eventually(async () => expect((await ask(edge, "edge", { ...secret, context_facts: [] })).status).toBe(200));
    const [there] = await logged(edge, "&actor_id=secret-person");
    expect(there?.actor?.hash).toMatch(/^[0-9a-f]{32}$/);
    expect(there?.actor?.hash).not.toBe(first?.actor?.hash);
  }, all));

test("nodes with one secret have the same hashes", () =>
  withCluster(
    async (cluster) => {
      const primary = await cluster.primary();
      await load(apiOf(primary));
      const edge = apiOf(await cluster.edge("edge", primary));
      await eventually(async () => expect((await ask(edge, "edge")).status).toBe(200));
      await ask(apiOf(primary), "primary");
      const [[one], [other]] = [await logged(apiOf(primary)), await logged(edge)];
      expect(one?.actor?.hash).toMatch(/^[0-9a-f]{32}$/);
      expect(one?.actor).toEqual(other?.actor);
    },
    { ...all, "advanced.decisionsHash": "actor", "advanced.decisionsHashSecret": "0123456789abcdef" },
  ));
