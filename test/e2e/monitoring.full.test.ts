/**
 * The shipped alerts and dashboards with a real Prometheus: dashboards of a cluster under load, and for each alert a node
 * that has the failure. Only the ranges and the waiting times of the rules are shorter.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
} from "node:fs";
import * as Bun from "bun";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectAsync } from "mqtt";
import { Repository, User } from "../../scripts/example/facts.ts";
import { builtBinary } from "../../scripts/built-binary.ts";
import { freePort, newAdminKey, NodeProcess } from "../../scripts/node-process.ts";
import { currentStorePath } from "../../src/store/directory/data-directory.ts";
import { must } from "../../src/util/assert.ts";
import { Clocks } from "../chaos/clocks.ts";
import { holdConnections, openConnection, requestHead } from "../hostile/raw-http.ts";
import { openBreakableProxy } from "../replication/breakable-proxy.ts";
import { withCluster as withNodesInProcess } from "../replication/cluster.ts";
import { flipBit } from "../replication/flip-bit.ts";
import { alertRules, dashboards, selectorsOf } from "../telemetry/observability.ts";
import { unpackDataDirectory } from "../unpack-data-directory.ts";
import { makeAuthority, type Certificate } from "./certificates.ts";
import { eventually, withCluster, type Cluster } from "./cluster.ts";
import { Etcd } from "./etcd.ts";
import { programPath } from "./program.ts";
import { expectSeries, question, quick, roleOf, send, startLoad } from "./monitored-load.ts";
import { Prometheus, promtool } from "./prometheus.ts";

const timeoutMs = 240_000;
/** On a machine that runs other tests beside this one. */
const readyMs = 90_000;

/** Alerts that fired in a test which caused their failure. */
const fired = new Set<string>();

/** The names that `promtool check metrics` criticises and that stay, because others know them. */
const keptNames = ["oso_fallback_snapshot_age_ms"];

async function expectGoodNames({ url }: NodeProcess, key: string): Promise<void> {
  const { text } = await send(`${url}/metrics`, { key, method: "GET" });
  const { output } = promtool(["check", "metrics"], text);
  const problems = output.split("\n").filter((line) => line !== "" && !keptNames.some((name) => line.startsWith(name)));
  expect(problems).toEqual([]);
}

/** The metrics of alerts, with each label by which they select, that were not found in series of real nodes yet. */
const missingSeries = new Set(
  alertRules
    .flatMap(({ expr }) => selectorsOf(expr))
    .flatMap(({ metric, labels }) => [metric, ...labels.map((label) => `${metric}{${label}!=""}`)]),
);

async function findSeries(prometheus: Prometheus): Promise<void> {
  for (const expr of missingSeries)
    if ((await prometheus.query(`count(${expr})`)).length > 0) missingSeries.delete(expr);
}

