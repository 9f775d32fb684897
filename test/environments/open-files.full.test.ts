/** The limit of open files of a process bounds its environments, and leaves the present ones what they need. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { builtBinary } from "../../scripts/built-binary.ts";
import { freePort, NodeProcess } from "../../scripts/node-process.ts";
import { adminKey, eventually, nodeKey, withDirectory } from "../replication/cluster.ts";
import { ask, fill, mayRead } from "./host.ts";

const timeoutMs = 90_000;

test(
  "a node with few open files refuses one more environment, and the others go on, also after a restart",
  () =>
    withDirectory(async (directory) => {
      const node = new NodeProcess({
        binary: await builtBinary(),
        name: "primary",
        role: "primary",
        port: await freePort(),
        directory: join(directory, "primary"),
        environment: { OSTIARY_ADMIN_KEY: adminKey, OSTIARY_NODE_KEY: nodeKey, OSTIARY_ENVIRONMENT: "test" },
        place: {
          through: ["/bin/sh", "-c", 'ulimit -n "${FILES:-160}"; exec "$0" "$@"'],
          listen: "127.0.0.1",
          address: "127.0.0.1",
        },
      });
      try {
        await node.start();
        const keys: string[] = [];
        for (;;) {
          const { status, text, json } = await ask(node, adminKey, "POST", "/api/environments", {
            id: `e${keys.length}`,
          });
          if (status === 200) {
            keys.push(String(json.token));
            continue;
          }
          expect({ status, text }).toEqual({ status: 503, text: expect.stringContaining("ulimit -n") });
          break;
        }
        expect(keys.length).toBeGreaterThan(1);
        for (const key of [adminKey, ...keys]) {
          await fill(node, key, "ann");
          expect(await mayRead(node, key, "ann")).toBe(true);
        }
        await node.stop();
        // With a lower limit, some do not start.
        node.launch({ FILES: "120" });
        await node.ready();
        await eventually(async () => {
          const { environments } = (await ask(node, adminKey, "GET", "/api/environments")).json;
          const listed = environments as readonly { readonly failure?: string; readonly ready?: boolean }[];
          const failed = listed.filter(({ failure }) => failure?.includes("ulimit -n"));
          expect(failed.length).toBeGreaterThan(0);
          expect(listed.filter(({ ready }) => ready).length).toBe(listed.length - failed.length);
        });
        expect(await mayRead(node, adminKey, "ann")).toBe(true);
        expect(await node.stop()).toBe(0);
      } finally {
        await node.kill();
      }
    }),
  timeoutMs,
);
