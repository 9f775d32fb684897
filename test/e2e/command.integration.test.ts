/**
 * The command line of the built binary: help, version, settings and their errors, checks and tests of policies, and the
 * node for development.
 */
import * as Bun from "bun";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Oso } from "oso-cloud";
import packageJson from "../../package.json" with { type: "json" };
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

function file(name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

describe("help and version", () => {
  test("--help names every command", () => {
    const { status, output } = run(["--help"]);
    expect(status).toBe(0);
    for (const command of ["serve", "dev", "validate", "test", "config", "version", "health"])
      expect(output).toContain(command);
  });

  test("version prints the version", () => {
    const { status, output } = run(["version"]);
    expect(status).toBe(0);
    expect(output).toContain(packageJson.version);
  });

  test("an unknown command is an error", () => {
    const { status, errors } = run(["servee"]);
    expect(status).not.toBe(0);
    expect(errors).toContain("servee");
    expect(errors).not.toContain("    at ");
  });
});

describe("settings", () => {
  test("the file, then the environment, then flags; secrets are masked", () => {
    const path = file(
      "node.yaml",
      "role: primary\nport: 7001\nnodeKey: aaaaaaaaaaaaaaaaaaaaaaaa\nlog:\n  level: warning\n",
    );
    const { status, output } = run(["config", "--config", path, "--host", "127.0.0.2"], {
      OSTIARY_PORT: "7002",
      OSTIARY_HOST: "127.0.0.3",
      OSTIARY_ADMIN_KEY: "e_default_admin_bbbbbbbbbbbbbbbbbbbbbbbb",
    });
    expect(status).toBe(0);
    expect(output).toContain("port: 7002");
    expect(output).toContain("host: 127.0.0.2");
    expect(output).toContain("level: warning");
    expect(output).not.toContain("aaaaaaaa");
    expect(output).not.toContain("bbbbbbbb");
  });

  test("the reference configuration is valid", () => {
    const { status, output } = run(["config", "--config", join(projectRoot, "appliance", "ostiary.yaml")]);
    expect(status).toBe(0);
    expect(output).toContain("role: primary");
  });

  test.each([
    ["--port", "eighty", ["port", "eighty", "0 to 65535"]],
    ["--role", "leader", ["role", "leader", "primary", "edge", "fallback"]],
    ["--refresh", "soon", ["refresh", "soon", "30m"]],
    ["--broker", "http://broker", ["broker", "http://broker", "mqtt"]],
  ])("a wrong %s is refused with name, value and allowed values", (flag, value, told) => {
    const { status, errors } = run(["serve", "--role", "primary", flag, value]);
    expect(status).not.toBe(0);
    for (const part of told) expect(errors).toContain(part);
    expect(errors).not.toContain("    at ");
  });

  test("a refused secret is not repeated, a wrong name is, and all problems are printed together", () => {
    const { status, errors } = run(["serve", "--role", "edge"], {
      OSTIARY_NODE_KEY: "short secret",
      OSTIARY_PROT: "8080",
    });
    expect(status).not.toBe(0);
    expect(errors).not.toContain("short secret");
    expect(errors).toContain("nodeKey");
    expect(errors).toContain("OSTIARY_PROT");
  });

  test("a port in use ends the start with a message", async () => {
    const holder = Bun.listen({ hostname: "127.0.0.1", port: await freePort(), socket: { data: () => {} } });
    const { status, errors } = run([
      "serve",
      "--role",
      "primary",
      "--port",
      String(holder.port),
      "--mqtt-port",
      "0",
      "--data",
      join(directory, "taken"),
    ]);
    holder.stop(true);
    expect(status).not.toBe(0);
    expect(errors).toContain(String(holder.port));
    expect(errors).not.toContain("    at ");
  });
});

describe("validate and test", () => {
  test("the example is valid and its tests pass", () => {
    expect(run(["validate", examplePolicy]).status).toBe(0);
    const tested = run(["test", examplePolicy]);
    expect(tested.status).toBe(0);
    expect(tested.output + tested.errors).toContain("time-limited access ends");
  });

  test("every problem has its file, line and column, as text and as JSON", () => {
    const bad = file(
      "bad.polar",
      'actor User {}\nresource Doc {\n  roles = ["reader"];\n  "reader" if "writer";\n  "read" if "reader";\n}\n',
    );
    const { status, output, errors } = run(["validate", bad]);
    expect(status).toBe(1);
    expect(output + errors).toMatch(/bad\.polar:4:15/);
    expect(output + errors).toMatch(/bad\.polar:5:3/);

    const json = run(["validate", "--json", bad]);
    expect(json.status).toBe(1);
    const told: unknown = JSON.parse(json.output);
    expect(JSON.stringify(told)).toContain('"line":4');
    expect(JSON.stringify(told)).toContain('"line":5');
  });

  test("a failing test has status 1 and names the position of the assertion", () => {
    const failing = file(
      "failing.polar",
      'actor User {}\nresource Doc { permissions = ["read"]; roles = ["reader"]; "read" if "reader"; }\ntest "nobody reads" {\n  assert allow(User{"a"}, "read", Doc{"d"});\n}\n',
    );
    const { status, output, errors } = run(["test", failing]);
    expect(status).toBe(1);
    expect(output + errors).toContain("nobody reads");
    expect(output + errors).toMatch(/failing\.polar:4/);
  });

  test("a missing file is an error with its name", () => {
    const { status, errors } = run(["validate", "missing.polar"]);
    expect(status).not.toBe(0);
    expect(errors).toContain("missing.polar");
    expect(errors).not.toContain("    at ");
  });
});

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
  }, 30_000);

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
  }, 30_000);

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