test(
  "dashboards have series of a cluster under load, and alerts fire when its links, brokers, disks and nodes fail",
  () =>
    withCluster({ broker: "mosquitto", edges: 0, environment: quick }, async (cluster) => {
      const { primary, adminKey, directory, node, client } = cluster;
      const mosquitto = must(cluster.mosquitto);
      await using link = await openBreakableProxy(primary.url);
      const edgeA = await node("edge-a", "edge", {
        OSTIARY_PROMOTED_BROKER_USERNAME: must(mosquitto.primary["OSTIARY_BROKER_USERNAME"]),
        OSTIARY_PROMOTED_BROKER_PASSWORD: must(mosquitto.primary["OSTIARY_BROKER_PASSWORD"]),
      });
      const edgeB = await node("edge-b", "edge", { OSTIARY_PRIMARY: link.url });
      const edgeC = await node("edge-c", "edge", { OSTIARY_PRIMARY: link.url, OSTIARY_PEERS: edgeA.url });
      const fallback = await node("fallback", "fallback", { OSTIARY_REFRESH: "5s" });
      await fallback.start(undefined, readyMs);
      const edges = [edgeA, edgeB, edgeC];
      const nodes = [primary, ...edges, fallback];
      await Promise.all(edges.map((edge) => edge.start(({ state }) => state === "LIVE", readyMs)));
      const options = { key: adminKey, console: edgeA.url, targets: nodes };
      const prometheus = await Prometheus.start(join(directory, "prometheus"), options);
      const fires = async (alert: string, at?: NodeProcess) => {
        fired.add(alert);
        return prometheus.fires(alert, at);
      };
      try {
        const load = startLoad(cluster, nodes);
        try {
          for (const [name, content] of dashboards) {
            // The dashboard of one node shows each role.
            for (const { url } of name === "node.json" ? [primary, edgeA, fallback] : [primary])
              await expectSeries(prometheus, content, name === "node.json" ? new URL(url).host : ".*", ".*");
            await expectSeries(prometheus, content, name === "node.json" ? new URL(primary.url).host : ".*", "default");
          }
        } finally {
          await load.stop();
        }
        await findSeries(prometheus);
        for (const each of [primary, edgeA, fallback]) await expectGoodNames(each, adminKey);
        await eventually(async () => (await prometheus.firing()).length === 0, "no alert fires", 45_000).catch(
          async () => expect(await prometheus.firing()).toEqual([]),
        );
        expect(await prometheus.ruleErrors()).toEqual([]);

        // The primary cannot be asked. One edge has a peer, the other has nobody.
        link.cut();
        await fires("OstiaryPrimaryUnconfirmed", edgeC);
        await fires("OstiaryCatchUpFailed", edgeB);
        const { annotations } = await fires("OstiaryNodeNotReady", edgeB);
        const runbook = `${edgeA.url}/console/#/manual/troubleshooting/node-is-not-ready`;
        expect(annotations["runbook_url"]).toBe(runbook);
        expect((await fetch(runbook)).status).toBe(200);
        link.mend();

        // Somebody publishes to the topics.
        await publishAsIntruder(cluster, "default");
        await fires("OstiaryUnauthenticatedMessages", edgeA);
        await fires("OstiaryStaleHeads", edgeA);

        // Flipped bits on a disk.
        damage(must(currentStorePath(edgeA.directory)));
        await fires("OstiaryDatabaseRejected", edgeA);

        // The broker ends, and then the link as well.
        await mosquitto.kill();
        await fires("OstiaryBrokerDisconnected", primary);
        await fires("OstiaryBrokerSilent", edgeA);
        link.cut();
        const oso = client(primary);
        for (let first = 0; first < 1100; first += 100)
          await Promise.all(
            Array.from({ length: 100 }, (_, index) =>
              oso.insert(["has_role", User(`behind-${first + index}`), "reader", Repository("kernel")]),
            ),
          );
        await fires("OstiaryNodeBehind", edgeB);
        link.mend();
        await mosquitto.start();
        await Promise.all(edges.map((edge) => edge.ready(({ state }) => state === "LIVE", readyMs)));

        // An edge replaces a primary without peers.
        const promotion = await send(`${edgeA.url}/api/promote`, { key: adminKey, body: { force: true } });
        expect(promotion).toMatchObject({ status: 200 });
        await fires("OstiaryPrimaryReplaced", primary);

        // Both end.
        await Promise.all([primary.kill(), edgeA.kill(), mosquitto.kill()]);
        const refused = setInterval(() => {
          const body = [{ inserts: [roleOf("nobody", Repository("kernel"))] }];
          send(`${edgeC.url}/api/batch`, { key: adminKey, body }).catch(() => undefined);
        }, 200);
        try {
          await fires("OstiaryNodeDown", primary);
          await fires("OstiaryNoPrimary");
          await fires("OstiarySnapshotFailed", fallback);
          await fires("OstiaryRequestsFail", edgeC);
        } finally {
          clearInterval(refused);
        }

        // The primary starts on an empty disk.
        renameSync(primary.directory, `${primary.directory}-unmounted`);
        await primary.start();
        await fires("OstiaryForeignHistory", edgeB);
        expect(await prometheus.ruleErrors()).toEqual([]);
      } finally {
        await prometheus.kill();
      }
    }),
  timeoutMs,
);

