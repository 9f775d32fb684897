/**
 * The whole appliance, as its users run it: processes of the built binary, one primary, two edges and a fallback, asked
 * through the official client. The primary is killed, an edge takes over, and no acknowledged write is missing.
 */
import { expect, test } from "bun:test";
import { Oso } from "oso-cloud";
import { Repository, User } from "../../scripts/example/facts.ts";
import { questions } from "../../scripts/example/questions.ts";
import { randomHex } from "../../scripts/node-process.ts";
import { startCollector } from "../../scripts/otlp-collector.ts";
import { must } from "../../src/util/assert.ts";
import { eventually, expectConverged, scenarioTimeoutMs, withCluster } from "./cluster.ts";

test(
  "one appliance answers everywhere, traces a write to all edges, and survives the loss of its primary",
  async () => {
    const collector = startCollector();
    const environment = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_BSP_SCHEDULE_DELAY: "50" };
    try {
      await withCluster({ broker: "embedded", fallback: true, environment }, async (cluster) => {
        const { primary, edges, fallback, client, adminKey } = cluster;
        const [edge, other] = [must(edges[0]), must(edges[1])];
        await expectConverged(primary, [...edges, fallback]);
        for (const node of [primary, ...edges, fallback])
          for (const { text, ask, expected } of questions)
            expect({ node: node.name, text, answer: await ask(client(node)) }).toEqual({
              node: node.name,
              text,
              answer: expected,
            });

        const traceId = randomHex(16);
        const traceparent = `00-${traceId}-${randomHex(8)}-01`;
        const traced = new Oso(edge.url, adminKey, {
          fetchBuilder:
            (fetch: (input: unknown, init?: { headers?: Record<string, string> }) => Promise<unknown>) =>
            (input: unknown, init?: { headers?: Record<string, string> }) =>
              fetch(input, { ...init, headers: { ...init?.headers, traceparent } }),
        });
        await traced.insert(["has_role", User("tess"), "reader", Repository("kernel")]);
        // The client's token makes its own read wait for its write.
        expect(await traced.authorize(User("tess"), "read", Repository("kernel"))).toBe(true);
        const steps = () => new Set(collector.trace(traceId).map(({ node, name }) => `${node}: ${name}`));
        const expected = ["primary: append", "primary: publish", ...edges.map(({ name }) => `${name}: apply`)];
        await eventually(async () => new Set(expected).isSubsetOf(steps()), "all nodes report the trace");

        await expectConverged(primary, [...edges, fallback]);
        await primary.kill();
        for (const node of [...edges, fallback])
          expect(await client(node).authorize(User("tess"), "read", Repository("kernel"))).toBe(true);
        await expect(client(edge).insert(["has_role", User("tom"), "reader", Repository("kernel")])).rejects.toThrow(
          /primary/,
        );

        const promoted = await fetch(`${edge.url}/api/promote`, {
          method: "POST",
          headers: { Authorization: `Bearer ${adminKey}`, "Content-Type": "application/json" },
          body: "{}",
        });
        expect({ status: promoted.status, body: await promoted.text() }).toMatchObject({ status: 200 });
        await client(edge).insert(["has_role", User("tom"), "reader", Repository("kernel")]);
        await other.stop();
        other.launch({ OSTIARY_PRIMARY: edge.url });
        await other.ready();
        await expectConverged(edge, [other]);
        for (const user of ["tess", "tom"])
          expect(await client(other).authorize(User(user), "read", Repository("kernel"))).toBe(true);
        for (const node of [edge, other, fallback]) expect(node.exits).toEqual([]);
      });
    } finally {
      await collector.stop();
    }
  },
  scenarioTimeoutMs,
);
