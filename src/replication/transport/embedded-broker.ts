/**
 * The embedded broker (aedes, MQTT 3.1.1). It listens on TCP if a port is set, and on the HTTP port over WebSocket.
 * Nodes log in with their id and the node key. All primaries of the process share it, one per environment, and the id
 * of a node says which environment it belongs to. INVARIANT: only this process writes events and heads; an edge may
 * publish its own status, and reads only its environment. Other attempts are logged. An edge that tries to publish more
 * loses its connection, because MQTT 3.1.1 has no other way to refuse a publisher.
 */
import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { createServer as createTlsServer } from "node:tls";
import { Aedes, type AedesOptions, type Client } from "aedes";
import type { Limits } from "../../config/limits.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { AppError } from "../../util/app-error.ts";
import { assert, must } from "../../util/assert.ts";
import { rateLimiter } from "../../util/rate-limiter.ts";
import { parseNodeId } from "../identity.ts";
import type { TlsIdentity } from "../tls-identity.ts";
import {
  drainRead,
  isolateSlowSubscriber,
  isSlow,
  limitPacketSize,
  publishPacket,
  roomIn,
} from "./embedded-broker-stream.ts";
import type { Topics } from "./topics.ts";
import { WaitingConnections } from "./waiting-connections.ts";

const log = getLogger("broker");

export type BrokerLimits = Pick<
  Limits,
  "brokerConnectionsMax" | "brokerLoginsWaitingMax" | "brokerPacketBytesMax" | "brokerDrainTimeoutMs"
>;

/** The environment of a primary, as the broker knows it. */
export interface BrokerTenant {
  /** The environment in the ids of its nodes; undefined for the default one. */
  readonly environment: string | undefined;
  readonly topics: Topics;
  readonly verifyNodeKey: (key: string) => boolean;
  /** Called with each status that a node publishes. */
  readonly onStatus: (topic: string, payload: Uint8Array) => void;
}

export class BrokerServer {
  readonly #aedes: Aedes;
  readonly #limits: BrokerLimits;
  readonly #tenants: Tenants;
  readonly #connections: ClientConnections;
  readonly #subscribers = new Subscribers();
  #listener: Server | undefined;
  #handshakes: WaitingConnections<Socket> | undefined;

  static async start(limits: BrokerLimits): Promise<BrokerServer> {
    const tenants = new Tenants();
    const connections = new ClientConnections(limits);
    const aedes = await Aedes.createBroker(brokerOptions(limits, tenants, connections));
    return new BrokerServer(aedes, limits, tenants, connections);
  }

  private constructor(aedes: Aedes, limits: BrokerLimits, tenants: Tenants, connections: ClientConnections) {
    this.#aedes = aedes;
    this.#limits = limits;
    this.#tenants = tenants;
    this.#connections = connections;
    const subscribers = this.#subscribers;
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
    aedes.on("clientReady", ({ id }) => log.debug("node {node} connected to the embedded broker", { node: id }));
    aedes.on("subscribe", (granted, client) => {
      for (const { topic, qos } of granted) if (qos <= 2) subscribers.add(client, topic);
    });
    aedes.on("unsubscribe", (topics, client) => topics.forEach((topic) => subscribers.delete(client, topic)));
    aedes.on("clientDisconnect", ({ id }) => log.debug("node {node} left the embedded broker", { node: id }));
    aedes.on("publish", ({ topic, payload }, client) => {
      if (client !== null) tenants.of(client)?.onStatus(topic, Buffer.from(payload));
    });
  }

