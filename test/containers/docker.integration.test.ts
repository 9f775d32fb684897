/**
 * The image on Docker, as its users run it: the printed commands and every compose file, with restarts, a `down` without
 * variables, and failover. The published images of Mosquitto and etcd cannot be downloaded everywhere, so images are made
 * of the programs of this machine.
 */
import * as Bun from "bun";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Oso } from "oso-cloud";
import { ownArchitecture } from "../../scripts/build-targets.ts";
import { projectRoot } from "../../scripts/built-binary.ts";
import { facts, Organization, User } from "../../scripts/example/facts.ts";
import { imagePath } from "../../scripts/image.ts";
import { freePort, newAdminKey, randomHex } from "../../scripts/node-process.ts";
import { must } from "../../src/util/assert.ts";
import { eventually, loadExample } from "../e2e/cluster.ts";
import { expectAnswers, healthOn } from "./container-answers.ts";
import { etcdImage, mosquittoImage } from "./service-images.ts";
import { Docker } from "./docker.ts";

const imageNames = { MOSQUITTO_IMAGE: "mosquitto", ETCD_IMAGE: "etcd" };

const files = [...new Bun.Glob("*.yaml").scanSync(join(projectRoot, "compose"))].toSorted();

type Environment = Readonly<Record<string, string>>;

const secrets = () => ({
  OSTIARY_NODE_KEY: randomHex(32),
  OSTIARY_ADMIN_KEY: newAdminKey(),
  BROKER_PRIMARY_PASSWORD: randomHex(16),
  BROKER_EDGE_PASSWORD: randomHex(16),
});

/** Variables of a compose file with free ports. */
async function freePorts<const Name extends string>(...names: Name[]): Promise<Record<Name, number>> {
  const ports = await Promise.all(names.map(async (name) => [name, await freePort()] as const));
  return Object.fromEntries(ports) as Record<Name, number>;
}

const words = (ports: Readonly<Record<string, number>>): Environment =>
  Object.fromEntries(Object.entries(ports).map(([name, port]) => [name, String(port)]));

const clientOf = (port: number, adminKey: string) => new Oso(`http://127.0.0.1:${port}`, adminKey);

const patienceMs = 60_000;
const isInState = (port: number, state: string) =>
  eventually(async () => (await healthOn(port)).state === state, `the node at ${port} is ${state}`, patienceMs);

