/**
 * The manifests start working clusters: the containers of nodes run as processes of this machine, with their own
 * arguments, variables, settings and keys.
 */
import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Oso } from "oso-cloud";
import { builtBinary } from "../../scripts/built-binary.ts";
import { freePort, healthAt, newAdminKey, randomHex } from "../../scripts/node-process.ts";
import { must } from "../../src/util/assert.ts";
import { eventually } from "../e2e/cluster.ts";
import { Etcd } from "../e2e/etcd.ts";
import { type Container, nodeContainersOf, readManifests, render, type Variant } from "./manifests.ts";
import { prepareContainer, startContainer } from "./pod.ts";

const policy = 'actor User {} resource Repo { roles = ["reader"]; permissions = ["read"]; "read" if "reader"; }';
const [ann, bob] = ["ann", "bob"].map((id) => ({ type: "User", id })) as [Value, Value];
const repo = { type: "Repo", id: "acme" };

interface Value {
  readonly type: string;
  readonly id: string;
}

interface Pod {
  readonly url: string;
  readonly container: Container;
  readonly process: ReturnType<typeof startContainer>;
}

/** Pods of one cluster, each at a port of this machine. */
class Pods {
  readonly adminKey = newAdminKey();
  readonly folder = mkdtempSync(join(tmpdir(), "ostiary-kubernetes-"));
  readonly #secrets = { "ostiary-keys": { "node-key": randomHex(32), "admin-key": this.adminKey } };
  readonly #urls: Record<string, string> = {};
  readonly #pods: Pod[] = [];

  /** The address that stands for a URL of the manifests. */
  async reserve(...urls: string[]): Promise<void> {
    for (const url of urls) this.#urls[url] = `http://127.0.0.1:${await freePort()}`;
  }

  use(url: string, address: string): void {
    this.#urls[url] = address;
  }

  /** Starts a pod at the address of `url`. */
  async start(variant: Variant, workloadName: string, name: string, url: string): Promise<Pod> {
    const manifests = readManifests(render(variant));
    const workload = must(manifests.workloads.find(({ metadata }) => metadata.name === workloadName));
    const container = must(nodeContainersOf(workload)[0]);
    const folder = join(this.folder, name);
    const [secrets, urls] = [this.#secrets, this.#urls];
    const prepared = prepareContainer({ manifests, workload, container, name, folder, secrets, urls });
    const address = must(urls[url]);
    // All pods share the address of this machine, so each has a port of its own.
    const own = { OSTIARY_HOST: "127.0.0.1", OSTIARY_PORT: new URL(address).port };
    const environment = { ...prepared.environment, ...own };
    const process = startContainer(await builtBinary(), { ...prepared, environment });
    const pod = { url: address, container, process };
    this.#pods.push(pod);
    return pod;
  }

  client({ url }: Pod): Oso {
    return new Oso(url, this.adminKey);
  }

  async removeAll(): Promise<void> {
    for (const { process } of this.#pods) process.kill("SIGKILL");
    await Promise.all(this.#pods.map(({ process }) => process.exited));
    rmSync(this.folder, { recursive: true, force: true });
  }
}

const primaryUrl = "http://ostiary-primary-0.ostiary-nodes:8080";
const edgeUrl = "http://ostiary-edge:8080";

describe("the manifests", () => {
  const clean: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const remove of clean.splice(0)) await remove();
  });

  const newPods = async (...urls: string[]): Promise<Pods> => {
    const pods = new Pods();
    clean.push(() => pods.removeAll());
    await pods.reserve(...urls);
    return pods;
  };

  test("keep an edge alive that has never reached its primary", async () => {
    const pods = await newPods(primaryUrl, edgeUrl);
    const edge = await pods.start("base", "ostiary-edge", "ostiary-edge-0", edgeUrl);
    const { startupProbe, livenessProbe, readinessProbe } = edge.container;
    await eventually(async () => (await statusOf(edge, startupProbe)) === 200, "the edge has started", 20_000);
    expect(await statusOf(edge, livenessProbe)).toBe(200);
    expect(await statusOf(edge, readinessProbe)).toBe(503);
    expect(await stop(edge)).toBe(0);
  }, 90_000);

  test("start nodes that choose another primary when one is lost", async () => {
    const standbyUrls = [0, 1].map((index) => `http://ostiary-standby-${index}.ostiary-nodes:8080`);
    const pods = await newPods(primaryUrl, ...standbyUrls);
    const etcd = await Etcd.start(join(pods.folder, "etcd"));
    clean.unshift(() => etcd.stop());
    // It stands for the Lease of Kubernetes.
    pods.use("kubernetes://ostiary/ostiary", etcd.url("ostiary"));
    const members = [await pods.start("failover", "ostiary-primary", "ostiary-primary-0", primaryUrl)];
    for (const [index, url] of standbyUrls.entries())
      members.push(await pods.start("failover", "ostiary-standby", `ostiary-standby-${index}`, url));
    for (const pod of members) await untilProbesSucceed(pod);

    const [first, second] = members as [Pod, Pod, Pod];
    await pods.client(second).policy(policy);
    await pods.client(second).insert(["has_role", ann, "reader", repo]);
    const isPrimary = async ({ url }: Pod): Promise<boolean> => (await healthAt(url)).state === "PRIMARY";
    expect(await isPrimary(first)).toBe(true);
    first.process.kill("SIGKILL");
    await first.process.exited;
    const others = members.slice(1);
    await eventually(
      async () => (await Promise.all(others.map(isPrimary))).filter(Boolean).length === 1,
      "another node is the primary",
      30_000,
    );
    for (const pod of others) {
      await untilProbesSucceed(pod);
      expect(await pods.client(pod).authorize(ann, "read", repo)).toBe(true);
    }
    await eventually(
      async () => {
        await pods.client(second).insert(["has_role", bob, "reader", repo]);
        return true;
      },
      "writes are possible",
      20_000,
    );
  }, 120_000);
});

async function statusOf({ url }: Pod, probe: Container["livenessProbe"]): Promise<number> {
  return (await fetch(`${url}${must(probe?.httpGet).path}`)).status;
}

/** All probes of the container: a new node may need a moment to be ready. */
async function untilProbesSucceed(pod: Pod): Promise<void> {
  const { startupProbe, livenessProbe, readinessProbe } = pod.container;
  for (const probe of [startupProbe, livenessProbe, readinessProbe])
    if (probe !== undefined)
      await eventually(async () => (await statusOf(pod, probe)) === 200, `${probe.httpGet?.path} is 200`, 30_000);
}

/** Returns the exit status. */
async function stop({ process }: Pod): Promise<number> {
  process.kill("SIGTERM");
  return await process.exited;
}
