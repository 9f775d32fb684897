/**
 * The routes of environments: statuses, shapes, the audit log, and what keys of a hosted environment may not do. The
 * environments are in memory; `test/roles` has real ones.
 */
import { describe, expect, test } from "bun:test";
import { defaultLimits } from "../../src/config/limits.ts";
import { createApp, type AppOptions } from "../../src/features/app.ts";
import type { Environments } from "../../src/http/environments.ts";
import type { Node } from "../../src/replication/node.ts";
import { adminKey, converged, eventually, withCluster } from "../replication/cluster.ts";
import { expectDocumented } from "./documented.ts";
import { type Api, sharedPrimary } from "./api.ts";
import { active, createdMs, environmentsWith, finalMs } from "./environments-in-memory.ts";

const withCleanPrimary = sharedPrimary();

interface Answer {
  readonly status: number;
  readonly json: unknown;
}

type Call = (method: string, path: string, body?: unknown, key?: string) => Promise<Answer>;

/** Requests to an app with these options, which are documented. */
async function withApp(node: Node, options: AppOptions, body: (call: Call) => Promise<void>): Promise<void> {
  const app = createApp(node, defaultLimits, options);
  try {
    await body(async (method, path, sent, key = adminKey) => {
      const headers = { authorization: `Bearer ${key}` };
      const text = typeof sent === "string" ? sent : JSON.stringify(sent);
      const url = `http://localhost${path}`;
      const response = await app.fetch(
        new Request(url, { method, headers, ...(text !== undefined && { body: text }) }),
      );
      const answer = await response.text();
      const type = response.headers.get("content-type") ?? "";
      if (method !== "HEAD") expectDocumented(method, path, { status: response.status, type, text: answer });
      return { status: response.status, json: answer === "" ? undefined : JSON.parse(answer) };
    });
  } finally {
    app.close();
  }
}

async function keyOf(api: Api, role: string): Promise<string> {
  return ((await api.call("POST", "/api/keys", { body: { name: role, role } })).json as { token: string }).token;
}

const audited = async (api: Api): Promise<unknown[]> => {
  const { json } = await api.call("GET", "/api/audit");
  const { entries } = json as { entries: { action: string; result: string; target: string; details: unknown }[] };
  const ofEnvironments = entries.filter(({ action }) => action.startsWith("environment."));
  return ofEnvironments.map(({ action, result, target, details }) => [action, result, target, details]).toReversed();
};

test("they list, create, rename, delete and restore environments, and the audit log has it", () =>
  withCleanPrimary(async (api) => {
    const environments = environmentsWith();
    await withApp(api.node, { environments }, async (call) => {
      const created = new Date(createdMs).toISOString();
      const final = new Date(finalMs).toISOString();
      expect(await call("GET", "/api/environments")).toEqual({
        status: 200,
        json: {
          environments: [
            {
              ...{ id: "test", name: "test", created: null, state: "active", is_default: true },
              ...{ role: "primary", offset: 7, ready: true },
            },
            { id: "staging", name: "Staging", created, state: "active" },
            {
              ...{ id: "old", name: "Staging", created, state: "deleted", deleted: created, final },
              ...{ role: "edge", offset: null, ready: false },
            },
          ],
          complete: true,
        },
      });
      expect(await call("POST", "/api/environments", { id: "qa" })).toEqual({
        status: 200,
        json: { id: "qa", name: "qa", token: "e_qa_secret", message: "keep the token, it is not shown again", created },
      });
      expect((await call("POST", "/api/environments", { id: "q2", name: "Q 2", copy_of: "staging" })).status).toBe(200);
      expect(await call("PATCH", "/api/environments/staging", { name: "New" })).toEqual({
        status: 200,
        json: { id: "staging", name: "New", message: "environment renamed" },
      });
      expect(await call("DELETE", "/api/environments/staging")).toEqual({
        status: 200,
        json: { id: "staging", final, message: `environment deleted, it can be restored until ${final}` },
      });
      expect(await call("POST", "/api/environments/old/restore")).toEqual({
        status: 200,
        json: { id: "old", message: "environment restored" },
      });
      expect(await call("POST", "/api/environments/staging/abandon")).toEqual({
        status: 200,
        json: { id: "staging", message: "environment abandoned" },
      });
      expect((await call("POST", "/api/environments", { id: "q3", again: true })).status).toBe(200);
      expect((await call("POST", "/api/environments/old/abandon")).status).toBe(409);
      expect(await call("POST", "/api/environments/staging/keys")).toEqual({
        status: 200,
        json: { id: "staging", token: "e_staging_secret", message: "keep the token, it is not shown again" },
      });
      expect(await call("POST", "/api/environments/complete")).toEqual({
        status: 200,
        json: { complete: true, message: "the list of environments is complete" },
      });
      expect((await call("POST", "/api/environments/staging/restore")).status).toBe(409);
      expect((await call("DELETE", "/api/environments/test")).status).toBe(409);
    });
    expect(environments.calls).toEqual([
      ["create", { id: "qa", name: "qa", copyOf: undefined, again: false }],
      ["create", { id: "q2", name: "Q 2", copyOf: "staging", again: false }],
      ["rename", "staging", "New"],
      ["delete", "staging"],
      ["restore", "old"],
      ["abandon", "staging"],
      ["create", { id: "q3", name: "q3", copyOf: undefined, again: true }],
      ["createKey", "staging"],
      ["complete"],
    ]);
    const expected = [
      ["environment.create", "ok", "qa", { name: "qa" }],
      ["environment.create", "ok", "q2", { name: "Q 2", copy_of: "staging" }],
      ["environment.rename", "ok", "staging", { name: "New" }],
      ["environment.delete", "ok", "staging", {}],
      ["environment.restore", "ok", "old", {}],
      ["environment.abandon", "ok", "staging", {}],
      ["environment.create", "ok", "q3", { name: "q3", again: true }],
      ["environment.abandon", "refused", "old", {}],
      ["environment.key", "ok", "staging", { key: "k" }],
      ["environment.complete", "ok", null, {}],
      ["environment.restore", "refused", "staging", {}],
      ["environment.delete", "refused", "test", {}],
    ];
    // Entries of one millisecond have no order.
    const inOrder = (entries: readonly unknown[]): string[] => entries.map((entry) => JSON.stringify(entry)).toSorted();
    await eventually(async () => expect(inOrder(await audited(api))).toEqual(inOrder(expected)));
  }));

