/**
 * Nothing of one environment is visible with a key of another one: each route answers as if the other one did not exist.
 * Two appliances are compared, one with a filled environment beside the asking one, the other without it.
 */
import { expect, test } from "bun:test";
import { createApp } from "../../src/http/app.ts";
import { EnvironmentListener } from "../../src/roles/environment-listener.ts";
import type { Listener, ServeOptions } from "../../src/runtime/serve.ts";
import { systemClock } from "../../src/util/clock.ts";
import { must } from "../../src/util/assert.ts";
import { adminKey, withCluster } from "../replication/cluster.ts";
import { defaultLimits } from "../../src/config/limits.ts";
import { Issuer, oidcFlags } from "../http/issuer.ts";
import { ask, createEnvironment, fill, mayRead, type Reply } from "./host.ts";

const secret = "zebra";
const timeoutMs = 120_000;

/** Without what differs between two runs: ids, times and durations. Entries of one millisecond have no order. */
function comparable({ status, headers, text }: Reply): unknown {
  const shown = [...headers]
    .filter(([name]) => !["date", "x-request-id", "server-timing", "osooffset", "content-length"].includes(name))
    .toSorted();
  return [
    status,
    shown,
    text
      .replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, "<uuid>")
      .replaceAll(/\b[0-9a-f]{12,64}\b/g, "<id>")
      .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "<time>")
      .replaceAll(/\d{13}/g, "<ms>")
      .replaceAll(/127\.0\.0\.1:\d+/g, "<url>")
      .split(/(?=\{"id":)/)
      .toSorted(),
  ];
}

test(
  "no route reveals anything of another environment",
  () =>
    withCluster(async (full) =>
      withCluster(async (empty) => {
        const beside = await full.host("primary", "primary");
        const alone = await empty.host("primary", "primary");
        const other = await createEnvironment(beside, secret, { name: secret });
        await fill(beside, other, secret, `${secret}2`);
        await fill(beside, adminKey, secret);
        for (const node of [beside, alone]) {
          const key = await createEnvironment(node, "asking");
          await fill(node, key, "ann");
          // Keys of the environments that exist in both, and of none.
          expect(await mayRead(node, key, secret)).toBe(false);
        }
        const { routes } = createApp(beside.node(), defaultLimits, { isHosted: true });
        expect(routes.length).toBeGreaterThan(50);
        const keys = { besides: await createEnvironment(beside, "k1"), alone: await createEnvironment(alone, "k1") };
        for (const { method: registered, path } of routes) {
          const method = registered === "ALL" ? "GET" : registered;
          // They change or stop something, and have tests of their own.
          if (["/api/backup"].includes(path)) continue;
          for (const target of [
            path.replaceAll(/:\w+/g, secret).replace("*", secret),
            `${path.replaceAll(/:\w+/g, secret).replace("*", secret)}?predicate=has_role&actor_id=${secret}`,
          ])
            for (const body of method === "GET" || method === "HEAD" ? [undefined] : [undefined, {}, []]) {
              const [here, there] = [
                await ask(beside, keys.besides, method, target, body),
                await ask(alone, keys.alone, method, target, body),
              ];
              expect({ method, target, body, answer: comparable(here) }).toEqual({
                method,
                target,
                body,
                answer: comparable(there),
              });
              // A response may repeat the path of its request, and the audit log those of all.
              if (!target.includes(secret) && path !== "/api/audit") expect(here.text).not.toContain(secret);
            }
        }
      }),
    ),
  timeoutMs,
);

test("a wrong key does not make the API of an environment, which would take longer than a refusal", async () => {
  const asked: string[] = [];
  const answering = (name: string): ServeOptions => ({
    hostname: "localhost",
    port: 0,
    fetch: () => (asked.push(name), new Response(name)),
  });
  let dispatch: ServeOptions["fetch"] | undefined;
  const serve = (options: ServeOptions): Listener => {
    dispatch = options.fetch;
    return { url: "http://localhost:1", port: 1, stop: async () => {} };
  };
  const listener = new EnvironmentListener("default", () => true, { serve, clock: systemClock });
  listener.serveDefault(answering("default"));
  listener.serveHosted(secret, answering(secret), (key) => key === `e_${secret}_known`);
  const askWith = async (key: string): Promise<void> => {
    const headers = { authorization: `Bearer ${key}` };
    await must(dispatch)(new Request("http://localhost:1/api/keys", { headers }), undefined as never);
  };
  for (const key of ["wrong", "wrong", "known", "wrong"]) await askWith(`e_${secret}_${key}`);
  expect(asked).toEqual(["default", "default", secret, secret]);
});

