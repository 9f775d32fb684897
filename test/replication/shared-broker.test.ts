/** One broker for several environments of a process, with real MQTT clients and real nodes. */
import { afterEach, describe, expect, test } from "bun:test";
import { once } from "node:events";
import { createServer, type AddressInfo, type Server } from "node:net";
import { join } from "node:path";
import { Aedes } from "aedes";
import { connectAsync, type IClientOptions, type MqttClient } from "mqtt";
import type { Config } from "../../src/config/config.ts";
import { hostedNodeId, parseNodeId } from "../../src/replication/identity.ts";
import { drainRead } from "../../src/replication/transport/embedded-broker-stream.ts";
import {
  SharedBroker,
  type EmbeddedBroker,
  type EmbeddedBrokerOptions,
} from "../../src/replication/transport/shared-broker.ts";
import { topicsOf } from "../../src/replication/transport/topics.ts";
import { realClusterSystem } from "../../src/roles/cluster-system.ts";
import { startEdge } from "../../src/roles/edge.ts";
import { serveNode } from "../../src/roles/node-service.ts";
import { startAlone } from "../../src/roles/node-parts.ts";
import { startPrimary } from "../../src/roles/primary.ts";
import { adminKey, converged, eventually, insert, loadPolicy, mayRead, withCluster } from "./cluster.ts";
import { freezeSubscriber } from "./raw-mqtt.ts";

const nodeKey = "n_test_0123456789abcdef";
const limits = {
  brokerConnectionsMax: 400,
  brokerLoginsWaitingMax: 400,
  brokerPacketBytesMax: 64 * 1024,
  brokerDrainTimeoutMs: 5000,
};

/** What the primary of an environment tells the broker. `statuses` collects what arrives there. */
function optionsOf(environment: string | undefined, changes: Partial<EmbeddedBrokerOptions> = {}) {
  const topics = topicsOf("ostiary/v1", environment ?? "default");
  const statuses: string[] = [];
  const onStatus = (topic: string, payload: Uint8Array): void =>
    void statuses.push(`${topic} ${Buffer.from(payload).toString()}`);
  const verifyNodeKey = (key: string): boolean => key === nodeKey;
  const address = { hostname: "127.0.0.1", port: 0 };
  return { environment, topics, verifyNodeKey, onStatus, limits, ...address, ...changes, statuses };
}

const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  while (cleanups.length > 0) await cleanups.pop()?.();
});

/** Listens on a free port for the broker, as a host does on its API port. */
async function serveBroker(broker: SharedBroker): Promise<number> {
  const server = createServer(broker.handle).listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanups.push(() => server.close());
  return portOf(server);
}

const portOf = (server: Server): number => (server.address() as AddressInfo).port;

async function login(port: number, id: string, changes: IClientOptions = {}): Promise<MqttClient> {
  const client = await connectAsync(
    `mqtt://127.0.0.1:${port}`,
    { protocolVersion: 4, clientId: id, username: id, password: nodeKey, reconnectPeriod: 0, ...changes },
    false,
  );
  client.on("error", () => {});
  cleanups.push(() => client.end(true));
  return client;
}

function received(client: MqttClient): string[] {
  const messages: string[] = [];
  client.on("message", (topic, payload) => void messages.push(`${topic} ${payload.toString()}`));
  return messages;
}

function closed(client: MqttClient): Promise<void> {
  return new Promise((resolve) => client.once("close", () => resolve()));
}

async function isRefused(client: MqttClient, topic: string): Promise<boolean> {
  return client.subscribeAsync(topic, { qos: 0 }).then(
    () => false,
    () => true,
  );
}

async function openTwo(): Promise<{
  readonly broker: SharedBroker;
  readonly port: number;
  readonly byDefault: ReturnType<typeof optionsOf>;
  readonly hosted: ReturnType<typeof optionsOf>;
  readonly views: readonly [EmbeddedBroker, EmbeddedBroker];
}> {
  const broker = new SharedBroker();
  const [byDefault, hosted] = [optionsOf(undefined), optionsOf("staging")];
  const views = await Promise.all([broker.open(byDefault), broker.open(hosted)]);
  cleanups.push(() => Promise.all(views.map((view) => view.close())));
  return { broker, port: await serveBroker(broker), byDefault, hosted, views };
}

