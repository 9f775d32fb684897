/** Wrong paths, ports and addresses: one message that names them and the remedy, and never a stack trace. */
import * as Bun from "bun";
import { afterAll, describe, expect, test } from "bun:test";
import { chmodSync, chownSync, existsSync, mkdirSync } from "node:fs";
import { createServer } from "node:net";
import { builtBinary } from "../../scripts/built-binary.ts";
import { freePort } from "../../scripts/node-process.ts";
import { readUntil } from "./read-until.ts";
import { workspace } from "./workspace.ts";

const { runProcess: run, start, write, path } = workspace();
const binary = await builtBinary();

const environment = { OSTIARY_NODE_KEY: "0123456789abcdef0123", OSTIARY_MQTT_PORT: "0", OSTIARY_PORT: "0" };
const edge = ["serve", "--role", "edge", "--primary", "http://127.0.0.1:9"];
const failover = ["--failover", "etcd://127.0.0.1:9", "--peers", "http://127.0.0.1:9", "--ack", "edges:1"];

describe("a data directory that is a file", () => {
  test.each([
    ["of a primary", ["serve", "--role", "primary", "--data", "file"]],
    ["of a primary with failover", ["serve", "--role", "primary", ...failover, "--data", "file"]],
    ["of an edge", [...edge, "--data", "file"]],
    ["of an edge, below it", [...edge, "--data", "file/data"]],
    ["of a fallback", ["serve", "--role", "fallback", "--primary", "http://127.0.0.1:9", "--data", "file"]],
  ])("%s", async (_name, parameters) => {
    write("file", "");
    const told = await run(parameters, "", environment);
    expect(told.errors).toContain("is a file: name a directory with `--data`\n");
    expect({ status: told.status, output: told.output }).toEqual({ status: 1, output: "" });
    expect(told.errors).toMatch(/^error: .*\n$/);
  });
});

test("a data directory that cannot be created is named, without a stack", async () => {
  const { status, errors } = await run(["serve", "--role", "primary", "--data", "/proc/nowhere"]);
  expect(status).toBe(1);
  expect(errors).toMatch(
    /^error: the data directory `\/proc\/nowhere` cannot be created \(\w+\): name another one with `--data`\n$/,
  );
});

test("a primary with failover creates its data directory", async () => {
  await using node = await start(["serve", "--role", "primary", ...failover, "--data", "made"], environment);
  await readUntil(node.stderr, /listens on/);
});

/** The superuser can read and write everything. */
const setpriv = Bun.which("setpriv");
const isRoot = process.getuid?.() === 0;

const asNobody = isRoot ? [setpriv ?? "", "--reuid=65534", "--regid=65534", "--clear-groups"] : [];

test.skipIf(isRoot && setpriv === null)("files and directories without permissions for this user", async () => {
  const [closed, config, policy] = [path("closed"), write("closed.yaml", "role: primary\n"), write("closed.polar", "")];
  mkdirSync(closed);
  if (isRoot) chownSync(closed, 0, 0);
  chmodSync(path("."), 0o755);
  for (const [name, mode] of [
    [closed, 0o555],
    [path(config), 0o000],
    [path(policy), 0o000],
  ] as const)
    chmodSync(name, mode);
  const tell = async (...parameters: string[]): Promise<string> => {
    const child = Bun.spawn([...asNobody, binary, ...parameters], {
      cwd: path("."),
      env: environment,
      stdout: "pipe",
      stderr: "pipe",
    });
    const [errors, status] = await Promise.all([child.stderr.text(), child.exited]);
    expect(status).toBeGreaterThan(0);
    expect(errors).not.toContain("    at ");
    return errors;
  };
  const notWritable = (name: string): string =>
    `error: the data directory cannot be used: this process may not write \`${name}\`: give the user of the process read and write permission`;
  expect(await tell("serve", "--role", "primary", "--data", `${closed}/data`)).toStartWith(
    notWritable(`${closed}/data`),
  );
  expect(await tell(...edge, "--data", closed)).toContain(notWritable(closed));
  expect(await tell("serve", "--config", config)).toStartWith(
    "error: the configuration file `closed.yaml` cannot be read: reading it is not permitted; name a file with settings",
  );
  expect(await tell("validate", policy)).toContain("reading it is not permitted; name a readable policy file");
});

