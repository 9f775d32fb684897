/**
 * Idempotency keys: a client repeats a write without a response under the same `X-Request-ID`. The write is executed
 * once, and its response is that of the first time, whatever was written meanwhile, and on every node.
 */
import { describe, expect, test } from "bun:test";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { freePort } from "../../scripts/node-process.ts";
import { batchDigest, idempotencyDigest } from "../../src/replication/log/append.ts";
import { must } from "../../src/util/assert.ts";
import { adminKey, converged, eventually, policy, withCluster } from "../replication/cluster.ts";
import { clientOf, Org, role, User, wildcardPolicy, sharedPrimary } from "./api.ts";

const withCleanPrimary = sharedPrimary();

const timeoutMs = 60_000;

interface Done {
  readonly status: number;
  readonly message: string;
  readonly token: string | null;
}

interface Write {
  readonly path: string;
  readonly body?: unknown;
}

async function send(url: string, { path, body }: Write, id?: string, key = adminKey): Promise<Done> {
  const response = await fetch(url + path, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, ...(id !== undefined && { "x-request-id": id }) },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const { message } = (await response.json()) as { message: string };
  return { status: response.status, message, token: response.headers.get("osooffset") };
}

/** The users that have a role, and the loaded policy: a write that was executed twice would change them. */
async function stateAt(url: string): Promise<{ readonly users: readonly string[]; readonly source: string }> {
  const get = async (path: string) =>
    (await fetch(url + path, { headers: { authorization: `Bearer ${adminKey}` } })).json();
  const facts = (await get("/api/facts?predicate=has_role")) as { args: { id: string }[] }[];
  const { policy: loaded } = (await get("/api/policy")) as { policy: { src: string } };
  return { users: facts.map(({ args }) => args[0]?.id ?? "").toSorted(), source: loaded.src };
}

async function offsetAt(url: string): Promise<number> {
  return ((await (await fetch(`${url}/healthcheck`)).json()) as { offset: number }).offset;
}

const insertion = (...users: string[]): Write => ({
  path: "/api/batch",
  body: [{ inserts: users.map((user) => role(user, "member", Org("acme"))) }],
});
const deletion = (user: string): Write => ({
  path: "/api/batch",
  body: [{ deletes: [role(user, "member", Org("acme"))] }],
});
const loading = (src: string): Write => ({ path: "/api/policy", body: { src, filename: "policy.polar" } });
const clearing: Write = { path: "/api/clear_data" };
/** This policy has no orgs, so there is a warning about their facts. */
const other = policy.replaceAll("Repo", "Thing");

/** With characters that JSON escapes. */
const many = Array.from({ length: 900 }, (_, index) => `user-${index} "\u0007\u{1f600}`);

/** Writes of each kind, and other writes meanwhile that would show a second execution. */
const kinds: readonly { readonly name: string; readonly write: Write; readonly meanwhile: readonly Write[] }[] = [
  { name: "a batch", write: insertion("ann", "bob"), meanwhile: [deletion("ann"), deletion("bob"), insertion("eve")] },
  { name: "a batch that another thread parses", write: insertion(...many), meanwhile: [clearing, insertion("eve")] },
  { name: "a batch that deletes", write: deletion("old"), meanwhile: [insertion("old")] },
  { name: "a policy", write: loading(other), meanwhile: [loading(wildcardPolicy)] },
  { name: "clear_data", write: clearing, meanwhile: [insertion("eve", "old")] },
];

/** A wildcard policy and one fact. */
async function prepare(url: string): Promise<void> {
  for (const write of [loading(wildcardPolicy), clearing, insertion("old")])
    expect([200, 202]).toContain((await send(url, write)).status);
}

