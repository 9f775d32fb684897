/**
 * A cluster with nodes on two runtimes: a primary on Bun, an edge and a fallback on Deno. Databases, snapshots, events
 * and tokens are the same on both.
 */
import { describe, expect, test } from "bun:test";
import { denoProgram as deno } from "../../scripts/built-binary.ts";
import { Repository, User } from "../../scripts/example/facts.ts";
import { questions } from "../../scripts/example/questions.ts";
import type { NodeProcess } from "../../scripts/node-process.ts";
import { brokers, expectConverged, withCluster, type Cluster } from "./cluster.ts";

/** Deno compiles the program at the first start. */
const timeoutMs = 120_000;

describe.each([...brokers])("with the %s broker", (broker) => {
  test(
    "an edge and a fallback on Deno follow a primary on Bun",
    () =>
      withCluster({ broker, edges: 0 }, async (cluster) => {
        const { primary, client, node } = cluster;
        const edge = await node("edge-deno", "edge", {}, deno);
        const fallback = await node("fallback-deno", "fallback", {}, deno);
        await Promise.all([edge.start(({ state }) => state === "LIVE"), fallback.start()]);
        await expectConverged(primary, [edge, fallback]);
        for (const one of [edge, fallback]) await expectExample(cluster, one);

        const oso = client(edge);
        for (let index = 0; index < 20; index++) {
          const reader = User(`reader-${index}`);
          await oso.insert(["has_role", reader, "reader", Repository("kernel")]);
          expect(await oso.authorize(reader, "read", Repository("kernel"))).toBe(true);
        }

        await edge.kill();
        await client(primary).insert(["is_banned", User("alice")]);
        await edge.start(({ state }) => state === "LIVE");
        await expectConverged(primary, [edge, fallback]);
        expect(await client(edge).authorize(User("alice"), "delete", Repository("compiler"))).toBe(false);
      }),
    timeoutMs,
  );
});

async function expectExample({ client }: Cluster, node: NodeProcess): Promise<void> {
  for (const { text, ask, expected } of questions)
    expect({ node: node.name, text, answer: await ask(client(node)) }).toEqual({
      node: node.name,
      text,
      answer: expected,
    });
}