  readonly handle = (connection: Duplex): void => {
    this.#connections.add(connection);
    const limited = limitPacketSize(drainRead(connection), this.#limits.brokerPacketBytesMax);
    this.#aedes.handle(isolateSlowSubscriber(limited, this.#limits.brokerDrainTimeoutMs));
  };

  /** Opens a TCP listener, with TLS if the node has a certificate. AppError `conflict`: the port cannot be opened. */
  async listen(hostname: string, port: number, identity?: TlsIdentity): Promise<void> {
    if (identity?.server === undefined) this.#listener = createServer({ noDelay: true }, this.handle);
    else {
      this.#handshakes = new WaitingConnections(this.#limits.brokerLoginsWaitingMax);
      this.#listener = createTlsListener(identity, this.#handshakes, this.handle);
    }
    await listenOn(this.#listener, hostname, port);
  }

  /** From now on, the nodes of the environment can log in. */
  attach(tenant: BrokerTenant): void {
    this.#tenants.add(tenant);
  }

  /** The number of nodes of the environment that are logged in. */
  clientsOf(tenant: BrokerTenant): number {
    return this.#tenants.clientsOf(tenant).size;
  }

  hasSubscribers(topic: string): boolean {
    return this.#subscribers.of(topic).size > 0;
  }

  /**
   * Publishes a message that is not retained. Resolves when its subscribers can take more, or count as slow. The message is
   * encoded once and does not pass through aedes, which would take an eighth of the time from a commit to an edge.
   */
  async send(topic: string, payload: string): Promise<void> {
    const packet = publishPacket(topic, payload);
    const full = [...this.#subscribers.of(topic)]
      // Checked again, as at each delivery of aedes.
      .filter((client) => this.#tenants.mayRead(client, topic) && !isSlow(client.conn))
      .filter(({ conn }) => !conn.write(packet));
    // At least one turn, so that a caller who sends much does not keep connections from draining.
    await Promise.all([new Promise(setImmediate), ...full.map(({ conn }) => roomIn(conn))]);
  }

  /** Publishes a message that the broker repeats for later subscribers. */
  async retain(topic: string, payload: string): Promise<void> {
    const packet = { cmd: "publish", topic, payload: Buffer.from(payload), qos: 0, retain: true, dup: false } as const;
    await new Promise<void>((resolve, reject) =>
      this.#aedes.publish(packet, (error) => (error ? reject(error) : resolve())),
    );
  }

  /** Ends the connections of the environment's nodes, and forgets its retained message. */
  async detach(tenant: BrokerTenant): Promise<void> {
    const clients = [...this.#tenants.clientsOf(tenant)];
    // First, so that nobody logs in meanwhile and no will is published.
    this.#tenants.delete(tenant);
    await Promise.all(clients.map((client) => new Promise<void>((resolve) => client.close(resolve))));
    await this.retain(tenant.topics.head, "");
  }

  /** Resolves when the port is free again. */
  async close(): Promise<void> {
    const listener = this.#listener;
    const isFree = new Promise<void>((resolve) =>
      listener === undefined ? resolve() : listener.close(() => resolve()),
    );
    await new Promise<void>((resolve) => this.#aedes.close(resolve));
    this.#connections.close();
    for (const connection of [...(this.#handshakes ?? [])]) connection.destroy();
    await isFree;
  }
}

function brokerOptions(limits: BrokerLimits, tenants: Tenants, connections: ClientConnections): AedesOptions {
  const refusals = rateLimiter(warningIntervalMs);
  const tryLogin = (client: Client, username: string | undefined, password: string): string | undefined => {
    // A node publishes its status to the topic of its client id. So that must be its user name, and reach no other topic.
    const id = username === client.id ? parseNodeId(client.id) : undefined;
    if (id === undefined) return "the user name must be the client id";
    const tenant = tenants.get(id.environment);
    // The key is checked for each environment, so that the time does not tell which ones there are.
    if (!(tenant ?? tenants.any())?.verifyNodeKey(password)) return "wrong node key";
    if (tenant === undefined) return "no primary of its environment is in this process";
    if (!client.clean) return "messages for a persistent session would grow without a limit: use a clean session";
    if (connections.logIn(client.conn, tenants.clientsOf(tenant), id.environment)) {
      tenants.assign(client, tenant);
      return undefined;
    }
    return `${connections.loggedIn} nodes are connected already, which is the limit`;
  };
  return {
    concurrency: 100,
    drainTimeout: limits.brokerDrainTimeoutMs,
    connectTimeout: loginTimeoutMs,
    maxTopicLevels: 16,
    authenticate(client, username, password, done) {
      const reason = tryLogin(client, username, password?.toString("utf8") ?? "");
      if (reason === undefined) return done(null, true);
      const count = refusals();
      const node = client.id.slice(0, nodeIdLengthMax);
      if (count > 0) log.warning("refused {count} logins, the last one of {node}: {reason}", { count, node, reason });
      done(null, false);
    },
    authorizePublish(client, packet, done) {
      // `null` is this process.
      if (client === null) return done(null);
      const tenant = tenants.of(client);
      if (tenant === undefined) return done(new Error("the environment of this node has ended"));
      if (packet.topic !== tenant.topics.status(client.id)) {
        const { topic } = packet;
        log.error("node {node} tried to publish to {topic}: connection closed", { node: client.id, topic });
        return done(new Error("a node may publish only its own status"));
      }
      // Nobody may subscribe to it.
      packet.retain = false;
      done(null);
    },
    authorizeSubscribe(client, subscription, done) {
      if (tenants.maySubscribe(client, subscription.topic)) return done(null, subscription);
      log.error("node {node} tried to subscribe to {topic}", { node: client.id, topic: subscription.topic });
      done(null, null);
    },
    // Checked again at delivery, so that a flaw in the checks above leaks nothing. A subscription may precede the login.
    authorizeForward: (client: Client, packet) =>
      tenants.mayRead(client, packet.topic) && !isSlow(client.conn) ? packet : null,
  };
}

/** The clients that have subscribed to each topic. A subscription names one topic: `authorizeSubscribe` refuses patterns. */
class Subscribers {
  readonly #byTopic = new Map<string, Set<Client>>();
  /** Those whose end is awaited: a client may subscribe any number of times. */
  readonly #known = new WeakSet<Client>();

  of(topic: string): ReadonlySet<Client> {
    return this.#byTopic.get(topic) ?? new Set();
  }

  add(client: Client, topic: string): void {
    if (client.conn.destroyed) return;
    this.#byTopic.getOrInsertComputed(topic, () => new Set()).add(client);
    if (this.#known.has(client)) return;
    this.#known.add(client);
    client.conn.once("close", () => {
      for (const each of this.#byTopic.keys()) this.delete(client, each);
    });
  }

  delete(client: Client, topic: string): void {
    const clients = this.#byTopic.get(topic);
    clients?.delete(client);
    if (clients?.size === 0) this.#byTopic.delete(topic);
  }
}

/** The environments of this process, and the logged-in clients of each. */
class Tenants {
  readonly #attached = new Map<string | undefined, BrokerTenant>();
  readonly #clients = new Map<BrokerTenant, Set<Client>>();
  readonly #tenantOf = new WeakMap<Client, BrokerTenant>();

  add(tenant: BrokerTenant): void {
    assert(!this.#attached.has(tenant.environment), "an environment has one primary in a process");
    this.#attached.set(tenant.environment, tenant);
    this.#clients.set(tenant, new Set());
  }

  delete(tenant: BrokerTenant): void {
    this.#attached.delete(tenant.environment);
    this.#clients.delete(tenant);
  }

  get(environment: string | undefined): BrokerTenant | undefined {
    return this.#attached.get(environment);
  }

  /** All environments of a process have the same node keys. */
  any(): BrokerTenant | undefined {
    return this.#attached.values().next().value;
  }

  clientsOf(tenant: BrokerTenant): Set<Client> {
    return this.#clients.get(tenant) ?? new Set();
  }

  assign(client: Client, tenant: BrokerTenant): void {
    // It may have ended while it waited for its login.
    if (client.conn.destroyed) return;
    const clients = this.clientsOf(tenant);
    this.#tenantOf.set(client, tenant);
    clients.add(client);
    client.conn.once("close", () => clients.delete(client));
  }

  /** The environment of a logged-in client; undefined after the environment was detached. */
  of(client: Client): BrokerTenant | undefined {
    const tenant = this.#tenantOf.get(client);
    return tenant !== undefined && this.#clients.has(tenant) ? tenant : undefined;
  }

  mayRead(client: Client, topic: string): boolean {
    const tenant = this.of(client);
    return tenant !== undefined && isReadable(tenant, topic);
  }

  /** A client need not wait for the answer to its login before it subscribes: until then, its environment is unknown. */
  maySubscribe(client: Client, topic: string): boolean {
    if (this.of(client) !== undefined) return this.mayRead(client, topic);
    return [...this.#attached.values()].some((tenant) => isReadable(tenant, topic));
  }
}

const isReadable = ({ topics }: BrokerTenant, topic: string): boolean =>
  topic === topics.events || topic === topics.head || topic === topics.next;

/** A node logs in within milliseconds. */
const loginTimeoutMs = 5000;
const warningIntervalMs = 10_000;

/**
 * The client connections. Those that have not logged in have a small quota of their own. So a client that only connects
 * cannot displace nodes or keep one from logging in.
 */
class ClientConnections {
  readonly #limits: BrokerLimits;
  readonly #waiting: WaitingConnections<Duplex>;
  readonly #loggedIn = new Set<Duplex>();

  constructor(limits: BrokerLimits) {
    this.#limits = limits;
    this.#waiting = new WaitingConnections(limits.brokerLoginsWaitingMax);
  }

  add(connection: Duplex): void {
    this.#waiting.add(connection);
    connection.once("close", () => this.#loggedIn.delete(connection));
  }

  /**
   * False if there is no room. Nodes of the default environment may use every free slot. A hosted environment gets
   * another one while it has fewer than are free. So the default environment and new ones find free slots.
   */
  logIn(connection: Duplex, { size: own }: ReadonlySet<Client>, environment: string | undefined): boolean {
    const free = this.#limits.brokerConnectionsMax - this.#loggedIn.size;
    if (environment === undefined ? free <= 0 : own >= free) return false;
    if (this.#waiting.delete(connection)) this.#loggedIn.add(connection);
    return true;
  }

  get loggedIn(): number {
    return this.#loggedIn.size;
  }

  isLoggedIn(connection: Duplex): boolean {
    return this.#loggedIn.has(connection);
  }

  close(): void {
    for (const connection of [...this.#waiting, ...this.#loggedIn]) connection.destroy();
  }
}

/** For logs: the length of the longest node id. */
const nodeIdLengthMax = 129;

/** `handshakes` gets the connections without a complete handshake. They have a quota, as those without a login have. */
function createTlsListener(
  identity: TlsIdentity,
  handshakes: WaitingConnections<Socket>,
  handle: (connection: Duplex) => void,
): Server {
  const context = () => {
    const { clientCa, ...own } = must(identity.nodeServer ?? identity.server);
    const verification = { ca: clientCa, requestCert: true, rejectUnauthorized: true };
    return { ...own, minVersion: "TLSv1.2", ...(clientCa !== undefined && verification) } as const;
  };
  // The runtime does not tell which of them a complete handshake belongs to.
  const named = new Map<string, Socket>();
  const nameOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress} ${remotePort}`;
  const failures = rateLimiter(warningIntervalMs);
  const server = createTlsServer({ ...context(), noDelay: true, handshakeTimeout: loginTimeoutMs });
  server.on("connection", (socket: Socket) => {
    const name = nameOf(socket);
    named.set(name, socket);
    socket.once("close", () => named.delete(name));
    handshakes.add(socket);
  });
  server.on("secureConnection", (socket) => {
    const name = nameOf(socket);
    const waiting = named.get(name);
    if (waiting !== undefined) handshakes.delete(waiting);
    named.delete(name);
    handle(socket);
  });
  server.on("tlsClientError", (error: NodeJS.ErrnoException, socket) => {
    socket.destroy();
    const count = failures();
    if (count > 0)
      log.info("{count} TLS handshakes at the MQTT port failed, the last one: {reason}", {
        count,
        reason: error.code ?? error.message,
      });
  });
  server.once(
    "close",
    identity.onChange(() => server.setSecureContext(context())),
  );
  return server;
}

async function listenOn(server: Server, hostname: string, port: number): Promise<void> {
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
}