describe("the id of a node in a hosted environment", () => {
  test("says which node and which environment it is", () => {
    expect(parseNodeId(hostedNodeId("edge-1.eu_west", "staging"))).toEqual({
      node: "edge-1.eu_west",
      environment: "staging",
    });
    expect(parseNodeId("edge-1.staging")).toEqual({ node: "edge-1.staging" });
  });

  test("cannot be the id of another node or of another environment", () => {
    const nodes = ["a", "a.b", "a.b.c", "a-b", "b"];
    const environments = ["a", "b", "b-c", "c"];
    const ids = nodes.flatMap((node) => [node, ...environments.map((name) => hostedNodeId(node, name))]);
    expect(new Set(ids).size).toBe(ids.length);
  });

  test("is none with a character that has a meaning in topics, or with two environments", () => {
    for (const id of ["", "@staging", "edge@", "edge/1@a", "edge@a/b", "+@a", "edge@#", "edge@a@b", "x".repeat(65)])
      expect(parseNodeId(id)).toBeUndefined();
  });

  test("may be as long as the longest names", async () => {
    const environment = "e".repeat(64);
    const broker = new SharedBroker();
    const options = optionsOf(environment);
    const view = await broker.open(options);
    cleanups.push(() => view.close());
    const id = hostedNodeId("n".repeat(64), environment);
    const edge = await login(await serveBroker(broker), id);
    await edge.publishAsync(options.topics.status(id), "here", { qos: 1 });
    await eventually(() => expect(options.statuses).toEqual([`${options.topics.status(id)} here`]));
  });
});

