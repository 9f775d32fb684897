/** Clients of a TLS port that never finish the handshake, or only make handshakes. The node has few file descriptors. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect as connectPlain, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { connect, type TLSSocket } from "node:tls";
import { builtBinary } from "../../scripts/built-binary.ts";
import { freePort, newAdminKey, NodeProcess, randomHex } from "../../scripts/node-process.ts";
import { makeAuthority, type Authority } from "../e2e/certificates.ts";
import { programPath } from "../e2e/program.ts";
import { eventually } from "../replication/cluster.ts";
import { loginPacket } from "../replication/raw-mqtt.ts";
import { holdConnections, openConnection, sendSlowly } from "./raw-http.ts";

const adminKey = newAdminKey();
const nodeKey = randomHex(32);
const descriptors = 600;
/** The beginning of a ClientHello that announces 512 bytes. */
const hello = Buffer.concat([Buffer.of(22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3), Buffer.alloc(100, 7)]);

describe("handshakes", () => {
  let directory: string;
  let authority: Authority;
  let node: NodeProcess;
  let url: string;
  let mqttUrl: string;
  let ca: string;

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), "ostiary-handshakes-"));
    authority = makeAuthority(directory, "ours");
    const own = authority.issue("node", ["IP:127.0.0.1"]);
    ca = readFileSync(authority.cert, "utf8");
    const [port, plainPort, mqttPort] = [await freePort(), await freePort(), await freePort()];
    url = `https://127.0.0.1:${port}`;
    mqttUrl = `tcp://127.0.0.1:${mqttPort}`;
    node = new NodeProcess({
      binary: await builtBinary(),
      name: "primary",
      role: "primary",
      port,
      directory: join(directory, "primary"),
      environment: {
        OSTIARY_NODE_KEY: nodeKey,
        OSTIARY_ADMIN_KEY: adminKey,
        OSTIARY_MQTT_PORT: String(mqttPort),
        OSTIARY_PLAIN_PORT: String(plainPort),
        OSTIARY_TLS_CERT: own.cert,
        OSTIARY_TLS_KEY: own.key,
      },
      place: {
        through: [programPath("prlimit"), `--nofile=${descriptors}:${descriptors}`],
        listen: "127.0.0.1",
        address: "127.0.0.1",
      },
    });
    node.launch();
    await eventually(() => expect(node.output).toContain(`listens on ${url}`));
  });
  afterAll(async () => {
    await node.kill();
    rmSync(directory, { recursive: true, force: true });
  });

  async function expectService(): Promise<void> {
    const expectAnswer = async (path: string): Promise<void> => {
      const headers = { Authorization: `Bearer ${adminKey}`, Connection: "close" };
      const response = await fetch(url + path, { headers, tls: { ca } });
      await response.arrayBuffer();
      expect({ path, status: response.status }).toEqual({ path, status: 200 });
    };
    // The node ends connections forty times a second. If more came since, no descriptor is left for this one.
    await eventually(() => expectAnswer("/healthcheck"));
    for (const path of ["/readyz", "/api/facts?predicate=has_role"]) await expectAnswer(path);
    // It opens files, and gets 503 if the system has accepted connections since the last were closed, a moment ago.
    await eventually(() => expectAnswer("/api/backup"));
    expect(node.running).toBe(true);
  }

  test.each([
    ["nothing at all", undefined],
    ["half of a hello", hello],
    ["no TLS", "GET /healthcheck HTTP/1.1\r\nHost: x\r\n\r\n"],
    ["random bytes", Buffer.from(randomHex(300), "hex")],
  ])("more connections than descriptors that send %s", async (_, first) => {
    const options = { count: 1500, ...(first === undefined ? {} : { first }), abreast: 100 };
    const held = await holdConnections(url, options);
    try {
      await expectService();
      await eventually(() => expect(held.open()).toBeLessThan(descriptors));
      await expectService();
    } finally {
      held.close();
    }
  });

  test("complete handshakes without a request, while an active client keeps its connection", async () => {
    const { port } = new URL(url);
    const shake = (): Promise<TLSSocket | undefined> =>
      new Promise((resolve) => {
        const socket = connect({ host: "127.0.0.1", port: Number(port), ca });
        socket.on("error", () => resolve(undefined));
        socket.once("secureConnect", () => resolve(socket));
      });
    const active = await shake();
    let [received, isClosed] = ["", false];
    active?.on("data", (bytes: Buffer) => (received += bytes.toString("latin1")));
    active?.on("close", () => (isClosed = true));
    const asking = setInterval(() => active?.write("GET /healthcheck HTTP/1.1\r\nHost: x\r\n\r\n"), 20);
    const answers = (): number => received.split("HTTP/1.1 200").length - 1;
    // The node takes a client for an active one after some responses.
    await eventually(() => expect(answers()).toBeGreaterThan(20));
    const before = answers();
    const held: (TLSSocket | undefined)[] = [];
    /** A new client that sends its request a moment after the handshake. */
    const askLate = async (): Promise<string> => {
      const socket = await shake();
      if (socket === undefined) return "no handshake";
      const end = once(socket, "close").then(() => "closed");
      await sleep(20);
      socket.write("GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
      const answer = once(socket, "data").then(([bytes]) => String(bytes).split("\r\n", 1)[0] ?? "");
      return Promise.race([answer, end]);
    };
    const late: string[] = [];
    for (let at = 0; at < 40; at++) {
      const [answer, ...more] = await Promise.all([askLate(), ...Array.from({ length: 25 }, shake)]);
      late.push(answer);
      held.push(...more);
    }
    expect(late).toEqual(late.map(() => "HTTP/1.1 200 OK"));
    await expectService();
    clearInterval(asking);
    expect(isClosed).toBe(false);
    expect(answers()).toBeGreaterThan(before + 10);
    active?.destroy();
    for (const socket of held) socket?.destroy();
  }, 60_000);

  test("a slow handshake keeps nobody waiting", async () => {
    const end = new AbortController();
    const slow = await openConnection(url);
    const sending = sendSlowly(slow, hello, { pauseMs: 20, signal: end.signal });
    await expectService();
    end.abort();
    await sending;
    slow.close();
  });

  test("silent connections to the MQTT port of one address end no handshake and no login of another", async () => {
    const mqtt = { host: "127.0.0.1", port: Number(new URL(mqttUrl).port) };
    const flood = Array.from({ length: 4 }, () => new Set<Socket>());
    /**
     * In parts, because the system keeps a limited number of connections that are not accepted yet. Nothing else is
     * done meanwhile, because handshakes and logins have a time limit.
     */
    const attack = async (first: Buffer | undefined): Promise<void> => {
      for (const part of flood) {
        const opening = Array.from({ length: 100 }, async () => {
          const silent = connectPlain({ ...mqtt, localAddress: "127.0.0.2" });
          part.add(silent.on("error", () => {}));
          await once(silent, "connect");
          if (first !== undefined) silent.write(first);
        });
        await Promise.all(opening);
      }
    };
    const plain = connectPlain(mqtt);
    await once(plain, "connect");
    await attack(undefined);
    const secure = connect({ socket: plain, host: mqtt.host, ca });
    const closed = once(secure, "close").then(() => "closed");
    expect(await Promise.race([once(secure, "secureConnect").then(() => "secure"), closed])).toBe("secure");
    await attack(hello);
    secure.write(loginPacket("edge-1", nodeKey));
    // CONNACK: accepted.
    expect(await Promise.race([once(secure, "data"), closed])).toEqual([Buffer.of(0x20, 2, 0, 0)]);
    secure.destroy();
    await expectService();
    for (const part of flood) for (const silent of part) silent.destroy();
  }, 60_000);

  test("at the MQTT port those that are not complete have a quota and a time limit", async () => {
    const silent = await holdConnections(mqttUrl, { count: 400, abreast: 50 });
    const halves = await holdConnections(mqttUrl, { count: 400, abreast: 50, first: hello });
    await expectService();
    await eventually(() => expect(silent.open() + halves.open()).toBeLessThanOrEqual(110));
    // A handshake has five seconds.
    await eventually(() => expect(silent.open() + halves.open()).toBe(0));
    expect(node.output.length).toBeLessThan(30_000);
    expect(node.output).not.toMatch(/PRIVATE KEY|unhandled/);
  });
});