for (const { name, write, meanwhile } of kinds)
  describe(name, () => {
    test(
      "gets the first response when it is repeated, and changes nothing",
      () =>
        withCleanPrimary(async ({ url }) => {
          await prepare(url);
          const first = await send(url, write, "once");
          expect(first).toMatchObject({ status: 200, token: expect.stringMatching(/:\d+$/) });
          expect(await send(url, write, "once")).toEqual(first);
          for (const between of meanwhile) expect((await send(url, between)).status).toBe(200);
          const [offset, state] = [await offsetAt(url), await stateAt(url)];
          expect(await send(url, write, "once")).toEqual(first);
          expect([await offsetAt(url), await stateAt(url)]).toEqual([offset, state]);

          // With another id, or without one, it is another write.
          const again = await send(url, write, "twice");
          expect([again.status, again.message]).toEqual([200, first.message]);
          expect(again.token).not.toBe(first.token);
          expect(await stateAt(url)).not.toEqual(state);
        }),
      timeoutMs,
    );
  });

const requestIdOf = (name: string): string => `repeated ${name}`;

/** Sends each kind of write to `url`, and after each the others to the primary. Returns the responses by kind. */
async function sendEach(primaryUrl: string, url = primaryUrl): Promise<ReadonlyMap<string, Done>> {
  const responses = new Map<string, Done>();
  for (const { name, write, meanwhile } of kinds) {
    await prepare(primaryUrl);
    responses.set(name, await send(url, write, requestIdOf(name)));
    for (const between of meanwhile) expect((await send(primaryUrl, between)).status).toBe(200);
  }
  return responses;
}

/** Each repeated write gets its first response, and changes nothing. Each would change something. */
async function expectRepeated(url: string, responses: ReadonlyMap<string, Done>): Promise<void> {
  const before = [await offsetAt(url), await stateAt(url)];
  for (const { name, write } of kinds)
    expect(await send(url, write, requestIdOf(name))).toEqual(must(responses.get(name)));
  expect([await offsetAt(url), await stateAt(url)]).toEqual(before);
}

describe("each kind of write gets its first response", () => {
  test(
    "through an edge",
    () =>
      withCluster(async (cluster) => {
        const primary = await cluster.primary();
        await prepare(primary.url);
        const edge = await cluster.edge("edge", primary);
        await eventually(() => converged(edge.node, primary.node));
        const responses = await sendEach(primary.url, edge.url);
        await converged(edge.node, primary.node);
        for (const url of [edge.url, primary.url]) await expectRepeated(url, responses);
      }),
    timeoutMs,
  );

  test(
    "after a restart",
    () =>
      withCluster(async (cluster) => {
        const primary = await cluster.primary();
        const responses = await sendEach(primary.url);
        const [offset, state] = [await offsetAt(primary.url), await stateAt(primary.url)];
        await primary.stop();
        const { url } = await cluster.primary();
        // The start has begun a new term.
        expect([await offsetAt(url), await stateAt(url)]).toEqual([offset + 1, state]);
        await expectRepeated(url, responses);
      }),
    timeoutMs,
  );

  test.each(["an event", "a snapshot"])(
    "at an edge that was promoted meanwhile, to which the write had come in %s",
    (as) =>
      withCluster(async (cluster) => {
        const port = String(await freePort());
        const primary = await cluster.primary({ peers: `http://127.0.0.1:${port}` });
        await prepare(primary.url);
        const follow = async () => {
          const edge = await cluster.promotable("edge", { primary: primary.url, port });
          await arrived(edge.url, primary.url);
        };
        if (as === "an event") await follow();
        let responses = await sendEach(primary.url);
        if (as === "a snapshot") {
          await follow();
          // The warnings about a policy are in the log, which is not in a snapshot.
          const withoutWarnings = (done: Done): Done => ({ ...done, message: done.message.replace(/;.*/, "") });
          responses = new Map([...responses].map(([name, done]) => [name, withoutWarnings(done)]));
        }
        const url = `http://127.0.0.1:${port}`;
        await arrived(url, primary.url);
        await primary.stop();
        expect((await send(url, { path: "/api/promote", body: {} })).status).toBe(200);
        await expectRepeated(url, responses);
      }),
    timeoutMs,
  );
});

async function arrived(url: string, primaryUrl: string): Promise<void> {
  await eventually(async () => expect(await offsetAt(url)).toBe(await offsetAt(primaryUrl)));
}

