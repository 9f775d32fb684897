/**
 * A process of the replication benchmark: a primary or an edge with all its parts, or a bare client of the same broker. The
 * parent sends commands as messages. All processes measure times with one clock.
 */
import * as Bun from "bun";
import type { Duplex } from "node:stream";
import { Aedes } from "aedes";
import type { Config } from "../../../src/config/config.ts";
import { loadConfig } from "../../../src/config/load.ts";
import { drainRead } from "../../../src/replication/transport/embedded-broker-stream.ts";
import { BrokerConnection } from "../../../src/replication/transport/broker-connection.ts";
import { startEdge, type EdgeNode } from "../../../src/roles/edge.ts";
import type { BrokerTransport } from "../../../src/replication/transport/broker-transport.ts";
import { startAlone } from "../../../src/roles/node-parts.ts";
import { startPrimary, type PrimaryNode } from "../../../src/roles/primary.ts";
import { realClusterSystem, type ClusterSystem } from "../../../src/roles/cluster-system.ts";
import type { WriterEvent } from "../../../src/log/writer/store-writer.ts";
import { writerWorker } from "../../../src/log/writer/writer-commands.ts";
import type { Commands, WorkerHandle, WorkerKind } from "../../../src/runtime/worker.ts";
import { topicsOf } from "../../../src/replication/transport/topics.ts";
import { serveNode } from "../../../src/roles/node-service.ts";
import { serve } from "../../../src/runtime/serve.ts";
import { must } from "../../../src/util/assert.ts";
import { factNumber } from "./facts.ts";

export type Flags = Readonly<Record<string, string>>;

export type Order =
  | { readonly do: "start"; readonly flags: Flags; readonly policy: string }
  | { readonly do: "write"; readonly writes: number; readonly pauseMs: number }
  | { readonly do: "flood"; readonly batches: number; readonly facts: number; readonly parallel: number }
  | { readonly do: "open"; readonly broker: BareBroker | undefined }
  | { readonly do: "listen"; readonly broker: BareBroker }
  | { readonly do: "publish"; readonly messages: number; readonly pauseMs: number; readonly bytes: number }
  | { readonly do: "times" };

/** A broker without a node. */
export interface BareBroker {
  readonly url: string;
  readonly username: string;
  readonly password: string;
}

/** The responses to orders. `times` are pairs of a number and its arrival in microseconds. */
export interface Answer {
  readonly url?: string;
  readonly times?: readonly (readonly [number, number])[];
  readonly seconds?: number;
}

let node: EdgeNode | PrimaryNode | undefined;
let config: Config | undefined;
let written = 0;
const seen: [number, number][] = [];

/**
 * Microseconds of a clock that all processes share. The shared wall clock has only milliseconds, so each process measures
 * when it changes. (Bun's finer clocks begin with the process, and their origin has only milliseconds.)
 */
const originMs = findOrigin();
const nowUs = (): number => (originMs + performance.now()) * 1000;
const onSharedClock = (ms: number): number => (ms - performance.timeOrigin + originMs) * 1000;

function findOrigin(): number {
  const found: number[] = [];
  for (let tick = 0; tick < 30; tick++) {
    const before = Date.now();
    while (Date.now() === before);
    found.push(Date.now() - performance.now());
  }
  // A thread that was interrupted measured too late.
  return Math.max(...found);
}

