/**
 * A Docker Engine for the tests of a file, with the image of this tree, and the compose files on it. The published images
 * of Mosquitto and etcd cannot be downloaded everywhere, so images are made of the programs of this machine.
 */
import { afterAll, afterEach, beforeAll } from "bun:test";
import { join } from "node:path";
import { Oso } from "oso-cloud";
import { ownArchitecture } from "../../scripts/build-targets.ts";
import { projectRoot } from "../../scripts/built-binary.ts";
import { imagePath } from "../../scripts/image.ts";
import { freePort, newAdminKey, randomHex } from "../../scripts/node-process.ts";
import { must } from "../../src/util/assert.ts";
import { eventually } from "../e2e/cluster.ts";
import { builtImage } from "./built-image.ts";
import { healthOn } from "./container-answers.ts";
import { Docker } from "./docker.ts";
import { etcdImage, mosquittoImage } from "./service-images.ts";

const imageNames = { MOSQUITTO_IMAGE: "mosquitto", ETCD_IMAGE: "etcd" };

export type Environment = Readonly<Record<string, string>>;

export const secrets = () => ({
  OSTIARY_NODE_KEY: randomHex(32),
  OSTIARY_ADMIN_KEY: newAdminKey(),
  BROKER_PRIMARY_PASSWORD: randomHex(16),
  BROKER_EDGE_PASSWORD: randomHex(16),
});

/** Variables of a compose file with free ports. */
export async function freePorts<const Name extends string>(...names: Name[]): Promise<Record<Name, number>> {
  const ports = await Promise.all(names.map(async (name) => [name, await freePort()] as const));
  return Object.fromEntries(ports) as Record<Name, number>;
}

export const words = (ports: Readonly<Record<string, number>>): Environment =>
  Object.fromEntries(Object.entries(ports).map(([name, port]) => [name, String(port)]));

export const clientOf = (port: number, adminKey: string) => new Oso(`http://127.0.0.1:${port}`, adminKey);

export const patienceMs = 60_000;
export const isInState = (port: number, state: string) =>
  eventually(async () => (await healthOn(port)).state === state, `the node at ${port} is ${state}`, patienceMs);

/** Starts the engine before the tests of the present `describe`, and ends it after them. */
export function useDocker() {
  let started: Docker | undefined;
  const docker = (): Docker => must(started, "Docker runs");

  beforeAll(async () => {
    started = await Docker.start();
    await builtImage();
    await docker().docker("load", "--input", imagePath(ownArchitecture));
    for (const [name, { root, command }] of Object.entries({ mosquitto: mosquittoImage(), etcd: etcdImage() }))
      await docker().importImage(name, root, command);
  }, 300_000);

  afterEach(() => started?.removeContainers(), 60_000);
  afterAll(() => started?.stop(), 60_000);

  const compose = (file: string, environment: Environment, ...parameters: string[]): Promise<string> =>
    docker().run(["docker-compose", "--file", join(projectRoot, "compose", file), ...parameters], {
      environment: { ...imageNames, ...environment },
      timeoutMs: 120_000,
    });
  /** A test of a compose file, whose failure shows what the containers have logged. */
  const withLogs = (file: string, body: () => Promise<void>) => (): Promise<void> =>
    body().catch(async (error: unknown) => {
      throw new Error(await compose(file, {}, "logs", "--tail", "20"), { cause: error });
    });
  const running = async () => (await docker().containers()).filter(({ State }) => State === "running");
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
  return { docker, compose, withLogs, running, areHealthy };
}
