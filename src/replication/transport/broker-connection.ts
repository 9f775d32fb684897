/**
 * One connection to an MQTT broker, kept up. Each attempt is a fresh MQTT.js client without reconnection of its own: so nothing is ever queued
 * or sent again behind our back (a message that an ACL refuses would be, for ever), the protocol version is chosen anew (5 first, 3.1.1 where
 * that is refused: MQTT.js never falls back), and delays have back-off and jitter.
 *
 * Fencing: a primary has a fixed client id. When the broker says that somebody else took it (DISCONNECT 142), another primary lives. MQTT 3.1.1
 * closes without a word, for this as for a missing permission: there it is taken for the same where it happens right after connecting, again and
 * again. Then the link stays away for a moment, under another id, and looks at the heads: who took the place may be the primary of before that
 * came back and does not know yet. It gives up for good before a head of a successor, and takes its place back from a predecessor. A broker may lie:
 * it may end connections for no reason and repeat this primary's own heads. So neither fences, and writes wait for a look only now and then.
 */
import { randomBytes } from "node:crypto";
import type { IClientOptions, MqttClient } from "mqtt";
import { brokerAddress } from "../../config/broker-address.ts";
import type { Config } from "../../config/config.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { backoffMs } from "../../util/backoff.ts";
import { realSystem, type System } from "../system.ts";
import { readTlsFiles, type TlsFiles } from "../tls-files.ts";
import { explainBrokerError } from "./broker-errors.ts";
import { windowMax, type BrokerTransport } from "./broker-transport.ts";

const log = getLogger("broker");

export interface BrokerConnectionOptions {
  /** Asked anew for each attempt, where it may change. */
  readonly url: string | (() => string);
  readonly clientId: string;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  /** Of TLS; PEM texts. Without `ca` the system's authorities hold. */
  readonly ca?: string | string[] | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  readonly will?: { readonly topic: string; readonly payload: string } | undefined;
  readonly connectTimeoutMs: number;
  readonly keepaliveMs: number;
  /** Where the broker is known to speak MQTT 3.1.1 only, so that 5 need not be tried. */
  readonly isMqtt3?: boolean;
  /** Set where the client id stands for a claim that only one process may have. */
  readonly ownership: false | Ownership;
}

export interface Ownership {
  /** The topic to which who has it publishes all the time. */
  readonly headTopic: string;
  /** Whose head this is: `unknown` where it may be an old one of this process, or of no primary at all. */
  classify(payload: Uint8Array): "successor" | "predecessor" | "unknown";
}

/** Short: a broker that is back serves only nodes that are connected. */
const reconnectDelay = { minMs: 500, maxMs: 1900 };
const disconnectTimeoutMs = 1000;
const quickCloseMs = 2000;
const quickClosesMax = 3;
const ownershipCheckMs = 3000;
/** After a look that found nobody, this link raises no doubt for this time: a broker must not be able to keep a primary from writing. */
const ownershipCertainMs = 60_000;
const sessionTakenOverReason = 142;
/** Of a packet besides its payload: the topic above all, which is shorter. */
const headerBytesMax = 512;
/** Refusals that mean "not this protocol version": 1 in MQTT 3.1.1, 132 in MQTT 5. */
const unsupportedVersion = new Set([1, 132]);

export class BrokerConnection implements BrokerTransport {
  readonly #options: BrokerConnectionOptions;
  readonly #system: Pick<System, "clock" | "connectMqtt">;
  readonly #onConnect: (() => void)[] = [];
  readonly #onMessage: ((topic: string, payload: Uint8Array, retained: boolean) => void)[] = [];
  readonly #onFenced: (() => void)[] = [];
  #client: MqttClient | undefined;
  #version: 4 | 5;
  #window = windowMax;
  #payloadBytesMax = Number.POSITIVE_INFINITY;
  #failures = 0;
  #quickCloses = 0;
  #complaint: string | undefined;
  /** Calls off the next attempt, where one is to come. */
  #cancelRetry: (() => void) | undefined;
  #looking: MqttClient | undefined;
  #doubted = false;
  #doubtAgainAtMs = Number.NEGATIVE_INFINITY;
  #ended = false;

  constructor(options: BrokerConnectionOptions, system: Pick<System, "clock" | "connectMqtt"> = realSystem) {
    this.#options = options;
    this.#system = system;
    this.#version = options.isMqtt3 === true ? 4 : 5;
  }

  /** Starts to connect. Listeners are registered before, so that none misses the first connection. */
  start(): void {
    this.#attempt();
  }

  get name(): string {
    return brokerAddress(this.#url).name;
  }

  get #url(): string {
    const { url } = this.#options;
    return typeof url === "string" ? url : url();
  }

  get connected(): boolean {
    return this.#client?.connected ?? false;
  }