describe("two environments on one broker", () => {
  test("get only their own messages, although their nodes have the same node key", async () => {
    const { port, byDefault, hosted, views } = await openTwo();
    const [one, other] = [await login(port, "edge-1"), await login(port, "edge-1@staging")];
    const messages = [received(one), received(other)];
    for (const [client, own, foreign] of [
      [one, byDefault.topics, hosted.topics],
      [other, hosted.topics, byDefault.topics],
    ] as const) {
      await client.subscribeAsync([own.events, own.head], { qos: 0 });
      for (const topic of [foreign.events, foreign.head, foreign.status("+"), "ostiary/v1/+/ev", "#"])
        expect(await isRefused(client, topic)).toBe(true);
    }
    for (const [index, { topics }] of [byDefault, hosted].entries()) {
      await views[index]?.publish(topics.events, "event", { qos: 1, retain: false });
      await views[index]?.publish(topics.head, "head", { qos: 0, retain: true });
    }
    await eventually(() => expect(messages[0]).toHaveLength(2));
    await eventually(() => expect(messages[1]).toHaveLength(2));
    expect(messages[0]).toEqual([`${byDefault.topics.events} event`, `${byDefault.topics.head} head`]);
    expect(messages[1]).toEqual([`${hosted.topics.events} event`, `${hosted.topics.head} head`]);
    expect(views.map(({ clients }) => clients)).toEqual([1, 1]);
  });

  test("get only the statuses of their own nodes", async () => {
    const { port, byDefault, hosted } = await openTwo();
    const [one, other] = [await login(port, "edge-1"), await login(port, "edge-1@staging")];
    await one.publishAsync(byDefault.topics.status("edge-1"), "one", { qos: 1, retain: true });
    await other.publishAsync(hosted.topics.status("edge-1@staging"), "other", { qos: 1, retain: true });
    await eventually(() => expect(byDefault.statuses).toEqual(["ostiary/v1/default/node/edge-1 one"]));
    await eventually(() => expect(hosted.statuses).toEqual(["ostiary/v1/staging/node/edge-1@staging other"]));
  });

  for (const topic of [
    "ostiary/v1/default/node/edge-1@staging",
    "ostiary/v1/default/node/edge-1",
    "ostiary/v1/staging/node/edge-1",
    "ostiary/v1/staging/head",
    "ostiary/v1/default/ev",
  ])
    test(`a node of the hosted one that publishes to ${topic} loses its connection, unheard`, async () => {
      const { port, byDefault, hosted } = await openTwo();
      const witness = await login(port, "witness");
      const messages = received(witness);
      await witness.subscribeAsync([byDefault.topics.events, byDefault.topics.head], { qos: 0 });
      const edge = await login(port, "edge-1@staging");
      const end = closed(edge);
      edge.publish(topic, "forged", { qos: 1, retain: true });
      await end;
      await witness.publishAsync(byDefault.topics.status("witness"), "here", { qos: 1 });
      await eventually(() => expect(byDefault.statuses).toEqual([`${byDefault.topics.status("witness")} here`]));
      expect(hosted.statuses).toEqual([]);
      expect(messages).toEqual([]);
    });

  test("a subscription that is sent before the login is answered delivers nothing of the other one", async () => {
    const { port, byDefault, hosted, views } = await openTwo();
    const witness = await login(port, "witness");
    await witness.subscribeAsync(byDefault.topics.events, { qos: 0 });
    const messages = received(witness);
    const { topics } = byDefault;
    await views[0].publish(topics.head, "secret", { qos: 0, retain: true });
    const socket = await freezeSubscriber({
      ...{ port, clientId: "edge-1@staging", password: nodeKey },
      topics: [topics.events, topics.head, hosted.topics.events],
    });
    cleanups.push(() => socket.destroy());
    let bytes = "";
    socket.on("data", (chunk: Buffer) => (bytes += chunk.toString("latin1")));
    socket.resume();
    await eventually(() => expect(views[1].clients).toBe(1));
    await views[0].publish(topics.events, "secret", { qos: 1, retain: false });
    await eventually(() => expect(messages).toEqual([`${topics.events} secret`]));
    await views[1].publish(hosted.topics.events, "end", { qos: 1, retain: false });
    await eventually(() => expect(bytes).toContain("end"));
    expect(bytes).not.toContain("secret");
  });

  test("each has its own node key", async () => {
    const broker = new SharedBroker();
    const other = "n_other_0123456789abcdef";
    const views = [
      await broker.open(optionsOf(undefined)),
      await broker.open(optionsOf("staging", { verifyNodeKey: (key) => key === other })),
    ];
    cleanups.push(() => Promise.all(views.map((view) => view.close())));
    const port = await serveBroker(broker);
    await expect(login(port, "edge-1@staging")).rejects.toThrow("Not authorized");
    await expect(login(port, "edge-1", { password: other })).rejects.toThrow("Not authorized");
    await login(port, "edge-1@staging", { password: other });
  });

  test("an environment without a primary in this process refuses its nodes", async () => {
    const { port } = await openTwo();
    await expect(login(port, "edge-1@production")).rejects.toThrow("Not authorized");
    await expect(login(port, "edge-1@default")).rejects.toThrow("Not authorized");
  });

  test("an environment has one primary", async () => {
    const { broker } = await openTwo();
    const second = await broker.open(optionsOf("staging")).catch((error: Error) => error.message);
    expect(second).toContain("an environment has one primary in a process");
  });
});

test("hosted environments leave free slots to the default one and to each other", async () => {
  const broker = new SharedBroker();
  const few = { limits: { ...limits, brokerConnectionsMax: 8 } };
  const views: EmbeddedBroker[] = [];
  for (const name of ["a", "b", undefined]) views.push(await broker.open(optionsOf(name, few)));
  cleanups.push(() => Promise.all(views.map((view) => view.close())));
  const port = await serveBroker(broker);
  const connected = async (suffix: string): Promise<number> => {
    for (let index = 0; ; index++) {
      const client = await login(port, `edge-${index}${suffix}`).catch(() => undefined);
      if (client === undefined) return index;
    }
  };
  expect(await connected("@a")).toBe(4);
  expect(await connected("@b")).toBe(2);
  expect(await connected("")).toBe(2);
  expect(views.map(({ clients }) => clients)).toEqual([4, 2, 2]);
});

