/**
 * More connections than a node has file descriptors. The node is a process with a low limit, like that of a service
 * manager.
 */
import { describe, expect, test } from "bun:test";
import { closeSync, openSync, statSync } from "node:fs";
import { join } from "node:path";
import { builtBinary } from "../../scripts/built-binary.ts";
import { freePort, newAdminKey, NodeProcess, randomHex } from "../../scripts/node-process.ts";
import { defaultLimits } from "../../src/config/limits.ts";
import { connectionsMaxWithin, connectionsToClose, limitConnections } from "../../src/roles/connection-limit.ts";
import type { AcceptedConnection } from "../../src/runtime/accepted-connections.ts";
import { systemClock, type Clock } from "../../src/util/clock.ts";
import { eventually, withDirectory } from "../replication/cluster.ts";
import { loginPacket } from "../replication/raw-mqtt.ts";
import { holdConnections, openConnection, requestHead, sendRaw } from "./raw-http.ts";

const adminKey = newAdminKey();
const descriptors = 600;

async function withNode(body: (node: NodeProcess, mqttPort: number) => Promise<void>, settings = {}): Promise<void> {
  await withDirectory(async (directory) => {
    const mqttPort = await freePort();
    const node = new NodeProcess({
      binary: await builtBinary(),
      name: "primary",
      role: "primary",
      port: await freePort(),
      directory: join(directory, "primary"),
      environment: {
        OSTIARY_NODE_KEY: randomHex(32),
        OSTIARY_ADMIN_KEY: adminKey,
        OSTIARY_MQTT_PORT: String(mqttPort),
        ...settings,
      },
      place: {
        through: ["prlimit", `--nofile=${descriptors}:${descriptors}`],
        listen: "127.0.0.1",
        address: "127.0.0.1",
      },
    });
    try {
      await node.start();
      await load(node);
      await body(node, mqttPort);
    } catch (error) {
      throw new Error(`${String(error)}\n${node.output.slice(-4000)}`, { cause: error });
    } finally {
      await node.kill();
    }
  });
}

/** A policy that uses the facts of the tests. */
async function load(node: NodeProcess): Promise<void> {
  const source =
    'actor User {}\nglobal { roles = ["admin"]; }\nresource Repo { permissions = ["read"]; "read" if global "admin"; }';
  const answer = await fetch(`${node.url}/api/policy`, {
    method: "POST",
    headers: { Authorization: `Bearer ${adminKey}`, Connection: "close" },
    body: JSON.stringify({ src: source, filename: "test.polar" }),
  });
  expect(await answer.text()).toBe('{"message":"policy loaded"}');
}

function ask(url: string, path: string, key = adminKey): Promise<Response> {
  return fetch(url + path, { headers: { Authorization: `Bearer ${key}`, Connection: "close" } });
}

async function write(node: NodeProcess, user: string): Promise<number> {
  const fact = {
    predicate: "has_role",
    args: [
      { type: "User", id: user },
      { type: "String", id: "admin" },
    ],
  };
  const answer = await fetch(`${node.url}/api/batch`, {
    method: "POST",
    headers: { Authorization: `Bearer ${adminKey}`, Connection: "close" },
    body: JSON.stringify([{ inserts: [fact] }]),
  });
  return answer.status;
}

/**
 * The work while the connections are open: health, reads, writes, new files, and the position that is stored every
 * second.
 */
async function expectService(node: NodeProcess): Promise<void> {
  expect((await ask(node.url, "/healthcheck")).status).toBe(200);
  expect((await ask(node.url, "/readyz")).status).toBe(200);
  expect(await write(node, "ann")).toBe(200);
  expect((await ask(node.url, "/api/facts?predicate=has_role")).status).toBe(200);
  // It opens files, and gets 503 if the system has accepted connections since the last were closed, a moment ago.
  await eventually(async () => expect((await ask(node.url, "/api/backup")).status).toBe(200));
  expect(node.running).toBe(true);
}

