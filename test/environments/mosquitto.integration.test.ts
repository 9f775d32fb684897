/** Environments at an external broker, with the shipped configuration and access list of Mosquitto. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { connectAsync } from "mqtt";
import { prepareMosquitto } from "../e2e/mosquitto.ts";
import { adminKey, eventually, withCluster, withDirectory } from "../replication/cluster.ts";
import { ask, createEnvironment, fill, isReader, mayRead } from "./host.ts";

// A timeout of the test runner would kill the broker of all later tests.
setDefaultTimeout(60_000);

test("edges get the events of each environment through the broker", () =>
  withDirectory(async (directory) => {
    const mosquitto = await prepareMosquitto(directory);
    await mosquitto.start();
    const flags = (user: "ostiary-primary" | "ostiary-edge") => ({
      broker: mosquitto.url,
      brokerUsername: user,
      brokerPassword: mosquitto.passwords[user],
    });
    try {
      await withCluster(async (cluster) => {
        const primary = await cluster.host("primary", "primary", flags("ostiary-primary"));
        const key = await createEnvironment(primary, "team-a");
        await fill(primary, key, "ann");
        const edge = await cluster.host("edge", "edge-1", { ...flags("ostiary-edge"), primary: primary.url });
        await eventually(async () => expect(await mayRead(edge, key, "ann")).toBe(true));
        await eventually(async () => {
          const { text } = await ask(edge, adminKey, "GET", "/metrics");
          expect(text).toMatch(/ostiary_broker_connected\{[^}]*environment="team-a"[^}]*\} 1/);
        });
        // Watches the messages as the primary may.
        const seen: string[] = [];
        const client = await connectAsync(mosquitto.url, {
          clientId: "watcher",
          username: "ostiary-primary",
          password: mosquitto.passwords["ostiary-primary"],
        });
        client.on("message", (topic) => seen.push(topic));
        await client.subscribeAsync(["ostiary/v1/+/ev", "ostiary/v1/+/node/+"]);
        const written = await ask(primary, key, "POST", "/api/batch", [{ inserts: [isReader("bob")] }]);
        expect(written.status).toBe(200);
        await eventually(async () => expect(await mayRead(edge, key, "bob")).toBe(true));
        await eventually(() => expect(seen).toContain("ostiary/v1/team-a/ev"));
        await eventually(() => expect(seen).toContain("ostiary/v1/team-a/node/edge-1@team-a"));
        expect(seen).not.toContain("ostiary/v1/test/ev");
        await client.endAsync();
      });
    } finally {
      await mosquitto.kill();
    }
  }));
