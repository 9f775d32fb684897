/**
 * Bodies that are large, or expensive for their size: they are refused after little work, and never parsed on the
 * serving thread.
 */
import { describe, expect, spyOn, test } from "bun:test";
import { hostileBodies } from "../../scripts/benchmark/hostile-bodies.ts";
import { defaultLimits } from "../../src/config/limits.ts";
import { type RequestName, requestParsers } from "../../src/http/request/request-schemas.ts";
import { decodeBatch, decodeNodeHead, decodePage } from "../../src/replication/transport/messages.ts";
import { AppError } from "../../src/util/app-error.ts";
import {
  admin,
  type Answer,
  type Api,
  fact,
  Org,
  role,
  User,
  primaryForAllTests,
  wildcardPolicy,
} from "../http/api.ts";

let api: Api;
primaryForAllTests(async (primary) => {
  api = primary;
  await api.call("POST", "/api/policy", { body: { src: wildcardPolicy } });
  await api.call("POST", "/api/batch", { body: [{ inserts: [role("ann", "admin", Org("acme"))] }] });
});

/** A list that counts accesses to its elements. */
function watched(elements: readonly unknown[]): { readonly list: unknown; readonly looks: () => number } {
  let looks = 0;
  const list = new Proxy(elements, {
    get(target, key, receiver) {
      if (typeof key === "string" && /^\d+$/.test(key)) looks++;
      return Reflect.get(target, key, receiver) as unknown;
    },
  });
  return { list, looks: () => looks };
}

const many = 200_000;
const requests = requestParsers(defaultLimits);
const question = { actor_type: "User", actor_id: "ann", action: "read", resource_type: "Org", resource_id: "acme" };
const query = (other: object) => ({
  predicate: ["has_role", ["a"]],
  calls: [],
  constraints: { a: { type: "User", ids: null } },
  context_facts: [],
  ...other,
});
const holes: readonly (readonly [name: RequestName, where: string, body: (list: unknown) => unknown])[] = [
  ["authorize", "context_facts", (list) => ({ ...question, context_facts: list })],
  ["authorize", "args of a context fact", (list) => ({ ...question, context_facts: [{ predicate: "p", args: list }] })],
  ["authorizeResources", "resources", (list) => ({ ...question, resources: list })],
  ["list", "context_facts", (list) => ({ ...question, context_facts: list })],
  ["actions", "context_facts", (list) => ({ ...question, context_facts: list })],
  ["query", "predicate", (list) => query({ predicate: ["p", list] })],
  ["query", "calls", (list) => query({ calls: list })],
  ["query", "arguments of a call", (list) => query({ calls: [["p", list]] })],
  ["query", "ids", (list) => query({ constraints: { a: { type: "User", ids: list } } })],
  ["query", "context_facts", (list) => query({ context_facts: list })],
  ["batch", "changes", (list) => list],
  ["batch", "inserts", (list) => [{ inserts: list }]],
  ["batch", "deletes", (list) => [{ deletes: list }]],
  ["batch", "args", (list) => [{ inserts: [{ predicate: "p", args: list }] }]],
  ["validate", "files", (list) => ({ files: list })],
  ["test", "files", (list) => ({ files: list })],
];

describe.each(holes)("%s: %s", (name, _, body) => {
  test("with too many elements is refused before any of them is read", () => {
    for (const element of [0, {}, [], "", null]) {
      const { list, looks } = watched(new Array(many).fill(element));
      expect(() => requests[name](body(list))).toThrow(AppError);
      expect(looks()).toBe(0);
    }
  });

  test("with wrong elements is refused at the first one", () => {
    const { list, looks } = watched([0, 0, 0]);
    expect(() => requests[name](body(list))).toThrow(AppError);
    expect(looks()).toBe(1);
  });
});

test("names in messages are cut", () => {
  const name = "n".repeat(1_000_000);
  for (const constraints of [{ [name]: 0 }, { [name]: { type: "User", ids: null } }]) {
    let message = "";
    try {
      requests.query(query({ constraints }));
    } catch (error) {
      message = (error as Error).message;
    }
    expect(message).toStartWith("`constraints.nnn");
    expect(message.length).toBeLessThan(300);
  }
});

