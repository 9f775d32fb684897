/**
 * The lease of the primary in Kubernetes and in S3: in test servers that follow their documentation, since neither can
 * be installed where the tests run.
 */
import * as Bun from "bun";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { failoverUrlProblem } from "../../src/config/failover-url.ts";
import { kubernetesLease } from "../../src/replication/lease/kubernetes-lease.ts";
import type { Lease } from "../../src/replication/lease/lease.ts";
import { openLease } from "../../src/replication/lease/open-lease.ts";
import { nextFailoverTerm } from "../../src/store/log/terms.ts";
import { makeAuthority } from "../e2e/certificates.ts";
import { findProgram } from "../e2e/program.ts";
import { acquired, refused, testLeaseConformance } from "./lease/conformance.ts";
import { startKubernetes } from "./lease/kubernetes-server.ts";
import { startS3 } from "./lease/s3-server.ts";
import { SimulatedClock } from "./simulated-clock.ts";

// No time passes, so no answer is too late on a busy machine.
const system = { fetch: (url: string, init: RequestInit) => fetch(url, init), clock: new SimulatedClock() };
const directory = mkdtempSync(join(tmpdir(), "ostiary-lease-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

let places = 0;
const fresh = (): string => `place-${++places}`;
const isMade = (method: string, init: RequestInit): boolean => init.method === method;

describe("Kubernetes", () => {
  const token = "a-service-account";
  const kubernetes = startKubernetes(token);
  afterAll(() => kubernetes.stop());
  const at = (port: number, name: string): string => `kubernetes+http://127.0.0.1:${port}/default/${name}`;

  testLeaseConformance({
    name: "Kubernetes (test server)",
    url: () => at(kubernetes.port, fresh()),
    urlAt: (port) => at(port, "lease"),
    isWrite: (_url, init) => isMade("PUT", init) || isMade("POST", init),
    options: { password: token },
  });

  test("the object has the fields that other tools expect", async () => {
    const name = fresh();
    const lease = openLease({ url: at(kubernetes.port, name), node: "a", ttlMs: 1500, password: token }, system);
    const other = openLease({ url: at(kubernetes.port, name), node: "b", ttlMs: 1500, password: token }, system);
    const object = () => kubernetes.objects.get(`default/${name}`);
    const held = await acquired(lease);
    expect(object()?.spec).toMatchObject({ holderIdentity: "a", leaseDurationSeconds: 2, leaseTransitions: 0 });
    expect(object()?.metadata.annotations?.["ostiary.dev/term"]).toBe(String(held.term));
    // As another client would: with another version.
    Object.assign(object()?.metadata as object, { labels: { team: "x" }, resourceVersion: "changed" });
    await lease.release(held);
    expect(object()?.spec?.holderIdentity).toBeUndefined();
    expect(object()?.spec?.leaseDurationSeconds).toBe(1);
    await acquired(other);
    expect(object()).toMatchObject({
      metadata: { labels: { team: "x" } },
      spec: { holderIdentity: "b", leaseTransitions: 1 },
    });
  });

  test("does not touch the lease of another program, and acquires an empty one", async () => {
    const [foreign, empty] = [fresh(), fresh()];
    const put = (name: string, spec: object): void =>
      void kubernetes.objects.set(`default/${name}`, {
        metadata: { name, namespace: "default", resourceVersion: "1" },
        spec,
      });
    put(foreign, { holderIdentity: "controller" });
    put(empty, {});
    const open = (name: string): Lease =>
      openLease({ url: at(kubernetes.port, name), node: "a", ttlMs: 1500, password: token }, system);
    expect(String(await refused(open(foreign).acquire(0)))).toContain("another program");
    expect((await acquired(open(empty))).term).toBe(nextFailoverTerm(0));
  });

  test("a wrong token is reported by name", async () => {
    const lease = openLease({ url: at(kubernetes.port, "x"), node: "a", ttlMs: 1500, password: "secret" }, system);
    const text = String(await refused(lease.acquire(0)));
    expect(text).toContain("401 Unauthorized");
    expect(text).not.toContain("secret");
  });

  test.skipIf(findProgram("openssl") === null)("in a pod it reads the token again for each request", async () => {
    const authority = makeAuthority(directory, "cluster");
    const server = startKubernetes("first", authority.issue("api", ["IP:127.0.0.1"]));
    const write = (name: string, text: string): void => writeFileSync(join(directory, name), text);
    write("token", "first\n");
    write("ca.crt", await Bun.file(authority.cert).text());
    const environment = { KUBERNETES_SERVICE_HOST: "127.0.0.1", KUBERNETES_SERVICE_PORT: String(server.port) };
    try {
      const place = { kind: "kubernetes", server: undefined, namespace: "default", name: "ostiary" } as const;
      const options = { url: "kubernetes://default/ostiary", node: "a", ttlMs: 3000 };
      const lease = kubernetesLease(place, options, { ca: undefined, cert: undefined, key: undefined }, system, {
        environment,
        serviceAccount: directory,
      });
      const held = await acquired(lease);
      server.token = "second";
      expect(String(await refused(lease.renew(held)))).toContain("401");
      // Another program can put anything there: a pipe would block the node, a device would fill its memory.
      rmSync(join(directory, "token"));
      symlinkSync("/dev/zero", join(directory, "token"));
      const problem = `the file \`${join(directory, "token")}\` can't be read: it is no regular file`;
      expect(String(await refused(lease.renew(held)))).toContain(problem);
      rmSync(join(directory, "token"));
      write("token", "second\n");
      await lease.renew(held);
    } finally {
      await server.stop();
    }
    expect(() => openLease({ url: "kubernetes://default/x", node: "a", ttlMs: 3000 }, system)).toThrow("no pod");
  });
});

describe("S3", () => {
  const credentials = { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "wJalrXUtnFEMI/K7MDENG", sessionToken: "session" };
  const s3 = startS3(credentials, "bucket");
  const at = (port: number, key: string): string =>
    `s3://bucket/leases/${key}?endpoint=http://127.0.0.1:${port}&region=eu-central-1`;
  const variables = {
    AWS_ACCESS_KEY_ID: credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
    AWS_SESSION_TOKEN: credentials.sessionToken,
  };
  const before = Object.fromEntries(Object.keys(variables).map((name) => [name, process.env[name]]));
  beforeAll(() => void Object.assign(process.env, variables));
  afterAll(async () => {
    for (const [name, value] of Object.entries(before))
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    await s3.stop();
  });
  const open = (url: string, node = "a"): Lease => openLease({ url, node, ttlMs: 1500 }, system);

  testLeaseConformance({
    name: "S3 (test server)",
    url: () => at(s3.port, fresh()),
    urlAt: (port) => at(port, "lease"),
    isWrite: (url, init) => isMade("PUT", init) && !url.endsWith(".probe"),
  });

  test("a conflict with another write is retried", async () => {
    const lease = open(at(s3.port, fresh()));
    const held = await acquired(lease);
    s3.nextPuts.push({ status: 409, code: "ConditionalRequestConflict" });
    await lease.renew(held);
    s3.nextPuts.push({ status: 503, code: "SlowDown" });
    expect(String(await refused(lease.renew(held)))).toContain("503 SlowDown");
    await lease.renew(held);
  });

  test("a storage that ignores the conditions is not used", async () => {
    for (const header of ["If-Match", "If-None-Match"]) {
      s3.ignored = [header];
      expect(String(await refused(open(at(s3.port, fresh())).acquire(0)))).toContain(`ignores the header ${header}`);
    }
    s3.ignored = [];
  });

  test("a refusal is reported with its code", async () => {
    const missing = open(`s3://nobody/key?endpoint=http://127.0.0.1:${s3.port}`);
    expect(String(await refused(missing.acquire(0)))).toContain("404 NoSuchBucket");
    process.env["AWS_SECRET_ACCESS_KEY"] = "another-secret";
    const stranger = open(at(s3.port, "key"));
    process.env["AWS_SECRET_ACCESS_KEY"] = credentials.secretAccessKey;
    const text = String(await refused(stranger.acquire(0)));
    expect(text).toContain("403 SignatureDoesNotMatch");
    expect(text).not.toContain("another-secret");
    process.env["AWS_SECRET_ACCESS_KEY"] = "";
    expect(() => open(at(s3.port, "key"))).toThrow("AWS_SECRET_ACCESS_KEY");
    process.env["AWS_SECRET_ACCESS_KEY"] = credentials.secretAccessKey;
  });
});

test("URLs of `failover`", () => {
  const usable = [
    "etcd://a",
    "etcds://a:2379,b:2379,[::1]:2379/ostiary/production",
    "kubernetes://default/ostiary",
    "kubernetes+http://127.0.0.1:8001/default/ostiary.primary",
    "kubernetes+https://api.example.com/default/ostiary",
    "s3://bucket/path/lease.json",
    "s3://bucket/lease?endpoint=https://minio:9000&region=eu-central-1",
  ];
  for (const url of usable) expect([url, failoverUrlProblem(url)]).toEqual([url, undefined]);
  const problems: readonly (readonly [string, string])[] = [
    ["a:2379", "is not a URL"],
    ["consul://a", "must begin with"],
    ["etcd://user:secret@a", "user or a password"],
    ["etcd://a,,b", "members of etcd"],
    ["etcd://a/x//y", "prefix"],
    ["etcd://a/x?token=secret", "query"],
    ["kubernetes://default", "kubernetes://namespace/name"],
    ["kubernetes://Default/x", "kubernetes://namespace/name"],
    ["kubernetes+http:///default/x", "kubernetes+http://host:port/namespace/name"],
    ["s3://bucket", "bucket and an object"],
    ["s3://bucket/key?secret=secret", "except"],
    ["s3://bucket/key?endpoint=ftp://x", "endpoint"],
  ];
  for (const [url, problem] of problems) {
    expect(failoverUrlProblem(url)).toContain(problem);
    expect(failoverUrlProblem(url)).not.toContain("secret");
    expect(() => openLease({ url, node: "a", ttlMs: 2000 }, system)).toThrow("failover");
  }
});
