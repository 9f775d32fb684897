/** An environment gets the id of a deleted one, whose history other nodes and a broker may still have. */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { prepareMosquitto } from "../e2e/mosquitto.ts";
import { adminKey, eventually, withCluster } from "../replication/cluster.ts";
import { ask, createEnvironment, fill, isReader, mayRead } from "./host.ts";

const timeoutMs = 60_000;

describe("with a real Mosquitto", () => {
  test.each([{ copy_of: "test" }, {}])(
    "an id is used again at an external broker: %p",
    (more) =>
      withCluster(async (cluster) => {
        const mosquitto = await prepareMosquitto(join(cluster.directory, "mosquitto"));
        await mosquitto.start();
        try {
          const flags = (user: "ostiary-primary" | "ostiary-edge") => ({
            broker: mosquitto.url,
            brokerUsername: user,
            brokerPassword: mosquitto.passwords[user],
            "advanced.environmentGrace": "1s",
          });
          const primary = await cluster.host("primary", "primary", flags("ostiary-primary"));
          await fill(primary, adminKey, "ann");
          const edge = await cluster.host("edge", "edge", { primary: primary.url, ...flags("ostiary-edge") });
          const late = await cluster.host("edge", "late", { primary: primary.url, ...flags("ostiary-edge") });
          const first = await createEnvironment(primary, "shop");
          await fill(primary, first, "bob");
          for (const node of [edge, late])
            await eventually(async () => expect(await mayRead(node, first, "bob")).toBe(true));
          // This edge does not see the deletion.
          await late.stop();
          expect((await ask(primary, adminKey, "DELETE", "/api/environments/shop")).status).toBe(200);
          let second = "";
          await eventually(async () => {
            second = await createEnvironment(primary, "shop", more);
          });
          if (!("copy_of" in more)) await fill(primary, second, "cid");
          else
            expect((await ask(primary, second, "POST", "/api/batch", [{ inserts: [isReader("cid")] }])).status).toBe(
              200,
            );
          const again = await cluster.host("edge", "late", { primary: primary.url, ...flags("ostiary-edge") });
          for (const node of [edge, again]) {
            await eventually(async () => expect(await mayRead(node, second, "cid")).toBe(true));
            await eventually(async () => expect(await mayRead(node, first, "bob")).toBe(401));
            expect(await mayRead(node, second, "bob")).toBe(false);
            expect(await mayRead(node, second, "ann")).toBe("copy_of" in more);
          }
          const written = await ask(primary, second, "POST", "/api/batch", [{ inserts: [isReader("dan")] }]);
          expect(written.status).toBe(200);
          for (const node of [edge, again])
            await eventually(async () => expect(await mayRead(node, second, "dan")).toBe(true));
        } finally {
          await mosquitto.kill();
        }
      }),
    timeoutMs,
  );
});
