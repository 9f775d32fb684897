/**
 * TLS with a real Mosquitto: with passwords, and with certificates of nodes as in `compose/mosquitto/tls.conf`; and
 * refused connections.
 */
import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectAsync, type MqttClient } from "mqtt";
import { BrokerConnection, brokerTls, type BrokerTls } from "../../src/replication/transport/broker-connection.ts";
import type { Config } from "../../src/config/config.ts";
import { realSystem } from "../../src/replication/system.ts";
import { topicsOf } from "../../src/replication/transport/topics.ts";
import { must } from "../../src/util/assert.ts";
import { makeAuthority, type Authority, type Certificate } from "../e2e/certificates.ts";
import { prepareMosquitto, prepareMosquittoTls, type Mosquitto } from "../e2e/mosquitto.ts";
import {
  converged,
  eventually,
  forgetHead,
  insert,
  loadPolicy,
  refusal,
  positionOf,
  successorOf,
  withCluster,
} from "./cluster.ts";
import { withCapturedLog } from "./captured-log.ts";
import { closeOn, runNextTimer, SimulatedClock } from "./simulated-clock.ts";

// A timeout of the test runner would kill the broker of all later tests.
setDefaultTimeout(120_000);

const topics = topicsOf("ostiary/v1", "test");

describe("TLS with a real Mosquitto", () => {
  let directory: string;
  let authority: Authority;
  let strangers: Authority;
  let server: Certificate;
  let mosquitto: Awaited<ReturnType<typeof prepareMosquittoTls>>;
  const clients: Record<string, Certificate> = {};

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), "ostiary-tls-"));
    authority = makeAuthority(directory, "ours");
    strangers = makeAuthority(directory, "strangers");
    server = authority.issue("server", ["DNS:localhost"]);
    for (const name of ["ostiary-primary", "edge-a", "edge-b"]) clients[name] = authority.issue(name);
    mosquitto = await prepareMosquittoTls(join(directory, "tls"), "test", { authority: authority.cert, server });
    await mosquitto.start();
  });

  afterAll(async () => {
    await mosquitto.kill();
    rmSync(directory, { recursive: true, force: true });
  });

  /** The settings of a node with this certificate. */
  const as = (name: string, broker = mosquitto.url) => ({
    broker,
    brokerCa: authority.cert,
    "advanced.brokerCert": clients[name]?.cert ?? "",
    "advanced.brokerKey": clients[name]?.key ?? "",
  });

  const pem = (path: string): string => readFileSync(path, "utf8");

  afterEach(() => {
    const { "advanced.brokerCert": cert, "advanced.brokerKey": key } = as("ostiary-primary");
    return forgetHead(mosquitto.url, { ca: pem(authority.cert), cert: pem(cert), key: pem(key) });
  });

  test("with passwords: nodes verify the broker, and the broker checks their passwords", async () => {
    const guarded: Mosquitto = await prepareMosquitto(join(directory, "passwords"), { server });
    await guarded.start();
    try {
      await withCluster(async (cluster) => {
        const login = (user: "ostiary-primary" | "ostiary-edge") => ({
          broker: guarded.url,
          brokerCa: authority.cert,
          brokerUsername: user,
          brokerPassword: guarded.passwords[user],
        });
        const primary = await cluster.primary(login("ostiary-primary"));
        await loadPolicy(primary.node);
        const edge = await cluster.edge("edge-a", primary, login("ostiary-edge"));
        await eventually(() => expect(edge.node.health()).toMatchObject({ state: "LIVE", isBrokerConnected: true }));
        await insert(primary.node, "ann");
        await converged(edge.node, primary.node);
      });
    } finally {
      await guarded.kill();
    }
  });

  test("with certificates: the common name identifies a node, over TCP and over WebSocket, with MQTT 5", () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary(as("ostiary-primary"));
      await loadPolicy(primary.node);
      const edges = [
        await cluster.edge("edge-a", primary, as("edge-a")),
        await cluster.edge("edge-b", primary, as("edge-b", mosquitto.webSocketUrl)),
      ];
      for (const { node } of edges)
        await eventually(() => expect(node.health()).toMatchObject({ state: "LIVE", isBrokerConnected: true }));
      await insert(primary.node, "ann");
      for (const { node } of edges) await converged(node, primary.node);
      for (const name of ["ostiary-primary", "edge-a", "edge-b"])
        expect(mosquitto.output).toMatch(new RegExp(`as ${name} \\(p5, c1, k5, u'${name}'\\)`));
    }));

  test("an edge's certificate permits only its own status, whatever client id it uses", () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary(as("ostiary-primary"));
      await loadPolicy(primary.node);
      await eventually(() => expect(primary.node.health().isBrokerConnected).toBe(true));
      const before = positionOf(primary.node);
      for (const clientId of ["edge-b", "ostiary-primary"]) {
        const intruder = await connectWith(clientId);
        for (const topic of [topics.events, topics.head, topics.status("edge-b")])
          expect((await refusal(intruder.publishAsync(topic, "forged", { qos: 1 }))).message).toContain(
            "Not authorized",
          );
        await intruder.publishAsync(topics.status("edge-a"), "{}", { qos: 1 });
        await intruder.endAsync();
      }
      expect(primary.node.health().isBrokerConnected).toBe(true);
      expect(positionOf(primary.node)).toEqual(before);
    }));

  const connectWith = (clientId: string): Promise<MqttClient> =>
    connectAsync(mosquitto.url, {
      protocolVersion: 5,
      clientId,
      reconnectPeriod: 0,
      ca: pem(authority.cert),
      cert: pem(clients["edge-a"]?.cert ?? ""),
      key: pem(clients["edge-a"]?.key ?? ""),
    });

  test("of two primaries with the same certificate the older one is fenced", () =>
    withCluster(async (cluster) => {
      const older = await cluster.primary(as("ostiary-primary"));
      await eventually(() => expect(older.node.health().isBrokerConnected).toBe(true));
      const data = successorOf(older, join(cluster.directory, "newer"));
      const newer = await cluster.primary({ ...as("ostiary-primary"), data });
      await eventually(() => expect(newer.node.health().isBrokerConnected).toBe(true));
      await eventually(() => expect(older.node.health().isBrokerConnected).toBe(false));
      expect(await refusal(loadPolicy(older.node))).toMatchObject({ code: "not_ready" });
      await eventually(() => expect(older.node.health().state).toBe("FENCED"));
      // Here the certificate's name is the client id. So the ownership check of one primary disconnects the other one,
      // which then checks as well.
      await eventually(() => loadPolicy(newer.node));
    }));

  describe("is refused, and the log says what to check:", () => {
    const cases = {
      "a broker with an unknown authority": () => ({
        tls: { ca: pem(strangers.cert), ...client("edge-a") },
        hint: "name the authority in `brokerCa`",
      }),
      "a broker with a name that is not in its certificate": () => ({
        tls: { ca: pem(authority.cert), ...client("edge-a") },
        host: "127.0.0.1",
        hint: "the host in `broker` has to be one of those that the broker's certificate names",
      }),
      "a node without a certificate": () => ({
        tls: { ca: pem(authority.cert) },
        hint: "set `brokerCert` and `brokerKey`",
      }),
      "a node with a certificate of another authority": () => ({
        tls: { ca: pem(authority.cert), ...read(strangers.issue("edge-a")) },
        hint: "the broker does not accept the certificate in `brokerCert`",
      }),
      "a node without a certificate at the port of a primary": () => ({
        tls: { ca: pem(authority.cert) },
        isEmbedded: true,
        hint: "set `tlsCert` and `tlsKey`",
      }),
      "a node with a certificate of another authority at the port of a primary": () => ({
        tls: { ca: pem(authority.cert), ...read(strangers.issue("edge-a")) },
        isEmbedded: true,
        hint: "the primary does not accept the certificate in `tlsCert`",
      }),
      "a node without TLS": () => ({ tls: {}, scheme: "mqtt:", hint: "would `mqtts://` be right?" }),
    } as const satisfies Record<string, () => Refused>;

    interface Refused {
      readonly tls: BrokerTls;
      readonly isEmbedded?: boolean;
      readonly host?: string;
      readonly scheme?: string;
      readonly hint: string;
    }

    const client = (name: string): BrokerTls => read(clients[name] ?? server);
    const read = ({ cert, key }: Certificate): BrokerTls => ({ cert: pem(cert), key: pem(key) });

    for (const [what, prepare] of Object.entries(cases) as [string, () => Refused][]) {
      for (const over of ["TCP", "WebSocket"] as const) {
        if (over === "WebSocket" && what.includes("no TLS")) continue;
        test(`${what} (${over})`, () =>
          withCapturedLog(async (lines) => {
            const { tls, isEmbedded = false, host, scheme, hint } = prepare();
            const url = new URL(over === "TCP" ? mosquitto.url : mosquitto.webSocketUrl);
            const target = `${scheme ?? url.protocol}//${host ?? url.hostname}:${url.port}${url.pathname}`;
            const clock = new SimulatedClock();
            const connection = new BrokerConnection(
              {
                ...{ url: target, clientId: "edge-a", connectTimeoutMs: 60_000, keepaliveMs: 60_000, ownership: false },
                ...{ tls: () => Promise.resolve(tls), isEmbedded },
              },
              { ...realSystem, clock },
            );
            connection.start();
            await eventually(() => expect(lines.join("")).toContain(hint));
            // Further attempts with the same result are not logged.
            for (let attempt = 0; attempt < 3; attempt++) await runNextTimer(clock);
            expect(connection.connected).toBe(false);
            expect(lines.length).toBe(1);
            await closeOn(clock, connection);
          }));
      }
    }
  });

  test("renewed files are used by the next connection, and those that cannot be used are logged", () =>
    withCapturedLog(async (lines) => {
      const files = { brokerCa: "ca.crt", brokerCert: "tls.crt", brokerKey: "tls.key" } as const;
      const at = (file: string): string => join(directory, `renewed-${file}`);
      const paths = Object.fromEntries(Object.entries(files).map(([setting, file]) => [setting, at(file)]));
      const replace = (ca: string, { cert, key }: Certificate): void => {
        copyFileSync(ca, at("ca.crt"));
        copyFileSync(cert, at("tls.crt"));
        copyFileSync(key, at("tls.key"));
      };
      const ours = must(clients["edge-a"]);
      replace(strangers.cert, strangers.issue("edge-a"));
      const tls = brokerTls(paths as unknown as Config);
      const connection = new BrokerConnection({
        ...{ url: mosquitto.url, clientId: "edge-a", connectTimeoutMs: 2000, keepaliveMs: 5000, ownership: false },
        tls: () => tls.read(),
      });
      connection.start();
      try {
        await eventually(() => expect(lines.join("\n")).toContain("name the authority in `brokerCa`"));
        replace(authority.cert, authority.issue("edge-late", [], ["20200101000000Z", "20200201000000Z"]));
        const expired = `the certificate in the file \`${at("tls.crt")}\` of \`brokerCert\` expired on 2020-02-01T00:00:00Z`;
        await eventually(() => expect(lines.filter((line) => line.includes(expired)).length).toBe(1));
        replace(authority.cert, strangers.issue("edge-a"));
        await eventually(() => expect(lines.join("\n")).toContain("does not accept the certificate in `brokerCert`"));
        replace(authority.cert, ours);
        await eventually(() => expect(connection.connected).toBe(true));
        writeFileSync(at("tls.key"), readFileSync(server.key));
        const problem = "of `brokerKey` does not belong to the certificate";
        for (let attempts = 0; attempts < 2; attempts++) {
          expect(lines.join("\n")).not.toContain(problem);
          connection.reconnect();
          await eventually(() => expect(connection.connected).toBe(false));
          await eventually(() => expect(connection.connected).toBe(true));
        }
        expect(lines.filter((line) => line.includes(problem)).length).toBe(1);
        expect(lines.join("\n")).toContain("the earlier certificates stay in use");
      } finally {
        await connection.close();
      }
    }));

  test("files that cannot be used are refused at the start, with the name of their setting", () =>
    withCluster(async (cluster) => {
      const garbage = join(directory, "garbage");
      writeFileSync(garbage, "no PEM");
      const start = async (flags: Record<string, string>): Promise<string> =>
        (await refusal(cluster.primary({ ...as("ostiary-primary"), ...flags }))).message;
      expect(await start({ brokerCa: "/nowhere/ca.crt" })).toBe(
        "the file `/nowhere/ca.crt` of `brokerCa` can't be read: there is no such file; name another, or make it readable for this process",
      );
      expect(await start({ "advanced.brokerCert": garbage })).toBe(
        `the file \`${garbage}\` of \`brokerCert\` holds no certificate in PEM form`,
      );
      expect(await start({ "advanced.brokerKey": server.cert })).toBe(
        `the file \`${server.cert}\` of \`brokerKey\` holds no unencrypted private key in PEM form`,
      );
      expect(await start({ "advanced.brokerKey": server.key })).toContain(
        "of `brokerKey` does not belong to the certificate",
      );
    }));
});
