/** Nodes with TLS: all roles over it, renewed certificates, client certificates between nodes, and refused ones. */
import * as Bun from "bun";
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { once } from "node:events";
import { connect as connectPlain } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { connectAsync } from "mqtt";
import { freePort } from "../../scripts/node-process.ts";
import { redundantFetch } from "../../src/client/redundant-fetch.ts";
import { defaultLimits } from "../../src/config/limits.ts";
import { TlsIdentity } from "../../src/replication/tls-identity.ts";
import { BrokerServer } from "../../src/replication/transport/embedded-broker.ts";
import { realClusterSystem } from "../../src/roles/cluster-system.ts";
import { systemWithTls } from "../../src/roles/tls-system.ts";
import { tlsFetchOptions } from "../../src/runtime/fetch.ts";
import { verifiesClients } from "../../src/runtime/serve.ts";
import { metrics } from "../../src/telemetry/metrics.ts";
import { must } from "../../src/util/assert.ts";
import { isRefusedCertificate } from "../../src/util/certificate-problem.ts";
import { systemClock } from "../../src/util/clock.ts";
import { makeAuthority, type Authority, type Certificate } from "../e2e/certificates.ts";
import { findProgram } from "../e2e/program.ts";
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

describe.skipIf(findProgram("openssl") === null)("nodes with TLS (skipped without openssl)", () => {
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

  /** A secret as Kubernetes mounts it: the files are links into a directory, and one rename replaces them all. */
  function mounted(name: string, first: Certificate) {
    const place = join(directory, name);
    let version = 0;
    const replace = ({ cert, key }: Certificate): void => {
      const target = `..${(version += 1)}`;
      mkdirSync(join(place, target), { recursive: true });
      copyFileSync(cert, join(place, target, "tls.crt"));
      copyFileSync(key, join(place, target, "tls.key"));
      symlinkSync(target, join(place, "..data_new"));
      renameSync(join(place, "..data_new"), join(place, "..data"));
    };
    replace(first);
    for (const file of ["tls.crt", "tls.key"]) symlinkSync(`..data/${file}`, join(place, file));
    return { cert: join(place, "tls.crt"), key: join(place, "tls.key"), replace };
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

  test("the console and the document of the API are served, and a path with two slashes is found", () =>
    withCluster(async (cluster) => {
      const { url } = await cluster.host("primary", "primary", tls());
      for (const path of ["/console/", "/openapi.json", "/api//policy", "//api/policy", "/metrics"]) {
        const response = await fetch(url + path, { headers: { Authorization: `Bearer ${adminKey}` }, ...trust() });
        expect({ path, status: response.status }).toEqual({ path, status: 200 });
        await response.arrayBuffer();
      }
      expect((await ask(url, "/api/nothing")).json.code).toBe("not_found");
    }));

  test("an edge gets events from the MQTT port over TLS, which speaks nothing else", () =>
    withCluster(async (cluster) => {
      const mqttPort = await freePort();
      const renewed = mounted("mqtt", server);
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
      const [ofPrimary, ofEdge] = [mounted("primary", server), mounted("edge", server)];
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

  test("a certificate that the client refuses means that nothing was sent", async () => {
    const serving = (certificate: Certificate) =>
      Bun.serve({
        port: 0,
        tls: { cert: pem(certificate.cert), key: pem(certificate.key) },
        fetch: () => new Response("sent"),
      });
    const errorAt = async (host: string, certificate: Certificate): Promise<unknown> => {
      const served = serving(certificate);
      try {
        return await refusal(fetch(`https://${host}:${served.port}/`, { tls: { ca: pem(authority.cert) } }));
      } finally {
        await served.stop(true);
      }
    };
    const late = authority.issue("late-server", hosts, ["20200101000000Z", "20200201000000Z"]);
    const refused = [
      await errorAt("127.0.0.1", strangers.issue("stranger", hosts)),
      await errorAt("127.0.0.1", late),
      await errorAt("127.0.0.1", authority.issue("elsewhere", ["DNS:elsewhere.example"])),
    ];
    expect(refused.map(isRefusedCertificate)).toEqual([true, true, true]);
    const closed = await refusal(fetch(`https://127.0.0.1:${await freePort()}/`));
    expect(isRefusedCertificate(closed)).toBe(false);
  });

  const files = {
    "an expired certificate": [
      () => authority.issue("old", hosts, ["20200101000000Z", "20200201000000Z"]),
      "expired on 2020-02-01T00:00:00Z: renew it",
    ],
    "a certificate that is not valid yet": [
      () => authority.issue("new", hosts, ["20400101000000Z", "20410101000000Z"]),
      "is valid from 2040-01-01T00:00:00Z on: set the clock",
    ],
    "the key of another certificate": [
      () => ({ cert: server.cert, key: strangers.issue("other", hosts).key }),
      "does not belong to the certificate",
    ],
    "a missing file": [() => ({ cert: join(directory, "missing.crt"), key: server.key }), "there is no such file"],
    "a file that is no certificate": [
      () => ({ cert: server.key, key: server.key }),
      "holds no certificate in PEM form",
    ],
  } as const;

  test.each(Object.keys(files) as (keyof typeof files)[])(
    "a node does not start with %s, and names the file",
    async (what) => {
      const [make, problem] = files[what];
      const made = make();
      await withCluster(async (cluster) => {
        const error = await refusal(cluster.host("primary", "primary", tls(made)));
        expect(error.message).toContain(problem);
        expect(error.message).toContain(made.cert);
      });
    },
  );

  test("a changed file that cannot be used is reported, and the earlier content stays in use", () =>
    withCapturedLog(async (lines) => {
      const files = mounted("identity", server);
      let aheadMs = 0;
      const clock = {
        ...systemClock,
        wallMs: () => Date.now() + aheadMs,
        monotonicMs: () => performance.now() + aheadMs,
      };
      const identity = new TlsIdentity({ tlsCert: files.cert, tlsKey: files.key, tlsCa: authority.cert }, clock);
      const used = identity.server;
      let changes = 0;
      identity.onChange(() => changes++);
      const replaceBy = (certificate: Certificate): void => {
        files.replace(certificate);
        identity.check();
        // Another program could be writing.
        expect(identity.server).toBe(used);
        identity.check();
      };
      for (const make of Object.values(unusable)) {
        replaceBy(make());
        expect(identity.server).toBe(used);
        expect(lines.at(-1)).toContain(files.cert);
        expect(await refused()).toBe(1);
        const { length } = lines;
        identity.check();
        expect(lines.length).toBe(length);
      }
      expect(lines.join("")).not.toContain("PRIVATE KEY");
      const renewed = authority.issue("identity-renewed", hosts);
      replaceBy(renewed);
      expect(identity.server).toMatchObject({ cert: pem(renewed.cert), key: pem(renewed.key) });
      expect([changes, await refused()]).toEqual([1, 0]);
      // Two days later it has expired, and is in use nevertheless: clients refuse it.
      aheadMs = 3 * 24 * 60 * 60 * 1000;
      identity.check();
      expect(lines.at(-1)).toContain(`has expired on`);
      expect(identity.server).toMatchObject({ cert: pem(renewed.cert) });
    }, "info"));

  const refused = async (): Promise<unknown> => (await metrics.tlsFilesRefused.get()).values[0]?.value;

  const unusable = {
    expired: () => authority.issue("late", hosts, ["20200101000000Z", "20200201000000Z"]),
    mismatched: () => ({ cert: server.cert, key: strangers.issue("mismatched", hosts).key }),
    // The beginning of a chain, as while another program writes it.
    incomplete() {
      const cert = join(directory, "incomplete.crt");
      writeFileSync(cert, pem(server.cert) + pem(authority.cert).slice(0, -100));
      return { cert, key: server.key };
    },
    empty() {
      const cert = join(directory, "empty.crt");
      writeFileSync(cert, "");
      return { cert, key: server.key };
    },
  };

  test("another certificate of the chain that has expired is reported, since clients can find another way", () =>
    withCapturedLog(async (lines) => {
      const chain = join(directory, "chain.crt");
      const old = authority.issue("old-root", hosts, ["20200101000000Z", "20200201000000Z"]);
      writeFileSync(chain, pem(server.cert) + pem(old.cert));
      const identity = new TlsIdentity({ tlsCert: chain, tlsKey: server.key }, systemClock);
      identity.check();
      expect(identity.server?.cert).toBe(pem(chain));
      expect(lines.join("")).toContain(`${chain} of tlsCert has expired on 2020-02-01T00:00:00Z`);
    }));

  test("the broker of a node ends handshakes when it closes", async () => {
    const identity = new TlsIdentity({ tlsCert: server.cert, tlsKey: server.key }, systemClock);
    const broker = await BrokerServer.start(defaultLimits);
    const port = await freePort();
    await broker.listen("127.0.0.1", port, identity);
    const silent = connectPlain({ host: "127.0.0.1", port });
    await once(silent, "connect");
    const beginning = Promise.withResolvers<"ended by the broker">();
    silent.on("close", () => beginning.resolve("ended by the broker")).on("error", () => {});
    // The broker has accepted it when it has served a later one.
    const later = connect({ host: "127.0.0.1", port, rejectUnauthorized: false });
    await once(later, "secureConnect");
    const closed = broker.close();
    // Otherwise the handshake ends after five seconds.
    expect(await Promise.race([beginning.promise, Bun.sleep(3000)])).toBe("ended by the broker");
    await closed;
    later.destroy();
  });

  test("a renewed key that others can read or change causes a warning, as the first one does", () =>
    withCapturedLog((lines) => {
      const files = { cert: join(directory, "open.crt"), key: join(directory, "open.key") };
      const writeAll = (certificate: Certificate, mode: number): void => {
        copyFileSync(certificate.cert, files.cert);
        copyFileSync(certificate.key, files.key);
        chmodSync(files.key, mode);
      };
      const warnings = (): number =>
        lines.filter((line) => line.includes(`read or change the file ${files.key}`)).length;
      writeAll(server, 0o600);
      const identity = new TlsIdentity({ tlsCert: files.cert, tlsKey: files.key }, systemClock);
      const renew = (mode: number): void => {
        writeAll(authority.issue("open", hosts), mode);
        for (let read = 0; read < 3; read++) identity.check();
        expect(identity.server?.key).toBe(pem(files.key));
      };
      renew(0o600);
      expect(warnings()).toBe(0);
      renew(0o644);
      expect(warnings()).toBe(1);
      renew(0o600);
      expect(warnings()).toBe(1);
      writeAll(server, 0o620);
      expect(new TlsIdentity({ tlsCert: files.cert, tlsKey: files.key }, systemClock).server).toBeDefined();
      expect(warnings()).toBe(2);
      return Promise.resolve();
    }));

  test("a file that is gone is reported, and its earlier content stays in use", () =>
    withCapturedLog((lines) => {
      const ca = join(directory, "gone.crt");
      copyFileSync(authority.cert, ca);
      const identity = new TlsIdentity({ tlsCa: ca }, systemClock);
      const checkTwice = (): void => void [identity.check(), identity.check()];
      rmSync(ca);
      checkTwice();
      expect(lines.at(-1)).toContain(`the file \`${ca}\` of \`tlsCa\` can't be read: there is no such file`);
      mkdirSync(ca);
      checkTwice();
      expect(lines.at(-1)).toContain(`the file \`${ca}\` of \`tlsCa\` can't be read: it is a directory`);
      expect(identity.client).toEqual({ ca: pem(authority.cert) });
      rmSync(ca, { recursive: true });
      copyFileSync(strangers.cert, ca);
      checkTwice();
      expect(identity.client).toEqual({ ca: pem(strangers.cert) });
      return Promise.resolve();
    }));

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
