/** A disk that several environments share. */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { ask as askNode, admit, inDirectory, loadPolicy, noMounts, withSmallDisk } from "../hostile/node.ts";
import { ask, createEnvironment, fill, isReader, mayRead } from "./host.ts";

describe.skipIf(noMounts)("a small disk (skipped where nothing may be mounted)", () => {
  test(
    "one environment cannot take the space of the others, and can delete",
    () =>
      inDirectory(async ({ directory, node: nodeIn }) =>
        withSmallDisk(join(directory, "disk"), "64m", async ({ path }) => {
          const node = await nodeIn({ data: join(path, "data"), environment: { OSTIARY_DISK_RESERVE_BYTES: "1MiB" } });
          await node.start();
          expect((await loadPolicy(node)).status).toBe(200);
          const greedy = await createEnvironment(node, "greedy");
          await fill(node, greedy, "ann");
          let refused;
          for (let count = 0; count < 400 && refused === undefined; count++) {
            const inserts = Array.from({ length: 500 }, (_, index) =>
              isReader(`u${count}-${index}-${"x".repeat(200)}`),
            );
            const answer = await ask(node, greedy, "POST", "/api/batch", [{ inserts }]);
            if (answer.status !== 200) refused = answer;
          }
          expect(refused?.status).toBe(503);
          expect(refused?.text).toContain("less free space than this environment has data");
          // The default environment, and a new one.
          expect((await admit(node, "bob")).status).toBe(200);
          const other = await createEnvironment(node, "other");
          await fill(node, other, "cid");
          expect(await mayRead(node, greedy, "ann")).toBe(true);
          const deleted = await ask(node, greedy, "POST", "/api/batch", [{ deletes: [isReader("ann")] }]);
          expect(deleted.status).toBe(200);
          expect((await askNode(node, "GET", "/readyz")).status).toBe(200);
        }),
      ),
    60_000,
  );
});