test.skipIf(isRoot && setpriv === null)("a directory that this user may write but not read is no problem", async () => {
  const [box, policy] = [path("box"), write("box.polar", "actor User {}\n")];
  mkdirSync(box);
  chmodSync(path("."), 0o755);
  chmodSync(box, isRoot ? 0o733 : 0o300);
  const parameters = ["generate-types", "typescript", policy, "--output", "box/types.ts"];
  const child = Bun.spawn([...asNobody, binary, ...parameters], { cwd: path("."), stdout: "pipe", stderr: "pipe" });
  const [output, errors, status] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  expect({ output, errors, status }).toEqual({ output: "box/types.ts: written\n", errors: "", status: 0 });
  chmodSync(box, 0o700);
});

test("a file of a certificate or of a key that is missing", async () => {
  const failing = async (...flags: string[]): Promise<string> => {
    const tls = ["--failover-cert", "nowhere.pem", "--failover-key", "nowhere.pem", ...failover, ...flags];
    return (await run(["serve", "--role", "primary", ...tls, "--data", "tls"], "", environment)).errors;
  };
  const broker = ["--broker", "mqtts://127.0.0.1:9", "--broker-cert", "nowhere.pem", "--broker-key", "nowhere.pem"];
  const missing = (setting: string): string =>
    `error: the file \`nowhere.pem\` of \`${setting}\` can't be read: there is no such file; name another, or make it readable for this process\n`;
  expect(await failing()).toBe(missing("failoverCert"));
  expect((await run(["serve", "--role", "primary", ...broker, "--data", "tls"], "", environment)).errors).toBe(
    missing("brokerCert"),
  );
});

test("a port that another program uses", async () => {
  const port = await freePort();
  const other = createServer().listen(port, "127.0.0.1");
  afterAll(() => void other.close());
  const taken = `error: can't listen on 127.0.0.1:${port}: another program uses this port; choose another with \`--port\`, or end that program\n`;
  const parameters = ["--port", String(port), "--data", "port"];
  const primary = await run(["serve", "--role", "primary", ...parameters], "", environment);
  expect(primary.errors).toBe(taken);
  expect(primary.status).toBe(1);
  expect((await run([...edge, ...parameters], "", environment)).errors).toEndWith(taken);
  expect((await run(["dev", "--port", String(port), "--data", "dev"])).errors).toEndWith(taken);
});

test("an unreachable primary, in the log of an edge and of a fallback", async () => {
  const cure = "start that node, or correct its address in `primary` or `peers`";
  for (const [role, url, problem] of [
    ["edge", "http://127.0.0.1:9", "nothing listens there (ECONNREFUSED)"],
    ["fallback", "http://127.0.0.1:9", "nothing listens there (ECONNREFUSED)"],
    ["edge", "http://no-such-host.invalid:8080", "its host is not known (E"],
  ] as const) {
    await using node = await start(["serve", "--role", role, "--primary", url, "--data", `${role}-alone`], environment);
    const [line] = await readUntil(node.stderr, /^.*trying again: .*$/m);
    expect(line).toContain(`no answer from ${url}: ${problem}`);
    expect(line).toContain(cure);
  }
});

test.skipIf(!existsSync("/dev/full"))("an output on a full disk", async () => {
  const child = Bun.spawn(["sh", "-c", 'exec "$0" man > /dev/full', binary], { stdout: "ignore", stderr: "pipe" });
  const [errors, status] = await Promise.all([child.stderr.text(), child.exited]);
  expect({ errors, status }).toEqual({
    errors: "error: the output cannot be written, its disk is full: free space\n",
    status: 1,
  });
});