process.on("message", (order: Order) => {
  carryOut(order).then(
    (answer) => process.send?.(answer),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});

async function carryOut(order: Order): Promise<Answer> {
  switch (order.do) {
    case "start":
      return { url: await start(order.flags, order.policy) };
    case "write":
      return { times: await write(order.writes, order.pauseMs) };
    case "flood":
      return { seconds: await flood(order.batches, order.facts, order.parallel) };
    case "open":
      return { url: await openBroker(order.broker) };
    case "listen":
      await listen(order.broker);
      return {};
    case "publish":
      return { times: await publish(order.messages, order.pauseMs, order.bytes) };
    case "times":
      return { times: seen.splice(0) };
  }
}

async function start(flags: Flags, policy: string): Promise<string> {
  const loaded = loadConfig({ environment: {}, flags });
  config = must(loaded.config, loaded.problems.join("; "));
  const of = config;
  const started =
    of.role === "primary"
      ? await startAlone(of, (parts) => startPrimary(parts, of))
      : await startAlone(of, (parts) => startEdge(parts, of), watched);
  node = started;
  if (config.role === "primary")
    await primary().writes.policy({ source: policy, filename: null, force: true }, untraced);
  return (await serveNode(config, started)).url;
}

/** Every question that begins after a commit of the edge's writer sees that commit. */
const watched: ClusterSystem = {
  ...realClusterSystem,
  spawnWorker<C extends Commands, Event>(kind: WorkerKind): WorkerHandle<C, Event> {
    const worker = realClusterSystem.spawnWorker<C, Event>(kind);
    let movingTo = 0;
    if (kind === writerWorker)
      worker.onEvent((sent) => {
        const event = sent as WriterEvent;
        if ("committing" in event) movingTo = event.committing.state.offset;
        if ("committed" in event) seen.push([movingTo, onSharedClock(event.committed.committedMs)]);
      });
    return worker;
  },
};

const untraced = { traceparent: null };

function primary(): PrimaryNode {
  return node as PrimaryNode;
}

/** One fact at a time, one after the other. */
async function write(writes: number, pauseMs: number): Promise<[number, number][]> {
  const times: [number, number][] = [];
  for (let write = 0; write < writes; write++) {
    const { offset, committedMs } = await primary().writes.batch([{ inserts: [factNumber(written++)] }], untraced);
    times.push([offset, onSharedClock(must(committedMs))]);
    await Bun.sleep(pauseMs);
  }
  return times;
}

/** Seconds for `batches` writes of `facts` facts each, of which `parallel` run at the same time. */
async function flood(batches: number, facts: number, parallel: number): Promise<number> {
  let left = batches;
  const begin = Bun.nanoseconds();
  const one = async (): Promise<void> => {
    while (left-- > 0) {
      const inserts = Array.from({ length: facts }, () => factNumber(written++));
      await primary().writes.batch([{ inserts }], untraced);
    }
  };
  await Promise.all(Array.from({ length: parallel }, one));
  return (Bun.nanoseconds() - begin) / 1e9;
}

const bareTopics = topicsOf("ostiary/v1", "bare");
let transport: Pick<BrokerTransport, "publish"> | undefined;

/** The broker for bare messages: the given one, or aedes in this process. Returns its address. */
async function openBroker(given: BareBroker | undefined): Promise<string> {
  if (given !== undefined) {
    transport = await connected(given);
    return given.url;
  }
  const aedes = await Aedes.createBroker();
  transport = {
    publish: (topic, payload, options) =>
      new Promise((resolve, reject) =>
        aedes.publish({ cmd: "publish", topic, payload, dup: false, ...options }, (error) =>
          error ? reject(error) : resolve(),
        ),
      ),
  };
  const onConnection = (connection: Duplex): void => void aedes.handle(drainRead(connection));
  const websocket = { path: "/mqtt", subprotocol: "mqtt", onConnection };
  const { port } = serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("no"), websocket });
  return `ws://127.0.0.1:${port}/mqtt`;
}

async function listen(broker: BareBroker): Promise<void> {
  const link = await connected(broker);
  link.onMessage((_topic, payload) => {
    const { message } = JSON.parse(Buffer.from(payload).toString()) as { readonly message: number };
    seen.push([message, nowUs()]);
  });
  await link.subscribe([bareTopics.events]);
}

/** Only the broker. */
async function publish(messages: number, pauseMs: number, bytes: number): Promise<[number, number][]> {
  const times: [number, number][] = [];
  for (let message = 0; message < messages; message++) {
    const payload = JSON.stringify({ message }).padEnd(bytes);
    times.push([message, nowUs()]);
    await must(transport).publish(bareTopics.events, payload, { qos: 1, retain: false });
    await Bun.sleep(pauseMs);
  }
  return times;
}

async function connected({ url, username, password }: BareBroker): Promise<BrokerConnection> {
  const link = new BrokerConnection({
    url,
    clientId: username,
    username,
    password,
    connectTimeoutMs: 5000,
    keepaliveMs: 5000,
    ownership: false,
  });
  const made = new Promise<void>((resolve) => link.onConnect(resolve));
  link.start();
  await made;
  return link;
}