test("a batch whose changes are JSON has the same digest", () => {
  const changes = [{ inserts: many.map((user) => role(user, "member", Org("acme"))) }, { deletes: [] }];
  const meta = { traceparent: null, idempotencyKey: 'key "\u0007' };
  const digest = idempotencyDigest({ kind: "batch", changes }, meta);
  expect(digest).toMatch(/^[0-9a-f]{32}$/);
  expect(batchDigest(JSON.stringify(changes), meta)).toBe(digest as string);
  expect(batchDigest(JSON.stringify(changes), { traceparent: null })).toBeUndefined();
});

describe("a different write", () => {
  test(
    "is one with another body, another route or another API key under the same id",
    () =>
      withCleanPrimary(async ({ url }) => {
        await prepare(url);
        const made = await fetch(`${url}/api/keys`, {
          method: "POST",
          headers: { authorization: `Bearer ${adminKey}` },
          body: JSON.stringify({ name: "web", role: "write" }),
        });
        const { token } = (await made.json()) as { token: string };
        const first = await send(url, insertion("ann"), "name");
        const others = [
          await send(url, insertion("bob"), "name"),
          await send(url, clearing, "name"),
          await send(url, insertion("ann"), "name", token),
          await send(url, loading(other), "name"),
          await send(url, loading(`${other}\n`), "name"),
        ];
        expect(others.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
        expect(new Set([first, ...others].map(({ token: place }) => place)).size).toBe(6);
        expect(await send(url, insertion("ann"), "name")).toEqual(first);
        expect((await stateAt(url)).users).toEqual(["ann"]);
      }),
    timeoutMs,
  );

  test(
    "is one with the same body without an id",
    () =>
      withCleanPrimary(async ({ url }) => {
        await prepare(url);
        const first = await send(url, insertion("ann"));
        await send(url, deletion("ann"));
        const second = await send(url, insertion("ann"));
        expect(second.message).toBe(first.message);
        expect(second.token).not.toBe(first.token);
      }),
    timeoutMs,
  );
});

test(
  "the same write, sent many times concurrently, is executed once",
  () =>
    withCleanPrimary(async ({ url }) => {
      await prepare(url);
      const before = await offsetAt(url);
      const answers = await Promise.all(Array.from({ length: 20 }, () => send(url, insertion("ann"), "once")));
      expect(answers[0]).toMatchObject({ status: 200, message: "1 fact inserted, 0 facts deleted" });
      for (const answer of answers) expect(answer).toEqual(answers[0] as Done);
      expect(await offsetAt(url)).toBe(before + 1);
    }),
  timeoutMs,
);

test(
  "the official client repeats a write without a response, and it is executed once",
  () =>
    withCleanPrimary(async ({ url }) => {
      await prepare(url);
      const names: (string | undefined)[] = [];
      const answered: string[] = [];
      // It executes each request, but closes the connection without a response the first time.
      const proxy = createServer((request, response) => {
        void (async () => {
          const { method = "", url: path = "" } = request;
          const headers = {
            authorization: `Bearer ${adminKey}`,
            "x-request-id": String(request.headers["x-request-id"]),
          };
          const answer = await fetch(url + path, { method, headers, body: await text(request) });
          const body = await answer.text();
          const name = request.headers["x-request-id"]?.toString();
          const lost = !names.includes(name);
          names.push(name);
          answered.push(`${answer.status} ${body} ${answer.headers.get("osooffset")}`);
          if (lost) request.socket.destroy();
          else response.writeHead(answer.status, { osooffset: answer.headers.get("osooffset") ?? "" }).end(body);
        })();
      });
      proxy.listen(0, "127.0.0.1");
      await once(proxy, "listening");
      try {
        const oso = clientOf(`http://127.0.0.1:${(proxy.address() as AddressInfo).port}`);
        const before = await offsetAt(url);
        await oso.insert(["has_role", User("ann"), "member", Org("acme")]);
        await oso.delete(["has_role", User("old"), "member", Org("acme")]);
        await oso.policy(other);
        expect(await offsetAt(url)).toBe(before + 3);
        expect(names).toHaveLength(6);
        for (const first of [0, 2, 4]) {
          expect(names[first + 1]).toBe(names[first] ?? "");
          expect(answered[first + 1]).toBe(answered[first] ?? "");
        }
      } finally {
        proxy.closeAllConnections();
        proxy.close();
      }
    }),
  timeoutMs,
);
