/** Nodes with TLS: all roles over it, renewed certificates, client certificates between nodes, and refused ones. */
import * as Bun from "bun";
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { connectAsync } from "mqtt";
import { freePort } from "../../scripts/node-process.ts";
import { redundantFetch } from "../../src/client/redundant-fetch.ts";
import { TlsIdentity } from "../../src/replication/tls-identity.ts";
import { realClusterSystem } from "../../src/roles/cluster-system.ts";
import { systemWithTls } from "../../src/roles/tls-system.ts";
import { tlsFetchOptions } from "../../src/runtime/fetch.ts";
import { verifiesClients } from "../../src/runtime/serve.ts";
import { must } from "../../src/util/assert.ts";
import { systemClock } from "../../src/util/clock.ts";
import { makeAuthority, type Authority, type Certificate } from "../e2e/certificates.ts";
import { withCapturedLog } from "./captured-log.ts";
import {
  adminKey,
  type Cluster,
  eventually as eventuallyWithin,
  nodeKey,
  policy,
  reader,
  refusal,
  withCluster,
} from "./cluster.ts";
import { mountedFiles } from "./mounted-files.ts";

setDefaultTimeout(120_000);
/** Nodes of a busy machine need a while. */
const eventually = (expectation: () => void | Promise<void>): Promise<void> => eventuallyWithin(expectation, 60_000);

const hosts = ["IP:127.0.0.1", "DNS:localhost"];
const pem = (path: string): string => readFileSync(path, "utf8");

interface Json {
  readonly allowed?: boolean;
  readonly code?: string;
  readonly token?: string;
}

