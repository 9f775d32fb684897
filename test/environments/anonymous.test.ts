/** Nobody without a valid key or role learns which environments there are. */
import { expect, test } from "bun:test";
import { createApp } from "../../src/features/app.ts";
import { defaultLimits } from "../../src/config/limits.ts";
import { isOpenPath } from "../../src/features/all-endpoints.ts";
import { realClusterSystem } from "../../src/roles/cluster-system.ts";
import { EnvironmentListener } from "../../src/environments/listener.ts";
import { type Admission, EnvironmentAdmission, type EnvironmentsHere } from "../../src/environments/admission.ts";
import type { RunningNode } from "../../src/roles/node-service.ts";
import type { People } from "../../src/http/oidc/people.ts";
import type { Listener, ServeOptions } from "../../src/runtime/serve.ts";
import { must } from "../../src/util/assert.ts";
import { systemClock } from "../../src/util/clock.ts";
import { withCluster } from "../replication/cluster.ts";
import { Issuer, oidcFlags } from "../http/issuer.ts";
import { createEnvironment } from "./host.ts";
import { existing, expectNoDifference, missing, strangers, strangersFlags, wrongSecret } from "./strangers.ts";

const timeoutMs = 60_000;

test(
  "no answer tells a sender without access whether an environment exists",
  () =>
    withCluster(async (cluster) => {
      await using issuer = await Issuer.start();
      const primary = await cluster.host("primary", "primary", strangersFlags(issuer));
      const key = await createEnvironment(primary, existing);
      const senders = await strangers(issuer, key);
      for (const name of ["the id of a key", "no credential", "a token without a role"] as const)
        await expectNoDifference(primary, new Map([[name, must(senders.get(name))]]));
    }),
  timeoutMs,
);

test("the API of an environment answers only requests of senders with access, for paths that need a key", async () => {
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
  const admissions = {
    of: (_: string, authorization: string) => must(authorization.split("_").at(-1)) as Admission,
    isOfNode: ({ headers }: Request) => headers.get("authorization") === "Bearer node",
  };
  const isExpected = (environment: string) => environment === "late";
  const listener = new EnvironmentListener("default", isExpected, admissions, { serve, clock: systemClock });
  listener.serveDefault(answering("default"));
  listener.serveHosted(existing, answering(existing));
  const answerTo = async (path: string, authorization: string): Promise<string> => {
    const headers = { authorization: `Bearer ${authorization}` };
    const response = await must(dispatch)(new Request(`http://localhost:1${path}`, { headers }), undefined as never);
    return response.status === 200 ? response.text() : String(response.status);
  };
  const ofNodes = (environment: string) => `/environments/${environment}/replication/v1/head`;
  for (const [path, authorization, expected] of [
    ["/api/keys", `e_${existing}_admitted`, existing],
    ["/api/keys", `e_${existing}_refused`, "default"],
    ["/api/keys", `e_${existing}_starting`, "503"],
    ["/api/keys", `e_${missing}_refused`, "default"],
    ["/api/keys", `e_${missing}_starting`, "503"],
    ["/api/keys", "e_default_admitted", "default"],
    ["/console/", `e_${existing}_admitted`, "default"],
    ["/api/login/token", `e_${existing}_admitted`, "default"],
    ["/readyz/", `e_${existing}_starting`, "default"],
    [ofNodes(existing), "node", existing],
    [ofNodes(existing), "wrong", "default"],
    [ofNodes("late"), "node", "503"],
    [ofNodes("late"), "wrong", "default"],
    [ofNodes(missing), "node", "default"],
  ] as const)
    expect([path, authorization, await answerTo(path, authorization)]).toEqual([path, authorization, expected]);
});

test("a sender enters an environment that runs and knows the sender, and waits for one that may run soon", async () => {
  const service = (knows: boolean, isLate = false) =>
    ({ knowsKey: () => (isLate ? Promise.resolve(knows) : knows) }) as Partial<RunningNode> as RunningNode;
  const admissionOf = (authorization: string, more: Partial<EnvironmentsHere> = {}): Promise<Admission> | Admission =>
    new EnvironmentAdmission({
      ...{ people: undefined, hosted: () => undefined, default: () => service(false), isExpected: () => false },
      ...{ knowsAllKeys: () => true, nodeKeyHashes: () => undefined },
      ...more,
    }).of(existing, authorization, { method: "GET", url: "http://localhost/api/keys" });
  const [key, token] = [`Bearer e_${existing}_0_${wrongSecret}`, "Bearer a.b.c"];
  for (const isLate of [false, true]) {
    const hosted = (knows: boolean) => ({ hosted: () => service(knows, isLate) });
    expect(await admissionOf(key, hosted(true))).toBe("admitted");
    expect(await admissionOf(key, hosted(false))).toBe("refused");
    expect(await admissionOf(key, { ...hosted(false), knowsAllKeys: () => false })).toBe("starting");
    // The default environment answers it, for example after it got another id.
    const ofDefault = { default: () => service(true, isLate) };
    expect(await admissionOf(key, ofDefault)).toBe("refused");
    expect(await admissionOf(key, { ...ofDefault, knowsAllKeys: () => false })).toBe("starting");
  }
  for (const [hasRole, isHosted, isExpected, admission] of [
    [true, true, true, "admitted"],
    [true, false, true, "starting"],
    [true, false, false, "refused"],
    [false, true, true, "refused"],
  ] as const) {
    const people = { hasRole: () => Promise.resolve(hasRole) } as Partial<People> as People;
    const hosted = () => (isHosted ? service(false) : undefined);
    expect(await admissionOf(token, { people, hosted, isExpected: () => isExpected })).toBe(admission);
  }
  expect(await admissionOf(token, { hosted: () => service(true) })).toBe("refused");
  expect(await admissionOf("", { hosted: () => service(true) })).toBe("refused");
});

test("each path without access control is open, and no other one", () =>
  withCluster(async (cluster) => {
    const { node } = await cluster.primary();
    const app = createApp(node, defaultLimits, { serveConsole: async () => new Response("") });
    for (const { method, path } of app.routes.filter(({ method }) => method !== "ALL")) {
      const { status } = await app.fetch(new Request(`http://localhost${path.replace("*", "x")}`, { method }));
      expect([path, status !== 401]).toEqual([path, isOpenPath(path)]);
    }
    app.close();
  }));

test(
  "all environments, and those that do not exist, share the limit of logins",
  () =>
    withCluster(async (cluster) => {
      await using issuer = await Issuer.start();
      let frozenMs: number | undefined;
      const clock = { ...systemClock, monotonicMs: () => frozenMs ?? systemClock.monotonicMs() };
      const flags = oidcFlags(issuer);
      const primary = await cluster.host("primary", "primary", flags, { ...realClusterSystem, clock });
      await createEnvironment(primary, existing);
      frozenMs = systemClock.monotonicMs();
      const senders = [existing, missing].flatMap((environment) => [
        { "Ostiary-Environment": environment },
        { "Ostiary-Environment": environment, Authorization: "Bearer a.b.c" },
        { Authorization: `Bearer e_${environment}_0_${wrongSecret}` },
      ]);
      const statuses: number[] = [];
      for (let count = 0; count < 30; count++) {
        const headers = must(senders[count % senders.length]);
        statuses.push((await fetch(`${primary.url}/api/login/token`, { method: "POST", headers })).status);
      }
      frozenMs = undefined;
      expect(statuses).toEqual([...Array<number>(10).fill(400), ...Array<number>(20).fill(429)]);
    }),
  timeoutMs,
);
