/** The OpenAPI document: it has all routes, its schemas are valid, and a node serves it without an API key. */
import { describe, expect, test } from "bun:test";
import { defaultLimits } from "../../src/config/limits.ts";
import { createApp } from "../../src/features/app.ts";
import { documentedPath } from "../../src/http/openapi-document.ts";
import { errorCatalogue } from "../../src/http/middleware/error-catalogue.ts";
import { withCluster } from "../replication/cluster.ts";
import { withPrimary } from "./api.ts";
import {
  document,
  ignoresUnknownMembers,
  matchesRequest,
  operationOf,
  operations,
  undocumentedIn,
} from "./documented.ts";

describe("the document", () => {
  test("has each route of each role, and no other; requests between nodes are no part of the API", () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      const nodes = [primary, await cluster.edge("edge", primary), await cluster.fallback(primary, { refresh: "1h" })];
      const named = (some: typeof operations) => some.map(({ method, path }) => `${method.toUpperCase()} ${path}`);
      const development = { createTestEnvironment: () => Promise.resolve(""), redeemLoginCode: () => "" };
      for (const { node } of nodes) {
        for (const options of [{}, development]) {
          const app = createApp(node, defaultLimits, options);
          app.close();
          const routes = app.routes
            .filter(({ path }) => !path.startsWith("/replication/"))
            .map(({ method, path }) => `${method} ${documentedPath(path)}`);
          const expected = operations.filter(
            (operation) => !operation["x-development"] || "createTestEnvironment" in options,
          );
          expect(routes.toSorted()).toEqual(named(expected).toSorted());
        }
      }
    }));

  test("has an operation id for each operation, and the catalogue of errors", () => {
    const ids = operations.map(({ operationId }) => operationId);
    expect(new Set(ids).size).toBe(operations.length);
    const catalogue = Object.entries(errorCatalogue).map(([code, meaning]) => ({ code, ...meaning }));
    expect(document).toMatchObject({ openapi: "3.1.1", "x-errors": catalogue });
  });

  test("has no limit, member or code that only one side knows", () => {
    const authorize = operationOf("POST", "//api/authorize?x") ?? expect.unreachable();
    const response = { status: 200, type: "application/json" };
    expect(undocumentedIn(authorize, { ...response, text: '{"allowed":true}' })).toBeUndefined();
    expect(undocumentedIn(authorize, { ...response, text: '{"allowed":true,"more":1}' })).toContain("additional");
    expect(undocumentedIn(authorize, { ...response, text: "{}" })).toContain("required");
    expect(undocumentedIn(authorize, { ...response, status: 418, text: "{}" })).toContain("not documented");
    expect(undocumentedIn(authorize, { ...response, type: "text/html", text: "" })).toContain("has the type");
    const error = { status: 409, type: "application/json" };
    expect(undocumentedIn(authorize, { ...error, text: '{"message":"m","code":"conflict"}' })).toBeUndefined();
    expect(undocumentedIn(authorize, { ...error, text: '{"message":"m","code":"list_gone"}' })).toContain("list_gone");
    const batch = operationOf("POST", "/api/batch") ?? expect.unreachable();
    const fact = { predicate: "p", args: [{ type: "T", id: "1" }] };
    expect(matchesRequest(batch, [{ inserts: [fact] }, { deletes: [fact] }])).toBe(true);
    for (const change of [{ inserts: [fact], deletes: [fact] }, {}, { inserts: [{ ...fact, args: [] }] }, 7])
      expect([change, matchesRequest(batch, [change])]).toEqual([change, false]);
  });

  test("permits unknown members only in bodies that others define", () => {
    const openIn = (schema: unknown): unknown[] => {
      if (typeof schema !== "object" || schema === null) return [];
      const { $ref, type, additionalProperties } = schema as Readonly<Record<string, unknown>>;
      const isOpen = type === "object" && additionalProperties !== false;
      const named = document.components?.schemas?.[String($ref).split("/").at(-1) ?? ""];
      // The question of a draft is the body of `authorize`.
      const own = Object.entries(schema).flatMap(([name, part]) => (name === "question" ? [] : openIn(part)));
      return [...(isOpen ? [schema] : []), ...openIn(named), ...own];
    };
    for (const operation of operations.filter((each) => !ignoresUnknownMembers(each)))
      expect([operation.operationId, openIn(operation.requestBody)]).toEqual([operation.operationId, []]);
  });

  test("is served without a key, and not sent again to a client that has it", () =>
    withPrimary(async ({ url }) => {
      const answer = await fetch(`${url}/openapi.json`);
      expect(answer.status).toBe(200);
      expect(answer.headers.get("content-type")).toBe("application/json");
      expect(await answer.json()).toEqual(JSON.parse(JSON.stringify(document)));
      const tag = answer.headers.get("etag") ?? "";
      const again = await fetch(`${url}/openapi.json`, { headers: { "If-None-Match": tag } });
      expect([again.status, await again.text(), again.headers.get("etag")]).toEqual([304, "", tag]);
      expect((await fetch(`${url}/openapi.json`, { headers: { "If-None-Match": '"other"' } })).status).toBe(200);
    }));
});
