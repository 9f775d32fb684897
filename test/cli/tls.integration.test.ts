/** Commands and a node with TLS: the health of the own node, the authority of a node, and the errors of both. */
import * as Bun from "bun";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { copyFileSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { builtBinary } from "../../scripts/built-binary.ts";
import { freePort, newAdminKey, NodeProcess, randomHex } from "../../scripts/node-process.ts";
import { makeAuthority, type Authority, type Certificate } from "../e2e/certificates.ts";
import { eventually } from "../replication/cluster.ts";
import { workspace } from "./workspace.ts";

const { run, runProcess } = workspace();
const adminKey = newAdminKey();

describe("a node with TLS", () => {
  let directory: string;
  let authority: Authority;
  let foreign: Authority;
  let elsewhere: Certificate;
  let settings: Record<string, string>;
  let node: NodeProcess;
  let url: string;

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), "ostiary-cli-tls-"));
    authority = makeAuthority(directory, "ours");
    foreign = makeAuthority(directory, "foreign");
    // Its name is not that of the loopback address.
    elsewhere = authority.issue("node", ["DNS:localhost"]);
    const own = { cert: join(directory, "tls.crt"), key: join(directory, "tls.key") };
    copyFileSync(elsewhere.cert, own.cert);
    copyFileSync(elsewhere.key, own.key);
    const port = await freePort();
    settings = {
      OSTIARY_PORT: String(port),
      OSTIARY_MQTT_PORT: "0",
      OSTIARY_ADMIN_KEY: adminKey,
      OSTIARY_NODE_KEY: randomHex(16),
      OSTIARY_TLS_CERT: own.cert,
      OSTIARY_TLS_KEY: own.key,
    };
    url = `https://localhost:${port}`;
    node = new NodeProcess({
      ...{ binary: await builtBinary(), name: "node", role: "primary", port, environment: settings },
      directory: join(directory, "node"),
    });
    node.launch();
    await eventually(() => expect(node.output).toContain(`listens on https://127.0.0.1:${port}`));
  });
  afterAll(async () => {
    await node.kill();
    rmSync(directory, { recursive: true, force: true });
  });

  test("`ostiary health` finds the port and the scheme, whatever host the certificate names", async () => {
    const { status, output, errors } = await run(["health"], "", settings);
    expect({ status, errors }).toEqual({ status: 0, errors: "" });
    expect(JSON.parse(output)).toMatchObject({ status: "ok", role: "primary" });
    expect((await run(["health", "--json"], "", settings)).output).toBe(output);
  });

  test("it finds a node by its data if port and certificate are options of `ostiary serve`", async () => {
    const { OSTIARY_PORT: _port, OSTIARY_TLS_CERT: cert = "", OSTIARY_TLS_KEY: key = "", ...others } = settings;
    const data = join(directory, "with-options");
    const port = String(await freePort());
    const options = ["--role", "primary", "--port", port, "--tls-cert", cert, "--tls-key", key, "--data", data];
    const serve = async () =>
      Bun.spawn([await builtBinary(), "serve", ...options], { env: others, stdout: "ignore", stderr: "ignore" });
    const health = (more = {}) => run(["health"], "", { ...others, OSTIARY_DATA: data, ...more });
    const noted = (): boolean => existsSync(join(data, "address"));
    const first = await serve();
    try {
      await eventually(() => expect(noted()).toBe(true));
      expect(await health()).toMatchObject({ status: 0, errors: "" });
    } finally {
      first.kill("SIGTERM");
      await first.exited;
    }
    expect(noted()).toBe(false);
    const second = await serve();
    try {
      await eventually(() => expect(noted()).toBe(true));
      expect((await health()).status).toBe(0);
    } finally {
      second.kill("SIGKILL");
      await second.exited;
    }
    // A node that was killed has left its address, where nobody looks.
    expect(noted()).toBe(true);
    const unused = String(await freePort());
    const killed = await health({ OSTIARY_PORT: unused });
    expect(killed.status).toBe(1);
    expect(killed.errors).toContain(`no answer from http://127.0.0.1:${unused}`);
    const { status, output } = await run(["health"], "", { ...settings, OSTIARY_DATA: data });
    expect({ status, role: (JSON.parse(output) as { role: string }).role }).toEqual({ status: 0, role: "primary" });
  });

  test("it says if the node presents another certificate than that of the file", async () => {
    const { status, errors } = await run(["health"], "", { ...settings, OSTIARY_TLS_CERT: foreign.cert });
    expect(status).toBe(0);
    expect(errors).toContain(`presents another certificate than the file \`${foreign.cert}\` of \`tlsCert\``);
  });

  test("without a node it fails, and says where it looked", async () => {
    const port = String(await freePort());
    const { status, errors, output } = await run(["health", "--json"], "", { ...settings, OSTIARY_PORT: port });
    expect({ status, output }).toEqual({ status: 1, output: '{"status":"no answer"}\n' });
    expect(errors).toContain(`no answer from https://127.0.0.1:${port}: nothing listens there`);
  });

  test("commands trust the authority of `--ca` or OSTIARY_TLS_CA", async () => {
    const access = { OSO_URL: url, OSO_AUTH: adminKey };
    for (const [parameters, environment] of [
      [["health", "--url", url, "--ca", authority.cert], {}],
      [["health", "--url", url], { OSTIARY_TLS_CA: authority.cert }],
      [["keys", "list", "--ca", authority.cert], access],
      [["keys", "list"], { ...access, OSTIARY_TLS_CA: authority.cert }],
      [["backup", "--out", "backup", "--ca", authority.cert], access],
      [
        ["snapshot", "create", "--out", "s", "--url", url, "--ca", authority.cert],
        { OSTIARY_NODE_KEY: settings["OSTIARY_NODE_KEY"] ?? "" },
      ],
    ] as const)
      expect(await run(parameters, "", environment)).toMatchObject({ status: 0 });
  });

  test("a certificate of another authority is refused, and the error names what was trusted", async () => {
    const access = { OSO_URL: url, OSO_AUTH: adminKey };
    const other = await run(["keys", "list", "--ca", foreign.cert], "", access);
    expect(other.status).toBe(1);
    expect(other.errors).toStartWith(`error: no answer from ${url}: its certificate is from another authority`);
    expect(other.errors).toContain(`which is the file \`${foreign.cert}\` of \`--ca\` or OSTIARY_TLS_CA`);
    const system = await run(["health", "--url", url]);
    expect(system.errors).toContain("which is the authorities of the system (");
    const name = await run(["health", "--url", url.replace("localhost", "127.0.0.1"), "--ca", authority.cert]);
    expect(name.errors).toContain("its certificate is for other hosts");
    const plain = await run(["health", "--url", url.replace("https:", "http:")]);
    expect(plain.errors).toContain("if that node has `tlsCert`, its URL begins with `https://`");
    const missing = await run(["health", "--url", url, "--ca", "missing.crt"]);
    expect(missing.errors).toContain("the file `missing.crt` of `--ca` can't be read: there is no such file");
  });

  test("does not start with an expired certificate", async () => {
    const expired = authority.issue("expired", [], ["20200101000000Z", "20200201000000Z"]);
    const { status, errors } = await runProcess(["serve", "--role", "primary", "--data", "other"], "", {
      ...settings,
      OSTIARY_TLS_CERT: expired.cert,
      OSTIARY_TLS_KEY: expired.key,
    });
    expect(status).toBe(1);
    expect(errors).toContain(
      `error: the certificate in the file \`${expired.cert}\` of \`tlsCert\` expired on 2020-02-01T00:00:00Z: renew it and replace the file`,
    );
  });
});
