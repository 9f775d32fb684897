/** Each node compiles a large policy before it becomes active, and answers from the old one meanwhile. */
import { expect, test } from "bun:test";
import { isCompiled } from "../../src/policy/active-policy.ts";
import { compileAhead, onCompiledAhead } from "../../src/policy/compile-ahead.ts";
import type { Node } from "../../src/replication/node.ts";
import { realClusterSystem } from "../../src/roles/cluster-system.ts";
import { sleep, systemClock } from "../../src/util/clock.ts";
import { converged, eventually, policy, post, type Running, withCluster } from "./cluster.ts";

const blocks = Array.from(
  { length: 200 },
  (_, index) => `resource Kind${index} { roles = ["reader"]; permissions = ["read"]; "read" if "reader"; }`,
);
const large = [policy, ...blocks].join("\n");

const timeoutMs = 60_000;

test(
  "before it becomes active, on the primary and on the edge",
  () =>
    withCluster(async (cluster) => {
      const asked: { readonly on: string; readonly source: string; readonly isActive: boolean }[] = [];
      const systemOf = (on: string, node: () => Running<Node> | undefined) => ({
        ...realClusterSystem,
        compileAhead: async (source: string, filename: string | null) => {
          const isActive = () => node()?.node.engine().policy()?.source === large;
          const before = isActive();
          await compileAhead(source, filename);
          // As if it took longer.
          await sleep(systemClock, 200);
          asked.push({ on, source, isActive: before || isActive() });
        },
      });
      const nodes: Partial<Record<"primary" | "edge", Running<Node>>> = {};
      const primary = await cluster.primary(
        {},
        undefined,
        systemOf("primary", () => nodes.primary),
      );
      const edge = await cluster.edge(
        "edge",
        primary,
        {},
        systemOf("edge", () => nodes.edge),
      );
      Object.assign(nodes, { primary, edge });
      await eventually(() => converged(edge.node, primary.node));
      asked.length = 0;
      const loaded = await post(primary.url, "/api/policy", { src: large });
      expect(loaded.status).toBe(200);
      await eventually(() => converged(edge.node, primary.node));
      expect(asked.map(({ on, isActive }) => ({ on, isActive }))).toEqual([
        { on: "primary", isActive: false },
        { on: "edge", isActive: false },
      ]);
      for (const { source } of asked) expect(source.startsWith(large)).toBe(true);
      for (const { node } of [primary, edge]) expect(node.engine().policy()?.source).toBe(large);
    }),
  timeoutMs,
);

test(
  "in another thread, for all threads that listen",
  async () => {
    const compiled: string[] = [];
    const stop = onCompiledAhead(async ({ source }) => {
      await sleep(systemClock, 50);
      compiled.push(source);
    });
    try {
      const text = `${large}\n# for listeners`;
      await compileAhead(text, null);
      expect(compiled).toEqual([text]);
      expect(isCompiled(text, null)).toBe(true);
      await compileAhead(text, null);
      expect(compiled).toHaveLength(1);
    } finally {
      stop();
    }
  },
  timeoutMs,
);

test(
  "and a policy that does not compile is refused later",
  async () => {
    const text = `${large}\nallow(`;
    await compileAhead(text, null);
    expect(isCompiled(text, null)).toBe(false);
  },
  timeoutMs,
);
