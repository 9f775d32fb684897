/** Nobody without a valid key or role learns which environments there are: all kinds of senders, on each role. */
import { expect, test } from "bun:test";
import { realClusterSystem } from "../../src/roles/cluster-system.ts";
import { systemClock } from "../../src/util/clock.ts";
import { eventually, withCluster } from "../replication/cluster.ts";
import { Issuer } from "../http/issuer.ts";
import { ask, createEnvironment } from "./host.ts";
import { existing, expectNoDifference, missing, strangers, strangersFlags, wrongSecret } from "./strangers.ts";

const timeoutMs = 120_000;

test(
  "no answer of a primary, an edge or a fallback tells a stranger whether an environment exists",
  () =>
    withCluster(async (cluster) => {
      await using issuer = await Issuer.start();
      const flags = { ...strangersFlags(issuer), "advanced.keyLookupsPerSecondMax": "100000" };
      const primary = await cluster.host("primary", "primary", flags);
      const key = await createEnvironment(primary, existing);
      const edge = await cluster.host("edge", "edge", { ...flags, primary: primary.url });
      const fallback = await cluster.host("fallback", "fallback", { ...flags, primary: primary.url, refresh: "1s" });
      const senders = await strangers(issuer, key);
      // Before the first request with a valid key, and after it.
      await expectNoDifference(primary, senders);
      for (const node of [primary, edge, fallback]) {
        await eventually(async () => expect((await ask(node, key, "GET", "/api/keys")).status).toBe(200));
        await expectNoDifference(node, senders);
      }
    }),
  timeoutMs,
);

test(
  "all environments of an edge, and those that do not exist, share the limit of lookups of unknown keys",
  () =>
    withCluster(async (cluster) => {
      const primary = await cluster.host("primary", "primary");
      const key = await createEnvironment(primary, existing);
      let frozenMs: number | undefined;
      const clock = { ...systemClock, monotonicMs: () => frozenMs ?? systemClock.monotonicMs() };
      const flags = { primary: primary.url, "advanced.keyLookupsPerSecondMax": "20" };
      const edge = await cluster.host("edge", "edge", flags, { ...realClusterSystem, clock });
      await eventually(async () => expect((await ask(edge, key, "GET", "/api/keys")).status).toBe(200));
      frozenMs = systemClock.monotonicMs();
      const statuses: number[] = [];
      for (let count = 0; count < 20; count++) {
        const environment = count % 2 === 0 ? existing : missing;
        statuses.push((await ask(edge, `e_${environment}_0_${wrongSecret}`, "POST", "/api/facts", {})).status);
      }
      frozenMs = undefined;
      // Each is looked up twice: for the environment that it names, and for the default one, which answers.
      expect(statuses).toEqual([...Array<number>(10).fill(401), ...Array<number>(10).fill(503)]);
      // A new key is looked up for its first write, when there is time for a lookup again.
      const { json } = await ask(primary, key, "POST", "/api/keys", { name: "new", role: "write" });
      await eventually(async () => {
        const { status } = await ask(edge, String(json.token), "POST", "//api/policy/", { src: "actor User {}" });
        expect(status).toBe(200);
      });
    }),
  timeoutMs,
);
