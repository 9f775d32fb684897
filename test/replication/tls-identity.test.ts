/**
 * The TLS files of a node: which it refuses, and how it takes renewed ones. One primary and one edge work together over
 * TLS; more of this is in `node-tls.integration.test.ts`.
 */
import * as Bun from "bun";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { once } from "node:events";
import { connect as connectPlain } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { freePort } from "../../scripts/node-process.ts";
import { defaultLimits } from "../../src/config/limits.ts";
import { TlsIdentity } from "../../src/replication/tls-identity.ts";
import { BrokerServer } from "../../src/replication/transport/embedded-broker.ts";
import { fetch as fetchWithCodes, tlsFetchOptions } from "../../src/runtime/fetch.ts";
import { metrics } from "../../src/telemetry/metrics.ts";
import { isRefusedCertificate } from "../../src/util/certificate-problem.ts";
import { systemClock } from "../../src/util/clock.ts";
import { makeAuthority, type Authority, type Certificate } from "../e2e/certificates.ts";
import { findProgram } from "../e2e/program.ts";
import { withCapturedLog } from "./captured-log.ts";
import { adminKey, eventually, policy, reader, refusal, withCluster } from "./cluster.ts";
import { mountedFiles } from "./mounted-files.ts";
import { SimulatedClock } from "./simulated-clock.ts";

const hosts = ["IP:127.0.0.1", "DNS:localhost"];
const pem = (path: string): string => readFileSync(path, "utf8");

describe.skipIf(findProgram("openssl") === null)("the TLS files of a node (skipped without openssl)", () => {
  let directory: string;
  let authority: Authority;
  let strangers: Authority;
  let server: Certificate;

  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "ostiary-tls-identity-"));
    authority = makeAuthority(directory, "ours");
    strangers = makeAuthority(directory, "strangers");
    server = authority.issue("server", hosts);
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  const tls = ({ cert, key }: Certificate = server) => ({ tlsCert: cert, tlsKey: key, tlsCa: authority.cert });

  test("a primary and an edge work together", () =>
    withCluster(async (cluster) => {
      const primary = await cluster.host("primary", "primary", tls());
      const edge = await cluster.host("edge", "edge", { primary: primary.url, ...tls() });
      const ask = async (url: string, path: string, body: unknown): Promise<Response> =>
        fetch(`${url}${path}`, {
          ...{ method: "POST", headers: { Authorization: `Bearer ${adminKey}` }, body: JSON.stringify(body) },
          ...tlsFetchOptions({ ca: pem(authority.cert) }),
        });
      expect((await ask(primary.url, "/api/policy", { src: policy, filename: "a.polar" })).status).toBe(200);
      await eventually(async () =>
        expect((await ask(edge.url, "/api/batch", [{ inserts: [reader("ann")] }])).status).toBe(200),
      );
      const question = { actor_type: "User", actor_id: "ann", action: "read" };
      const resource = { resource_type: "Repo", resource_id: "main" };
      expect(await (await ask(edge.url, "/api/authorize", { ...question, ...resource })).json()).toEqual({
        allowed: true,
      });
    }));

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
        return await refusal(
          fetchWithCodes(`https://${host}:${served.port}/`, tlsFetchOptions({ ca: pem(authority.cert) })),
        );
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
    const closed = await refusal(fetchWithCodes(`https://127.0.0.1:${await freePort()}/`, {}));
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
      const files = mountedFiles(join(directory, "identity"), server);
      // Certificates of this test begin after its start.
      const clock = new SimulatedClock(0, Date.now() + 60_000);
      const identity = new TlsIdentity({ tlsCert: files.cert, tlsKey: files.key, tlsCa: authority.cert }, clock);
      const used = identity.server;
      let changes = 0;
      identity.onChange(() => changes++);
      const replaceBy = async (certificate: Certificate): Promise<void> => {
        files.replace(certificate);
        await identity.check();
        // Another program could be writing.
        expect(identity.server).toBe(used);
        await identity.check();
      };
      for (const make of Object.values(unusable)) {
        await replaceBy(make());
        expect(identity.server).toBe(used);
        expect(lines.at(-1)).toContain(files.cert);
        expect(await refused()).toBe(1);
        const { length } = lines;
        await identity.check();
        expect(lines.length).toBe(length);
      }
      expect(lines.join("")).not.toContain("PRIVATE KEY");
      const renewed = authority.issue("identity-renewed", hosts);
      await replaceBy(renewed);
      expect(identity.server).toMatchObject({ cert: pem(renewed.cert), key: pem(renewed.key) });
      expect([changes, await refused()]).toEqual([1, 0]);
      // Two days later it has expired, and is in use nevertheless: clients refuse it.
      clock.pass(3 * 24 * 60 * 60 * 1000);
      await identity.check();
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
      await identity.check();
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
    const ended = Promise.withResolvers<void>();
    silent.on("close", () => ended.resolve()).on("error", () => {});
    // The broker has accepted it when it has served a later one.
    const later = connect({ host: "127.0.0.1", port, rejectUnauthorized: false });
    await once(later, "secureConnect");
    const closed = broker.close();
    await ended.promise;
    await closed;
    later.destroy();
  });

  test("a renewed key that others can read or change causes a warning, as the first one does", () =>
    withCapturedLog(async (lines) => {
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
      const renew = async (mode: number): Promise<void> => {
        writeAll(authority.issue("open", hosts), mode);
        for (let read = 0; read < 3; read++) await identity.check();
        expect(identity.server?.key).toBe(pem(files.key));
      };
      await renew(0o600);
      expect(warnings()).toBe(0);
      await renew(0o644);
      expect(warnings()).toBe(1);
      await renew(0o600);
      expect(warnings()).toBe(1);
      writeAll(server, 0o620);
      expect(new TlsIdentity({ tlsCert: files.cert, tlsKey: files.key }, systemClock).server).toBeDefined();
      expect(warnings()).toBe(2);
    }));

  test("a file that is gone is reported, and its earlier content stays in use", () =>
    withCapturedLog(async (lines) => {
      const ca = join(directory, "gone.crt");
      copyFileSync(authority.cert, ca);
      const identity = new TlsIdentity({ tlsCa: ca }, systemClock);
      const checkTwice = async (): Promise<void> => {
        await identity.check();
        await identity.check();
      };
      rmSync(ca);
      await checkTwice();
      expect(lines.at(-1)).toContain(`the file \`${ca}\` of \`tlsCa\` can't be read: there is no such file`);
      mkdirSync(ca);
      await checkTwice();
      expect(lines.at(-1)).toContain(`the file \`${ca}\` of \`tlsCa\` can't be read: it is a directory`);
      rmSync(ca, { recursive: true });
      execFileSync("mkfifo", [ca]);
      await checkTwice();
      expect(lines.at(-1)).toContain(`the file \`${ca}\` of \`tlsCa\` can't be read: it is no regular file`);
      rmSync(ca);
      symlinkSync("/dev/zero", ca);
      await checkTwice();
      expect(identity.client).toEqual({ ca: pem(authority.cert) });
      rmSync(ca);
      copyFileSync(strangers.cert, ca);
      await checkTwice();
      expect(identity.client).toEqual({ ca: pem(strangers.cert) });
    }));
});
