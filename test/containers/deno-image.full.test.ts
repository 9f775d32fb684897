/** The image of the program on Deno: as an unprivileged user, on a read-only root file system, it decides. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Oso } from "oso-cloud";
import { projectRoot } from "../../scripts/built-binary.ts";
import { questions } from "../../scripts/example/questions.ts";
import { freePort, healthAt, newAdminKey } from "../../scripts/node-process.ts";
import { eventually, loadExample } from "../e2e/cluster.ts";
import { Podman } from "./podman.ts";

test("the image gives Deno the permissions of `scripts/deno`", () => {
  const permissions = (path: string): string[][] => {
    const text = readFileSync(join(projectRoot, path), "utf8");
    return [...text.matchAll(/\brun\b[^]*?--allow-import/g)].map(
      ([command]) => command.match(/--(?:allow|unstable)-[a-z]+/g) ?? [],
    );
  };
  const [own] = permissions("scripts/deno");
  expect(own?.length).toBeGreaterThan(5);
  expect(permissions("appliance/Containerfile.deno")).toEqual([own ?? [], own ?? []]);
});

describe("the image of Deno", () => {
  let podman: Podman;

  beforeAll(async () => {
    podman = new Podman();
    await podman.run([join(projectRoot, "scripts", "image"), "--runtime", "deno"], { timeoutMs: 400_000 });
  }, 420_000);

  afterAll(() => podman?.removeAll(), 60_000);

  test("decides, checks policies in worker processes, and stops", async () => {
    const [name, port, adminKey] = [`${podman.prefix}-deno`, await freePort(), newAdminKey()];
    await podman.podman(
      ...["run", "--detach", "--name", name, "--read-only", "--read-only-tmpfs=false", "--cap-drop", "all"],
      ...["--security-opt", "no-new-privileges", "--volume", `${name}:/data`, "--publish", `127.0.0.1:${port}:8080`],
      ...["--env", `OSTIARY_ADMIN_KEY=${adminKey}`, "ostiary:deno", "serve", "--role", "primary"],
    );
    const url = `http://127.0.0.1:${port}`;
    await eventually(async () => (await healthAt(url)).ok, "the primary answers", 60_000).catch(
      async (error: unknown) => {
        throw new Error(await podman.run(["sh", "-c", `podman logs ${name} 2>&1`]), { cause: error });
      },
    );
    const oso = new Oso(url, adminKey);
    await loadExample(oso);
    for (const { text, ask, expected } of questions)
      expect({ text, answer: await ask(oso) }).toEqual({ text, answer: expected });
    expect(await podman.podman("exec", name, "/usr/bin/deno", "--version")).toStartWith("deno ");
    // Without the time limit of the health check, since each start of Deno waits for a processor.
    const check = await podman.podman("inspect", "--format", "{{json .Config.Healthcheck.Test}}", name);
    const [kind, ...command] = JSON.parse(check) as string[];
    expect(kind).toBe("CMD");
    await podman.podman("exec", name, ...command);
    const licenses = await podman.podman("exec", name, ...command.slice(0, -1), "licenses", "--json");
    const components = JSON.parse(licenses) as readonly { readonly name: string; readonly partOf: string }[];
    expect(components.filter(({ partOf }) => partOf === "runtime").map(({ name }) => name)).toEqual(["deno"]);
    expect(components.map(({ name }) => name)).toEqual(expect.arrayContaining(["ostiary", "elysia", "mqtt", "zod"]));
    await podman.podman("stop", "--time", "20", name);
    expect(await podman.podman("inspect", "--format", "{{.State.ExitCode}}", name)).toBe("0");
  }, 120_000);
});
