/**
 * The image under the conditions of platforms: other users, small limits, Kubernetes, the commands of the manual, and the
 * compose files with Mosquitto and etcd. Their images cannot be downloaded everywhere, so images are made of the programs
 * of this machine.
 */
import * as Bun from "bun";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Oso } from "oso-cloud";
import { projectRoot } from "../../scripts/built-binary.ts";
import { freePort, newAdminKey, randomHex } from "../../scripts/node-process.ts";
import { writeRootArchive } from "../../scripts/root-archive.ts";
import { must } from "../../src/util/assert.ts";
import { nodeContainersOf, readManifests, render, type Variant } from "../kubernetes/manifests.ts";
import { podmanFlags } from "../kubernetes/podman-flags.ts";
import { eventually, loadExample } from "../e2e/cluster.ts";
import { builtImage } from "./built-image.ts";
import { expectAnswers, healthOn } from "./container-answers.ts";
import { Podman } from "./podman.ts";
import { programPath } from "../e2e/program.ts";
import { etcdImage, mosquittoImage, type ServiceImage } from "./service-images.ts";

describe("in containers", () => {
  let podman: Podman;

  beforeAll(async () => {
    podman = new Podman();
    await builtImage();
  }, 250_000);

  afterAll(() => podman?.removeAll(), 60_000);

  test("a node runs as any user of the group 0, without an entry in /etc/passwd", async () => {
    const { prefix } = podman;
    const [name, port] = [`${prefix}-any-user`, await freePort()];
    await podman.podman(
      ...["run", "--detach", "--name", name, "--user", "1234567:0", "--passwd=false", "--read-only"],
      ...["--read-only-tmpfs=false", "--cap-drop", "all", "--volume", `${name}:/data`],
      ...["--publish", `127.0.0.1:${port}:8080`, "ostiary:latest", "serve", "--role", "primary"],
    );
    await eventually(async () => (await healthOn(port)).ok, "the primary answers", 20_000);
    const pid = await podman.podman("inspect", "--format", "{{.State.Pid}}", name);
    expect(/^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]).toBe("1234567");
    const logs = await podman.run(["sh", "-c", `podman logs ${name} 2>&1`]);
    expect(logs).not.toContain("other users of this machine");
    // Commands in the container have the same user.
    await podman.podman("exec", name, "/usr/bin/ostiary", "backup", "--data", "/data", "--out", "/data/a.backup");
    await podman.podman("stop", "--time", "15", name);
    expect(await podman.podman("inspect", "--format", "{{.State.ExitCode}}", name)).toBe("0");
  }, 60_000);

  test("a user that may not write to its volume is told how to change that", async () => {
    const data = join(podman.folder, "foreign");
    await podman.run(["install", "-d", "-m", "0750", "-o", "0", "-g", "0", data]);
    const run = ["run", "--rm", "--user", "1234567:1234567", "--passwd=false", "--volume", `${data}:/data`];
    const refused = await podman.podman(...run, "ostiary:latest", "serve", "--role", "primary").catch(String);
    expect(refused).toContain("this process may not write `/data`");
    expect(refused).toContain(
      "this process has user 1234567 and group 1234567, and the directory belongs to user 0 and group 0",
    );
    expect(refused).toContain("`chown -R 1234567:1234567`");
  }, 60_000);

  test("a limit of memory and processors lowers the limits of the node", async () => {
    const run = ["run", "--rm", "--memory", "1g", "--cpus", "1", "ostiary:latest"];
    const config = await podman.podman(...run, "config", "--role", "primary");
    expect(config).toMatch(/^\s*queryMemoryBytesMax: 64MiB$/m);
    expect(config).toMatch(/^\s*bufferedBytesMax: 128MiB$/m);
    expect(config).toMatch(/^\s*slowQueriesMax: 1$/m);
    const own = await podman.podman(...run, "config", "--role", "primary", "--slow-queries-max", "2");
    expect(own).toMatch(/^\s*slowQueriesMax: 2$/m);
  }, 60_000);

  test("a node with 256 MiB and half a processor answers load, and is not ended", async () => {
    const [name, port, adminKey] = [`${podman.prefix}-small`, await freePort(), newAdminKey()];
    await podman.podman(
      ...["run", "--detach", "--name", name, "--memory", "256m", "--cpus", "0.5", "--read-only"],
      ...["--read-only-tmpfs=false", "--volume", `${name}:/data`, "--publish", `127.0.0.1:${port}:8080`],
      ...["--env", `OSTIARY_ADMIN_KEY=${adminKey}`, "ostiary:latest", "serve", "--role", "primary"],
    );
    await eventually(async () => (await healthOn(port)).ok, "the primary answers", 40_000);
    const pid = (): Promise<string> => podman.podman("inspect", "--format", "{{.State.Pid}}", name);
    const started = await pid();
    const oso = new Oso(`http://127.0.0.1:${port}`, adminKey);
    await oso.policy('actor User {} resource Repo { roles = ["reader"]; permissions = ["read"]; "read" if "reader"; }');
    const user = (index: number) => ({ type: "User", id: `user-${index}` });
    const repo = (index: number) => ({ type: "Repo", id: `repo-${index % 50}` });
    const count = 5000;
    for (let first = 0; first < count; first += 1000)
      await oso.batch((batch) => {
        for (let index = first; index < first + 1000; index++)
          batch.insert(["has_role", user(index), "reader", repo(index)]);
      });
    const client = async (first: number): Promise<void> => {
      for (let index = first; index < count; index += 16) {
        expect(await oso.authorize(user(index), "read", repo(index))).toBe(true);
        expect(await oso.authorize(user(index), "read", repo(index + 1))).toBe(false);
        if (index % 10 === 0) expect(await oso.list(user(index), "read", "Repo")).toEqual([repo(index).id]);
      }
    };
    const check = async (): Promise<void> => {
      const authorization = `Bearer ${adminKey}`;
      const body = JSON.stringify({ src: "actor User {}" });
      for (let index = 0; index < 5; index++)
        await fetch(`http://127.0.0.1:${port}/api/validate`, { method: "POST", headers: { authorization }, body });
    };
    await Promise.all([...Array.from({ length: 16 }, (_, first) => client(first)), check()]);
    expect((await healthOn(port)).ok).toBe(true);
    expect(await pid()).toBe(started);
    expect(await podman.podman("inspect", "--format", "{{.State.OOMKilled}}", name)).toBe("false");
    await podman.podman("rm", "-f", "-t", "1", name);
  }, 120_000);

  test("the Kubernetes manifests start as containers, whose probes succeed, also without a primary", async () => {
    const { prefix } = podman;
    const adminKey = newAdminKey();
    const secrets = { "ostiary-keys": { "node-key": randomHex(32), "admin-key": adminKey } };
    const network = `${prefix}-kubernetes`;
    await podman.podman("network", "create", network);
    const start = async (variant: Variant, workloadName: string, name: string) => {
      const manifests = readManifests(render(variant));
      const workload = must(manifests.workloads.find(({ metadata }) => metadata.name === workloadName));
      const container = must(nodeContainersOf(workload)[0]);
      const folder = join(podman.folder, name);
      const [id, port] = [`${prefix}-${name}`, await freePort()];
      const { serviceName } = workload.spec;
      await podman.podman(
        ...["run", "--detach", "--name", id, "--network", network],
        ...(serviceName === undefined ? [] : ["--network-alias", `${name}.${serviceName}`]),
        ...["--publish", `127.0.0.1:${port}:${must(container.ports[0]).containerPort}`],
        ...podmanFlags({ manifests, workload, container, name, folder, secrets }, "ostiary:latest"),
      );
      const url = `http://127.0.0.1:${port}`;
      const logs = (): Promise<string> => podman.run(["sh", "-c", `podman logs ${id} 2>&1`]);
      const statuses = (): Promise<number[]> =>
        Promise.all(
          [container.startupProbe, container.livenessProbe, container.readinessProbe].flatMap((probe) =>
            probe === undefined ? [] : [fetch(`${url}${must(probe.httpGet).path}`).then(({ status }) => status)],
          ),
        );
      await eventually(
        async () => (await statuses()).every((status) => status === 200),
        "the probes succeed",
        40_000,
      ).catch(async (error: unknown) => {
        throw new Error(await logs(), { cause: error });
      });
      const stop = async (): Promise<void> => {
        const seconds = must(workload.spec.template.spec.terminationGracePeriodSeconds ?? 30);
        await podman.podman("stop", "--time", String(seconds), id);
        expect(await podman.podman("inspect", "--format", "{{.State.ExitCode}}", id)).toBe("0");
      };
      return { port, url, logs, statuses, stop };
    };
    // A user of the platform's choice, and that of the manifests.
    const primary = await start("openshift", "ostiary-primary", "ostiary-primary-0");
    const edge = await start("base", "ostiary-edge", "ostiary-edge-0");
    // The edge forwards the writes to the primary.
    await loadExample(new Oso(edge.url, adminKey));
    await expectAnswers(edge.port, adminKey);
    const fallback = await start("fallback-sidecar", "application", "application-0");
    await eventually(async () => (await healthOn(fallback.port)).ok, "the fallback has a snapshot", 20_000);
    for (const { logs } of [primary, edge, fallback]) expect(await logs()).not.toContain("other users of this machine");
    await primary.stop();
    for (const { port, statuses, stop } of [edge, fallback]) {
      await expectAnswers(port, adminKey);
      expect(await statuses()).not.toContain(503);
      await stop();
    }
  }, 150_000);

  test.each(["sh", "bash", "zsh"])(
    "the commands of the manual start three nodes, in %s",
    async (shell) => {
      const { prefix } = podman;
      const page = readFileSync(join(projectRoot, "appliance", "manual", "deployment.md"), "utf8");
      const block = /^```sh\n(docker network create.*?)^```$/ms.exec(page)?.[1] ?? "";
      const ports = [await freePort(), await freePort(), await freePort()];
      const own = `${prefix}-${shell}`;
      const script = block
        .replaceAll("docker ", "podman ")
        .replaceAll(/(network create|--network) ostiary/g, `$1 ${own}`)
        .replaceAll(/--name (\w+) -v (\w+-data):/g, `--name ${own}-$1 --network-alias $1 -v ${own}-$2:`)
        .replaceAll(/127\.0\.0\.1:808(\d):/g, (_, index: string) => `127.0.0.1:${ports[Number(index)]}:`);
      const words = [
        programPath(shell),
        ...(shell === "zsh" ? ["-f"] : []),
        "-c",
        `${script}\necho "key: $OSTIARY_ADMIN_KEY"`,
      ];
      const output = await podman.run(words, { timeoutMs: 90_000 });
      const [, adminKey = ""] = /^key: (\S+)$/m.exec(output) ?? [];
      const [primary = 0, edge = 0, fallback = 0] = ports;
      await eventually(async () => (await healthOn(edge)).state === "LIVE", "the edge is live", 20_000);
      await loadExample(new Oso(`http://127.0.0.1:${primary}`, adminKey));
      await eventually(async () => (await healthOn(fallback)).ok, "the fallback has a copy with a policy", 20_000);
      await expectAnswers(edge, adminKey);
      await podman.podman("rm", "-f", "-t", "5", ...["primary", "edge", "fallback"].map((name) => `${own}-${name}`));
    },
    120_000,
  );

  /** Runs `docker compose` for files of `compose/`, until the end of `body`. */
  async function withCompose(
    environment: Readonly<Record<string, string>>,
    body: (compose: (file: string, ...parameters: string[]) => Promise<string>) => Promise<void>,
  ): Promise<void> {
    let used = "";
    const compose = (file: string, ...parameters: string[]): Promise<string> => {
      used = file;
      const words = [
        ...["podman-compose", "-p", podman.prefix, "-f", join(projectRoot, "compose", file)],
        // Docker mounts only the volumes of the file.
        ...(parameters[0] === "up" ? ["--podman-run-args=--read-only-tmpfs=false"] : []),
        ...parameters,
      ];
      return podman.run(words, { environment, timeoutMs: 90_000 });
    };
    try {
      await body(compose);
    } catch (error) {
      throw new Error(await compose(used, "logs"), { cause: error });
    } finally {
      await compose(used, "down", "-v", "-t", "5");
    }
  }

  /** Variables of the compose files with free ports. */
  async function freePorts<const Name extends string>(...names: Name[]): Promise<Record<Name, string>> {
    const ports = await Promise.all(names.map(async (name) => [name, String(await freePort())] as const));
    return Object.fromEntries(ports) as Record<Name, string>;
  }

  test("compose/one-node.yaml becomes compose/cluster.yaml: primary, Mosquitto, two edges and a fallback", async () => {
    const image = `localhost/${podman.prefix}-mosquitto:latest`;
    await packImage(podman, image, "mosquitto", mosquittoImage());
    const ports = await freePorts("PRIMARY_PORT", "EDGE_A_PORT", "EDGE_B_PORT", "FALLBACK_PORT");
    const environment = { ...secrets(), MOSQUITTO_IMAGE: image, ...ports };
    const edges = [Number(ports.EDGE_A_PORT), Number(ports.EDGE_B_PORT)];
    await withCompose(environment, async (compose) => {
      await compose("one-node.yaml", "up", "-d");
      await eventually(async () => (await healthOn(Number(ports.PRIMARY_PORT))).ok, "the node answers", 40_000);
      await loadExample(new Oso(`http://127.0.0.1:${ports.PRIMARY_PORT}`, environment.OSTIARY_ADMIN_KEY));
      await compose("cluster.yaml", "up", "-d");
      for (const port of edges)
        await eventually(async () => (await healthOn(port)).state === "LIVE", "an edge is live", 40_000);
      for (const port of edges) await expectAnswers(port, environment.OSTIARY_ADMIN_KEY);
      await eventually(async () => (await healthOn(Number(ports.FALLBACK_PORT))).ok, "the fallback has a copy");
      // Throws if the check fails.
      for (const name of ["mosquitto", "edge-a"])
        await podman.podman("healthcheck", "run", `${podman.prefix}_${name}_1`);
    });
  }, 240_000);

  test("compose/failover.yaml: another node is the primary when the first one is killed", async () => {
    const image = `localhost/${podman.prefix}-etcd:latest`;
    await packImage(podman, image, "etcd", etcdImage());
    const ports = await freePorts("NODE_A_PORT", "NODE_B_PORT", "NODE_C_PORT");
    const environment = { ...secrets(), ETCD_IMAGE: image, ...ports };
    const [first, ...others] = Object.values(ports).map(Number);
    await withCompose(environment, async (compose) => {
      await compose("failover.yaml", "up", "-d");
      const isPrimary = async (port: number): Promise<boolean> => (await healthOn(port)).role === "primary";
      await eventually(() => isPrimary(must(first)), "the first node is the primary", 60_000);
      for (const port of others)
        await eventually(async () => (await healthOn(port)).state === "LIVE", "an edge is live", 40_000);
      await loadExample(new Oso(`http://127.0.0.1:${first}`, environment.OSTIARY_ADMIN_KEY));
      await compose("failover.yaml", "kill", "node-a");
      await compose("failover.yaml", "kill", "etcd-a");
      const promoted = async () => (await Promise.all(others.map(isPrimary))).includes(true);
      await eventually(promoted, "another node is the primary", 60_000);
      for (const port of others) await expectAnswers(port, environment.OSTIARY_ADMIN_KEY);
    });
  }, 240_000);
});

const secrets = () => ({
  OSTIARY_NODE_KEY: randomHex(32),
  OSTIARY_ADMIN_KEY: newAdminKey(),
  BROKER_PRIMARY_PASSWORD: randomHex(16),
  BROKER_EDGE_PASSWORD: randomHex(16),
});

async function packImage(podman: Podman, image: string, name: string, { root, command }: ServiceImage): Promise<void> {
  const context = join(podman.folder, name);
  await podman.run(["mkdir", context]);
  await writeRootArchive(join(context, "root.tar"), root);
  const lines = ["FROM scratch", "ADD root.tar /", ...(command.length > 0 ? [`CMD ${JSON.stringify(command)}`] : [])];
  await Bun.write(join(context, "Containerfile"), `${lines.join("\n")}\n`);
  await podman.run(["buildah", "build", "--isolation", "chroot", "--layers=false", "-t", image, context]);
}
