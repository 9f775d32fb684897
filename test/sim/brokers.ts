/**
 * Simulated MQTT brokers with the faults of real ones: they acknowledge messages that they then drop, forget everything
 * at a restart, disconnect a client when another of the same name connects, and detect a lost client only after a
 * while. The simulated client has the part of MQTT.js that a `BrokerConnection` uses.
 */
import { EventEmitter } from "node:events";
import type { IClientOptions, MqttClient } from "mqtt";
import type { Network } from "./network.ts";
import type { Random } from "./random.ts";
import type { Owner, Time } from "./time.ts";

/** The faults of a broker. Probabilities apply to each delivery to each subscriber. */
export interface BrokerWeather {
  dropped: number;
  doubled: number;
  late: number;
}

/** What a lying broker does: it drops events and repeats one old head, or delays all messages by the same time. */
export type Lie = "repeat" | "delay";

export const fairBroker: BrokerWeather = { dropped: 0, doubled: 0, late: 0 };

interface Message {
  readonly topic: string;
  readonly payload: Buffer;
  readonly retain: boolean;
}

const keepaliveFactor = 1.5;
const lieDelayMs = 4000;

const isHead = ({ topic }: Message): boolean => topic.endsWith("/head");

export class SimulatedBroker {
  readonly host: string;
  /** Supports only MQTT 3.1.1. */
  readonly old: boolean;
  weather: BrokerWeather = fairBroker;
  #lie: Lie | undefined;
  /** The head that it repeats. */
  #oldHead: Message | undefined;
  #up = true;
  readonly time: Time;
  readonly network: Network;
  readonly random: Random;
  readonly #queueMax: number;
  readonly #clients = new Map<string, SimulatedClient>();
  readonly #retained = new Map<string, Message>();

  constructor(host: string, old: boolean, queueMax: number, time: Time, network: Network, random: Random) {
    this.host = host;
    this.old = old;
    this.#queueMax = queueMax;
    this.time = time;
    this.network = network;
    this.random = random;
  }

  get up(): boolean {
    return this.#up;
  }