/** Publishes a message that no node made, and a head that was superseded. */
async function publishAsIntruder({ mosquitto }: Cluster, environment: string): Promise<void> {
  const { url, passwords } = must(mosquitto);
  const topic = `ostiary/v1/${environment}/head`;
  const intruder = await connectAsync(url, {
    protocolVersion: 5,
    clientId: "intruder",
    username: "ostiary-primary",
    password: passwords["ostiary-primary"],
    reconnectPeriod: 0,
  });
  try {
    const heads: Buffer[] = [];
    intruder.on("message", (_topic, payload, { retain }) => void (retain || heads.push(payload)));
    await intruder.subscribeAsync(topic);
    await intruder.publishAsync(`ostiary/v1/${environment}/ev`, '{"v":1}');
    await eventually(async () => heads.length > 2, "three heads arrive");
    await intruder.publishAsync(topic, must(heads[0]));
  } finally {
    await intruder.endAsync();
  }
}

const pageBytes = 4096;

/** Flips a bit in each page of a database. */
function damage(path: string): void {
  const { size } = statSync(path);
  for (let at = pageBytes / 2; at < size; at += pageBytes) flipBit(path, at, 0);
}

/** Runs a program of the system. Returns whether it succeeded. */
function run(program: string, ...parameters: readonly string[]): boolean {
  return Bun.spawnSync([programPath(program), ...parameters], { stdout: "ignore", stderr: "ignore" }).success;
}

interface Single {
  readonly name: string;
  /** Default `primary`. */
  readonly role?: "primary" | "edge";
  /** By default a free one. */
  readonly port?: number;
  readonly environment: Readonly<Record<string, string>>;
  readonly through?: readonly string[];
}

const dayMs = 86_400_000;

/** A time so long from now, as openssl takes it. */
function opensslTime(fromNowMs: number): string {
  return new Date(Date.now() + fromNowMs).toISOString().replaceAll(/[-:T]|\.\d+/g, "");
}

