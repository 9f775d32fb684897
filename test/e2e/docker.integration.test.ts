/**
 * The image on Docker, as its users run it: the commands of the manual and every compose file, with restarts, a `down`
 * without variables, and failover. No image can be pulled where tests run, so those of Mosquitto and etcd are made of
 * the programs of this machine.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Oso } from "oso-cloud";
import { ownArchitecture } from "../../scripts/build-targets.ts";
import { projectRoot } from "../../scripts/built-binary.ts";
import { imagePath } from "../../scripts/image.ts";
import { freePort, newAdminKey, randomHex } from "../../scripts/node-process.ts";
import { must } from "../../src/util/assert.ts";
import { eventually, loadExample } from "./cluster.ts";
import { expectAnswers, healthOn } from "./container-answers.ts";
import { Docker } from "./docker.ts";
import { etcdImage, mosquittoImage } from "./service-images.ts";

const secrets = () => ({
  OSTIARY_NODE_KEY: randomHex(32),
  OSTIARY_ADMIN_KEY: newAdminKey(),
  BROKER_PRIMARY_PASSWORD: randomHex(16),
  BROKER_EDGE_PASSWORD: randomHex(16),
});
const images = { MOSQUITTO_IMAGE: "mosquitto", ETCD_IMAGE: "etcd" };

describe("on Docker", () => {
  let docker: Docker;

  beforeAll(async () => {
    docker = await Docker.start();
    await docker.run([join(projectRoot, "scripts", "image")], { timeoutMs: 240_000 });
    await docker.docker("load", "--input", imagePath(ownArchitecture));
    const [mosquitto, etcd] = [mosquittoImage(), etcdImage()];
    await docker.importImage("mosquitto", mosquitto.root);
    await docker.importImage("etcd", etcd.root, etcd.command);
  }, 300_000);

  afterAll(() => docker?.stop(), 60_000);

  const compose = (file: string, environment: Readonly<Record<string, string>>, ...parameters: string[]) =>
    docker.run(["docker-compose", "--file", join(projectRoot, "compose", file), ...parameters], {
      environment: { ...images, ...environment },
      timeoutMs: 120_000,
    });
  const running = async (): Promise<string[]> =>
    (await docker.docker("ps", "--format", "{{.Names}}")).split("\n").filter((name) => name !== "");
  const isHealthy = async (name: string): Promise<boolean> =>
    (await docker.docker("inspect", "--format", "{{.State.Health.Status}}", name)) === "healthy";
  /** Variables of a compose file with free ports. */
  async function freePorts<const Name extends string>(...names: Name[]): Promise<Record<Name, string>> {
    const ports = await Promise.all(names.map(async (name) => [name, String(await freePort())] as const));
    return Object.fromEntries(ports) as Record<Name, string>;
  }
  const isLive = (port: string, role: string) =>
    eventually(async () => (await healthOn(Number(port))).state === role, `${port} is ${role}`, 60_000);

  test("the commands of the manual start three nodes", async () => {
    const page = readFileSync(join(projectRoot, "appliance", "manual", "deployment.md"), "utf8");
    const block = must(/^```sh\n(docker network create.*?)^```$/ms.exec(page)?.[1]);
    const ports = [await freePort(), await freePort(), await freePort()];
    const script = block.replaceAll(
      /127\.0\.0\.1:808(\d):/g,
      (_, index: string) => `127.0.0.1:${must(ports[Number(index)])}:`,
    );
    const output = await docker.run(["sh", "-c", `${script}\necho "key: $OSTIARY_ADMIN_KEY"`], { timeoutMs: 90_000 });
    const [, adminKey = ""] = /^key: (\S+)$/m.exec(output) ?? [];
    const [primary = 0, edge = 0, fallback = 0] = ports;
    await isLive(String(edge), "LIVE");
    await loadExample(new Oso(`http://127.0.0.1:${primary}`, adminKey));
    await eventually(async () => (await healthOn(fallback)).ok, "the fallback has a copy with a policy", 20_000);
    await expectAnswers(edge, adminKey);
    await docker.docker("restart", "primary", "edge");
    await isLive(String(edge), "LIVE");
    await expectAnswers(edge, adminKey);
    await expectAnswers(primary, adminKey);
    await docker.docker("rm", "--force", "primary", "edge", "fallback");
  }, 150_000);

  test("no compose file starts a node without its variables, and each can be ended without them", async () => {
    const all = secrets();
    const ports = await freePorts("PRIMARY_PORT", "EDGE_A_PORT", "EDGE_B_PORT", "FALLBACK_PORT", "NODE_A_PORT");
    const needed = {
      "one-node.yaml": ["OSTIARY_ADMIN_KEY"],
      "cluster.yaml": Object.keys(all),
      "two-brokers.yaml": Object.keys(all),
      "failover.yaml": ["OSTIARY_ADMIN_KEY", "OSTIARY_NODE_KEY"],
    };
    for (const [file, names] of Object.entries(needed))
      for (const name of names) {
        const refusal = await compose(file, { ...all, ...ports, [name]: "" }, "up", "--detach").catch(String);
        expect({ file, name, refusal }).toEqual({ file, name, refusal: expect.stringContaining("check-variables") });
        expect(await compose(file, {}, "logs", "check-variables")).toContain(name);
        expect(await running()).toEqual([]);
        await compose(file, {}, "down", "--volumes");
      }
  }, 240_000);

  test("one-node.yaml becomes cluster.yaml, which keeps its data over restarts", async () => {
    const all = secrets();
    const ports = await freePorts("PRIMARY_PORT", "EDGE_A_PORT", "EDGE_B_PORT", "FALLBACK_PORT");
    const variables = { ...all, ...ports };
    await compose("one-node.yaml", variables, "up", "--detach");
    await isLive(ports.PRIMARY_PORT, "PRIMARY");
    await loadExample(new Oso(`http://127.0.0.1:${ports.PRIMARY_PORT}`, all.OSTIARY_ADMIN_KEY));
    await compose("cluster.yaml", variables, "up", "--detach");
    for (const port of [ports.EDGE_A_PORT, ports.EDGE_B_PORT]) {
      await isLive(port, "LIVE");
      await expectAnswers(Number(port), all.OSTIARY_ADMIN_KEY);
    }
    for (const name of ["primary", "edge-a", "mosquitto"])
      await eventually(() => isHealthy(`ostiary-${name}-1`), `${name} is healthy`, 60_000);
    await compose("cluster.yaml", {}, "down");
    expect(await running()).toEqual([]);
    await compose("cluster.yaml", variables, "up", "--detach");
    await isLive(ports.EDGE_A_PORT, "LIVE");
    for (const port of [ports.EDGE_A_PORT, ports.PRIMARY_PORT])
      await expectAnswers(Number(port), all.OSTIARY_ADMIN_KEY);
    await compose("cluster.yaml", {}, "down", "--volumes");
  }, 240_000);

  test("two-brokers.yaml delivers events when one broker is killed", async () => {
    const all = secrets();
    const ports = await freePorts("PRIMARY_PORT", "EDGE_A_PORT", "EDGE_B_PORT");
    await compose("two-brokers.yaml", { ...all, ...ports }, "up", "--detach");
    await isLive(ports.EDGE_A_PORT, "LIVE");
    await compose("two-brokers.yaml", {}, "kill", "mosquitto-a");
    await loadExample(new Oso(`http://127.0.0.1:${ports.PRIMARY_PORT}`, all.OSTIARY_ADMIN_KEY));
    await expectAnswers(Number(ports.EDGE_A_PORT), all.OSTIARY_ADMIN_KEY);
    await compose("two-brokers.yaml", {}, "down", "--volumes");
  }, 150_000);

  test("failover.yaml: another node is the primary when the first one and a member of etcd are killed", async () => {
    const all = secrets();
    const ports = await freePorts("NODE_A_PORT", "NODE_B_PORT", "NODE_C_PORT");
    const others = [ports.NODE_B_PORT, ports.NODE_C_PORT];
    await compose("failover.yaml", { ...all, ...ports }, "up", "--detach");
    await isLive(ports.NODE_A_PORT, "PRIMARY");
    for (const port of others) await isLive(port, "LIVE");
    await loadExample(new Oso(`http://127.0.0.1:${ports.NODE_A_PORT}`, all.OSTIARY_ADMIN_KEY));
    await compose("failover.yaml", {}, "kill", "node-a", "etcd-a");
    const isPromoted = async (): Promise<boolean> =>
      (await Promise.all(others.map((port) => healthOn(Number(port))))).some(({ role }) => role === "primary");
    await eventually(isPromoted, "another node is the primary", 60_000);
    for (const port of others) await expectAnswers(Number(port), all.OSTIARY_ADMIN_KEY);
    await compose("failover.yaml", {}, "down", "--volumes");
  }, 240_000);
});
