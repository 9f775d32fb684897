/**
 * What only the built binary can get wrong: code that reads its own text, which is minified there, and files that Bun
 * reads from the working directory. `test/cli` has the commands themselves.
 */
import * as Bun from "bun";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Oso } from "oso-cloud";
import { builtBinary, projectRoot } from "../../scripts/built-binary.ts";
import { freePort } from "../../scripts/node-process.ts";
import { eventually } from "./cluster.ts";

const examplePolicy = join(projectRoot, "scripts", "example", "policy.polar");
const developmentKey = "e_0123456789_12345_osotesttoken01xiIn";
let binary = "";
let directory = "";

beforeAll(async () => {
  binary = await builtBinary();
  directory = mkdtempSync(join(tmpdir(), "ostiary-command-"));
}, 120_000);

afterAll(() => rmSync(directory, { recursive: true, force: true }));

interface Outcome {
  readonly status: number;
  readonly output: string;
  readonly errors: string;
}

function run(args: readonly string[], environment: Readonly<Record<string, string>> = {}): Outcome {
  const ended = Bun.spawnSync([binary, ...args], {
    cwd: directory,
    env: { PATH: process.env["PATH"] ?? "", ...environment },
    timeout: 20_000,
  });
  return { status: ended.exitCode, output: ended.stdout.toString(), errors: ended.stderr.toString() };
}

/** Elysia reads the source text of handlers to find the properties they need; in the binary the text is minified. */
async function tellsRoutes(url: string): Promise<void> {
  const headers = { Authorization: `Bearer ${developmentKey}` };
  const calls = [
    ["POST", "/api/authorize", "/api/authorize"],
    ["POST", "/api/evaluate_query", "/api/evaluate_query"],
    ["POST", "/api/batch", "/api/batch"],
    ["GET", "/api/facts?predicate=has_role", "/api/facts"],
    ["GET", "/api/policy_metadata", "/api/policy_metadata"],
    ["DELETE", "/api/keys/unknown", "/api/keys/:id"],
  ] as const;
  for (const [method, path] of calls) {
    await fetch(url + path, { method, headers, ...(method === "POST" && { body: "{}" }) });
  }
  const metrics = await (await fetch(`${url}/metrics`, { headers })).text();
  const counted = [...metrics.matchAll(/^ostiary_http_request_duration_seconds_count\{(.*?)\}/gm)].map(
    ([, labels]) => labels ?? "",
  );
  for (const [method, , route] of calls)
    expect(counted.some((labels) => labels.startsWith(`method="${method}",route="${route}",`))).toBe(true);
  expect(counted.filter((labels) => labels.includes("undefined"))).toEqual([]);
}

describe("dev", () => {
  test("runs one node with the given policy and the documented key, and leaves no files", async () => {
    const port = await freePort();
    const folder = mkdtempSync(join(tmpdir(), "ostiary-dev-"));
    const dev = Bun.spawn([binary, "dev", examplePolicy], {
      cwd: folder,
      env: { PATH: process.env["PATH"] ?? "", OSO_PORT: String(port) },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    try {
      const url = `http://127.0.0.1:${port}`;
      await eventually(async () => (await fetch(`${url}/api/healthcheck`)).ok, "the node answers");
      const oso = new Oso(url, developmentKey);
      await oso.insert(["has_role", { type: "User", id: "ann" }, "owner", { type: "Organization", id: "acme" }]);
      expect(await oso.authorize({ type: "User", id: "ann" }, "delete", { type: "Organization", id: "acme" })).toBe(
        true,
      );
      await tellsRoutes(url);
      expect(run(["health", "--url", url]).status).toBe(0);
      expect(run(["health"], { OSTIARY_HOST: "0.0.0.0", OSTIARY_PORT: String(port) }).status).toBe(0);
      dev.kill("SIGTERM");
      expect(await dev.exited).toBe(0);
      const gone = run(["health", "--url", url]);
      expect(gone.status).toBe(1);
      expect(gone.errors).toContain(url);
      expect(readdirSync(folder)).toEqual([]);
    } finally {
      dev.kill("SIGKILL");
      await dev.exited;
      rmSync(folder, { recursive: true, force: true });
    }
  }, 90_000);

  test("the documented key is accepted only by a node for development", async () => {
    const port = await freePort();
    const primary = Bun.spawn([binary, "serve", "--role", "primary"], {
      cwd: directory,
      env: {
        PATH: process.env["PATH"] ?? "",
        OSTIARY_PORT: String(port),
        OSTIARY_MQTT_PORT: "0",
        OSTIARY_DATA: join(directory, "real"),
      },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    try {
      await eventually(async () => (await fetch(`http://127.0.0.1:${port}/healthcheck`)).ok, "the node answers");
      const answer = await fetch(`http://127.0.0.1:${port}/api/policy`, {
        headers: { Authorization: `Bearer ${developmentKey}` },
      });
      expect(answer.status).toBe(401);
      primary.kill("SIGTERM");
      expect(await primary.exited).toBe(0);
      // The first start created an admin key and printed it once.
      const printed = (await primary.stdout.text()) + (await primary.stderr.text());
      expect(printed.match(/e_default_[A-Za-z0-9-]+_[A-Za-z0-9]{16,}/g)?.length).toBe(1);
    } finally {
      primary.kill("SIGKILL");
      await primary.exited;
    }
  }, 90_000);

  test("a bunfig.toml or a .env in the working directory is ignored", () => {
    const trap = mkdtempSync(join(tmpdir(), "ostiary-trap-"));
    try {
      writeFileSync(join(trap, "bunfig.toml"), 'preload = ["./preload.ts"]\n');
      writeFileSync(join(trap, "preload.ts"), 'console.log("preloaded");\n');
      writeFileSync(join(trap, ".env"), "OSTIARY_PORT=1\n");
      const ended = Bun.spawnSync([binary, "config", "--role", "primary"], { cwd: trap, env: {}, timeout: 20_000 });
      expect(ended.exitCode).toBe(0);
      expect(ended.stdout.toString()).not.toContain("preloaded");
      expect(ended.stdout.toString()).toContain("port: 8080");
    } finally {
      rmSync(trap, { recursive: true, force: true });
    }
  });
});
