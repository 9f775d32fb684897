/**
 * A connection to a broker, on a simulated clock: when it is tried again, with which version of MQTT, and when another
 * primary has its client id.
 */
import { expect, test } from "bun:test";
import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { Aedes } from "aedes";
import { nodeKeyVerifier } from "../../src/replication/identity.ts";
import { realSystem } from "../../src/replication/system.ts";
import { BrokerConnection, type Ownership } from "../../src/replication/transport/broker-connection.ts";
import { drainRead } from "../../src/replication/transport/embedded-broker-stream.ts";
import { SharedBroker } from "../../src/replication/transport/shared-broker.ts";
import { topicsOf } from "../../src/replication/transport/topics.ts";
import { defaultLimits } from "../../src/config/limits.ts";
import { hashKey } from "../../src/store/keys/api-keys.ts";
import { openBrokerProxy } from "./broker-proxy.ts";
import { eventually, nodeKey, withCluster } from "./cluster.ts";
import { closeOn, runNextTimer, SimulatedClock } from "./simulated-clock.ts";

const topics = topicsOf("ostiary/v1", "test");
const defaults = { clientId: "edge-9", connectTimeoutMs: 60_000, keepaliveMs: 60_000, ownership: false } as const;

test("an unreachable broker is tried again within 2 s, and not by all nodes at the same time", async () => {
  const delaysOf = async (random: number): Promise<number[]> => {
    const proxy = await openBrokerProxy();
    const clock = new SimulatedClock(random);
    const link = new BrokerConnection({ ...defaults, url: proxy.url }, { ...realSystem, clock });
    link.start();
    const delays: number[] = [];
    for (let attempt = 0; attempt < 6; attempt++) delays.push(await runNextTimer(clock));
    await closeOn(clock, link);
    proxy.close();
    return delays;
  };
  expect(await delaysOf(0)).toEqual([500, 950, 950, 950, 950, 950]);
  expect(await delaysOf(1)).toEqual([1000, 1900, 1900, 1900, 1900, 1900]);
});

test("a broker that refuses MQTT 5 is tried with 3.1.1", async () => {
  const broker = await new SharedBroker().open({
    ...{ environment: undefined, topics, onStatus() {}, hostname: "127.0.0.1", port: 0, limits: defaultLimits },
    verifyNodeKey: nodeKeyVerifier([hashKey(nodeKey)], "login"),
  });
  const server = createServer(broker.handle).listen(0, "127.0.0.1");
  await once(server, "listening");
  const proxy = await openBrokerProxy((server.address() as AddressInfo).port);
  const clock = new SimulatedClock();
  const account = { username: defaults.clientId, password: nodeKey };
  const link = new BrokerConnection({ ...defaults, ...account, url: proxy.url }, { ...realSystem, clock });
  link.start();
  await runNextTimer(clock);
  await eventually(() => expect(link.connected).toBe(true));
  expect(proxy.connections.map(({ version }) => version)).toEqual([5, 4]);
  await closeOn(clock, link);
  proxy.close();
  server.close();
  await broker.close();
});

interface Contested {
  readonly clock: SimulatedClock;
  readonly isFenced: () => boolean;
  readonly attempts: () => number;
  /** How many heads have arrived. */
  readonly heard: () => number;
  /** Another client publishes a head. */
  readonly publishHead: () => void;
}

/** A primary at a broker with MQTT 3.1.1 that ends each connection without a reason when the primary publishes. */
async function withContestedBroker(
  classify: Ownership["classify"],
  body: (contested: Contested) => Promise<void>,
): Promise<void> {
  const broker = await Aedes.createBroker({
    authorizePublish: (_client, _packet, done) => done(new Error("not permitted")),
  });
  const server = createServer((socket) => broker.handle(drainRead(socket))).listen(0, "127.0.0.1");
  await once(server, "listening");
  const clock = new SimulatedClock();
  const url = `mqtt://127.0.0.1:${(server.address() as AddressInfo).port}`;
  // As the embedded broker, it is not asked for MQTT 5 first.
  const link = new BrokerConnection(
    { ...defaults, url, isEmbedded: true, ownership: { headTopic: topics.head, classify } },
    { ...realSystem, clock },
  );
  let [isFenced, attempts, heard] = [false, 0, 0];
  link.onMessage(() => heard++);
  link.onFenced(() => (isFenced = true));
  link.onConnect(() => {
    attempts++;
    void link.publish(topics.head, "own", { qos: 1, retain: true }).catch(() => {});
  });
  link.start();
  const head = { cmd: "publish", topic: topics.head, payload: "other", qos: 0, retain: false, dup: false } as const;
  const publishHead = (): void => broker.publish(head, () => {});
  try {
    await body({ clock, isFenced: () => isFenced, attempts: () => attempts, heard: () => heard, publishHead });
  } finally {
    await closeOn(clock, link);
    server.close();
    await new Promise<void>((resolve) => broker.close(resolve));
  }
}

/** The third connection that ends shortly after it was made: another primary may have taken the client id. */
async function untilOwnershipCheck({ clock }: Contested): Promise<void> {
  expect(await runNextTimer(clock)).toBe(250);
  expect(await runNextTimer(clock)).toBe(500);
  await eventually(() => expect(clock.waiting).toEqual([2250]));
}

test("a primary whose connections end without a reason, and that hears only heads of unknown origin, connects again", () =>
  withContestedBroker(
    () => "unknown",
    async (contested) => {
      const { clock } = contested;
      for (let round = 0; round < 2; round++) {
        await untilOwnershipCheck(contested);
        const before = contested.heard();
        await eventually(() => {
          contested.publishHead();
          expect(contested.heard()).toBeGreaterThan(before);
        });
        expect(await runNextTimer(clock)).toBe(2250);
        expect(await runNextTimer(clock)).toBe(250);
      }
      expect(contested.isFenced()).toBe(false);
    },
  ));

test("a primary whose connections end without a reason is fenced by a head of a successor, and stays away", () =>
  withContestedBroker(
    () => "successor",
    async (contested) => {
      await untilOwnershipCheck(contested);
      await eventually(() => {
        contested.publishHead();
        expect(contested.isFenced()).toBe(true);
      });
      expect([contested.clock.waiting, contested.attempts()]).toEqual([[], 3]);
    },
  ));

test("a primary whose connections end without a reason takes its client id back after a head of a predecessor", () =>
  withContestedBroker(
    () => "predecessor",
    async (contested) => {
      await untilOwnershipCheck(contested);
      await eventually(() => {
        contested.publishHead();
        expect(contested.attempts()).toBe(4);
      });
      expect(contested.isFenced()).toBe(false);
    },
  ));

test("the node key is sent to no broker except the primary's", () =>
  withCluster(async (cluster) => {
    let received = "";
    const stranger = createServer((socket) => {
      socket.on("error", () => {}).on("data", (bytes) => (received += bytes.toString("latin1")));
    }).listen(0, "localhost");
    await once(stranger, "listening");
    const { port } = stranger.address() as AddressInfo;
    const primary = await cluster.primary();
    await cluster.edge("edge-1", primary, { broker: `mqtt://localhost:${port}` });
    await eventually(() => expect(received).toContain("edge-1"));
    expect(received).not.toContain(nodeKey);
    stranger.close();
  }));