test("the default environment alone may use all slots", async () => {
  const broker = new SharedBroker();
  const view = await broker.open(optionsOf(undefined, { limits: { ...limits, brokerConnectionsMax: 3 } }));
  cleanups.push(() => view.close());
  const port = await serveBroker(broker);
  for (let index = 0; index < 3; index++) await login(port, `edge-${index}`);
  await expect(login(port, "edge-3")).rejects.toThrow("Not authorized");
});

describe("closing", () => {
  test("one environment ends the connections of its nodes only, and publishes no will", async () => {
    const { broker, port, byDefault, hosted, views } = await openTwo();
    const edge = await login(port, "edge-1");
    const will = { topic: hosted.topics.status("edge-1@staging"), payload: Buffer.from("GONE"), qos: 0 } as const;
    const other = await login(port, "edge-1@staging", { will });
    const end = closed(other);
    await views[1].close();
    await end;
    const next = optionsOf("staging");
    const reopened = await broker.open(next);
    cleanups.push(() => reopened.close());
    expect(edge.connected).toBe(true);
    const messages = received(edge);
    await edge.subscribeAsync(byDefault.topics.events, { qos: 0 });
    await views[0].publish(byDefault.topics.events, "still here", { qos: 1, retain: false });
    await eventually(() => expect(messages).toEqual([`${byDefault.topics.events} still here`]));
    expect([hosted.statuses, next.statuses]).toEqual([[], []]);
    expect([views[0].clients, reopened.clients]).toEqual([1, 0]);
    const late = views[1].publish(hosted.topics.events, "late", { qos: 1, retain: false });
    await expect(late).rejects.toThrow("the broker is closed");
  });

  test("one environment removes its retained head", async () => {
    const { broker, port, byDefault, hosted, views } = await openTwo();
    await views[0].publish(byDefault.topics.head, "kept", { qos: 0, retain: true });
    await views[1].publish(hosted.topics.head, "old", { qos: 0, retain: true });
    await views[1].close();
    const reopened = await broker.open(optionsOf("staging"));
    cleanups.push(() => reopened.close());
    const edges = [await login(port, "edge-1"), await login(port, "edge-1@staging")] as const;
    const messages = edges.map((edge) => received(edge));
    await edges[0].subscribeAsync(byDefault.topics.head, { qos: 0 });
    await edges[1].subscribeAsync(hosted.topics.head, { qos: 0 });
    await eventually(() => expect(messages[0]).toEqual([`${byDefault.topics.head} kept`]));
    await reopened.publish(hosted.topics.head, "new", { qos: 0, retain: true });
    await eventually(() => expect(messages[1]).toEqual([`${hosted.topics.head} new`]));
  });

  test("the last environment ends the broker", async () => {
    const { broker, port, views } = await openTwo();
    await Promise.all(views.map((view) => view.close()));
    expect(broker.isOpen).toBe(false);
    await expect(login(port, "edge-1")).rejects.toThrow();
  });
});