const firstBytes = [
  ["nothing at all", undefined],
  ["half of a head", "GET /healthcheck HTTP/1.1\r\nHost: x\r\nX-Y: "],
  [
    "half of a body",
    requestHead({ method: "POST", path: "/api/authorize", headers: { "Content-Length": "1000" } }) + "{",
  ],
  ["a whole request", requestHead({ path: "/healthcheck" })],
] as const;

describe("connections beyond the limit of descriptors", () => {
  test.each(firstBytes)("that send %s", async (_, first) => {
    await withNode(async (node) => {
      const held = await holdConnections(node.url, {
        count: 1500,
        ...(first === undefined ? {} : { first }),
        abreast: 100,
      });
      try {
        const startMs = Date.now();
        await expectService(node);
        // The timer that stores the position opens a file.
        const position = join(node.directory, "position");
        await eventually(() => expect(statSync(position).mtimeMs).toBeGreaterThan(startMs));
        await expectService(node);
        await eventually(() => expect(held.open()).toBeLessThan(descriptors));
      } finally {
        held.close();
      }
    });
  });

  test("an active client keeps its connection", async () => {
    await withNode(async (node) => {
      const honest = await openConnection(node.url);
      const asking = setInterval(() => honest.send(requestHead({ path: "/healthcheck" })), 20);
      const held = await holdConnections(node.url, { count: 1500, abreast: 100 });
      const answered = (): number => honest.received.split("HTTP/1.1 200").length - 1;
      const before = answered();
      await eventually(() => expect(answered()).toBeGreaterThan(before + 10));
      clearInterval(asking);
      held.close();
      expect(honest.isClosed).toBe(false);
      honest.close();
    });
  });

  test("a limit per client address does not apply to trusted proxies", async () => {
    const limited = { OSTIARY_CONNECTIONS_PER_ADDRESS_MAX: "20" };
    await withNode(async (node) => {
      const held = await holdConnections(node.url, { count: 60 });
      await eventually(() => expect(held.open()).toBeLessThanOrEqual(20));
      expect((await ask(node.url, "/healthcheck")).status).toBe(200);
      held.close();
    }, limited);
    await withNode(
      async (node) => {
        const held = await holdConnections(node.url, { count: 60 });
        // It has counted them, and then closes those above the limit.
        const counted = async (): Promise<number> =>
          Number(/^ostiary_connections(?:\{.*\})? (\d+)$/m.exec(await (await ask(node.url, "/metrics")).text())?.[1]);
        await eventually(async () => expect(await counted()).toBeGreaterThanOrEqual(60));
        expect(held.open()).toBe(60);
        held.close();
      },
      { ...limited, OSTIARY_TRUSTED_PROXIES: "127.0.0.0/8" },
    );
  });
});

test("connections to the embedded broker that do not log in", async () => {
  await withNode(async (node, mqttPort) => {
    const url = `tcp://127.0.0.1:${mqttPort}`;
    const silent = await holdConnections(url, { count: 1200, abreast: 100 });
    const longId = Buffer.from(loginPacket("a".repeat(60)));
    const upgrade = {
      Connection: "Upgrade",
      Upgrade: "websocket",
      "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
      "Sec-WebSocket-Version": "13",
      "Sec-WebSocket-Protocol": "mqtt",
    };
    const sockets = await holdConnections(node.url, {
      count: 200,
      first: requestHead({ path: "/mqtt", headers: upgrade }),
    });
    const refused = await holdConnections(url, { count: 300, first: longId });
    await expectService(node);
    const metrics = await (await ask(node.url, "/metrics")).text();
    expect(metrics).toContain("ostiary_broker_clients 0");
    await eventually(() => expect(silent.open() + sockets.open()).toBeLessThanOrEqual(110));
    silent.close();
    sockets.close();
    refused.close();
    expect(node.output.length).toBeLessThan(20_000);
  });
});