describe("nodes with TLS", () => {
  let directory: string;
  let authority: Authority;
  let strangers: Authority;
  let server: Certificate;

  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "ostiary-node-tls-"));
    authority = makeAuthority(directory, "ours");
    strangers = makeAuthority(directory, "strangers");
    server = authority.issue("server", hosts);
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  const tls = ({ cert, key }: Certificate = server) => ({ tlsCert: cert, tlsKey: key, tlsCa: authority.cert });
  const trust = (own: Partial<Certificate> = {}) =>
    tlsFetchOptions({
      ca: pem(authority.cert),
      ...(own.cert !== undefined && own.key !== undefined && { cert: pem(own.cert), key: pem(own.key) }),
    });

  async function ask(
    url: string,
    path: string,
    body?: unknown,
    key = adminKey,
  ): Promise<{ status: number; json: Json }> {
    const response = await fetch(`${url}${path}`, {
      method: body === undefined ? "GET" : "POST",
      headers: { Authorization: `Bearer ${key}` },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...trust(),
    });
    return { status: response.status, json: (await response.json()) as Json };
  }

  const question = (user: string) => ({
    actor_type: "User",
    actor_id: user,
    action: "read",
    resource_type: "Repo",
    resource_id: "main",
  });
  const mayRead = async (url: string, user: string): Promise<unknown> =>
    (await ask(url, "/api/authorize", question(user))).json.allowed;
  const write = async (url: string, user: string): Promise<number> =>
    (await ask(url, "/api/batch", [{ inserts: [reader(user)] }])).status;
  const load = async (url: string): Promise<void> =>
    expect((await ask(url, "/api/policy", { src: policy, filename: "a.polar" })).status).toBe(200);

  const isLive = (url: string): Promise<void> =>
    eventually(async () =>
      expect((await ask(url, "/healthcheck")).json).toMatchObject({ state: "LIVE", feed_connected: true }),
    );

  /** The certificate that a new connection gets, by its common name. */
  function presented(port: number): Promise<string> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: "127.0.0.1", port, ca: pem(authority.cert) });
      socket.once("error", reject);
      socket.once("secureConnect", () => {
        resolve(String(socket.getPeerCertificate().subject.CN));
        socket.destroy();
      });
    });
  }

  test("a primary, an edge and both kinds of fallback work together, with environments", () =>
    withCluster(async (cluster) => {
      const primary = await cluster.host("primary", "primary", tls());
      expect(primary.url).toStartWith("https://");
      await load(primary.url);
      const created = await ask(primary.url, "/api/environments", { id: "team" });
      const token = must(created.json.token);
      await ask(primary.url, "/api/policy", { src: policy, filename: "a.polar" }, token);
      const own = { primary: primary.url, ...tls() };
      const edge = await cluster.host("edge", "edge", own);
      const snapshots = await cluster.host("fallback", "snapshots", { ...own, refresh: "1s" });
      const following = await cluster.host("fallback", "following", { ...own, follow: "true" });
      await isLive(edge.url);
      expect(await write(edge.url, "ann")).toBe(200);
      expect(await mayRead(edge.url, "ann")).toBe(true);
      // The edge may still start to follow the environment.
      await eventually(async () =>
        expect((await ask(edge.url, "/api/batch", [{ inserts: [reader("eve")] }], token)).status).toBe(200),
      );
      for (const { url } of [primary, snapshots, following]) {
        await eventually(async () => expect(await mayRead(url, "ann")).toBe(true));
        await eventually(async () =>
          expect((await ask(url, "/api/authorize", question("eve"), token)).json).toEqual({ allowed: true }),
        );
      }
    }));

  test("an edge is promoted, another edge follows it, and the old primary becomes an edge", () =>
    withCluster(async (cluster) => {
      const [first, second, third] = [await freePort(), await freePort(), await freePort()];
      const urlAt = (port: number): string => `https://127.0.0.1:${port}`;
      const node = (port: number, ...others: number[]) => ({
        ...{ ...tls(), port: String(port) },
        ...{ primary: urlAt(others[0] ?? 0), peers: others.map(urlAt).join(",") },
      });
      const own = { ...tls(), port: String(first), peers: [second, third].map(urlAt).join(",") };
      const primary = await cluster.host("primary", "primary", own);
      await load(primary.url);
      const edge = await cluster.host("edge", "edge", node(second, first, third));
      const other = await cluster.host("edge", "other", node(third, first, second));
      for (const { url } of [edge, other]) await isLive(url);
      expect((await ask(edge.url, "/api/promote", { graceful: true })).status).toBe(200);
      await eventually(async () => expect(await write(other.url, "ann")).toBe(200));
      for (const { url } of [primary, edge, other])
        await eventually(async () => expect(await mayRead(url, "ann")).toBe(true));
      const roleOf = async (url: string): Promise<unknown> => (await ask(url, "/healthcheck")).json;
      expect(await roleOf(edge.url)).toMatchObject({ role: "primary" });
      expect(await roleOf(primary.url)).toMatchObject({ role: "edge" });
    }));

  test("the document of the API is served, and a path with two slashes is found", () =>
    withCluster(async (cluster) => {
      const { url } = await cluster.host("primary", "primary", tls());
      for (const path of ["/openapi.json", "/api//policy", "//api/policy", "/metrics"]) {
        const response = await fetch(url + path, { headers: { Authorization: `Bearer ${adminKey}` }, ...trust() });
        expect({ path, status: response.status }).toEqual({ path, status: 200 });
        await response.arrayBuffer();
      }
      expect((await ask(url, "/api/nothing")).json.code).toBe("not_found");
    }));

  test("an edge gets events from the MQTT port over TLS, which speaks nothing else", () =>
    withCluster(async (cluster) => {
      const mqttPort = await freePort();
      const renewed = mountedFiles(join(directory, "mqtt"), server);
      const primary = await cluster.host("primary", "primary", { ...tls(renewed), mqttPort: String(mqttPort) });
      await load(primary.url);
      const broker = { broker: `mqtts://127.0.0.1:${mqttPort}`, brokerCa: authority.cert };
      const edge = await cluster.host("edge", "edge", { primary: primary.url, ...tls(), ...broker });
      await isLive(edge.url);
      expect(await write(primary.url, "ann")).toBe(200);
      await eventually(async () => expect(await mayRead(edge.url, "ann")).toBe(true));
      const plain = {
        clientId: "edge-b",
        username: "edge-b",
        password: nodeKey,
        reconnectPeriod: 0,
        connectTimeout: 2000,
      };
      await refusal(connectAsync(`mqtt://127.0.0.1:${mqttPort}`, plain));
      renewed.replace(authority.issue("mqtt-renewed", hosts));
      await eventually(async () => expect(await presented(mqttPort)).toBe("mqtt-renewed"));
      await isLive(edge.url);
    }));

  test("certificates are renewed under load, without a failed request", () =>
    withCluster(async (cluster) => {
      const [ofPrimary, ofEdge] = [
        mountedFiles(join(directory, "primary"), server),
        mountedFiles(join(directory, "edge"), server),
      ];
      const primary = await cluster.host("primary", "primary", tls(ofPrimary));
      await load(primary.url);
      const edge = await cluster.host("edge", "edge", { primary: primary.url, ...tls(ofEdge) });
      await isLive(edge.url);
      await write(primary.url, "ann");
      await eventually(async () => expect(await mayRead(edge.url, "ann")).toBe(true));
      let [isOver, answers, writes] = [false, 0, 0];
      const failures: unknown[] = [];
      const repeat = async (work: () => Promise<void>): Promise<void> => {
        while (!isOver) {
          await work().catch((error: unknown) => failures.push(error));
          await Bun.sleep(5);
        }
      };
      const reading = (url: string, headers: Record<string, string>) => async (): Promise<void> => {
        const response = await fetch(`${url}/api/authorize`, {
          method: "POST",
          headers: { Authorization: `Bearer ${adminKey}`, ...headers },
          body: JSON.stringify(question("ann")),
          ...trust(),
        });
        const text = await response.text();
        if (text === '{"allowed":true}') answers++;
        else failures.push(text);
      };
      const writing = async (): Promise<void> => {
        const status = await write(edge.url, `user-${writes}`);
        if (status === 200) writes++;
        else failures.push(status);
      };
      const asking = [primary, edge].flatMap(({ url }) => [
        repeat(reading(url, {})),
        repeat(reading(url, {})),
        repeat(reading(url, { Connection: "close" })),
      ]);
      asking.push(repeat(writing));
      await eventually(() => expect(answers).toBeGreaterThan(100));
      ofPrimary.replace(authority.issue("primary-renewed", hosts));
      ofEdge.replace(authority.issue("edge-renewed", hosts));
      const portOf = ({ url }: { url: string }): number => Number(new URL(url).port);
      await eventually(async () => {
        expect(await presented(portOf(primary))).toBe("primary-renewed");
        expect(await presented(portOf(edge))).toBe("edge-renewed");
      });
      const [before, writesBefore] = [answers, writes];
      await eventually(() => expect([answers - before > 200, writes - writesBefore > 10]).toEqual([true, true]));
      isOver = true;
      await Promise.all(asking);
      expect(failures).toEqual([]);
      await isLive(edge.url);
      const metrics = await fetch(`${primary.url}/metrics`, {
        headers: { Authorization: `Bearer ${adminKey}` },
        ...trust(),
      });
      expect(await metrics.text()).toMatch(
        /^ostiary_tls_certificate_expiry_timestamp_seconds\{setting="tlsCert"\} 1\d{9}$/m,
      );
    }));

  test("a certificate of another authority is refused: the error names the address and the trusted file", async () => {
    await withCluster(async (cluster) => {
      const primary = await cluster.host("primary", "primary", tls(strangers.issue("foreign", hosts)));
      const error = await refusal(headAt(cluster, primary.url, tls()));
      expect(error.message).toContain(`no answer from ${primary.url}: its certificate is from another authority`);
      expect(error.message).toContain(`the file \`${authority.cert}\` of \`tlsCa\``);
      const system = await refusal(headAt(cluster, primary.url, {}));
      expect(system.message).toContain("which is the authorities of the system");
    });
  });

  test("an application with `redundantFetch` reads from a node that it trusts", () =>
    withCluster(async (cluster) => {
      const foreign = await cluster.host("primary", "foreign", tls(strangers.issue("foreign-first", hosts)));
      const primary = await cluster.host("primary", "primary", tls());
      await load(primary.url);
      const request = redundantFetch([foreign.url, primary.url])((url, init) => fetch(url, { ...init, ...trust() }));
      const body = JSON.stringify(question("ann"));
      const headers = { Authorization: `Bearer ${adminKey}` };
      const response = await request(`${foreign.url}/api/authorize`, { method: "POST", headers, body });
      expect(await response.json()).toEqual({ allowed: false });
    }));

  test("a certificate for another host is refused", async () => {
    await withCluster(async (cluster) => {
      const primary = await cluster.host("primary", "primary", tls(authority.issue("elsewhere", ["DNS:a.example"])));
      const error = await refusal(headAt(cluster, primary.url, tls()));
      expect(error.message).toContain(`no answer from ${primary.url}: its certificate is for other hosts`);
    });
  });

  test("an edge does not start to replicate a node with a foreign certificate, and its log says why", () =>
    withCapturedLog(async (lines) => {
      await withCluster(async (cluster) => {
        const primary = await cluster.host("primary", "primary", tls(strangers.issue("foreign-primary", hosts)));
        const edge = cluster.host("edge", "edge", { primary: primary.url, ...tls() });
        await eventually(() => expect(lines.join("")).toContain(`the file \`${authority.cert}\` of \`tlsCa\``));
        const { url } = await edge;
        expect((await ask(url, "/healthcheck")).status).toBe(503);
      });
    }));

  /** The head of a node, as another node asks for it. */
  async function headAt(cluster: Cluster, url: string, flags: Record<string, string>): Promise<unknown> {
    const config = cluster.config("edge", "asking", { primary: url, ...flags });
    const system = systemWithTls(realClusterSystem, config, TlsIdentity.open(config, systemClock));
    const client = system.connectNode({
      ...{ url, nodeKey, ackName: () => undefined, logTimeoutMs: 5000, snapshotTimeoutMs: 5000 },
    });
    return client.head(undefined);
  }

  test("a node without TLS at an address with `https://`, and the other way round", async () => {
    await withCluster(async (cluster) => {
      const plain = await cluster.host("primary", "plain");
      const error = await refusal(headAt(cluster, plain.url.replace("http:", "https:"), tls()));
      expect(error.message).toContain(
        "the TLS handshake failed; use `http://` if there is no TLS".replace("; ", " (EPROTO); "),
      );
      const secure = await cluster.host("primary", "secure", tls());
      const other = await refusal(headAt(cluster, secure.url.replace("https:", "http:"), {}));
      expect(other.message).toContain("`https://` if it has `tlsCert`");
    });
  });

  test("an authority can be replaced: the file has the old and the new one meanwhile", async () => {
    const both = join(directory, "both.crt");
    await Bun.write(both, pem(strangers.cert) + pem(authority.cert));
    await withCluster(async (cluster) => {
      for (const [name, issued] of [
        ["a", server],
        ["b", strangers.issue("b", hosts)],
      ] as const) {
        const primary = await cluster.host("primary", `primary-${name}`, { ...tls(issued), environment: "test" });
        expect(await headAt(cluster, primary.url, { tlsCa: both })).toMatchObject({ role: "primary" });
      }
    });
  });

  test("the plain port is on the loopback address only", () =>
    withCluster(async (cluster) => {
      const plainPort = await freePort();
      const primary = await cluster.host("primary", "primary", {
        ...tls(),
        host: "0.0.0.0",
        "advanced.plainPort": String(plainPort),
      });
      await load(primary.url);
      const plain = `http://127.0.0.1:${plainPort}`;
      expect(await mayRead(plain, "ann")).toBe(false);
      expect((await ask(primary.url, "/readyz")).status).toBe(200);
      await refusal(fetch(`http://127.0.0.2:${plainPort}/readyz`));
      await primary.stop();
      await refusal(fetch(`${plain}/readyz`));
    }));

  test.skipIf(verifiesClients)("a port for nodes is refused by a runtime without client certificates", async () => {
    await withCluster(async (cluster) => {
      const flags = { ...tls(), "advanced.nodePort": "20001", "advanced.nodeClientCa": authority.cert };
      const error = await refusal(cluster.host("primary", "primary", flags));
      expect(error.message).toContain("this runtime can't ask clients for certificates");
    });
  });

  describe.skipIf(!verifiesClients)("with a port for nodes", () => {
    const withNodePort = async (
      body: (cluster: Cluster, primary: { url: string; nodes: string; mqtt: number }) => Promise<void>,
    ) =>
      withCluster(async (cluster) => {
        const [nodePort, mqttPort] = [await freePort(), await freePort()];
        const flags = { "advanced.nodePort": String(nodePort), "advanced.nodeClientCa": authority.cert };
        const { url } = await cluster.host("primary", "primary", { ...tls(), ...flags, mqttPort: String(mqttPort) });
        await load(url);
        await body(cluster, { url, nodes: `https://127.0.0.1:${nodePort}`, mqtt: mqttPort });
      });

    test("nodes with a certificate of its authority work together", () =>
      withNodePort(async (cluster, { url, nodes, mqtt }) => {
        const edge = await cluster.host("edge", "edge", { primary: nodes, ...tls() });
        const broker = {
          ...{ broker: `mqtts://127.0.0.1:${mqtt}`, brokerCa: authority.cert },
          ...{ "advanced.brokerCert": server.cert, "advanced.brokerKey": server.key },
        };
        const other = await cluster.host("edge", "other", { primary: nodes, ...tls(), ...broker });
        const fallback = await cluster.host("fallback", "fallback", { primary: nodes, ...tls(), refresh: "1s" });
        for (const each of [edge, other]) await isLive(each.url);
        expect(await write(edge.url, "ann")).toBe(200);
        for (const each of [url, edge.url, other.url, fallback.url])
          await eventually(async () => expect(await mayRead(each, "ann")).toBe(true));
      }));

    /** The error of a node's request with exactly this path, which `fetch` would normalize. */
    function codeOf(url: string, path: string): Promise<string> {
      return new Promise((resolve, reject) => {
        const { hostname, port, host } = new URL(url);
        const socket = connect({ host: hostname, port: Number(port), ca: pem(authority.cert) });
        let received = "";
        socket.on("data", (bytes) => (received += bytes.toString()));
        socket.once("error", reject);
        socket.once("close", () => resolve(/"code":"(\w+)"/.exec(received)?.[1] ?? received));
        const head = [`GET ${path} HTTP/1.1`, `Host: ${host}`, `Authorization: Bearer ${nodeKey}`, "Connection: close"];
        socket.once("secureConnect", () => socket.write(`${head.join("\r\n")}\r\n\r\n`));
      });
    }

    test("requests of nodes without one are refused, and clients need none at the other port", () =>
      withNodePort(async (cluster, { url, nodes, mqtt }) => {
        expect(await mayRead(url, "ann")).toBe(false);
        for (const path of [
          "/replication/v1/head",
          "//replication/v1/head",
          "//replication//v1/head",
          "/replication/v1//head",
          "/environments/team/replication/v1/head",
          "/environments/team//replication/v1/head",
          "//environments//team//replication/v1/head",
          `${url}//replication/v1/head`,
        ])
          expect([path, await codeOf(url, path)]).toEqual([path, "forbidden"]);
        // No route has an escaped path, and what becomes of the others depends on the runtime.
        for (const path of [
          "/%72eplication/v1/head",
          "/%2Freplication/v1/head",
          "/environments/team%2Freplication/v1/head",
          "/x/../replication/v1/head",
          "/./replication/v1/head",
          "/environments/../replication/v1/head",
          "/\\replication/v1/head",
          "/REPLICATION/v1/head",
        ])
          expect(["forbidden", "not_found"]).toContain(await codeOf(url, path));
        const upgrade = await fetch(`${url}/mqtt`, {
          headers: { Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==" },
          ...trust(),
        });
        expect(upgrade.status).toBe(404);
        await refusal(fetch(`${nodes}/healthcheck`, trust()));
        await refusal(fetch(`${nodes}/healthcheck`, trust(strangers.issue("edge"))));
        expect((await fetch(`${nodes}/healthcheck`, trust(server))).status).toBe(200);
        const without = await refusal(headAt(cluster, nodes, { tlsCa: authority.cert }));
        expect(without.message).toContain("name a certificate for its `nodePort` in `tlsCert`");
        const stranger = strangers.issue("edge-b");
        const foreign = await refusal(headAt(cluster, nodes, tls(stranger)));
        expect(foreign.message).toContain(
          `it does not accept the certificate in the file \`${stranger.cert}\` of \`tlsCert\``,
        );
        const login = { clientId: "edge-b", username: "edge-b", password: nodeKey, reconnectPeriod: 0 };
        await refusal(
          connectAsync(`mqtts://127.0.0.1:${mqtt}`, { ...login, ca: pem(authority.cert), connectTimeout: 2000 }),
        );
      }));
  });
});
