/** Edges that follow a primary with its embedded broker: they converge, whatever the feed does and whoever restarts. */
import { describe, expect, test } from "bun:test";
import { eventually, insert, loadPolicy, mayRead, standing, withCluster } from "./cluster.ts";

describe("an edge", () => {
  test("starts from a snapshot, follows, and comes to the same state", () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      await loadPolicy(primary.node);
      await insert(primary.node, "ann");
      const edge = await cluster.edge("edge-1", primary);
      await eventually(() => expect(standing(edge.node)).toEqual(standing(primary.node)));
      await eventually(() => expect(edge.node.health().state).toBe("LIVE"));
      expect(mayRead(edge.node, "ann")).toBe(true);
      for (let index = 0; index < 200; index++) await insert(primary.node, `user-${index}`);
      await eventually(() => expect(standing(edge.node)).toEqual(standing(primary.node)));
      expect(mayRead(edge.node, "user-199")).toBe(true);
      expect(mayRead(edge.node, "nobody")).toBe(false);
    }));
});