describe("the closed connections", () => {
  const connection = (given: Partial<AcceptedConnection>): AcceptedConnection => ({
    descriptor: 9,
    address: "192.0.2.1",
    port: 50_000,
    family: "ipv4",
    answeredBytes: 500,
    receivedBytes: 200,
    isWaiting: false,
    idleMs: 0,
    ...given,
  });
  const untrusted = () => false;

  test("are none within the limit, else down to a tenth below it: those without a response first, then the silent ones", () => {
    const open = [
      connection({ descriptor: 1, idleMs: 5 }),
      connection({ descriptor: 2, idleMs: 9000 }),
      connection({ descriptor: 3, answeredBytes: 0, idleMs: 1000 }),
      connection({ descriptor: 4, answeredBytes: 0, idleMs: 1 }),
      connection({ descriptor: 5, answeredBytes: 10_000, idleMs: 9500 }),
      ...Array.from({ length: 6 }, (_, at) => connection({ descriptor: 10 + at })),
    ];
    const close = (max: number) =>
      connectionsToClose(open, { max, addressMax: 0, isTrusted: untrusted }).map(({ descriptor }) => descriptor);
    expect(close(11)).toEqual([]);
    expect(close(10)).toEqual([3, 2]);
  });

  test("are those of an address with too many, where a network of IPv6 counts as one address", () => {
    const six = (at: number) => connection({ descriptor: at, family: "ipv6", address: `2001:db8:0:1:0:0:0:${at}` });
    const open = [
      connection({ descriptor: 1 }),
      connection({ descriptor: 2, address: "192.0.2.2" }),
      six(3),
      six(4),
      six(5),
    ];
    const close = (isTrusted: (connection: AcceptedConnection) => boolean) =>
      connectionsToClose(open, { max: 100, addressMax: 1, isTrusted }).map(({ descriptor }) => descriptor);
    expect(close(untrusted)).toEqual([3, 4]);
    expect(close(({ family }) => family === "ipv6")).toEqual([]);
  });

  test("connections are not counted every time if other files use more descriptors than connections are allowed", () => {
    let [counts, nowMs] = [0, 0];
    let look = (): void => undefined;
    let delayMs = 0;
    const table = { accepted: () => (counts++, [connection({})]), end: () => undefined };
    const clock: Clock = {
      ...systemClock,
      monotonicMs: () => nowMs,
      after: (ms, body) => (([delayMs, look] = [ms, body]), () => undefined),
    };
    limitConnections({ limits: { ...defaultLimits, connectionsMax: 5 }, trustedProxies: [] }, table, clock);
    const opened = Array.from({ length: 40 }, () => openSync("/dev/null", "r"));
    try {
      for (; nowMs < 4000; nowMs += delayMs) look();
    } finally {
      opened.forEach(closeSync);
    }
    expect(counts).toBeLessThan(5);
    expect(delayMs).toBe(25);
  });

  test("descriptors are looked at less often while many more connections are allowed", () => {
    const delays: number[] = [];
    const clock: Clock = { ...systemClock, after: (ms) => (delays.push(ms), () => undefined) };
    const table = { accepted: () => [], end: () => undefined };
    for (const connectionsMax of [5, 2000, 10_000])
      limitConnections({ limits: { ...defaultLimits, connectionsMax }, trustedProxies: [] }, table, clock);
    expect(delays).toEqual([25, 100, 250]);
  });

  test("a limit above the descriptors of the process is reduced, with a reserve", () => {
    const limits = { connectionsMax: 10_000, brokerConnectionsMax: 1000 };
    expect(connectionsMaxWithin(limits, undefined)).toBe(10_000);
    expect(connectionsMaxWithin(limits, 1_000_000)).toBe(10_000);
    expect(connectionsMaxWithin(limits, 4096)).toBe(4096 - 1256);
    expect(connectionsMaxWithin(limits, 600)).toBe(300);
  });
});

test("a malformed request closes at most its connection", async () => {
  await withNode(async (node) => {
    for (const bytes of [
      "\0\0\0",
      "GET\r\n\r\n",
      "GET / HTTP/9.9\r\n\r\n",
      `GET /${"a".repeat(100_000)} HTTP/1.1\r\n\r\n`,
    ])
      await sendRaw(node.url, bytes, 1000).catch(() => undefined);
    await expectService(node);
    expect(node.output).not.toContain("error");
  });
});