test("they refuse malformed requests, unknown environments, and keys that are not those of administrators", () =>
  withCleanPrimary(async (api) => {
    const environments = environmentsWith();
    const [reader, writer] = [await keyOf(api, "read"), await keyOf(api, "write")];
    await withApp(api.node, { environments }, async (call) => {
      const ids = ["", "A", "-a", "a-", "a_b", "ä", "..", "a/b", "registry-", "x".repeat(33), 7, null, undefined];
      const bodies = [
        ...ids.map((id) => ({ id })),
        ...["", "x".repeat(101), "a\u0000", "a\nb", 7].map((name) => ({ id: "a", name })),
        ...["", 7, "x".repeat(65)].map((copy_of) => ({ id: "a", copy_of })),
        ...[{ id: "a", again: "yes" }, { id: "a", copyOf: "staging" }, [], "7", "{"],
      ];
      for (const body of bodies)
        expect([body, (await call("POST", "/api/environments", body)).status]).toEqual([body, 400]);
      for (const body of [{}, { name: "" }, { name: "x", id: "y" }])
        expect([body, (await call("PATCH", "/api/environments/staging", body)).status]).toEqual([body, 400]);
      expect(environments.calls).toEqual([]);
      for (const id of ["a", "0", "a-b", "x".repeat(32)])
        expect([id, (await call("POST", "/api/environments", { id })).status]).toEqual([id, 200]);
      expect((await call("POST", "/api/environments", { id: "staging" })).status).toBe(409);
      expect((await call("POST", "/api/environments", { id: "new", copy_of: "none" })).status).toBe(404);
      for (const [method, path, body] of writes) {
        expect((await call(method, path.replace("staging", "none"), body)).status).toBe(
          path.includes("staging") ? 404 : 200,
        );
        if (path.includes("staging"))
          expect((await call(method, path.replace("staging", "%ff"), body)).status).toBe(400);
        for (const [key, status] of [
          [reader, 403],
          [writer, 403],
          [`${adminKey}0`, 401],
        ] as const)
          expect([method, path, (await call(method, path, body, key)).status]).toEqual([method, path, status]);
      }
    });
    await withApp(api.node, {}, async (call) => {
      for (const [method, path, body] of [["GET", "/api/environments"], ...writes] as const)
        expect([method, path, (await call(method, path, body)).status]).toEqual([method, path, 404]);
    });
  }));

const writes = [
  ["POST", "/api/environments", { id: "qa" }],
  ["PATCH", "/api/environments/staging", { name: "x" }],
  ["DELETE", "/api/environments/staging", undefined],
  ["POST", "/api/environments/staging/restore", undefined],
  ["POST", "/api/environments/staging/abandon", undefined],
  ["POST", "/api/environments/staging/keys", undefined],
] as const;

