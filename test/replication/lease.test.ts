/**
 * The lease of the primary in each coordination service: in a real etcd, and in test servers that follow the
 * documentation of Kubernetes and S3, since neither can be installed where the tests run.
 */
import * as Bun from "bun";
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { failoverUrlProblem } from "../../src/config/failover-url.ts";
import { kubernetesLease } from "../../src/replication/failover/lease/kubernetes-lease.ts";
import { LeaseLostError, type Lease, type LeaseOptions } from "../../src/replication/failover/lease/lease.ts";
import { openLease } from "../../src/replication/failover/lease/open-lease.ts";
import { nextFailoverTerm } from "../../src/store/log/terms.ts";
import { systemClock } from "../../src/util/clock.ts";
import { makeAuthority, type Certificate } from "../e2e/certificates.ts";
import { Etcd } from "../e2e/etcd.ts";
import { findProgram } from "../e2e/program.ts";
import { acquired, testLeaseConformance, refused } from "./lease/conformance.ts";
import { startKubernetes } from "./lease/kubernetes-server.ts";
import { lossyFetch } from "./lease/lossy-fetch.ts";
import { startS3 } from "./lease/s3-server.ts";

// A timeout of the test runner would kill the servers of all later tests.
setDefaultTimeout(30_000);

const system = { fetch: (url: string, init: RequestInit) => fetch(url, init), clock: systemClock };
const directory = mkdtempSync(join(tmpdir(), "ostiary-lease-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

let places = 0;
const fresh = (): string => `place-${++places}`;
const isMade = (method: string, init: RequestInit): boolean => init.method === method;

describe.skipIf(findProgram("etcd") === null)("etcd (skipped if it is not installed)", () => {
  let etcd: Etcd;
  beforeAll(async () => void (etcd = await Etcd.start(join(directory, "one"))));
  afterAll(() => etcd?.stop());

  testLeaseConformance({
    name: "etcd",
    ttlMs: 1500,
    lateMs: 100,
    url: () => etcd.url(fresh()),
    urlAt: (port) => `etcd://127.0.0.1:${port}`,
    isWrite: (_url, init) => String(init.body).includes('"compare"'),
  });
});

describe.skipIf(findProgram("etcd") === null)("a cluster of etcd", () => {
  let etcd: Etcd;
  const ttlMs = 3000;
  const open = (url: string, node: string): Lease => openLease({ url, node, ttlMs }, system);
  beforeAll(async () => void (etcd = await Etcd.start(join(directory, "three"), { members: 3 })));
  afterAll(() => etcd?.stop());

  test("continues without one member, and gives no answer without a majority", async () => {
    const [first, second] = etcd.members;
    const url = etcd.url(fresh());
    const [a, b] = [open(url, "a"), open(url, "b")];
    const held = await acquired(a);

    first?.freeze();
    await eventually(() => a.renew(held));
    expect(await b.acquire(0)).toBeUndefined();
    first?.thaw();
    await first?.kill();
    await eventually(() => a.renew(held));
    const stays = performance.now();
    expect(await b.acquire(0)).toBeUndefined();
    expect(performance.now() - stays).toBeLessThan(ttlMs / 3);

    await second?.kill();
    for (const call of [() => a.renew(held), () => b.acquire(0), () => b.holder()]) {
      const askedMs = performance.now();
      const error = await refused(call());
      expect(error).not.toBeInstanceOf(LeaseLostError);
      expect(String(error)).toContain("a majority of its members");
      expect(performance.now() - askedMs).toBeLessThan(ttlMs / 3 + 400);
    }

    await Promise.all([first?.start(), second?.start()]);
    await eventually(() => a.renew(held));
    await a.release(held);
    expect((await acquired(b)).term).toBe(nextFailoverTerm(held.term));
  });

  test("if the answer of one member is lost, the next member answers", async () => {
    const lossy = lossyFetch((_url, init) => String(init.body).includes('"compare"'));
    const url = etcd.url(fresh());
    const a = openLease({ url, node: "a", ttlMs }, { fetch: lossy.fetch, clock: systemClock });
    lossy.loses = "one write";
    const held = await acquired(a);
    expect(held.term).toBe(nextFailoverTerm(0));
    await a.renew(held);
    lossy.loses = "one write";
    await a.release(held);
    expect(await a.holder()).toEqual({ record: held, isHeld: false });
  });
});

describe.skipIf(findProgram("etcd") === null)("etcd with users", () => {
  let etcd: Etcd;
  const password = "correct horse";
  beforeAll(async () => {
    etcd = await Etcd.start(join(directory, "users"), { flags: ["--auth-token-ttl=1"] });
    await etcd.enableAuth(password, "ostiary", "ours");
  });
  afterAll(() => etcd?.stop());

  test("logs in, also after its token has expired, with rights for its prefix only", async () => {
    const lease = openLease({ url: etcd.url("ours"), node: "a", ttlMs: 6000, username: "ostiary", password }, system);
    const held = await acquired(lease);
    await Bun.sleep(2600);
    await lease.renew(held);
    await lease.release(held);
    expect(await lease.holder()).toEqual({ record: held, isHeld: false });
  });

  test("reports why it was refused, without secrets", async () => {
    const refusals = [
      { username: "ostiary", password, prefix: "theirs", says: "permission denied" },
      { username: "ostiary", password: "secret", prefix: "ours", says: "authentication failed" },
      { username: undefined, password: undefined, prefix: "ours", says: "user name is empty" },
    ];
    for (const { prefix, says, ...user } of refusals) {
      const lease = openLease({ url: etcd.url(prefix), node: "a", ttlMs: 3000, ...user }, system);
      const text = String(await refused(lease.acquire(0)));
      expect(text).toContain(says);
      expect(text).not.toContain("secret");
    }
  });
});

describe.skipIf(findProgram("etcd") === null || findProgram("openssl") === null)("etcd over TLS", () => {
  test("presents the client certificate, and trusts only the named authority", async () => {
    const authority = makeAuthority(directory, "etcd");
    const server = authority.issue("etcd", ["IP:127.0.0.1"]);
    const client = authority.issue("client");
    const etcd = await Etcd.start(join(directory, "tls"), {
      isTls: true,
      flags: [
        `--cert-file=${server.cert}`,
        `--key-file=${server.key}`,
        "--client-cert-auth",
        `--trusted-ca-file=${authority.cert}`,
      ],
    });
    try {
      const options: LeaseOptions = { url: etcd.url("tls"), node: "a", ttlMs: 6000 };
      const lease = openLease({ ...options, ca: authority.cert, ...client }, system);
      const held = await eventually(() => acquired(lease));
      await lease.renew(held);
      const other = makeAuthority(directory, "others").issue("client");
      const renewed = { cert: join(directory, "renewed.crt"), key: join(directory, "renewed.key") };
      const replace = ({ cert, key }: Certificate): void => {
        copyFileSync(cert, renewed.cert);
        copyFileSync(key, renewed.key);
      };
      replace(other);
      const late = openLease({ ...options, ca: authority.cert, ...renewed }, system);
      expect(String(await refused(late.holder()))).toContain("etcd");
      replace(client);
      expect(await eventually(() => late.holder())).toMatchObject({ record: { node: "a" } });
      const strangers = [{}, { ca: authority.cert }, { ...client }];
      for (const stranger of strangers)
        expect(String(await refused(openLease({ ...options, ...stranger }, system).holder()))).toContain("etcd");
    } finally {
      await etcd.stop();
    }
  });
});

describe("Kubernetes", () => {
  const token = "a-service-account";
  const kubernetes = startKubernetes(token);
  afterAll(() => kubernetes.stop());
  const at = (port: number, name: string): string => `kubernetes+http://127.0.0.1:${port}/default/${name}`;

  testLeaseConformance({
    name: "Kubernetes (test server)",
    ttlMs: 1500,
    lateMs: 100,
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
    ttlMs: 1500,
    lateMs: 100,
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

async function eventually<T>(body: () => Promise<T>): Promise<T> {
  const end = performance.now() + 15_000;
  for (;;) {
    try {
      return await body();
    } catch (error) {
      if (error instanceof LeaseLostError || performance.now() > end) throw error;
      await Bun.sleep(50);
    }
  }
}