/** A port that is free now. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const port = portOf(server);
  server.close();
  await once(server, "close");
  return port;
}

describe("the MQTT port", () => {
  test("is free for the next broker as soon as the last environment is closed, also with connected nodes", async () => {
    const broker = new SharedBroker();
    const port = await freePort();
    let view = await broker.open(optionsOf(undefined, { port }));
    for (let round = 0; round < 20; round++) {
      await login(port, `edge-${round}`);
      const isClosed = view.close();
      view = await broker.open(optionsOf(undefined, { port }));
      await isClosed;
    }
    await login(port, "edge-last");
    await view.close();
    const alone = createServer().listen(port, "127.0.0.1");
    await once(alone, "listening");
    alone.close();
  });

  test("stays open while environments open and close at the same time", async () => {
    const broker = new SharedBroker();
    const port = await freePort();
    const names = [undefined, "a", "b", "c"];
    const changeRoles = async (name: string | undefined, rounds: number): Promise<void> => {
      for (let round = 0; round < rounds; round++) {
        const view = await broker.open(optionsOf(name, { port }));
        const edge = await login(port, name === undefined ? "edge" : hostedNodeId("edge", name));
        expect(view.clients).toBe(1);
        const end = closed(edge);
        await view.close();
        await end;
      }
    };
    await Promise.all(names.map((name, index) => changeRoles(name, 5 + index)));
    expect(broker.isOpen).toBe(false);
  });

  test("that is in use lets opening fail, and a later attempt succeed", async () => {
    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const port = portOf(taken);
    const broker = new SharedBroker();
    const attempts = await Promise.allSettled(["a", "b"].map(async (name) => broker.open(optionsOf(name, { port }))));
    for (const attempt of attempts)
      expect(String(attempt.status === "rejected" && attempt.reason)).toContain(`the MQTT port ${port} of 127.0.0.1`);
    expect(broker.isOpen).toBe(false);
    taken.close();
    await once(taken, "close");
    const view = await broker.open(optionsOf("a", { port }));
    cleanups.push(() => view.close());
    await login(port, "edge-1@a");
  });
});

test("nodes of two environments replicate over one broker of a process", () =>
  withCluster(async (cluster) => {
    const broker = new SharedBroker();
    const system = { ...realClusterSystem, openBroker: broker.open.bind(broker) };
    const start = async (environment: string | undefined) => {
      const inEnvironment = (config: Config): Config => ({
        ...config,
        ...(environment !== undefined && { environment, nodeId: hostedNodeId(config.nodeId ?? "", environment) }),
      });
      const name = environment ?? "default";
      const own = inEnvironment(cluster.config("primary", `primary-${name}`, { adminKey }));
      const node = await startAlone(own, (parts) => startPrimary(parts, own), system);
      const served = await serveNode(own, node, system);
      const edgeConfig = inEnvironment(cluster.config("edge", `edge-${name}`, { primary: served.url }));
      const edge = await startAlone(edgeConfig, (parts) => startEdge(parts, edgeConfig), system);
      const edgeServed = await serveNode(edgeConfig, edge, system);
      cleanups.push(node.stop, served.stop, edge.stop, edgeServed.stop);
      await loadPolicy(node);
      return { node, edge };
    };
    const [one, other] = [await start(undefined), await start("staging")];
    for (const { node, edge } of [one, other]) {
      await eventually(() => expect(edge.health().isBrokerConnected).toBe(true));
      await eventually(() => expect(node.health().brokerClients).toBe(1));
    }
    await insert(one.node, "ann");
    await insert(other.node, "bob");
    await converged(one.edge, one.node);
    await converged(other.edge, other.node);
    expect([mayRead(one.edge, "ann"), mayRead(one.edge, "bob")]).toEqual([true, false]);
    expect([mayRead(other.edge, "ann"), mayRead(other.edge, "bob")]).toEqual([false, true]);
    while (cleanups.length > 0) await cleanups.pop()?.();
    expect(broker.isOpen).toBe(false);
  }));

test("at a broker of its own, a node has one login in all environments, and one client id in each", () =>
  withCluster(async (cluster) => {
    const logins: string[] = [];
    const aedes = await Aedes.createBroker({
      authenticate(client, username, _password, done) {
        logins.push(`${client.id} as ${username}`);
        done(null, true);
      },
    });
    const server = createServer((socket) => aedes.handle(drainRead(socket))).listen(0, "127.0.0.1");
    await once(server, "listening");
    const broker = `mqtt://127.0.0.1:${portOf(server)}`;
    const { url } = await cluster.primary();
    const config = cluster.config("edge", "edge-1", { primary: url, broker });
    const hosted = { ...config, nodeId: hostedNodeId("edge-1", "test"), data: join(cluster.directory, "hosted") };
    const startOne = (of: Config) => startAlone(of, (parts) => startEdge(parts, of));
    const edges = [await startOne(config), await startOne(hosted)];
    await eventually(() => expect(new Set(logins)).toEqual(new Set(["edge-1 as edge-1", "edge-1@test as edge-1"])));
    await Promise.all(edges.map((edge) => edge.stop()));
    await new Promise<void>((resolve) => aedes.close(resolve));
    server.close();
  }));