test("in a hosted environment all valid keys are refused, on each role, before a body is read", () =>
  withCluster(async (cluster) => {
    const primary = await cluster.primary();
    const edge = await cluster.edge("edge", primary);
    const fallback = await cluster.fallback(primary, { refresh: "1h" });
    for (const { node } of [edge, fallback]) await converged(node, primary.node);
    const administer = "environments are administered with an admin key of the default environment";
    const table = [
      ["GET", "/api/environments", administer],
      ...writes.map(([method, path]) => [method, path, administer] as const),
      ["GET", "/metrics", "metrics are those of all environments, so they need a key of the default environment"],
      [
        ...["GET", "/api/promote"],
        "a promotion is one of all environments of the node, so it needs an admin key of the default environment",
      ],
      [
        ...["POST", "/api/promote"],
        "a promotion is one of all environments of the node, so it needs an admin key of the default environment",
      ],
    ];
    for (const { node } of [primary, edge, fallback])
      await withApp(node, { isHosted: true }, async (call) => {
        for (const [method = "", path = "", message] of table) {
          const body = method === "GET" ? undefined : "{";
          const answer = await call(method, path, body);
          expect([node.role, path, answer]).toEqual([
            node.role,
            path,
            { status: 403, json: { message, code: "forbidden" } },
          ]);
          expect([node.role, path, (await call(method, path, body, `${adminKey}0`)).status]).toEqual([
            node.role,
            path,
            401,
          ]);
        }
        expect((await call("HEAD", "/metrics")).status).toBe(403);
        expect((await call("GET", "/api/keys")).status).toBe(200);
      });
  }));

test("an edge forwards them to the primary, and a fallback refuses them", () =>
  withCluster(async (cluster) => {
    const primary = await cluster.primary();
    const edge = await cluster.edge("edge", primary);
    const fallback = await cluster.fallback(primary, { refresh: "1h" });
    for (const { node } of [edge, fallback]) await converged(node, primary.node);
    const environments = environmentsWith();
    for (const [method, path, body] of writes) {
      // The primary of `withCluster` has one environment.
      await withApp(edge.node, { environments }, async (call) => {
        const { status, json } = await call(method, path, body);
        expect([status, json]).toEqual([404, { message: "this node serves only one environment", code: "not_found" }]);
      });
      await withApp(fallback.node, { environments }, async (call) =>
        expect((await call(method, path, body)).json).toMatchObject({ code: "read_only" }),
      );
    }
    for (const { node } of [edge, fallback])
      await withApp(node, { environments }, async (call) =>
        expect((await call("GET", "/api/environments")).status).toBe(200),
      );
    expect(environments.calls).toEqual([]);
  }));

describe("a promotion", () => {
  const failure = { id: "staging", reason: "the primary still answers" };

  test("is one of all environments, and names those that failed", () =>
    withCleanPrimary(async (api) => {
      const promoted = { epoch: "e", offset: 7 };
      const node = Object.create(api.node, { promote: { value: async () => promoted } }) as Node;
      const asked: unknown[] = [];
      const promoteOthers: Environments["promoteOthers"] = async (options) => (asked.push(options), [failure]);
      await withApp(node, { environments: environmentsWith({ promoteOthers }) }, async (call) =>
        expect(await call("POST", "/api/promote", { force: true })).toEqual({
          status: 200,
          json: {
            message: "this node is the primary from offset 7 on, but not of `staging`",
            ...{ ...promoted, failed_environments: [failure] },
          },
        }),
      );
      expect(asked).toEqual([expect.objectContaining({ force: true, graceful: false, audit: expect.any(Object) })]);
    }));

  test("is previewed for all environments, and requests that ask the same share an answer", () =>
    withCleanPrimary(async ({ node }) => {
      const reasons = ["the primary http://a:1 is alive"];
      const preview = { reasons, warnings: [], nodes: [], primary: { url: "http://a:1", answers: true } };
      const answered = Promise.withResolvers<void>();
      const asked: unknown[] = [];
      const previewOthers: Environments["previewOthers"] = async (options) => {
        asked.push(options);
        await answered.promise;
        return [["staging", { ...preview, missingEvents: 2, lostEvents: undefined }]];
      };
      await withApp(node, { environments: environmentsWith({ previewOthers }) }, async (call) => {
        const answers = Promise.all([
          call("GET", "/api/promote?graceful=true"),
          call("GET", "/api/promote?graceful=true"),
        ]);
        while (asked.length === 0) await new Promise((resolve) => setImmediate(resolve));
        answered.resolve();
        const [one, other] = await answers;
        expect(one).toEqual(other);
        expect(one?.json).toMatchObject({
          // A primary can be promoted for the environments of which it is an edge.
          ...{ role: "primary", possible: true, reasons: [] },
          environments: [{ id: "staging", possible: false, reasons, missing_events: 2, lost_events: null }],
        });
        expect(asked).toEqual([{ force: false, graceful: true }]);
      });
    }));

  test("can be repeated on a primary for environments that failed, but not without them", () =>
    withCleanPrimary(async ({ node }) => {
      const preview = { reasons: [], warnings: [], missingEvents: 0, lostEvents: 0 };
      const previewOthers = async () => [[active.id, preview] as const];
      await withApp(node, { environments: environmentsWith({ previewOthers }) }, async (call) => {
        const { status, json } = await call("POST", "/api/promote", {});
        const { epoch, offset } = node.health();
        expect([status, json]).toEqual([
          200,
          { message: `this node is the primary from offset ${offset} on`, epoch, offset },
        ]);
      });
      await withApp(node, { environments: environmentsWith() }, async (call) =>
        expect((await call("POST", "/api/promote", {})).status).toBe(409),
      );
    }));
});
