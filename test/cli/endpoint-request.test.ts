/** Requests of the command line, made from the declarations of endpoints, and answers of nodes of other versions. */
import { describe, expect, test } from "bun:test";
import { z } from "zod";
import { answerIn, requestOf } from "../../src/cli/node-api.ts";
import { lenient } from "../../src/cli/lenient-schema.ts";
import { explanationSchema } from "../../src/engine/explain/explanation.ts";
import { bindingsEndpoints } from "../../src/features/bindings/endpoints.ts";
import { eventEndpoints } from "../../src/features/events/endpoints.ts";
import { factEndpoints } from "../../src/features/facts/endpoints.ts";
import { keyEndpoints } from "../../src/features/keys/endpoints.ts";
import { nodeEndpoints } from "../../src/features/nodes/endpoints.ts";

describe("a request", () => {
  test("has its parameters in the path and in the query string, encoded", () => {
    expect(
      requestOf(factEndpoints.getObjectFacts, { params: { type: "A b", id: "x/y?" }, query: { page_size: 5 } }),
    ).toEqual({
      method: "GET",
      path: "/api/objects/A%20b/x%2Fy%3F/facts?page_size=5",
      body: undefined,
    });
    const named = { params: { name: "a&b" }, body: { data_bindings: "facts: {}" }, timeoutMs: 5 };
    expect(requestOf(bindingsEndpoints.putBindings, named)).toEqual({
      method: "PUT",
      path: "/api/bindings/a%26b",
      body: '{"data_bindings":"facts: {}"}',
      timeoutMs: 5,
    });
  });

  test("about an earlier moment has its header", () =>
    expect(requestOf(keyEndpoints.getKeys, { at: "4711" }).headers).toEqual({ "Ostiary-At": "4711" }));

  test("has no query string if nothing is asked for", () =>
    expect(requestOf(keyEndpoints.getKeys, { query: { page_token: undefined } }).path).toBe("/api/keys"));
});

const key = { id: "1", name: "a", role: "read", created: "2026-12-01T00:00:00Z", last_used: null };

describe("an answer", () => {
  test("of a newer node may have members and names that this version does not know", () => {
    const answer = { keys: [{ ...key, role: "auditor", owner: "ann" }], more: 1 };
    expect(answerIn(keyEndpoints.getKeys, answer)).toEqual(answer as never);
    const event = { specversion: "1.1", id: "a:1", source: "/", type: "t", time: "now", offset: "1", epoch: "a" };
    const page = { events: [{ ...event, datacontenttype: "text/plain" }], next: "a:1", head: "a:1" };
    expect(answerIn(eventEndpoints.getEvents, page)).toEqual(page as never);
  });

  test("of a node of 0.1.0 may lack what was added since", () => {
    const { last_used: _, ...old } = key;
    expect(answerIn(keyEndpoints.getKeys, { keys: [old] }).keys).toHaveLength(1);
  });

  test.each([
    [{ keys: [{ ...key, name: 7 }] }, "is not as declared for `GET /api/keys` (`keys.0.name`)"],
    [{ keys: {} }, "(`keys`)"],
    [undefined, "is not as declared for `GET /api/keys`; the node may have another version"],
    ["<html>", "is not as declared for `GET /api/keys`; the node may have another version"],
  ])("that does not fit is refused: %j", (answer, message) => {
    expect(() => answerIn(keyEndpoints.getKeys, answer)).toThrow(message);
  });

  test("is checked in all depths", () => {
    const nodes = [{ node: "a", brokers: [{ broker: "b" }] }];
    expect(() => answerIn(nodeEndpoints.getNodes, { asked: "a", environment: "e", nodes })).toThrow("(`nodes.0.");
  });

  test("is told from other kinds of answers by its literals, and gets the values of members that are left out", () => {
    const kinds = z.union([
      z.strictObject({ kind: z.literal("a"), of: z.enum(["x"]) }),
      z.strictObject({ kind: z.literal("b"), list: z.array(z.string()).default([]) }),
    ]);
    const parsed = (value: unknown) => lenient(kinds).safeParse(value).data;
    expect(parsed({ kind: "a", of: "y" })).toEqual({ kind: "a", of: "y" });
    expect(parsed({ kind: "b" })).toEqual({ kind: "b", list: [] });
    expect(parsed({ kind: "c", of: "x" })).toBeUndefined();
  });

  test("can be recursive", () => {
    const step = z.object({
      name: z.string(),
      get steps(): z.ZodArray<typeof step> {
        return z.array(step);
      },
    });
    const schema = lenient(step);
    expect(schema.safeParse({ name: "a", steps: [{ name: "b", steps: [], more: 1 }] }).success).toBe(true);
    expect(schema.safeParse({ name: "a", steps: [{ name: "b", steps: [{ name: 1 }] }] }).success).toBe(false);
    expect(lenient(explanationSchema).safeParse({}).success).toBe(false);
  });
});
