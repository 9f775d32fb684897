/**
 * The embedded broker (aedes, MQTT 3.1.1). It listens on TCP if a port is set, and on the HTTP port over WebSocket.
 * Nodes log in with their id and the node key. INVARIANT: only this process writes events and heads; an edge may
 * publish its own status. Other attempts are logged. An edge that tries to publish more loses its connection, because
 * MQTT 3.1.1 has no other way to refuse a publisher.
 */
import { once } from "node:events";
import { createServer, type AddressInfo, type Server } from "node:net";
import type { Duplex } from "node:stream";
import { Aedes, type AedesOptions, type Client } from "aedes";
import { embeddedBroker } from "../../config/broker-address.ts";
import type { Limits } from "../../config/limits.ts";
import { inThisEnvironment } from "../../telemetry/current-environment.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { AppError } from "../../util/app-error.ts";
import { rateLimiter } from "../../util/rate-limiter.ts";
import { brokerWindowMax } from "../../util/tuning.ts";
import type { BrokerTransport } from "./broker-transport.ts";
import { drainRead, isolateSlowSubscriber, isSlow, limitPacketSize } from "./embedded-broker-stream.ts";
import type { Topics } from "./topics.ts";

const log = getLogger("broker");

export interface EmbeddedBrokerOptions {
  readonly topics: Topics;
  readonly verifyNodeKey: (key: string) => boolean;
  readonly limits: Pick<
    Limits,
    "brokerConnectionsMax" | "brokerLoginsWaitingMax" | "brokerPacketBytesMax" | "brokerDrainTimeoutMs"
  >;
}

export interface EmbeddedBroker extends BrokerTransport {
  readonly clients: number;
  handle(connection: Duplex): void;
  /** Calls the listener with each status that a node publishes. */
  onStatus(listener: (topic: string, payload: Uint8Array) => void): void;
  /** Opens a TCP listener. Resolves with the port; port 0 selects a free one. */
  listen(hostname: string, port: number): Promise<number>;
}

export async function startEmbeddedBroker(options: EmbeddedBrokerOptions): Promise<EmbeddedBroker> {
  const { limits } = options;
  const connections = new ClientConnections(limits);
  const aedes = await Aedes.createBroker(brokerOptions(options, connections));
  const failedLogins = rateLimiter(warningIntervalMs);
  const onError = (client: Client, { message: reason }: Error): void => {
    if (connections.isLoggedIn(client.conn))
      return log.info("node {node} lost its connection: {reason}", { node: client.id, reason });
    const count = failedLogins();
    if (count > 0)
      log.info("{count} connections failed before they logged in, the last one: {reason}", { count, reason });
  };
  aedes.on("clientError", onError);
  aedes.on("connectionError", onError);
  const servers: Server[] = [];

  const handle = (connection: Duplex): void => {
    connections.add(connection);
    const limited = limitPacketSize(drainRead(connection), limits.brokerPacketBytesMax);
    aedes.handle(isolateSlowSubscriber(limited, limits.brokerDrainTimeoutMs));
  };

  aedes.on("clientReady", ({ id }) => log.debug("node {node} connected to the embedded broker", { node: id }));
  aedes.on("clientDisconnect", ({ id }) => log.debug("node {node} left the embedded broker", { node: id }));

  return {
    get clients() {
      return aedes.connectedClients;
    },
    name: embeddedBroker,
    connected: true,
    window: brokerWindowMax,
    handle,
    onConnect: (listener) => listener(),
    publish: (topic, payload, { qos, retain }) =>
      new Promise((resolve, reject) => {
        const packet = { cmd: "publish", topic, payload: Buffer.from(payload), qos, retain, dup: false } as const;
        aedes.publish(packet, (error) => (error ? reject(error) : resolve()));
      }),
    onStatus(listener) {
      const bound = inThisEnvironment(listener);
      aedes.on("publish", ({ topic, payload }, client) => {
        if (client !== null) bound(topic, Buffer.from(payload));
      });
    },
    async listen(hostname, port) {
      const server = createServer({ noDelay: true }, handle);
      servers.push(server);
      return listenOn(server, hostname, port);
    },
    async close() {
      for (const server of servers) server.close();
      await new Promise<void>((resolve) => aedes.close(resolve));
      connections.close();
    },
  };
}

