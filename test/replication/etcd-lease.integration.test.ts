/** The lease of the primary in a real etcd: one member, three members, users, and TLS. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LeaseLostError, type Lease, type LeaseOptions } from "../../src/replication/lease/lease.ts";
import { openLease } from "../../src/replication/lease/open-lease.ts";
import { nextFailoverTerm } from "../../src/store/log/terms.ts";
import { systemClock } from "../../src/util/clock.ts";
import { makeAuthority, type Certificate } from "../e2e/certificates.ts";
import { Etcd } from "../e2e/etcd.ts";
import { eventually } from "./cluster.ts";
import { acquired, refused, testLeaseConformance } from "./lease/conformance.ts";
import { lossyFetch } from "./lease/lossy-fetch.ts";
import { SimulatedClock } from "./simulated-clock.ts";

// A timeout of the test runner would kill the servers of all later tests.
setDefaultTimeout(120_000);

const send = (url: string, init: RequestInit) => fetch(url, init);
// No time passes, so no answer is too late on a busy machine.
const system = { fetch: send, clock: new SimulatedClock() };
const directory = mkdtempSync(join(tmpdir(), "ostiary-etcd-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

let places = 0;
const fresh = (): string => `place-${++places}`;

describe("etcd", () => {
  let etcd: Etcd;
  beforeAll(async () => void (etcd = await Etcd.start(join(directory, "one"))));
  afterAll(() => etcd?.stop());

  testLeaseConformance({
    name: "etcd",
    url: () => etcd.url(fresh()),
    urlAt: (port) => `etcd://127.0.0.1:${port}`,
    isWrite: (_url, init) => String(init.body).includes('"compare"'),
  });
});

describe("a cluster of etcd", () => {
  let etcd: Etcd;
  const ttlMs = 12_000;
  const open = (url: string, node: string): Lease =>
    openLease({ url, node, ttlMs }, { fetch: send, clock: systemClock });
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
    expect(await b.acquire(0)).toBeUndefined();

    await second?.kill();
    for (const call of [() => a.renew(held), () => b.acquire(0), () => b.holder()]) {
      const error = await refused(call());
      expect(error).not.toBeInstanceOf(LeaseLostError);
      expect(String(error)).toContain("a majority of its members");
      // A member without a majority answers only after several seconds.
      expect(String(error)).toMatch(/no answer within \d+ ms|it took longer than \d+ ms/);
    }

    await Promise.all([first?.start(), second?.start()]);
    await eventually(() => a.renew(held));
    await a.release(held);
    expect((await acquired(b)).term).toBe(nextFailoverTerm(held.term));
  });

  test("if the answer of one member is lost, the next member answers", async () => {
    const clock = new SimulatedClock();
    const lossy = lossyFetch((_url, init) => String(init.body).includes('"compare"'), clock);
    const url = etcd.url(fresh());
    const a = openLease({ url, node: "a", ttlMs }, { fetch: lossy.fetch, clock });
    lossy.loses = "one write";
    const held = await acquired(a);
    expect(held.term).toBe(nextFailoverTerm(0));
    await a.renew(held);
    lossy.loses = "one write";
    await a.release(held);
    expect(await a.holder()).toEqual({ record: held, isHeld: false });
  });
});

describe("etcd with users", () => {
  let etcd: Etcd;
  const password = "correct horse";
  beforeAll(async () => {
    etcd = await Etcd.start(join(directory, "users"), { flags: ["--auth-token-ttl=1", "--log-level=debug"] });
    await etcd.enableAuth(password, "ostiary", "ours");
  });
  afterAll(() => etcd?.stop());

  test("logs in, also after its token has expired, with rights for its prefix only", async () => {
    const lease = openLease({ url: etcd.url("ours"), node: "a", ttlMs: 6000, username: "ostiary", password }, system);
    const held = await acquired(lease);
    const [member] = etcd.members;
    await eventually(() => expect(member?.output).toContain("deleted a simple token"));
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

describe("etcd over TLS", () => {
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
