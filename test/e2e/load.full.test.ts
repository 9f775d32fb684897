/** 100,000 facts through the official client in batches of the maximum size, with an edge that replicates them all. */
import { expect, test } from "bun:test";
import type { IntoFact } from "oso-cloud";
import { Folder, Repository, User } from "../../scripts/example/facts.ts";
import { expectConverged, withCluster } from "./cluster.ts";

const factCount = 100_000;
const batchEntriesMax = 1000;

test(
  "100,000 facts load without an error and reach the edge",
  () =>
    withCluster({ broker: "embedded", edges: 1 }, async ({ primary, edges, client }) => {
      const oso = client(primary);
      const startMs = performance.now();
      for (let first = 0; first < factCount; first += batchEntriesMax) {
        await oso.batch((batch) => {
          for (let index = first; index < first + batchEntriesMax; index++) batch.insert(factNumber(index));
          return Promise.resolve();
        });
      }
      const seconds = (performance.now() - startMs) / 1000;
      await expectConverged(primary, edges, 60_000);
      const arrivedSeconds = (performance.now() - startMs) / 1000;
      console.log(
        `${factCount} facts: ${seconds.toFixed(1)} s to load, ${arrivedSeconds.toFixed(1)} s until the edge had them all`,
      );

      await oso.insert(["has_role", User("boss"), "reader", Folder("top-3")]);
      await expectConverged(primary, edges);
      for (const node of [primary, ...edges]) {
        const reader = client(node);
        expect(await reader.authorize(User("load-1"), "read", Repository("load-12"))).toBe(true);
        expect(await reader.authorize(User("load-1"), "read", Repository("load-22"))).toBe(false);
        expect(await reader.authorize(User("boss"), "read", Repository("load-99939"))).toBe(true);
        expect(await reader.list(User("load-1"), "read", "Repository")).toHaveLength(10 * 8 + 1);
        expect(await reader.list(User("boss"), "read", "Repository")).toHaveLength(1000 * 8 + 1);
        expect(await reader.get(["has_relation", Repository(`load-${factCount - 1}`), "folder", null])).toHaveLength(1);
      }
      // The same batch again changes nothing.
      const before = (await primary.health())?.offset;
      await oso.batch((batch) => {
        for (let index = 0; index < batchEntriesMax; index++) batch.insert(factNumber(index));
        return Promise.resolve();
      });
      expect((await primary.health())?.offset).toBe(before);
    }),
  240_000,
);

/**
 * Groups of ten facts: a folder below one of ten, a reader of it, and eight repositories in it. (The example adds one
 * public repository.)
 */
function factNumber(index: number): IntoFact {
  const ten = Math.floor(index / 10);
  const folder = Folder(`leaf-${ten}`);
  switch (index % 10) {
    case 0:
      return ["has_role", User(`load-${ten % 1000}`), "reader", folder];
    case 1:
      return ["has_relation", folder, "parent", Folder(`top-${ten % 10}`)];
    default:
      return ["has_relation", Repository(`load-${index}`), "folder", folder];
  }
}