test("hostile bodies get a short error on all routes, and only small ones are parsed on the serving thread", async () => {
  const parse = spyOn(JSON, "parse");
  try {
    const kinds = /zeros|empty objects|deep lists|many keys|long string|halves|long key|valid|no JSON|changes/;
    for (const { path, name, text } of hostileBodies(70_000).filter((body) => kinds.test(body.name))) {
      const answer = await api.call("POST", path, { body: text });
      expect([path, name, answer.status >= 500, answer.text.length < 5000]).toEqual([path, name, false, true]);
      if (answer.status !== 200) expect([name, answer.status]).toEqual([name, answer.status === 413 ? 413 : 400]);
    }
    const large = parse.mock.calls.map(([text]) => String(text)).filter((text) => text.length > 66_000);
    // The text of a policy is one string, which is cheap to parse.
    expect(large.filter((text) => !/^{"(?:src|sources)":/.test(text))).toEqual([]);
  } finally {
    parse.mockRestore();
  }
}, 60_000);

test("a body of the maximum size is refused with 413 while other requests are answered", async () => {
  const zeros = `[${"0,".repeat(5_000_000)}0]`;
  const asked = [0, 1, 2].map(() =>
    api.call("POST", "/api/authorize", { body: `{"context_facts":[{"predicate":"p","args":${zeros}}]}` }),
  );
  let isOver = false;
  const over = Promise.all(asked).finally(() => {
    isOver = true;
  });
  let answered = 0;
  while (!isOver) {
    expect((await api.call("POST", "/api/authorize", { body: question })).json).toEqual({ allowed: true });
    answered++;
  }
  expect((await over).map(({ status }) => status)).toEqual([400, 400, 400]);
  expect(answered).toBeGreaterThan(2);
});

describe("a large body means the same as a small one", () => {
  const padding = " ".repeat(100_000);
  const same = async (path: string, body: unknown): Promise<void> => {
    const small = await api.call("POST", path, { body });
    const text = JSON.stringify(body);
    const large = await api.call("POST", path, { body: padding + text });
    const chunked = await sendChunked(path, text + padding);
    expect([large.status, large.json]).toEqual([small.status, small.json]);
    expect([chunked.status, chunked.json]).toEqual([small.status, small.json]);
  };
  const context = { context_facts: [role("bob", "member", Org("other"))] };
  const anything = { type: null, id: null };
  const variables = { u: { type: "User", ids: ["ann", "bob"] }, r: { type: "String", ids: null } };
  const cases: readonly (readonly [path: string, body: object])[] = [
    ["/api/authorize", question],
    ["/api/authorize", { ...question, ...context, actor_id: "bob", resource_id: "other" }],
    ["/api/authorize", { ...question, action: 7 }],
    ["/api/explain", question],
    ["/api/authorize_resources", { ...question, resources: [Org("acme"), Org("none")] }],
    ["/api/list", { ...question, ...context }],
    ["/api/list", { ...question, page_size: 1 }],
    ["/api/list", { ...question, page_token: "2" }],
    ["/api/actions", question],
    [
      "/api/evaluate_query",
      query({ predicate: ["has_role", ["u", "r", "o"]], constraints: { ...variables, o: { type: "Org", ids: null } } }),
    ],
    ["/api/evaluate_query", query({ predicate: ["has_role", ["u", "__proto__"]] })],
    ["/api/bulk_actions", [{ ...question, ...context }, question]],
    ["/api/query", { fact: { predicate: "has_role", args: [null, null, Org("acme")].map((arg) => arg ?? anything) } }],
    ["/api/query", { fact: { predicate: "has_role", args: [] } }],
    ["/api/facts", role("ann", "admin", Org("acme"))],
    ["/api/bulk_load", [role("ann", "admin", Org("acme"))]],
    ["/api/bulk_delete", [role("ann", "admin", Org("none"))]],
    ["/api/bulk", { delete: [], tell: [role("ann", "admin", Org("acme"))] }],
    ["/api/batch", [{ inserts: [role("ann", "admin", Org("acme"))] }]],
    ["/api/batch", [{ inserts: [fact("nonsense", User("ann"))] }]],
    ["/api/validate", { src: "actor User {}" }],
    ["/api/test", { files: [{ filename: "a.polar", src: "actor" }] }],
    ["/api/policy_effect", { src: "actor User {}", decisions: 0 }],
    ["/api/format", { src: "actor   User {}" }],
    ["/api/explain_rules", { src: "actor User {}" }],
    ["/api/keys", { name: "", role: "read" }],
    ["/api/promote", {}],
    ["/api/policy", { src: wildcardPolicy }],
  ];
  test.each(cases)("%s %j", same);

  test("also a question that is too large for the serving thread", async () => {
    const resources = Array.from({ length: 5000 }, (_, index) => Org(`${index}`));
    const answer = await api.call("POST", "/api/authorize_resources", {
      body: { ...question, action: "delete", resources: [...resources, Org("acme")] },
    });
    expect([answer.status, answer.json]).toEqual([200, { results: [Org("acme")] }]);
    const ids = [...resources.map(({ id }) => id), "acme"];
    const constraints = {
      u: { type: "User", ids: ["ann"] },
      o: { type: "Org", ids },
      r: { type: "String", ids: null },
    };
    const found = await api.call("POST", "/api/evaluate_query", {
      body: query({ predicate: ["has_role", ["u", "r", "o"]], constraints }),
    });
    expect([found.status, found.json]).toEqual([200, { results: [{ u: "ann", o: "acme", r: "admin" }] }]);
  });

  test("a large write is executed once, however often it is sent", async () => {
    const inserts = Array.from({ length: 900 }, (_, index) => role(`member-${index}`, "member", Org("large")));
    const headers = { "x-request-id": "large-write" };
    const first = await api.call("POST", "/api/batch", { body: [{ inserts }], headers });
    const [{ args }] = inserts as [(typeof inserts)[0]];
    await api.call("POST", "/api/batch", { body: [{ deletes: [{ predicate: "has_role", args }] }] });
    const again = await api.call("POST", "/api/batch", { body: [{ inserts }], headers });
    expect([first.text, again.text]).toEqual([
      '{"message":"900 facts inserted, 0 facts deleted"}',
      '{"message":"900 facts inserted, 0 facts deleted"}',
    ]);
    const facts = await api.call("GET", "/api/facts?predicate=has_role&args.2.type=Org&args.2.id=large");
    expect(facts.json).toHaveLength(899);
  });
});

async function sendChunked(path: string, text: string): Promise<Pick<Answer, "status" | "json">> {
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(new TextEncoder().encode(text));
      controller.close();
    },
  });
  const response = await fetch(api.url + path, { method: "POST", headers: admin, body });
  return { status: response.status, json: await response.json() };
}

describe("a message of another node", () => {
  const zeros = new Array(many).fill(0);
  const batch = { v: 1, s: "test", e: "0".repeat(16), t: 0, n: 1, p: 0, l: 1, h: "0".repeat(16), d: null, ev: zeros };
  test.each([
    ["batch", decodeBatch, batch],
    ["page", decodePage, { ...batch, head: zeros }],
    ["head", decodeNodeHead, { epochs: zeros, ["k".repeat(many)]: 0 }],
    ["batch of long values", decodeBatch, { ...batch, s: 0, e: "e".repeat(many), ev: [["x".repeat(many)]] }],
  ] as const)("%s is refused with a short problem", (_, decode, message) => {
    const decoded = decode(JSON.stringify(message));
    if ("message" in decoded) throw new Error("it was taken");
    expect(decoded.problem.length).toBeLessThan(500);
  });

  test("is refused at its first wrong row", () => {
    const row = [1, 0, "facts", "{}", null];
    const decoded = decodeBatch(JSON.stringify({ ...batch, ev: [row, 0, ...zeros] }));
    expect(decoded).toEqual({ problem: "Invalid input: expected tuple, received number at ev.1" });
  });
});