function brokerOptions(
  { topics, verifyNodeKey, limits }: EmbeddedBrokerOptions,
  connections: ClientConnections,
): AedesOptions {
  const refusals = rateLimiter(warningIntervalMs);
  const readable = new Set([topics.events, topics.head]);
  return {
    concurrency: 100,
    drainTimeout: limits.brokerDrainTimeoutMs,
    connectTimeout: loginTimeoutMs,
    maxTopicLevels: 16,
    authenticate(client, username, password, done) {
      const reason = loginProblem(client, username, verifyNodeKey(password?.toString("utf8") ?? ""));
      if (reason === undefined && connections.logIn(client.conn)) return done(null, true);
      const count = refusals();
      if (count > 0)
        log.warning("refused {count} logins, the last one of {node}: {reason}", {
          count,
          node: client.id.slice(0, nodeIdLengthMax),
          reason: reason ?? `${limits.brokerConnectionsMax} nodes are connected already (\`brokerConnectionsMax\`)`,
        });
      done(null, false);
    },
    authorizePublish(client, packet, done) {
      // `null` is this process.
      if (client === null) return done(null);
      if (packet.topic === topics.status(client.id)) return done(null);
      log.error("node {node} tried to publish to {topic}: connection closed", { node: client.id, topic: packet.topic });
      done(new Error("a node may publish only its own status"));
    },
    authorizeSubscribe(client, subscription, done) {
      if (readable.has(subscription.topic)) return done(null, subscription);
      const level = subscription.topic === topics.next ? "debug" : "error";
      log[level]("node {node} tried to subscribe to {topic}", { node: client.id, topic: subscription.topic });
      done(null, null);
    },
    // Checked again at delivery, so that a flaw in the checks above leaks nothing.
    authorizeForward: (client: Client, packet) =>
      readable.has(packet.topic) && client.id && !isSlow(client.conn) ? packet : null,
  };
}

/** A node logs in within milliseconds. */
const loginTimeoutMs = 5000;
const warningIntervalMs = 10_000;

/**
 * The client connections. Those that have not logged in have a small quota of their own, and a new one replaces the
 * oldest. So a client that only connects cannot displace nodes or keep one from logging in.
 */
class ClientConnections {
  readonly #limits: EmbeddedBrokerOptions["limits"];
  readonly #waiting = new Set<Duplex>();
  readonly #loggedIn = new Set<Duplex>();

  constructor(limits: EmbeddedBrokerOptions["limits"]) {
    this.#limits = limits;
  }

  add(connection: Duplex): void {
    this.#waiting.add(connection);
    connection.once("close", () => {
      this.#waiting.delete(connection);
      this.#loggedIn.delete(connection);
    });
    if (this.#waiting.size <= this.#limits.brokerLoginsWaitingMax) return;
    const [oldest] = this.#waiting;
    if (oldest === undefined) return;
    this.#waiting.delete(oldest);
    oldest.destroy();
  }

  logIn(connection: Duplex): boolean {
    if (this.#loggedIn.size >= this.#limits.brokerConnectionsMax) return false;
    if (this.#waiting.delete(connection)) this.#loggedIn.add(connection);
    return true;
  }

  isLoggedIn(connection: Duplex): boolean {
    return this.#loggedIn.has(connection);
  }

  close(): void {
    for (const connection of [...this.#waiting, ...this.#loggedIn]) connection.destroy();
  }
}

function loginProblem(client: Client, username: string | undefined, keyIsRight: boolean): string | undefined {
  // A node publishes its status to the topic of its client id. So that must be its user name, and reach no other topic.
  if (username !== client.id || !isNodeId(client.id)) return "the user name must be the client id";
  if (!keyIsRight) return "wrong node key";
  return client.clean ? undefined : "messages for a persistent session would grow without a limit: use a clean session";
}

const nodeIdLengthMax = 64;

/** Node ids are part of topics, and `/`, `+` and `#` have a meaning there. */
function isNodeId(text: string): boolean {
  return text.length <= nodeIdLengthMax && /^[A-Za-z0-9._-]+$/.test(text);
}

async function listenOn(server: Server, hostname: string, port: number): Promise<number> {
  server.listen(port, hostname);
  try {
    await once(server, "listening");
  } catch (cause) {
    const taken = (cause as NodeJS.ErrnoException).code === "EADDRINUSE";
    const message = taken
      ? "is in use: choose another `mqttPort`, or 0 for MQTT over WebSocket only"
      : "cannot be opened";
    throw new AppError("conflict", `the MQTT port ${port} of ${hostname} ${message}`, { cause });
  }
  server.on("error", (error) => log.error("the MQTT listener failed: {reason}", { reason: error.message }));
  return (server.address() as AddressInfo).port;
}