describe("nodes that fail alone", () => {
  const directory = mkdtempSync(join(tmpdir(), "ostiary-alerts-"));
  const nodes = new Map<string, NodeProcess>();
  const adminKey = newAdminKey();
  const nodeKey = "0123456789abcdef0123456789abcdef";
  const previousNodeKey = "fedcba9876543210fedcba9876543210";
  const clocks = new Clocks(directory);
  const backups = join(directory, "backups");
  const disk = join(directory, "full");
  let canMount = false;
  let issuer: string;
  let certificate: Certificate;
  let etcd: Etcd;
  let prometheus: Prometheus;

  const nodeOf = (name: string): NodeProcess => must(nodes.get(name), name);
  const ask = (name: string, path: string, body?: unknown, key = adminKey) =>
    send(nodeOf(name).url + path, { key, method: body === undefined ? "GET" : "POST", body });
  const fires = async (alert: string, name?: string) => {
    fired.add(alert);
    await prometheus.fires(alert, name === undefined ? {} : nodeOf(name));
    await findSeries(prometheus);
  };

  async function add(
    { name, role = "primary", port, environment, through = [] }: Single,
    binary: string,
  ): Promise<void> {
    const settings = {
      OSTIARY_ADMIN_KEY: adminKey,
      OSTIARY_NODE_KEY: nodeKey,
      OSTIARY_MQTT_PORT: "0",
      ...environment,
    };
    const place = { through, listen: "127.0.0.1", address: "127.0.0.1" };
    const options = { binary, name, role, port: port ?? (await freePort()), directory: join(directory, name) };
    nodes.set(name, new NodeProcess({ ...options, environment: settings, place }));
  }

  beforeAll(async () => {
    etcd = await Etcd.start(join(directory, "etcd"));
    const binary = await builtBinary();
    const authority = makeAuthority(directory, "authority");
    certificate = authority.issue("node", ["IP:127.0.0.1"], [opensslTime(-3 * dayMs), opensslTime(dayMs / 2)]);
    issuer = `http://127.0.0.1:${await freePort()}`;
    const [plainPort, rotatingPort] = [await freePort(), await freePort()];
    const singles: readonly Single[] = [
      {
        name: "secured",
        port: plainPort,
        environment: {
          OSTIARY_PORT: String(await freePort()),
          OSTIARY_PLAIN_PORT: String(plainPort),
          OSTIARY_TLS_CERT: certificate.cert,
          OSTIARY_TLS_KEY: certificate.key,
        },
      },
      {
        name: "leased",
        environment: {
          OSTIARY_FAILOVER: etcd.url("ostiary"),
          OSTIARY_FAILOVER_TTL: "2s",
          // Nobody is there.
          OSTIARY_PEERS: `http://127.0.0.1:${await freePort()}`,
          OSTIARY_FAILOVER_MAY_LOSE_WRITES: "true",
        },
      },
      { name: "lonely", environment: { OSTIARY_ACK: "edges:1", OSTIARY_ACK_TIMEOUT_MS: "100ms" } },
      { name: "copy", environment: {} },
      // Its data are those of an older release, and its schedule of backups does not run.
      {
        name: "outdated",
        environment: { OSTIARY_BACKUP_DIRECTORY: backups, OSTIARY_NODE_KEY: "n_default_0123456789abcdef" },
      },
      { name: "rotating", port: rotatingPort, environment: { OSTIARY_NODE_KEY: `${nodeKey} ${previousNodeKey}` } },
      {
        name: "left-behind",
        role: "edge",
        environment: { OSTIARY_NODE_KEY: previousNodeKey, OSTIARY_PRIMARY: `http://127.0.0.1:${rotatingPort}` },
      },
      { name: "full", environment: {} },
      {
        name: "slow",
        environment: { OSTIARY_CLOSURE_ROWS_MAX: "10", OSTIARY_SERVING_THREAD_QUERY_ROWS_MAX: "100" },
      },
      {
        name: "abused",
        environment: {
          OSTIARY_CONNECTIONS_MAX: "16",
          OSTIARY_RESPONSE_STALL_MS: "500ms",
          OSTIARY_SERVING_THREAD_ANSWER_VALUES_MAX: "1000",
          OSTIARY_KEY_READS_PER_SECOND_MAX: "20",
          OSTIARY_DECISIONS_LOG: "all",
          OSTIARY_OIDC_ISSUER: issuer,
          OSTIARY_OIDC_AUDIENCE: "ostiary",
          OSTIARY_OIDC_ADMIN: "owners",
          OSTIARY_OIDC_KEYS_FETCH_INTERVAL_MS_MIN: "100ms",
        },
      },
      { name: "hosting", environment: {} },
      {
        name: "mute",
        environment: { OSTIARY_LOG_LEVEL: "debug", ...clocks.prepare("mute") },
        // Its log goes to a disk that is full.
        through: ["sh", "-c", 'exec "$0" "$@" 2>/dev/full'],
      },
    ];
    for (const single of singles) await add(single, binary);
    // The decision log cannot be opened.
    mkdirSync(join(nodeOf("abused").directory, "decisions.db"), { recursive: true });
    mkdirSync(backups);
    unpackDataDirectory("format-5", "primary", nodeOf("outdated").directory);
    mkdirSync(disk);
    canMount = run("mount", "-t", "tmpfs", "-o", "size=64m,mode=0700", "ostiary-alerts", disk);
    const later = ["copy", "left-behind"];
    const first = [...nodes.values()].filter(({ name }) => !later.includes(name));
    for (const node of first) node.launch();
    await Promise.all(first.map((node) => node.ready(undefined, readyMs)));
    const targets = [...nodes.values()].map(({ name, url }) => ({ url, cluster: name === "copy" ? "lonely" : name }));
    const options = { key: adminKey, console: nodeOf("slow").url, targets };
    prometheus = await Prometheus.start(join(directory, "prometheus"), options);
    await eventually(
      async () => (await prometheus.query("up == 1")).length === first.length,
      "all are scraped",
      30_000,
    );
  }, 120_000);

  afterAll(async () => {
    await Promise.all([...nodes.values()].map((node) => node.kill()));
    await prometheus?.kill();
    await etcd?.stop();
    if (canMount) run("umount", disk);
    rmSync(directory, { recursive: true, force: true });
  });

  test(
    "of a coordination service that ended",
    async () => {
      const renewals = 'increase(ostiary_lease_renewals_total{outcome="renewed"}[15s]) > 0';
      await eventually(async () => (await prometheus.query(renewals)).length > 0, "the lease is renewed", 30_000);
      await etcd.stop();
      await fires("OstiaryLeaseNotRenewed", "leased");
    },
    timeoutMs,
  );

  test(
    "of writes that no edge confirms, and of a second process with a copy of the data",
    async () => {
      const policy = { src: "actor User {}", filename: "policy.polar" };
      expect((await ask("lonely", "/api/policy", policy)).status).toBe(503);
      await fires("OstiaryWritesNotAcknowledged", "lonely");
      await nodeOf("lonely").stop();
      cpSync(nodeOf("lonely").directory, nodeOf("copy").directory, { recursive: true });
      await Promise.all([nodeOf("lonely").start(), nodeOf("copy").start()]);
      await fires("OstiaryTwoPrimaries");
    },
    timeoutMs,
  );

  test(
    "of a closure that is too large, and of files that disappear",
    async () => {
      const src = `actor User {} resource Folder { relations = { parent: Folder }; roles = ["reader"]; permissions = ["read"];
        "read" if "reader"; "reader" if "reader" on "parent"; }`;
      expect((await ask("slow", "/api/policy", { src, filename: "policy.polar" })).status).toBe(200);
      const folder = (index: number) => ({ type: "Folder", id: String(index) });
      for (let first = 0; first < 3000; first += 1000) {
        const inserts = Array.from({ length: 1000 }, (_, index) => ({
          predicate: "has_relation",
          args: [folder(first + index), { type: "String", id: "parent" }, folder(first + index + 1)],
        }));
        expect((await ask("slow", "/api/batch", [{ inserts }])).status).toBe(200);
      }
      let [isStopped, count] = [false, 0];
      const asker = async (): Promise<void> => {
        while (!isStopped) await ask("slow", "/api/authorize", question(`user-${count++}`, folder(0)));
      };
      const askers = Promise.all(Array.from({ length: 20 }, asker));
      try {
        await fires("OstiaryClosuresWalked", "slow");
        await fires("OstiarySlowDecisions", "slow");
      } finally {
        isStopped = true;
        await askers;
      }
      const { directory: data } = nodeOf("slow");
      renameSync(data, `${data}-moved`);
      await fires("OstiaryStorageFailing", "slow");
    },
    timeoutMs,
  );

  test(
    "of clients that ask too often, read too slowly or open too many connections, and of an issuer that is away",
    async () => {
      const src = `actor User {} resource Doc { roles = ["reader"]; permissions = ["read"]; "read" if "reader"; }`;
      expect((await ask("abused", "/api/policy", { src, filename: "policy.polar" })).status).toBe(200);
      const doc = (index: number) => ({ type: "Doc", id: `${index}-${"x".repeat(490)}` });
      for (let first = 0; first < 12_000; first += 1000) {
        const inserts = Array.from({ length: 1000 }, (_, index) => roleOf("ann", doc(first + index)));
        expect((await ask("abused", "/api/batch", [{ inserts }])).status).toBe(200);
      }
      const { url } = nodeOf("abused");
      const reader = JSON.parse((await ask("abused", "/api/keys", { role: "read", name: "reader" })).text) as {
        readonly token: string;
      };

      const silent = await openConnection(url);
      silent.stopReading();
      const headers = { Authorization: `Bearer ${reader.token}` };
      silent.send(requestHead({ path: "/api/facts?predicate=has_role", headers }));
      await fires("OstiarySlowReaders", "abused");
      silent.close();

      const tokens = setInterval(() => {
        const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
        const claims = part({ iss: issuer, aud: "ostiary", sub: "a", exp: 4_102_444_800 });
        const token = `${part({ alg: "RS256", kid: "k" })}.${claims}.${part({})}`;
        ask("abused", "/api/whoami", undefined, token).catch(() => undefined);
      }, 100);
      const burst = async (): Promise<void> => {
        const asked = Array.from({ length: 60 }, (_, index) =>
          ask("abused", "/api/authorize", question(`burst-${index}`, doc(0)), reader.token),
        );
        const answers = await Promise.all(asked);
        expect(answers.map(({ status }) => status)).toContain(429);
      };
      try {
        await burst();
        await fires("OstiaryRequestsLimited", "abused");
        await fires("OstiaryDecisionLogIncomplete", "abused");
        await fires("OstiaryIssuerUnavailable", "abused");
      } finally {
        clearInterval(tokens);
      }

      const held = await holdConnections(url, { count: 60 });
      await fires("OstiaryTooManyConnections", "abused");
      held.close();
    },
    timeoutMs,
  );

  test(
    "of a certificate that expires, and of files that do not belong together",
    async () => {
      // It has less than a quarter of its time left.
      await fires("OstiaryCertificateExpires", "secured");
      writeFileSync(certificate.key, "no key");
      await fires("OstiaryTlsFilesRefused", "secured");
    },
    timeoutMs,
  );

  test(
    "of backups that are not made, and of data that are not migrated",
    async () => {
      await fires("OstiaryBackupOld", "outdated");
      await fires("OstiaryMigrationPending", "outdated");
    },
    timeoutMs,
  );

  test(
    "of an edge with the previous node key",
    async () => {
      nodeOf("left-behind").launch();
      await fires("OstiaryPreviousNodeKeyUsed", "rotating");
    },
    timeoutMs,
  );

  test(
    "of a full disk, until it has space again",
    async () => {
      if (!canMount) return console.log("tmpfs cannot be mounted here, so no disk is full");
      const { bavail, bsize } = statfsSync(disk);
      const filler = join(disk, "filler");
      writeFileSync(filler, Buffer.alloc(bavail * bsize));
      const policy = { src: "actor User {}", filename: "policy.polar" };
      expect((await ask("full", "/api/policy", policy)).status).toBe(503);
      await fires("OstiaryStorageFailing", "full");
      rmSync(filler);
      await prometheus.ends("OstiaryStorageFailing", nodeOf("full"));
      expect((await ask("full", "/api/policy", policy)).status).toBe(200);
    },
    timeoutMs,
  );

  test(
    "of an environment whose database is damaged",
    async () => {
      expect((await ask("hosting", "/api/environments", { id: "shop", name: "Shop" })).status).toBe(200);
      const ofShop = 'ostiary_applied_offset{environment="shop"}';
      await eventually(async () => (await prometheus.query(ofShop)).length > 0, "its series have a label", 30_000);
      await nodeOf("hosting").stop();
      const data = join(nodeOf("hosting").directory, "environments", "shop");
      for (const name of readdirSync(data).filter((file) => file.includes(".db")))
        writeFileSync(join(data, name), "no database");
      await nodeOf("hosting").start();
      await fires("OstiaryEnvironmentFailed", "hosting");
    },
    timeoutMs,
  );

  test(
    "of a wrong clock, and of a log that is lost",
    async () => {
      await fires("OstiaryUnhandledErrors", "mute");
      expect(clocks.missing).toBeUndefined();
      clocks.set("mute", 60);
      await fires("OstiaryClockWrong", "mute");
    },
    timeoutMs,
  );
});

