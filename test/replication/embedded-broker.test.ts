/** The embedded broker with real MQTT clients: permissions, and the two ways in which aedes hung on Bun. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { once } from "node:events";
import { readFile } from "node:fs";
import { connect as connectSocket, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { Aedes } from "aedes";
import { connectAsync, type IClientOptions, type MqttClient } from "mqtt";
import { drainRead, isolateSlowSubscriber, isSlow } from "../../src/replication/transport/embedded-broker-stream.ts";
import {
  SharedBroker,
  type EmbeddedBroker,
  type EmbeddedBrokerOptions,
} from "../../src/replication/transport/shared-broker.ts";
import { topicsOf } from "../../src/replication/transport/topics.ts";
import { nodeKeyVerifier } from "../../src/replication/identity.ts";
import { realSystem } from "../../src/replication/system.ts";
import { serve, type Listener } from "../../src/runtime/serve.ts";
import { hashKey } from "../../src/store/keys/api-keys.ts";
import { currentEnvironment, inEnvironment } from "../../src/telemetry/current-environment.ts";
import { eventually } from "./cluster.ts";
import { freezeSubscriber, loginPacket, subscribePacket } from "./raw-mqtt.ts";

const nodeKey = "n_test_0123456789abcdef";
const topics = topicsOf("ostiary/v1", "test");
const options: EmbeddedBrokerOptions = {
  environment: undefined,
  topics,
  onStatus: () => {},
  verifyNodeKey: nodeKeyVerifier([hashKey(nodeKey)], "login"),
  limits: {
    brokerConnectionsMax: 400,
    brokerLoginsWaitingMax: 400,
    brokerPacketBytesMax: 64 * 1024,
    brokerDrainTimeoutMs: 5000,
  },
  hostname: "127.0.0.1",
  port: 0,
};
let broker: EmbeddedBroker;
let listener: Listener;
let tcp: Server;
let port: number;

beforeAll(async () => {
  broker = await new SharedBroker().open(options);
  tcp = createServer(broker.handle).listen(0, "127.0.0.1");
  await once(tcp, "listening");
  ({ port } = tcp.address() as AddressInfo);
  listener = serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: () => new Response(null, { status: 404 }),
    websocket: { path: "/mqtt", subprotocol: "mqtt", onConnection: broker.handle },
  });
});

afterAll(async () => {
  await listener.stop();
  await broker.close();
  tcp.close();
});

function login(id: string, changes: IClientOptions = {}): Promise<MqttClient> {
  const defaults: IClientOptions = {
    protocolVersion: 4,
    clientId: id,
    username: id,
    password: nodeKey,
    reconnectPeriod: 0,
  };
  return connectAsync(`mqtt://127.0.0.1:${port}`, { ...defaults, ...changes }, false);
}

function closed(client: MqttClient): Promise<void> {
  return new Promise((resolve) => client.once("close", () => resolve()));
}

describe("logging in", () => {
  test("needs the node key", async () => {
    await expect(login("edge-1", { password: "n_test_0123456789abcdeX" })).rejects.toThrow("Not authorized");
    await expect(login("edge-1", { password: "" })).rejects.toThrow("Not authorized");
    const anonymous = connectAsync(
      `mqtt://127.0.0.1:${port}`,
      { protocolVersion: 4, clientId: "edge-1", reconnectPeriod: 0 },
      false,
    );
    await expect(anonymous).rejects.toThrow("Not authorized");
  });

  test("needs a user name that is the client id and is allowed in a topic", async () => {
    await expect(login("edge-1", { username: "edge-2" })).rejects.toThrow("Not authorized");
    await expect(login("edge/1")).rejects.toThrow("Not authorized");
    await expect(login("+")).rejects.toThrow("Not authorized");
  });

  test("needs a clean session: nothing is ever queued for an absent client", async () => {
    await expect(login("edge-1", { clean: false })).rejects.toThrow("Not authorized");
  });
});

describe("an edge", () => {
  test("reads events and heads, and writes its own status", async () => {
    const edge = await login("edge-1");
    await edge.subscribeAsync([topics.events, topics.head], { qos: 0 });
    const received: string[] = [];
    edge.on("message", (topic, payload) => received.push(`${topic} ${payload.toString()}`));
    await broker.publish(topics.events, "one", { qos: 1, retain: false });
    await broker.publish(topics.head, "two", { qos: 0, retain: true });
    await eventually(() => expect(received).toEqual([`${topics.events} one`, `${topics.head} two`]));
    await edge.publishAsync(topics.status("edge-1"), "here", { qos: 1, retain: true });
    expect(edge.connected).toBe(true);
    await edge.endAsync();
  });

  for (const [what, topic] of [
    ["events", topics.events],
    ["heads", topics.head],
    ["events before they are committed", topics.next],
    ["another node's status", topics.status("edge-2")],
    ["another topic", "ostiary/v1/test/other"],
    ["$SYS", "$SYS/x"],
  ] as const) {
    test(`cannot publish ${what}: no one receives it and the connection ends`, async () => {
      const received: string[] = [];
      const witness = await login("witness");
      await witness.subscribeAsync([topics.events, topics.head, topics.next], { qos: 0 });
      witness.on("message", (_topic, payload) => received.push(payload.toString()));
      const edge = await login("edge-1");
      const end = closed(edge);
      edge.publish(topic, "forged", { qos: 1, retain: true });
      await end;
      await broker.publish(topics.events, "real", { qos: 0, retain: false });
      await eventually(() => expect(received).toContain("real"));
      expect(received).not.toContain("forged");
      edge.end(true);
      await witness.endAsync();
    });
  }

  test("cannot subscribe to other topics", async () => {
    const edge = await login("edge-1");
    for (const topic of ["#", "ostiary/v1/test/+", topics.status("edge-2"), topics.status("+"), "$SYS/#"]) {
      const granted = await edge.subscribeAsync(topic, { qos: 0 }).catch((error: Error) => error);
      expect(granted).toBeInstanceOf(Error);
    }
    await edge.endAsync();
  });

  test("reads events before they are committed, and the broker knows that somebody does", async () => {
    expect(broker.hasNextReaders).toBe(false);
    const edge = await login("edge-1");
    await edge.subscribeAsync(topics.next, { qos: 0 });
    expect(broker.hasNextReaders).toBe(true);
    const received: string[] = [];
    edge.on("message", (topic, payload) => received.push(`${topic} ${payload.toString()}`));
    await broker.publish(topics.next, "one", { qos: 0, retain: false });
    await eventually(() => expect(received).toEqual([`${topics.next} one`]));
    await edge.endAsync();
    await eventually(() => expect(broker.hasNextReaders).toBe(false));
  });

  test("reads events of every length, until it unsubscribes", async () => {
    const edge = await login("edge-1");
    await edge.subscribeAsync(topics.events, { qos: 1 });
    const received: string[] = [];
    edge.on("message", (_, payload) => received.push(payload.toString()));
    // Around each length that needs another byte in the header, with the topic and its length.
    const lengths = [0, 1, ...[2 ** 7, 2 ** 14, 2 ** 21].flatMap((size) => [-2, -1, 0, 1].map((near) => size + near))];
    const payloads = lengths.map((length) => "é".padEnd(Math.max(0, length - 2 - topics.events.length - 1), "x"));
    for (const payload of payloads) await broker.publish(topics.events, payload, { qos: 1, retain: false });
    await eventually(() => expect(received).toHaveLength(payloads.length));
    expect(received).toEqual(payloads);
    await edge.unsubscribeAsync(topics.events);
    await broker.publish(topics.events, "later", { qos: 1, retain: false });
    await edge.subscribeAsync(topics.events, { qos: 0 });
    await broker.publish(topics.events, "last", { qos: 1, retain: false });
    await eventually(() => expect(received.at(-1)).toBe("last"));
    expect(received).not.toContain("later");
    await edge.endAsync();
  });

  test("cannot forge an event as its will", async () => {
    const received: string[] = [];
    const witness = await login("witness");
    await witness.subscribeAsync(topics.events, { qos: 0 });
    witness.on("message", (_topic, payload) => received.push(payload.toString()));
    const edge = await login("edge-1", {
      will: { topic: topics.events, payload: Buffer.from("forged"), qos: 0, retain: false },
    });
    const before = broker.clients;
    edge.stream.destroy();
    await eventually(() => expect(broker.clients).toBe(before - 1));
    await broker.publish(topics.events, "real", { qos: 0, retain: false });
    await eventually(() => expect(received).toEqual(["real"]));
    await witness.endAsync();
  });

  test("a packet that is too large ends the connection before it is buffered", async () => {
    const edge = await login("edge-1");
    const end = closed(edge);
    edge.publish(topics.status("edge-1"), "x".repeat(65 * 1024), { qos: 0 });
    await end;
    edge.end(true);
  });
});

for (const over of ["TCP", "WebSocket"] as const) {
  test(`a subscriber that reads nothing delays others only for a moment (${over})`, async () => {
    const patient = await new SharedBroker().open({
      ...options,
      limits: { ...options.limits, brokerDrainTimeoutMs: 600_000 },
    });
    const connections: Duplex[] = [];
    const onConnection = (connection: Duplex): void => {
      connections.push(connection);
      patient.handle(connection);
    };
    const tcp = createServer(onConnection).listen(0, "127.0.0.1");
    await once(tcp, "listening");
    const http = serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: () => new Response(),
      websocket: { path: "/mqtt", subprotocol: "mqtt", onConnection },
    });
    const to = over === "TCP" ? { port: (tcp.address() as AddressInfo).port } : { port: http.port, path: "/mqtt" };
    const frozen = await freezeSubscriber({
      ...to,
      clientId: "frozen",
      password: nodeKey,
      topics: [topics.events],
    });
    const healthy = await login("healthy", { port: (tcp.address() as AddressInfo).port });
    await healthy.subscribeAsync(topics.events, { qos: 0 });
    let received = 0;
    healthy.on("message", () => received++);
    const message = "x".repeat(60_000);
    for (let index = 0; index < 400; index++) await patient.publish(topics.events, message, { qos: 1, retain: false });
    await eventually(() => expect(received).toBe(400));
    // A subscriber that gets nothing has something to read: otherwise it was not frozen at all.
    expect(Math.max(...connections.map(({ writableLength }) => writableLength))).toBeGreaterThan(0);
    // Of 24 MB, only the messages in flight wait for it.
    expect(Math.max(...connections.map(({ writableLength }) => writableLength))).toBeLessThan(200_000);
    // It is still connected, so the others did not wait until it lost its connection.
    expect(patient.clients).toBe(2);
    frozen.destroy();
    await healthy.endAsync();
    tcp.close();
    await http.stop();
    await patient.close();
  });
}

test("a subscriber that reads nothing for the drain timeout loses its connection", async () => {
  const impatient = await new SharedBroker().open({
    ...options,
    limits: { ...options.limits, brokerDrainTimeoutMs: 300 },
  });
  const tcp = createServer(impatient.handle).listen(0, "127.0.0.1");
  await once(tcp, "listening");
  const { port } = tcp.address() as AddressInfo;
  const frozen = await freezeSubscriber({ port, clientId: "frozen", password: nodeKey, topics: [topics.events] });
  expect(impatient.clients).toBe(1);
  await eventually(async () => {
    await impatient.publish(topics.events, "x".repeat(60_000), { qos: 1, retain: false });
    expect(impatient.clients).toBe(0);
  });
  frozen.destroy();
  tcp.close();
  await impatient.close();
});

test("a client that subscribes again and again costs nothing more, and gets each message once", async () => {
  const connections: Duplex[] = [];
  const server = createServer((connection) => {
    connections.push(connection);
    broker.handle(connection);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const edge = await login("edge-1", { port: (server.address() as AddressInfo).port });
  await edge.subscribeAsync(topics.events, { qos: 0 });
  const listeners = (): number => connections[0]?.listenerCount("close") ?? 0;
  const before = listeners();
  for (let count = 0; count < 20; count++) {
    await edge.subscribeAsync([topics.events, topics.next], { qos: 0 });
    await edge.unsubscribeAsync(topics.next);
  }
  expect(listeners()).toBe(before);
  let received = 0;
  edge.on("message", () => received++);
  await broker.publish(topics.events, "one", { qos: 1, retain: false });
  await edge.publishAsync(topics.status("edge-1"), "here", { qos: 1 });
  expect(received).toBe(1);
  await edge.endAsync();
  await eventually(() => expect(broker.hasNextReaders).toBe(false));
  server.close();
});

test("a subscriber is not slow because this process was busy", async () => {
  // The connection drains with the answer of the system, which comes while the process is busy.
  const connection = new Duplex({
    highWaterMark: 1,
    read() {},
    write: (_chunk, _encoding, done) => readFile(import.meta.filename, () => done()),
  });
  const isolated = isolateSlowSubscriber(connection, 60_000);
  expect(isolated.write("message")).toBe(false);
  const drained = once(isolated, "drain");
  for (const end = performance.now() + 400; performance.now() < end;);
  await drained;
  expect(isSlow(isolated)).toBe(false);
  isolated.destroy();
});

test("a subscriber that was slow for a while is served again", async () => {
  const late = await login("slow");
  await late.subscribeAsync(topics.events, { qos: 0 });
  const message = "x".repeat(60_000);
  late.stream.pause();
  for (let index = 0; index < 400; index++) await broker.publish(topics.events, message, { qos: 1, retain: false });
  late.stream.resume();
  let last = "";
  late.on("message", (_topic, payload) => (last = payload.toString()));
  await eventually(async () => {
    await broker.publish(topics.events, "again", { qos: 1, retain: false });
    expect(last).toBe("again");
  });
  expect(late.connected).toBe(true);
  await late.endAsync();
});

describe("aedes on Bun", () => {
  test("a SUBSCRIBE in pieces is answered while the login is still being checked", async () => {
    // A slow login, during which pieces remain unread.
    const slow = await Aedes.createBroker({
      authenticate: (_client, _name, _key, done) => setTimeout(done, 20, null, true),
    });
    const server = createServer((socket) => slow.handle(drainRead(socket)));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port: slowPort } = server.address() as AddressInfo;
    await Promise.all(Array.from({ length: 40 }, (_, index) => fragmentedSubscribe(slowPort, `edge-${index}`)));
    server.close();
    await new Promise<void>((resolve) => slow.close(resolve));
  });

  test("100 connections over WebSocket all get their subscription and a message", async () => {
    const url = `${listener.url.replace("http", "ws")}/mqtt`;
    let served = 0;
    for (let round = 0; round < 4; round++) {
      const ids = Array.from({ length: 25 }, (_, index) => `ws-${round}-${index}`);
      await Promise.all(
        ids.map(async (id) => {
          const options = {
            protocolVersion: 4,
            clientId: id,
            username: id,
            password: nodeKey,
            reconnectPeriod: 0,
            connectTimeout: 60_000,
          } as const;
          const client = await connectAsync(url, options, false);
          const message = new Promise((resolve) => client.once("message", resolve));
          await client.subscribeAsync(topics.head, { qos: 0 });
          await message; // the retained head of an earlier test
          served++;
          await client.endAsync();
        }),
      );
    }
    expect(served).toBe(100);
  }, 120_000);
});

/** Writes CONNECT and then SUBSCRIBE byte by byte, without waiting for CONNACK. Resolves after SUBACK. */
async function fragmentedSubscribe(toPort: number, id: string): Promise<void> {
  const socket = connectSocket(toPort, "127.0.0.1");
  const answer = subscriptionAnswer(socket);
  await new Promise<void>((resolve) => socket.once("connect", () => resolve()));
  socket.setNoDelay(true);
  const subscribe = subscribePacket([topics.events]);
  socket.write(Buffer.concat([loginPacket(id), subscribe.subarray(0, 3)]));
  for (const byte of subscribe.subarray(3)) {
    socket.write(Buffer.of(byte));
    await new Promise((resolve) => setImmediate(resolve));
  }
  await answer;
  socket.destroy();
}

/** Resolves when CONNACK (4 bytes) is followed by a SUBACK. */
function subscriptionAnswer(socket: Socket): Promise<void> {
  let received = Buffer.alloc(0);
  return new Promise((resolve) => {
    socket.on("data", (bytes: Buffer) => {
      received = Buffer.concat([received, bytes]);
      if (received[4] === 0x90) resolve();
    });
  });
}

test("the listeners of a client run in the environment that connects", async () => {
  const account = { host: "127.0.0.1", port, username: "hosted", password: nodeKey, reconnectPeriod: 0 } as const;
  const client = inEnvironment("shop", () => realSystem.connectMqtt({ ...account, clientId: "hosted" }));
  const environmentAt = (event: "connect" | "message" | "close") =>
    new Promise((resolve) => void client.once(event, () => resolve(currentEnvironment())));
  expect(await environmentAt("connect")).toBe("shop");
  const atMessage = environmentAt("message");
  await client.subscribeAsync(topics.head);
  await broker.publish(topics.head, "1", { qos: 0, retain: false });
  expect(await atMessage).toBe("shop");
  const atClose = environmentAt("close");
  client.end(true);
  expect(await atClose).toBe("shop");
});
