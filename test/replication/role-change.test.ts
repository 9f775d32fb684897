/** What a change of role keeps: the open database, the uses of API keys, and what waits to be written; and what it ends. */
import { expect, test } from "bun:test";
import { defaultLimits } from "../../src/config/limits.ts";
import { Writer } from "../../src/log/writer/writer.ts";
import { realSystem } from "../../src/replication/system.ts";
import { join } from "node:path";
import { eventually, post, reader, untraced, withCluster, withDirectory } from "./cluster.ts";
import { mayReadAt, positionAt, threeNodes, writeTo } from "./three-nodes.ts";

test("a promoted edge answers from the database that was open, and knows the uses of keys that nobody has saved", () =>
  withCluster(async (cluster) => {
    const { primary, b } = await threeNodes(cluster);
    await writeTo(primary.url, reader("ann"));
    await eventually(async () => expect(await (await mayReadAt(b.url, "ann")).json()).toEqual({ allowed: true }));
    const [engine, { keyUses }] = [b.node().engine(), b.node()];
    keyUses.record("unsaved", Date.now());
    await primary.stop();
    expect((await post(b.url, "/api/promote", {})).status).toBe(200);
    expect(await positionAt(b.url)).toMatchObject({ role: "primary", state: "PRIMARY" });
    expect(b.node().engine()).toBe(engine);
    expect(b.node().keyUses.lastUsedMs("unsaved")).toBeNumber();
    expect((await writeTo(b.url, reader("bob"))).status).toBe(200);
    expect(await (await mayReadAt(b.url, "bob")).json()).toEqual({ allowed: true });
  }));

test("a role that ends waits for its writes, so that none is committed in the next one", () =>
  withDirectory(async (directory) => {
    const path = join(directory, "store-1.db");
    const writer = new Writer({ environment: "test", synchronous: "FULL", limits: defaultLimits }, realSystem);
    try {
      await writer.open(path);
      const settled: string[] = [];
      const seen: number[] = [];
      const unsubscribe = writer.onStateChange(({ state }) => seen.push(state.offset));
      const writes = ["a", "b", "c"].map((id) =>
        writer
          .write(
            { kind: "keys", add: [{ id, name: id, role: "admin", hash: "0".repeat(64), timeMs: 1 }], remove: [] },
            untraced,
          )
          .then(() => settled.push(id)),
      );
      writer.storage.failed("position", new Error("no space"), directory);
      await writer.endRole();
      expect(settled.toSorted()).toEqual(["a", "b", "c"]);
      // The next role reports the failures of its own parts.
      expect(writer.storage.problem).toBeUndefined();
      await Promise.all(writes);
      unsubscribe();
      const before = seen.length;
      await writer.write({ kind: "keys", add: [], remove: ["a"] }, untraced);
      expect([before > 0, seen.length]).toEqual([true, before]);
    } finally {
      await writer.stop();
    }
  }));