  /** Whether the broker has given this link's identity to another, and it is not known yet to whom. */
  get isOwnershipUncertain(): boolean {
    return this.#doubted;
  }

  get window(): number {
    return this.#window;
  }

  onConnect(listener: () => void): void {
    this.#onConnect.push(listener);
    if (this.connected) listener();
  }

  onMessage(listener: (topic: string, payload: Uint8Array, retained: boolean) => void): void {
    this.#onMessage.push(listener);
  }

  /** Called once, when another process has taken over this link's identity. */
  onFenced(listener: () => void): void {
    this.#onFenced.push(listener);
  }

  async publish(
    topic: string,
    payload: string,
    options: { readonly qos: 0 | 1; readonly retain: boolean },
  ): Promise<void> {
    const client = this.#client;
    if (client === undefined || !client.connected) throw new Error("not connected to the broker");
    // MQTT.js does not look at it, and the broker would end the connection.
    const bytes = Buffer.byteLength(payload);
    if (bytes > this.#payloadBytesMax)
      throw new Error(`the broker takes no message of ${bytes} bytes: raise the largest packet that it allows`);
    try {
      await client.publishAsync(topic, payload, options);
    } catch (error) {
      throw error instanceof Error ? new Error(explainBrokerError(error), { cause: error }) : error;
    }
  }

  /** Subscribes at QoS 0. Throws where the broker refuses. */
  async subscribe(topics: readonly string[]): Promise<void> {
    const client = this.#client;
    if (client === undefined || !client.connected) throw new Error("not connected to the broker");
    const granted = await client.subscribeAsync([...topics], { qos: 0 });
    const refused = granted.filter((grant) => grant.qos >= 128).map((grant) => grant.topic);
    if (refused.length > 0) throw new Error(`the broker refuses subscriptions to ${refused.join(", ")}`);
  }

  /** Drops the present connection and makes a new one, with nothing left over from the old; at once where none is there to be dropped. */
  reconnect(): void {
    if (this.#client !== undefined) return void this.#client.end(true);
    if (this.#cancelRetry === undefined || this.#looking !== undefined || this.#ended) return;
    this.#cancelRetry();
    this.#failures = 0;
    this.#attempt();
  }

  async close(): Promise<void> {
    this.#ended = true;
    this.#cancelRetry?.();
    this.#looking?.end(true);
    const client = this.#client;
    this.#client = undefined;
    if (client === undefined) return;
    // A clean goodbye withholds the will; a broker that doesn't answer must not hold up the stop. MQTT.js waits for it without an end, also
    // where the connection is gone already, and takes no second word.
    let cancel = (): void => {};
    const late = new Promise<void>((resolve) => {
      cancel = this.#system.clock.after(disconnectTimeoutMs, resolve);
    });
    await Promise.race([client.endAsync(!client.connected), late]);
    cancel();
    client.stream.destroy();
  }

  #attempt(): void {
    this.#cancelRetry = undefined;
    const url = this.#url;
    const client = this.#system.connectMqtt({ ...mqttAddress(url), ...this.#clientOptions() });
    this.#client = client;
    let connectedMs: number | undefined;
    let explained = false;
    let isTakenOver = false;

    client.on("connect", (connack) => {
      // Its answer may come after this link was closed.
      if (this.#client !== client) return;
      connectedMs = this.#system.clock.monotonicMs();
      this.#failures = 0;
      this.#complaint = undefined;
      this.#window = Math.min(windowMax, connack.properties?.receiveMaximum ?? windowMax);
      this.#payloadBytesMax = (connack.properties?.maximumPacketSize ?? Number.POSITIVE_INFINITY) - headerBytesMax;
      log.info("connected to the broker at {url}, MQTT {version}", {
        url,
        version: this.#version === 5 ? "5" : "3.1.1",
      });
      for (const listener of this.#onConnect) listener();
    });
    client.on("message", (topic, payload, packet) => {
      for (const listener of this.#onMessage) listener(topic, payload, packet.retain);
    });
    client.on("error", (error) => {
      explained = true;
      this.#failed(error);
    });
    client.on("disconnect", (packet) => {
      log.warning("the broker at {url} ends the connection with reason {reason}", {
        url,
        reason: packet.reasonCode ?? 0,
      });
      isTakenOver = packet.reasonCode === sessionTakenOverReason;
      // MQTT 3.1.1 says nothing, and many a close has another reason.
      const mayDoubt = this.#system.clock.monotonicMs() >= this.#doubtAgainAtMs;
      this.#doubted = isTakenOver && mayDoubt && this.#options.ownership !== false;
    });
    client.on("close", () => {
      log.debug("the connection to the broker {broker} is closed", { broker: this.name });
      if (this.#client !== client || this.#ended) return;
      if (connectedMs !== undefined) this.#countQuickClose(this.#system.clock.monotonicMs() - connectedMs);
      else if (!explained) this.#failed(new Error("it ends the connection without an answer"));
      this.#discard(client);
      const { ownership: exclusive } = this.#options;
      isTakenOver ||= this.#version === 4 && this.#quickCloses >= quickClosesMax;
      if (exclusive && isTakenOver) this.#lookForAnother(exclusive);
      else this.#scheduleRetry();
    });
  }

  #clientOptions(): IClientOptions {
    const { clientId, username, password, ca, cert, key, will, connectTimeoutMs, keepaliveMs } = this.#options;
    return {
      clientId,
      protocolVersion: this.#version,
      clean: true,
      connectTimeout: connectTimeoutMs,
      keepalive: Math.max(1, Math.round(keepaliveMs / 1000)),
      reconnectPeriod: 0,
      queueQoSZero: false,
      resubscribe: false,
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
      ...(will === undefined
        ? {}
        : { will: { topic: will.topic, payload: Buffer.from(will.payload), qos: 0, retain: true } }),
    };
  }

  #failed(error: Error & { readonly code?: unknown }): void {
    if (this.#version === 5 && typeof error.code === "number" && unsupportedVersion.has(error.code)) {
      this.#version = 4;
      return;
    }
    this.#failures++;
    const reason = explainBrokerError(error);
    // One line per change, not per attempt: a broker may be away for hours.
    if (reason === this.#complaint) return;
    this.#complaint = reason;
    log.warning("no connection to the broker at {url}: {reason}", { url: this.#url, reason });
  }

  #countQuickClose(livedMs: number): void {
    this.#quickCloses = livedMs < quickCloseMs ? this.#quickCloses + 1 : 0;
  }

  /** Listens for heads. Where there are new ones they are another's, since this one is not connected. */
  #lookForAnother({ headTopic: heads, classify: judge }: Ownership): void {
    this.#quickCloses = 0;
    const clientId = `${this.#options.clientId}-${randomBytes(4).toString("hex")}`;
    const client = this.#system.connectMqtt({ ...mqttAddress(this.#url), ...this.#clientOptions(), clientId });
    this.#looking = client;
    client.on("error", () => {});
    client.on("connect", () => client.subscribe(heads, { qos: 0 }));
    const endLook = (): void => {
      this.#cancelRetry?.();
      this.#looking = undefined;
      this.#doubted = false;
      client.end(true);
    };
    client.on("message", (topic, payload, packet) => {
      for (const listener of this.#onMessage) listener(topic, payload, packet.retain);
      if (packet.retain || this.#looking !== client) return;
      const owner = judge(payload);
      if (owner === "unknown") return;
      if (owner === "successor") return this.#fence();
      endLook();
      this.#attempt();
    });
    // With some chance, so that two who look at the same time do not do it again.
    const { clock } = this.#system;
    this.#cancelRetry = clock.after(ownershipCheckMs * (0.75 + clock.random()), () => {
      this.#doubtAgainAtMs = clock.monotonicMs() + ownershipCertainMs;
      endLook();
      this.#scheduleRetry();
    });
  }

  #scheduleRetry(): void {
    if (this.#ended) return;
    // A broker that takes a connection and ends it at once is no better than one that takes none.
    const steps = Math.max(this.#failures, this.#quickCloses - 1);
    const { clock } = this.#system;
    const delayMs = backoffMs(steps, reconnectDelay, clock.random());
    this.#cancelRetry = clock.after(delayMs, () => this.#attempt());
  }

  #discard(client: MqttClient): void {
    client.removeAllListeners();
    client.on("error", () => {}); // a socket may still report how it died
    client.end(true);
    this.#client = undefined;
  }

  #fence(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#cancelRetry?.();
    this.#looking?.end(true);
    const client = this.#client;
    if (client !== undefined) this.#discard(client);
    for (const listener of this.#onFenced) listener();
  }
}

/** Taken apart here, because MQTT.js would do it with the deprecated `url.parse`, which complains on standard error. */
function mqttAddress(url: string): IClientOptions {
  const { scheme, host, port, path } = brokerAddress(url);
  const address = { protocol: scheme, host, port };
  if (!scheme.startsWith("ws")) return { ...address, hostname: host };
  // Here it puts a URL together again.
  return { ...address, hostname: host.includes(":") ? `[${host}]` : host, path };
}

/** What a node presents to external brokers over TLS, and the authority that it trusts there. AppError `conflict` names the setting whose file can't be read or used. */
export function brokerTls({ brokerCa: ca, brokerCert: cert, brokerKey: key }: Config): TlsFiles {
  return readTlsFiles("broker", { ca, cert, key });
}
