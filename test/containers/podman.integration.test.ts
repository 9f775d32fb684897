/**
 * The image as in production: as an unprivileged user, on a read-only root file system, with one volume, as primary and
 * edge on a bridge network.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { Oso } from "oso-cloud";
import packageJson from "../../package.json" with { type: "json" };
import { freePort, newAdminKey, randomHex } from "../../scripts/node-process.ts";
import { eventually, loadExample } from "../e2e/cluster.ts";
import { builtImage } from "./built-image.ts";
import { expectAnswers, healthOn } from "./container-answers.ts";
import { Podman } from "./podman.ts";

describe("in containers", () => {
  let podman: Podman;

  beforeAll(async () => {
    podman = new Podman();
    await builtImage();
  }, 250_000);

  afterAll(() => podman?.removeAll(), 60_000);

  test("the image has its labels", async () => {
    const labels = JSON.parse(
      await podman.podman("image", "inspect", "--format", "{{json .Labels}}", "ostiary:latest"),
    ) as Record<string, string>;
    expect(labels).toMatchObject({
      "org.opencontainers.image.title": "ostiary",
      "org.opencontainers.image.licenses": packageJson.license,
      "org.opencontainers.image.version": packageJson.version,
    });
    expect(labels["org.opencontainers.image.revision"]).toMatch(/^[0-9a-f]{40}$/);
  });

  test("an edge decides with a policy from a primary in another container", async () => {
    const { prefix } = podman;
    const [primaryPort, edgePort] = [await freePort(), await freePort()];
    const [adminKey, nodeKey] = [newAdminKey(), randomHex(32)];
    await podman.podman("network", "create", prefix);
    const run = (name: string, port: number, role: string, environment: readonly string[]) =>
      podman.podman(
        ...["run", "--detach", "--name", `${prefix}-${name}`, "--network", prefix, "--network-alias", name],
        ...["--read-only", "--read-only-tmpfs=false", "--cap-drop", "all", "--security-opt", "no-new-privileges"],
        ...["--volume", `${prefix}-${name}:/data`, "--publish", `127.0.0.1:${port}:8080`],
        ...[`OSTIARY_NODE_KEY=${nodeKey}`, `OSTIARY_NODE_ID=${name}`, ...environment].flatMap((pair) => [
          "--env",
          pair,
        ]),
        ...["ostiary:latest", "serve", "--role", role],
      );
    await run("primary", primaryPort, "primary", [`OSTIARY_ADMIN_KEY=${adminKey}`]);
    await run("edge", edgePort, "edge", ["OSTIARY_PRIMARY=http://primary:8080"]);

    const logs = () =>
      Promise.all(["primary", "edge"].map((name) => podman.run(["sh", "-c", `podman logs ${prefix}-${name} 2>&1`])));
    await eventually(async () => (await healthOn(edgePort)).state === "LIVE", `the edge is live`, 20_000).catch(
      async (error: unknown) => {
        throw new Error((await logs()).join("\n"), { cause: error });
      },
    );
    await loadExample(new Oso(`http://127.0.0.1:${primaryPort}`, adminKey));
    await expectAnswers(edgePort, adminKey);
    expect((await healthOn(edgePort)).digest).toBe((await healthOn(primaryPort)).digest);
    // Worker processes work as well if there is only the binary.
    const checked = await fetch(`http://127.0.0.1:${edgePort}/api/validate`, {
      method: "POST",
      headers: { authorization: `Bearer ${adminKey}` },
      body: JSON.stringify({ src: "actor User {}" }),
    });
    expect(await checked.json()).toMatchObject({ success: true });

    for (const name of ["primary", "edge"]) {
      const container = `${prefix}-${name}`;
      const pid = await podman.podman("inspect", "--format", "{{.State.Pid}}", container);
      expect(/^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]).toBe("65532");
      const mounts = readFileSync(`/proc/${pid}/mounts`, "utf8");
      expect(mounts).toMatch(/^\S+ \/ overlay ro,/m);
      expect(mounts).toMatch(/^\S+ \/data \S+ rw,/m);
      await podman.podman("healthcheck", "run", container);
      await podman.podman("stop", "--time", "15", container);
      expect(await podman.podman("inspect", "--format", "{{.State.ExitCode}}", container)).toBe("0");
    }
  }, 120_000);
});