describe("on Docker", () => {
  let docker: Docker;
  let printed = "";

  beforeAll(async () => {
    const image = join(projectRoot, "scripts", "image");
    docker = await Docker.start();
    printed = await docker.run([image], { timeoutMs: 240_000 });
    await docker.docker("load", "--input", imagePath(ownArchitecture));
    for (const [name, { root, command }] of Object.entries({ mosquitto: mosquittoImage(), etcd: etcdImage() }))
      await docker.importImage(name, root, command);
  }, 300_000);

  afterEach(() => docker?.removeContainers(), 60_000);
  afterAll(() => docker?.stop(), 60_000);

  const compose = (file: string, environment: Environment, ...parameters: string[]): Promise<string> =>
    docker.run(["docker-compose", "--file", join(projectRoot, "compose", file), ...parameters], {
      environment: { ...imageNames, ...environment },
      timeoutMs: 120_000,
    });
  /** A test of a compose file, whose failure shows what the containers have logged. */
  const withLogs = (file: string, body: () => Promise<void>) => (): Promise<void> =>
    body().catch(async (error: unknown) => {
      throw new Error(await compose(file, {}, "logs", "--tail", "20"), { cause: error });
    });
  const running = async () => (await docker.containers()).filter(({ State }) => State === "running");
  /** Each container needs a health check. */
  const areHealthy = (count: number) =>
    eventually(
      async () => {
        const statuses = (await running()).map(({ Status }) => Status);
        return statuses.length === count && statuses.every((status) => status.endsWith("(healthy)"));
      },
      `${count} containers are healthy`,
      patienceMs,
    );

  /** Runs commands that publish the ports from 8080 on, with free ports instead. Returns the ports. */
  async function runCommands(commands: string, environment: Environment): Promise<readonly [number, number, number]> {
    const ports = [await freePort(), await freePort(), await freePort()] as const;
    const published = /127\.0\.0\.1:808([012]):/g;
    const script = commands.replaceAll(published, (_, index: string) => `127.0.0.1:${must(ports[Number(index)])}:`);
    await docker.run(["sh", "-e", "-c", script], { environment });
    return ports;
  }

  test("the commands that scripts/image prints start a primary and an edge", async () => {
    const commands = must(/^ {2}docker network create ostiary$.*serve --role edge$/ms.exec(printed)?.[0]);
    const { OSTIARY_NODE_KEY, OSTIARY_ADMIN_KEY } = secrets();
    const [primary, edge] = await runCommands(commands, { OSTIARY_NODE_KEY, OSTIARY_ADMIN_KEY });
    await isInState(edge, "LIVE");
    await loadExample(clientOf(primary, OSTIARY_ADMIN_KEY));
    await expectAnswers(edge, OSTIARY_ADMIN_KEY);
  }, 120_000);

  test("the commands of the manual start three nodes, which keep their data over restarts", async () => {
    const page = readFileSync(join(projectRoot, "appliance", "manual", "deployment.md"), "utf8");
    const block = must(/^```sh\n(docker network create.*?)^```$/ms.exec(page)?.[1]);
    const [primary, edge, fallback] = await runCommands(block, {});
    const variables = await docker.docker(
      "inspect",
      "--format",
      "{{range .Config.Env}}{{println .}}{{end}}",
      "primary",
    );
    const adminKey = must(/^OSTIARY_ADMIN_KEY=(.*)$/m.exec(variables)?.[1]);
    await isInState(edge, "LIVE");
    await loadExample(clientOf(primary, adminKey));
    await eventually(async () => (await healthOn(fallback)).ok, "the fallback has a copy with a policy");
    for (const port of [primary, edge]) await expectAnswers(port, adminKey);
    await docker.docker("restart", "primary", "edge", "fallback");
    await isInState(edge, "LIVE");
    for (const port of [primary, edge, fallback]) await expectAnswers(port, adminKey);
    await areHealthy(3);
  }, 150_000);

  test.each(files)("compose/%s starts no node without its variables, and other commands need none", async (file) => {
    const refusal = await compose(file, {}, "up", "--detach").catch(String);
    expect(refusal).toContain(`service "check-variables" didn't complete successfully`);
    expect(await running()).toEqual([]);
    expect(await compose(file, {}, "logs", "check-variables")).toMatch(/OSTIARY_(?:ADMIN|NODE)_KEY/);
    expect(await compose(file, {}, "ps", "--all")).toContain("Exited");
    await compose(file, {}, "down", "--volumes");
    expect(await docker.containers()).toEqual([]);
  });

  test(
    "compose/one-node.yaml becomes compose/cluster.yaml and back, with its data",
    withLogs("cluster.yaml", async () => {
      const all = secrets();
      const ports = await freePorts("PRIMARY_PORT", "EDGE_A_PORT", "EDGE_B_PORT", "FALLBACK_PORT");
      const { PRIMARY_PORT: primary, EDGE_A_PORT: edgeA, EDGE_B_PORT: edgeB, FALLBACK_PORT: fallback } = ports;
      const variables = { ...all, ...words(ports) };
      const client = clientOf(primary, all.OSTIARY_ADMIN_KEY);
      const expectAllAnswer = async (...nodes: readonly number[]): Promise<void> => {
        for (const port of nodes) await expectAnswers(port, all.OSTIARY_ADMIN_KEY);
      };
      await compose("one-node.yaml", variables, "up", "--detach");
      await isInState(primary, "PRIMARY");
      await loadExample(client);

      // Ends when all containers are healthy.
      await compose("cluster.yaml", variables, "up", "--detach", "--wait");
      await expectAllAnswer(primary, edgeA, edgeB, fallback);

      await compose("cluster.yaml", {}, "restart");
      for (const port of [edgeA, edgeB]) await isInState(port, "LIVE");
      await expectAllAnswer(primary, edgeA, edgeB, fallback);

      // The broker ends, and Docker starts it again.
      await compose("cluster.yaml", {}, "exec", "-T", "mosquitto", "/bin/sh", "-c", "kill 1");
      await client.insert(["has_role", User("ann"), "owner", Organization("initech")]);
      const edge = clientOf(edgeB, all.OSTIARY_ADMIN_KEY);
      const isKnown = () => edge.authorize(User("ann"), "delete", Organization("initech"));
      await eventually(isKnown, "the edge has the write");
      const usesBroker = async (): Promise<boolean> =>
        (await healthOn(edgeB)).following === "it gets events from a broker";
      await eventually(usesBroker, "the edge uses the broker again");

      await compose("one-node.yaml", variables, "up", "--detach", "--remove-orphans");
      await isInState(primary, "PRIMARY");
      await expectAllAnswer(primary);
      expect((await running()).map(({ Names }) => Names)).toEqual([["/ostiary-primary-1"]]);
      await compose("one-node.yaml", {}, "down", "--volumes");
      expect(await running()).toEqual([]);
    }),
    240_000,
  );

  test(
    "compose/two-brokers.yaml delivers events when one broker is killed",
    withLogs("two-brokers.yaml", async () => {
      const all = secrets();
      const ports = await freePorts("PRIMARY_PORT", "EDGE_A_PORT", "EDGE_B_PORT");
      const { PRIMARY_PORT: primary, EDGE_A_PORT: edgeA, EDGE_B_PORT: edgeB } = ports;
      await compose("two-brokers.yaml", { ...all, ...words(ports) }, "up", "--detach", "--wait");
      await compose("two-brokers.yaml", {}, "kill", "mosquitto-a");
      await loadExample(clientOf(primary, all.OSTIARY_ADMIN_KEY));
      for (const port of [edgeA, edgeB]) await expectAnswers(port, all.OSTIARY_ADMIN_KEY);
      await compose("two-brokers.yaml", {}, "start", "mosquitto-a");
      expect(await running()).toHaveLength(5);
      await compose("two-brokers.yaml", {}, "down", "--volumes");
      expect(await running()).toEqual([]);
    }),
    150_000,
  );

  test(
    "compose/failover.yaml: a node and a member of etcd are killed, and no acknowledged write is lost",
    withLogs("failover.yaml", async () => {
      const all = secrets();
      const ports = await freePorts("NODE_A_PORT", "NODE_B_PORT", "NODE_C_PORT");
      const { NODE_A_PORT: first, NODE_B_PORT: second, NODE_C_PORT: third } = ports;
      const variables = { ...all, ...words(ports) };
      const client = (port: number) => clientOf(port, all.OSTIARY_ADMIN_KEY);
      await compose("failover.yaml", variables, "up", "--detach");
      await isInState(first, "PRIMARY");
      for (const port of [second, third]) await isInState(port, "LIVE");
      await loadExample(client(first));

      const acknowledged: string[] = [];
      let isWriting = true;
      const writer = (async (): Promise<void> => {
        for (let number = 0; isWriting; number++) {
          const id = `writer-${number}`;
          const write = client(second).insert(["has_role", User(id), "member", Organization("acme")]);
          await write.then(
            () => acknowledged.push(id),
            () => Bun.sleep(50),
          );
        }
      })();
      await eventually(async () => acknowledged.length >= 20, "writes are acknowledged");
      await compose("failover.yaml", {}, "kill", "node-a", "etcd-a");
      const beforePromotion = acknowledged.length;
      const hasPrimary = async (): Promise<boolean> =>
        (await Promise.all([second, third].map(healthOn))).some(({ role }) => role === "primary");
      await eventually(hasPrimary, "another node is the primary", patienceMs);
      const enough = acknowledged.length + 20;
      await eventually(async () => acknowledged.length >= enough, "writes are acknowledged again", patienceMs);
      isWriting = false;
      await writer;
      expect(acknowledged.length).toBeGreaterThan(beforePromotion);

      const roles = facts.filter(([predicate]) => predicate === "has_role").length;
      const expectNothingLost = async (port: number): Promise<void> => {
        await expectAnswers(port, all.OSTIARY_ADMIN_KEY);
        const missing = async () => {
          const found = await client(port).get(["has_role", null, null, null]);
          const ids = new Set(found.map(([, user]) => (user as { readonly id: string }).id));
          expect(found.length).toBeGreaterThan(roles);
          return acknowledged.filter((id) => !ids.has(id));
        };
        await eventually(async () => (await missing()).length === 0, `the node at ${port} has all acknowledged writes`);
      };
      for (const port of [second, third]) await expectNothingLost(port);

      await compose("failover.yaml", {}, "start", "node-a", "etcd-a");
      await isInState(first, "LIVE");
      await expectNothingLost(first);

      // A new set of containers with the volumes of this one.
      await compose("failover.yaml", {}, "down", "--timeout", "1");
      expect(await running()).toEqual([]);
      await compose("failover.yaml", variables, "up", "--detach");
      for (const port of [first, second, third]) {
        await eventually(async () => (await healthOn(port)).ok, `the node at ${port} answers`, patienceMs);
        await expectNothingLost(port);
      }
      await areHealthy(6);
    }),
    240_000,
  );
});
