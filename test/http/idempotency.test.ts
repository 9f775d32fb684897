/**
 * Idempotency keys: a client repeats a write without a response under the same `X-Request-ID`. The write is executed
 * once, and its response is that of the first time, whatever was written meanwhile.
 */
import { describe, expect, test } from "bun:test";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { batchDigest, idempotencyDigest } from "../../src/log/append/append.ts";
import { adminKey } from "../replication/cluster.ts";
import { clientOf, Org, role, sharedPrimary, User } from "./api.ts";
import {
  clearing,
  deletion,
  type Done,
  insertion,
  kinds,
  loading,
  many,
  offsetAt,
  other,
  prepare,
  send,
  stateAt,
} from "./repeated-writes.ts";

const withCleanPrimary = sharedPrimary();

const timeoutMs = 60_000;

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