  /** It loses all of its state. */
  stop(): void {
    this.#up = false;
    this.#retained.clear();
    const clients = [...this.#clients.values()];
    this.#clients.clear();
    for (const client of clients) client.lost();
  }

  start(): void {
    this.#up = true;
  }

  /** Begins or stops to lie. */
  lie(lie: Lie | undefined): void {
    this.#lie = lie;
    this.#oldHead = [...this.#retained.values()].find(isHead);
  }

  crashed(owner: Owner, machine: boolean): void {
    // It gets no message when a machine goes down, and detects that later.
    for (const client of this.#clients.values()) if (client.owner === owner && !machine) this.vanished(client);
  }

  /** Whether it accepts the client. */
  accept(client: SimulatedClient): boolean {
    const other = this.#clients.get(client.id);
    if (other !== undefined) {
      this.vanished(other);
      other.lost(142);
    }
    this.#clients.set(client.id, client);
    this.#watch(client);
    return true;
  }

  has(client: SimulatedClient): boolean {
    return this.#up && this.#clients.get(client.id) === client;
  }

  /** The connection ends without a DISCONNECT, so the will is published. */
  vanished(client: SimulatedClient): void {
    if (!this.has(client)) return;
    this.#clients.delete(client.id);
    const { will } = client.options;
    if (will !== undefined) this.publish({ topic: will.topic, payload: Buffer.from(will.payload), retain: true });
  }

  left(client: SimulatedClient): void {
    if (this.has(client)) this.#clients.delete(client.id);
  }

  publish(message: Message): void {
    if (message.retain) this.#retained.set(message.topic, message);
    for (const client of this.#clients.values()) {
      if (client.subscribes(message.topic)) this.#deliver(client, { ...message, retain: false });
    }
  }

  /** A lie about the statuses of nodes has no effect. */
  #lieTo(client: SimulatedClient, message: Message): boolean {
    if (this.#lie === undefined || message.topic.includes("/node/")) return false;
    this.network.counts.add("messages of brokers that lied");
    if (this.#lie === "delay") client.deliver(message, lieDelayMs);
    else if (isHead(message) && this.#oldHead !== undefined)
      client.deliver({ ...this.#oldHead, retain: false }, undefined);
    return true;
  }

  subscribed(client: SimulatedClient, topics: readonly string[]): void {
    for (const message of this.#retained.values())
      if (topics.some((topic) => matches(topic, message.topic))) this.#deliver(client, message);
  }

  #deliver(client: SimulatedClient, message: Message): void {
    if (this.#lieTo(client, message)) return;
    const { dropped, doubled, late } = this.weather;
    if (client.waiting >= this.#queueMax || this.random.chance(dropped)) {
      this.network.counts.add("messages dropped");
      return;
    }
    const isLate = this.random.chance(late);
    if (isLate) this.network.counts.add("messages late");
    client.deliver(message, isLate ? this.random.between(5, 2500) : undefined);
    if (!this.random.chance(doubled)) return;
    this.network.counts.add("messages doubled");
    client.deliver(message, this.random.between(0, 1000));
  }

  /** Both sides detect within one and a half keepalive intervals that nothing arrives from the other. */
  #watch(client: SimulatedClient): void {
    const periodMs = (client.options.keepalive ?? 5) * 1000 * keepaliveFactor * this.random.between(0.7, 1);
    this.time.at(periodMs, undefined, () => {
      if (!this.has(client)) return;
      if (!client.owner.alive || client.severed()) {
        this.vanished(client);
        client.lost();
      } else this.#watch(client);
    });
  }
}

/** The error of a broker for an unknown protocol version. */
const unacceptableVersion = 1;

export class SimulatedClient extends EventEmitter {
  readonly options: IClientOptions;
  readonly owner: Owner;
  readonly id: string;
  readonly stream = { destroy: (): void => {} };
  connected = false;
  waiting = 0;
  readonly #host: string;
  readonly #broker: SimulatedBroker;
  readonly #topics = new Set<string>();
  readonly #unacknowledged = new Set<(error: Error) => void>();
  #ended = false;
  #severed = false;
  #inboundMs = 0;
  #outboundMs = 0;

  constructor(broker: SimulatedBroker, host: string, owner: Owner, options: IClientOptions) {
    super();
    this.options = options;
    this.owner = owner;
    this.id = options.clientId ?? "";
    this.#host = host;
    this.#broker = broker;
    broker.time.at(broker.random.between(0.5, 10), owner, () => this.#connect());
  }

  asMqttClient(): MqttClient {
    return this as unknown as MqttClient;
  }

  subscribes(topic: string): boolean {
    return [...this.#topics].some((filter) => matches(filter, topic));
  }

  /** Whether a message was lost: then the connection is dead, although neither side may know. */
  severed(): boolean {
    this.#severed ||= !this.#reached(true) || !this.#reached(false);
    return this.#severed;
  }

  deliver(message: Message, lateMs: number | undefined): void {
    if (this.severed()) return;
    const { time, random } = this.#broker;
    const delayMs = lateMs ?? random.between(0.2, 4);
    if (lateMs === undefined) this.#inboundMs = Math.max(this.#inboundMs, time.nowMs + delayMs);
    const atMs = lateMs === undefined ? this.#inboundMs : time.nowMs + delayMs;
    this.waiting++;
    time.at(atMs - time.nowMs, this.owner, () => {
      this.waiting--;
      if (this.connected) this.emit("message", message.topic, message.payload, { retain: message.retain });
    });
  }

  /** The connection is lost, and this end has detected it. */
  lost(reasonCode?: number): void {
    this.#broker.time.at(this.#broker.random.between(0.2, 4), this.owner, () => {
      if (this.#ended) return;
      if (reasonCode !== undefined && this.options.protocolVersion === 5 && !this.#severed)
        this.emit("disconnect", { reasonCode });
      this.#close();
    });
  }

  publishAsync(topic: string, payload: string, { qos, retain }: { qos: 0 | 1; retain: boolean }): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#send(() => {
        this.#broker.publish({ topic, payload: Buffer.from(payload), retain });
        if (qos === 1) this.#answer(resolve);
      });
      if (qos === 0) resolve();
      else this.#unacknowledged.add(reject);
    });
  }

  subscribeAsync(topics: readonly string[]): Promise<{ topic: string; qos: number }[]> {
    return new Promise((resolve, reject) => {
      this.#unacknowledged.add(reject);
      this.#send(() => {
        for (const topic of topics) this.#topics.add(topic);
        this.#answer(() => resolve(topics.map((topic) => ({ topic, qos: 0 }))));
        this.#broker.subscribed(this, topics);
      });
    });
  }

  subscribe(topic: string): void {
    this.subscribeAsync([topic]).catch(() => {});
  }

  end(_force: boolean): void {
    if (this.#ended) return;
    const { time } = this.#broker;
    time.at(0.5, undefined, () => this.#broker.vanished(this));
    time.at(0, this.owner, () => this.#close());
  }

  endAsync(force: boolean): Promise<void> {
    if (force || !this.connected) {
      this.end(true);
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      this.once("close", resolve);
      this.#send(() => {
        this.#broker.left(this);
        this.#answer(() => this.#close());
      });
    });
  }

  #connect(): void {
    if (this.#ended) return;
    const { time, random } = this.#broker;
    if (!this.#reached(true) || !this.#reached(false)) {
      time.at(this.options.connectTimeout ?? 5000, this.owner, () => this.#refuse("connack timeout"));
    } else if (!this.#broker.up) this.#refuse("ECONNREFUSED: simulated");
    else if (this.#broker.old && this.options.protocolVersion === 5)
      this.#refuse("Connection refused: Unacceptable protocol version", unacceptableVersion);
    else {
      this.#broker.accept(this);
      time.at(random.between(0.2, 3), this.owner, () => {
        if (this.#ended || !this.#broker.has(this)) return;
        this.connected = true;
        this.emit("connect", { properties: { receiveMaximum: 20 } });
      });
    }
  }

  #refuse(message: string, code?: number): void {
    if (this.#ended) return;
    this.emit("error", Object.assign(new Error(message), { code }));
    this.#close();
  }

  #close(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.connected = false;
    for (const reject of this.#unacknowledged) reject(new Error("Connection closed"));
    this.#unacknowledged.clear();
    this.emit("close");
  }

  /** Sends to the broker, in order. */
  #send(arrive: () => void): void {
    const { time, random } = this.#broker;
    if (this.severed()) return;
    this.#outboundMs = Math.max(this.#outboundMs, time.nowMs + random.between(0.2, 4));
    time.at(this.#outboundMs - time.nowMs, undefined, () => {
      if (this.#broker.has(this)) arrive();
    });
  }

  #answer(done: () => void): void {
    if (this.severed()) return;
    const { time, random } = this.#broker;
    this.#inboundMs = Math.max(this.#inboundMs, time.nowMs + random.between(0.2, 4));
    time.at(this.#inboundMs - time.nowMs, this.owner, done);
  }

  #reached(outbound: boolean): boolean {
    const { network, host } = this.#broker;
    return outbound ? network.reaches(this.#host, host) : network.reaches(host, this.#host);
  }
}

function matches(filter: string, topic: string): boolean {
  if (!filter.endsWith("/+")) return filter === topic;
  const base = filter.slice(0, -1);
  return topic.startsWith(base) && !topic.slice(base.length).includes("/");
}