test(
  "a defect",
  () =>
    withNodesInProcess(async (cluster) => {
      const { node, url } = await cluster.primary();
      const key = "e_test_admin_0123456789abcdef0123456789abcdef";
      const directory = mkdtempSync(join(tmpdir(), "ostiary-defect-"));
      const prometheus = await Prometheus.start(directory, { key, console: url, targets: [{ url }] });
      try {
        await eventually(async () => (await prometheus.query("up == 1")).length === 1, "it is scraped");
        const { engine } = node;
        Object.assign(node, {
          engine(): never {
            throw new TypeError("a defect");
          },
        });
        const refused = await send(`${url}/api/authorize`, {
          key,
          body: question("ann", { type: "Repo", id: "main" }),
        });
        expect(refused.status).toBe(500);
        Object.assign(node, { engine });
        fired.add("OstiaryInternalErrors");
        await prometheus.fires("OstiaryInternalErrors", { url });
      } finally {
        await prometheus.kill();
        rmSync(directory, { recursive: true, force: true });
      }
    }),
  timeoutMs,
);

test("each alert was tried, and all metrics and labels that they use exist", () => {
  expect([...missingSeries]).toEqual([]);
  expect([...fired].toSorted()).toEqual(alertRules.map(({ alert }) => alert).toSorted());
});