test(
  "a wrong key of an environment that exists is refused as one of an environment that does not",
  () =>
    withCluster(async (cluster) => {
      const primary = await cluster.host("primary", "primary");
      const key = await createEnvironment(primary, secret);
      // Before, the default environment would answer.
      expect((await ask(primary, key, "GET", "/api/keys")).status).toBe(200);
      const wrong = (environment: string): string => `e_${environment}_${key.split("_")[2]}_${"0".repeat(48)}`;
      const headers = { "ostiary-environment": secret };
      const { routes } = createApp(primary.node(), defaultLimits);
      const others = ["/nothing", "/readyz/", "/healthcheck/?a"].map((path) => ({ method: "GET", path }));
      for (const { method: registered, path } of [...routes, ...others]) {
        const method = registered === "ALL" ? "GET" : registered;
        const body = method === "GET" || method === "HEAD" ? undefined : {};
        const [known, unknown] = [
          await ask(primary, wrong(secret), method, path, body),
          await ask(primary, wrong("zebre"), method, path, body),
        ];
        expect({ method, path, answer: comparable(known) }).toEqual({ method, path, answer: comparable(unknown) });
      }
      for (const path of ["head", "log", "snapshot", "audit", "primary"])
        for (const token of ["wrong", key, adminKey]) {
          const [known, unknown] = [
            await ask(primary, token, "GET", `/environments/${secret}/replication/v1/${path}`),
            await ask(primary, token, "GET", `/environments/zebre/replication/v1/${path}`),
          ];
          expect(known.status).toBe(401);
          expect(comparable(known)).toEqual(comparable(unknown));
        }
      // A header does not give a key access to another environment.
      const response = await fetch(`${primary.url}/api/keys`, {
        headers: { ...headers, Authorization: `Bearer ${adminKey}` },
      });
      const { keys } = (await response.json()) as { readonly keys: readonly { readonly id: string }[] };
      expect(keys.map(({ id }) => id)).toEqual(["admin"]);
    }),
  timeoutMs,
);

test(
  "a token without a role in an environment is refused as in one that does not exist",
  () =>
    withCluster(async (cluster) => {
      await using issuer = await Issuer.start();
      const primary = await cluster.host("primary", "primary", {
        ...oidcFlags(issuer),
        "oidc.write": `${secret}::writers`,
      });
      await createEnvironment(primary, secret);
      const tokenOf = (group: string): Promise<string> => issuer.token({ claims: { groups: [group] } });
      const writer = await tokenOf("writers");
      const tokens = [
        "",
        "wrong",
        "a.b.c",
        `${writer}x`,
        await issuer.token({ claims: { exp: 1 } }),
        await tokenOf("owners"),
      ];
      const send = async (method: string, path: string, token: string, environment: string): Promise<Reply> => {
        const headers = {
          ...(token !== "" && { Authorization: `Bearer ${token}` }),
          "Ostiary-Environment": environment,
        };
        const response = await fetch(primary.url + path, { method, headers });
        const text = (await response.text()).replaceAll(environment, "<environment>");
        return { status: response.status, headers: response.headers, text, json: {} };
      };
      const { routes } = createApp(primary.node(), defaultLimits);
      for (const { method: registered, path } of [...routes, { method: "GET", path: "/nothing" }])
        for (const token of tokens) {
          const method = registered === "ALL" ? "GET" : registered;
          const [known, unknown] = [await send(method, path, token, secret), await send(method, path, token, "zebre")];
          expect({ method, path, token, answer: comparable(known) }).toEqual({
            ...{ method, path, token, answer: comparable(unknown) },
          });
        }
      expect((await send("GET", "/api/whoami", writer, secret)).status).toBe(200);
      expect((await send("GET", "/api/whoami", writer, "zebre")).status).toBe(403);
    }),
  timeoutMs,
);
