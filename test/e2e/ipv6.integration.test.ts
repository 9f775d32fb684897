/**
 * Nodes on a machine without IPv4: a network namespace whose loopback interface has only `::1`. A primary, an edge, a
 * fallback and Mosquitto talk to each other by addresses of IPv6, and the commands do too.
 */
import * as Bun from "bun";
import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { builtBinary } from "../../scripts/built-binary.ts";
import { newAdminKey, NodeProcess, randomHex } from "../../scripts/node-process.ts";
import { eventually } from "./cluster.ts";
import { programPath } from "./program.ts";
import { prepareMosquitto } from "./mosquitto.ts";

const ip = programPath("ip");
const namespace = `ostiary-ipv6-${process.pid}`;
const isPossible =
  process.getuid?.() === 0 && command("netns", "add", namespace) && command("netns", "delete", namespace);

function command(...parameters: string[]): boolean {
  return Bun.spawnSync([ip, ...parameters]).success;
}

describe.skipIf(!isPossible)("without IPv4 (skipped without network namespaces)", () => {
  test("a write reaches an edge and a fallback, through the embedded broker and through Mosquitto", async () => {
    const folder = mkdtempSync(join(tmpdir(), "ostiary-ipv6-"));
    const nodes: NodeProcess[] = [];
    const through = [ip, "netns", "exec", namespace];
    const place = { through, listen: "::", address: "[::1]" };
    const mosquitto = await prepareMosquitto(join(folder, "mosquitto"), {
      place: { through, listen: "::1", address: "[::1]", port: 1883 },
    });
    try {
      expect(command("netns", "add", namespace)).toBe(true);
      for (const change of [
        ["link", "set", "lo", "up"],
        ["addr", "del", "127.0.0.1/8", "dev", "lo"],
      ])
        expect(command("-n", namespace, ...change)).toBe(true);
      const binary = await builtBinary();
      const keys = { OSTIARY_NODE_KEY: randomHex(32), OSTIARY_ADMIN_KEY: newAdminKey() };
      const start = (name: string, role: "primary" | "edge" | "fallback", port: number, settings = {}): NodeProcess => {
        const environment = { ...keys, OSTIARY_MQTT_PORT: "0", ...settings };
        const node = new NodeProcess({ binary, name, role, port, directory: join(folder, name), environment, place });
        nodes.push(node);
        node.launch();
        return node;
      };
      const inside = async (words: readonly string[], settings = {}) => {
        const child = Bun.spawn([...through, binary, ...words], {
          env: { PATH: process.env["PATH"] ?? "", OSO_AUTH: keys.OSTIARY_ADMIN_KEY, ...settings },
          stdout: "pipe",
          stderr: "pipe",
        });
        const [output, errors, status] = await Promise.all([
          new Response(child.stdout).text(),
          new Response(child.stderr).text(),
          child.exited,
        ]);
        return { output, errors, status };
      };
      const isHealthy = async ({ url }: NodeProcess): Promise<boolean> =>
        (await inside(["health", "--url", url])).status === 0;

      mosquitto.launch();
      const peers = { OSTIARY_PRIMARY: "http://[::1]:8080", OSTIARY_PEERS: "http://[::1]:8080,http://[::1]:8081" };
      const brokers = { OSTIARY_BROKER: `embedded,${mosquitto.url}` };
      const primary = start("primary", "primary", 8080, { ...peers, ...mosquitto.primary, ...brokers });
      const edge = start("edge", "edge", 8081, { ...peers, ...mosquitto.edge, ...brokers });
      const fallback = start("fallback", "fallback", 8082, { ...peers, OSTIARY_REFRESH: "1s" });
      for (const node of [primary, edge]) await eventually(() => isHealthy(node), `${node.name} is healthy`, 30_000);

      // The health check of the image finds the address in the settings of the node.
      const own = await inside(["health"], { OSTIARY_HOST: "::", OSTIARY_PORT: "8081" });
      expect({ status: own.status, errors: own.errors }).toEqual({ status: 0, errors: "" });
      await eventually(async () => {
        const { output } = await inside(["health", "--url", edge.url, "--json"]);
        const { brokers: connected } = JSON.parse(output) as { brokers: { broker: string; connected: boolean }[] };
        return connected.length === 2 && connected.every((broker) => broker.connected);
      }, "the edge is connected to both brokers");

      const policy = join(folder, "policy.polar");
      await Bun.write(
        policy,
        'actor User {} resource Repo { roles = ["reader"]; permissions = ["read"]; "read" if "reader"; }',
      );
      expect(await inside(["policy", policy, "--url", edge.url])).toMatchObject({ status: 0 });
      const fact = ["tell", "has_role", "User:ann", "String:reader", "Repo:acme", "--url", edge.url];
      expect(await inside(fact)).toMatchObject({ status: 0 });
      for (const node of [primary, edge, fallback])
        await eventually(async () => {
          const { output } = await inside(["authorize", "User:ann", "read", "Repo:acme", "--url", node.url]);
          return output.startsWith("Allowed");
        }, `${node.name} knows the fact`);
      expect(await isHealthy(fallback)).toBe(true);
    } catch (error) {
      const outputs = nodes.map(({ name, output }) => `--- ${name}\n${output.slice(-6000)}`);
      throw new Error([String(error), ...outputs, `--- mosquitto\n${mosquitto.output}`].join("\n"), { cause: error });
    } finally {
      await Promise.all(nodes.map((node) => node.kill()));
      await mosquitto.kill();
      command("netns", "delete", namespace);
      rmSync(folder, { recursive: true, force: true });
    }
  }, 90_000);
});
