/**
 * A permanent connection to an MQTT broker. Each attempt uses a new MQTT.js client that does not reconnect by itself.
 * So MQTT.js never queues or resends a message (it would resend a message that an ACL refuses forever), each attempt
 * negotiates the protocol version again (5 first, then 3.1.1: MQTT.js never falls back), and delays have backoff and
 * jitter.
 *
 * Fencing: a primary has a fixed client id. DISCONNECT with reason 142 says that another client took this id, so there
 * is another primary. MQTT 3.1.1 closes the connection without a reason, both for a takeover and for a missing
 * permission. There, several closes in a row shortly after connecting count as a takeover. After a takeover the
 * connection stays closed for a moment and listens for heads under another client id, because the new owner may be the
 * previous primary that has not noticed yet that it was replaced. A head of a successor fences this primary for good; a
 * head of a predecessor lets it take its client id back.
 *
 * A broker may lie: it may end connections without a reason, and repeat heads of this primary. So neither fences, and
 * such an ownership check blocks writes only now and then.
 */
import { randomBytes } from "node:crypto";
import type { IClientOptions, IClientPublishOptions, MqttClient } from "mqtt";
import { brokerAddress } from "../../config/broker-address.ts";
import type { Config } from "../../config/config.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { backoffMs } from "../../util/backoff.ts";
import { brokerWindowMax } from "../../util/tuning.ts";
import { renewedTlsFiles, type RenewedTlsFiles } from "../renewed-tls-files.ts";
import { realSystem, type System } from "../system.ts";
import type { BrokerTransport } from "./broker-transport.ts";

const log = getLogger("broker");

export interface BrokerConnectionOptions {
  /** Read for each attempt, since the address may change. */
  readonly url: string | (() => string);
  readonly clientId: string;
  readonly username?: string | undefined;
  /** Several are tried in turn while the broker refuses them. */
  readonly password?: string | readonly [string, ...string[]] | undefined;
  /** PEM texts for TLS, read for each attempt; does not reject. Without an authority, those of the system are trusted. */
  readonly tls?: (() => Promise<BrokerTls>) | undefined;
  readonly will?: { readonly topic: string; readonly payload: string } | undefined;
  readonly connectTimeoutMs: number;
  readonly keepaliveMs: number;
  /** Whether it is the broker in a primary, which supports only MQTT 3.1.1 and has the certificates of the nodes. */
  readonly isEmbedded?: boolean;
  /** Set if only one process may use the client id. */
  readonly ownership: false | Ownership;
}

export interface BrokerTls {
  readonly ca?: string | string[] | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

export interface Ownership {
  /** The topic to which the owner publishes its heads. */
  readonly headTopic: string;
  /** Who published this head. `unknown`: it may be an old head of this process, or not from a primary at all. */
  classify(payload: Uint8Array): "successor" | "predecessor" | "unknown";
}

/** Short, because a broker that has recovered serves only connected nodes. */
const reconnectDelay = { minMs: 500, maxMs: 1900 };
const disconnectTimeoutMs = 1000;
const quickCloseMs = 2000;
const quickClosesMax = 3;
const ownershipCheckMs = 3000;
/** Ownership is certain for so long after a check found no other owner: no broker can keep a primary from writing. */
const ownershipCertainMs = 60_000;
const sessionTakenOverReason = 142;
/** Upper bound of a packet's size without its payload: mainly the topic, which is shorter. */
const headerBytesMax = 512;
/** Reason codes of a refused login: a wrong password or no permission, in MQTT 3.1.1 and in MQTT 5. */
const refusedLogin = new Set([4, 5, 134, 135]);
/** Reason codes that mean "unsupported protocol version": 1 in MQTT 3.1.1, 132 in MQTT 5. */
const unsupportedVersion = new Set([1, 132]);

export class BrokerConnection implements BrokerTransport {
  readonly #options: BrokerConnectionOptions;
  readonly #system: Pick<System, "clock" | "connectMqtt">;
  readonly #onConnect: (() => void)[] = [];
  readonly #onMessage: ((topic: string, payload: Uint8Array, retained: boolean) => void)[] = [];
  readonly #onFenced: (() => void)[] = [];
  #client: MqttClient | undefined;
  #version: 4 | 5;
  #window = brokerWindowMax;
  #payloadBytesMax = Number.POSITIVE_INFINITY;
  #failures = 0;
  #refusedLogins = 0;
  #quickCloses = 0;
  #loggedReason: string | undefined;
  #cancelRetry: (() => void) | undefined;
  /** Those of the last attempt. */
  #tls: BrokerTls = {};
  #ownershipCheck: MqttClient | undefined;
  #isOwnershipUncertain = false;
  #certainUntilMs = Number.NEGATIVE_INFINITY;
  #isClosed = false;

  constructor(options: BrokerConnectionOptions, system: Pick<System, "clock" | "connectMqtt"> = realSystem) {
    this.#options = options;
    this.#system = system;
    this.#version = options.isEmbedded === true ? 4 : 5;
  }

  /** Starts to connect. Register listeners first, so that they see the first connection. */
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

  /** Whether it is the broker in a primary. */
  get isEmbedded(): boolean {
    return this.#options.isEmbedded === true;
  }

  get connected(): boolean {
    return this.#client?.connected ?? false;
  }

  /** Whether the broker has given this client id to another client and the new owner is not known yet. */
  get isOwnershipUncertain(): boolean {
    return this.#isOwnershipUncertain;
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

  /** Calls the listener once, when a successor has taken over the client id. */
  onFenced(listener: () => void): void {
    this.#onFenced.push(listener);
  }

  async publish(topic: string, payload: string, options: Pick<IClientPublishOptions, "qos" | "retain">): Promise<void> {
    const client = this.#connectedClient();
    // MQTT.js does not check the size, and the broker would end the connection.
    const bytes = Buffer.byteLength(payload);
    if (bytes > this.#payloadBytesMax)
      throw new Error(`the broker accepts no message of ${bytes} bytes: raise the largest packet that it allows`);
    try {
      await client.publishAsync(topic, payload, options);
    } catch (error) {
      throw error instanceof Error ? new Error(this.#explain(error), { cause: error }) : error;
    }
  }

  /** Subscribes at QoS 0. Throws if the broker refuses. */
  async subscribe(topics: readonly string[]): Promise<void> {
    const granted = await this.#connectedClient().subscribeAsync([...topics], { qos: 0 });
    const refused = granted.filter((grant) => grant.qos >= 128).map((grant) => grant.topic);
    if (refused.length > 0) throw new Error(`the broker refuses subscriptions to ${refused.join(", ")}`);
  }

  /** Replaces the current connection by a new one. If there is none, it makes the next attempt immediately. */
  reconnect(): void {
    if (this.#client !== undefined) return void this.#client.end(true);
    if (this.#cancelRetry === undefined || this.#ownershipCheck !== undefined || this.#isClosed) return;
    this.#cancelRetry();
    this.#failures = 0;
    this.#attempt();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancelRetry?.();
    this.#ownershipCheck?.end(true);
    const client = this.#client;
    this.#client = undefined;
    if (client === undefined) return;
    // A clean DISCONNECT suppresses the will. A broker that does not answer must not delay the stop: MQTT.js waits for
    // it without a limit, even if the connection is already gone, and a second `end` does nothing.
    const late = Promise.withResolvers<void>();
    const cancel = this.#system.clock.after(disconnectTimeoutMs, late.resolve);
    await Promise.race([client.endAsync(!client.connected), late.promise]);
    cancel();
    client.stream.destroy();
  }

  #connectedClient(): MqttClient {
    if (this.#client?.connected !== true) throw new Error("not connected to the broker");
    return this.#client;
  }

  #attempt(): void {
    this.#cancelRetry = undefined;
    const { tls } = this.#options;
    if (tls === undefined) this.#connect();
    else void this.#connectWith(tls);
  }

  async #connectWith(tls: () => Promise<BrokerTls>): Promise<void> {
    this.#tls = await tls();
    if (this.#isClosed) return;
    try {
      this.#connect();
    } catch (error) {
      // TLS refuses more than the check of the files, such as a key that is too short.
      this.#recordFailure(error as Error);
      this.#scheduleRetry();
    }
  }

  #connect(): void {
    const url = this.#url;
    const client = this.#system.connectMqtt({ ...mqttAddress(url), ...this.#clientOptions() });
    this.#client = client;
    let connectedMs: number | undefined;
    let explained = false;
    let isTakenOver = false;

    client.on("connect", (connack) => {
      // The broker may answer after this connection was closed.
      if (this.#client !== client) return;
      connectedMs = this.#system.clock.monotonicMs();
      this.#failures = 0;
      this.#refusedLogins = 0;
      this.#loggedReason = undefined;
      this.#window = Math.min(brokerWindowMax, connack.properties?.receiveMaximum ?? brokerWindowMax);
      this.#payloadBytesMax = (connack.properties?.maximumPacketSize ?? Number.POSITIVE_INFINITY) - headerBytesMax;
      const version = this.#version === 5 ? "5" : "3.1.1";
      log.info("connected to the broker at {url}, MQTT {version}", { url, version });
      for (const listener of this.#onConnect) listener();
    });
    client.on("message", (topic, payload, packet) => {
      for (const listener of this.#onMessage) listener(topic, payload, packet.retain);
    });
    client.on("error", (error) => {
      explained = true;
      this.#recordFailure(error);
    });
    client.on("disconnect", (packet) => {
      const reason = packet.reasonCode ?? 0;
      log.warning("the broker at {url} ends the connection with reason {reason}", { url, reason });
      isTakenOver = packet.reasonCode === sessionTakenOverReason;
      // MQTT 3.1.1 gives no reason, and connections close for many reasons.
      const mayBeUncertain = this.#system.clock.monotonicMs() >= this.#certainUntilMs;
      this.#isOwnershipUncertain = isTakenOver && mayBeUncertain && this.#options.ownership !== false;
    });
    client.on("close", () => {
      log.debug("the connection to the broker {broker} was closed", { broker: this.name });
      if (this.#client !== client || this.#isClosed) return;
      const isQuick = connectedMs !== undefined && this.#system.clock.monotonicMs() - connectedMs < quickCloseMs;
      if (connectedMs !== undefined) this.#quickCloses = isQuick ? this.#quickCloses + 1 : 0;
      else if (!explained) this.#recordFailure(new Error("it closed the connection without an answer"));
      this.#discard(client);
      const { ownership } = this.#options;
      isTakenOver ||= this.#version === 4 && this.#quickCloses >= quickClosesMax;
      if (ownership && isTakenOver) this.#checkOwnership(ownership);
      else this.#scheduleRetry();
    });
  }

  #clientOptions(): IClientOptions {
    const { clientId, username, will, connectTimeoutMs, keepaliveMs } = this.#options;
    const { ca, cert, key } = this.#tls;
    const password = this.#password();
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

  #password(): string | undefined {
    const { password } = this.#options;
    return typeof password === "string" ? password : password?.[this.#refusedLogins % password.length];
  }

  #recordFailure(error: Error & { readonly code?: unknown }): void {
    if (this.#version === 5 && typeof error.code === "number" && unsupportedVersion.has(error.code)) {
      this.#version = 4;
      return;
    }
    if (typeof error.code === "number" && refusedLogin.has(error.code)) this.#refusedLogins++;
    this.#failures++;
    const reason = this.#explain(error);
    // Log changes only, not each attempt: a broker may be away for hours.
    if (reason === this.#loggedReason) return;
    this.#loggedReason = reason;
    log.warning("no connection to the broker at {url}: {reason}", { url: this.#url, reason });
  }

  /** Listens for heads. New heads are from another primary, since this one is not connected. */
  #checkOwnership({ headTopic, classify }: Ownership): void {
    this.#quickCloses = 0;
    const clientId = `${this.#options.clientId}-${randomBytes(4).toString("hex")}`;
    const client = this.#system.connectMqtt({ ...mqttAddress(this.#url), ...this.#clientOptions(), clientId });
    this.#ownershipCheck = client;
    client.on("error", () => {});
    client.on("connect", () => client.subscribe(headTopic, { qos: 0 }));
    const endCheck = (): void => {
      this.#cancelRetry?.();
      this.#ownershipCheck = undefined;
      this.#isOwnershipUncertain = false;
      client.end(true);
    };
    client.on("message", (topic, payload, packet) => {
      for (const listener of this.#onMessage) listener(topic, payload, packet.retain);
      if (packet.retain || this.#ownershipCheck !== client) return;
      const owner = classify(payload);
      if (owner === "unknown") return;
      if (owner === "successor") return this.#fence();
      endCheck();
      this.#attempt();
    });
    // A random delay, so that two primaries that check at the same time do not do so again.
    const { clock } = this.#system;
    this.#cancelRetry = clock.after(ownershipCheckMs * (0.75 + clock.random()), () => {
      this.#certainUntilMs = clock.monotonicMs() + ownershipCertainMs;
      endCheck();
      this.#scheduleRetry();
    });
  }

  #explain(error: Error): string {
    return explainBrokerError(error, this.#options.isEmbedded === true);
  }

  #scheduleRetry(): void {
    if (this.#isClosed) return;
    // A broker that accepts a connection and closes it immediately is no better than one that accepts none.
    const steps = Math.max(this.#failures, this.#quickCloses - 1);
    const { clock } = this.#system;
    const delayMs = backoffMs(steps, reconnectDelay, clock.random());
    this.#cancelRetry = clock.after(delayMs, () => this.#attempt());
  }

  #discard(client: MqttClient): void {
    client.removeAllListeners();
    client.on("error", () => {}); // a socket may still report an error
    client.end(true);
    this.#client = undefined;
  }

  #fence(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#cancelRetry?.();
    this.#ownershipCheck?.end(true);
    const client = this.#client;
    if (client !== undefined) this.#discard(client);
    for (const listener of this.#onFenced) listener();
  }
}

/** Parses the address here, because MQTT.js would use the deprecated `url.parse`, which writes a warning to stderr. */
function mqttAddress(url: string): IClientOptions {
  const { scheme, host, port, path } = brokerAddress(url);
  const address = { protocol: scheme, host, port };
  if (!scheme.startsWith("ws")) return { ...address, hostname: host };
  // MQTT.js builds a URL from these parts.
  return { ...address, hostname: host.includes(":") ? `[${host}]` : host, path };
}

/** The certificates for external brokers. AppError `conflict` names the setting whose file cannot be read or used. */
export function brokerTls({ brokerCa: ca, brokerCert: cert, brokerKey: key }: Config): RenewedTlsFiles {
  return renewedTlsFiles("broker", { ca, cert, key });
}

/**
 * The message of the error, with the fix if one is known. TLS and MQTT report what they noticed, but seldom what to do.
 */
function explainBrokerError(error: Error, isEmbedded: boolean): string {
  const fix = fixFor(error, isEmbedded);
  return fix === undefined ? error.message : `${error.message.trimEnd()} (${fix})`;
}

function fixFor(error: Error & { readonly code?: unknown }, isEmbedded: boolean): string | undefined {
  if (typeof error.code === "number")
    return error.code > 0 ? (isEmbedded ? nodeFixes : fixes).get(error.code) : undefined;
  // An error on the other side has no code: it arrives as the name of a TLS alert.
  const [, ofBroker, ofNode] = tlsAlertFixes.find(([pattern]) => pattern.test(error.message)) ?? [];
  if (ofBroker !== undefined) return isEmbedded ? ofNode : ofBroker;
  if (typeof error.code !== "string") return undefined;
  return (isEmbedded ? nodeFixes.get(error.code) : undefined) ?? fixes.get(error.code);
}

const unknownAuthority =
  "the broker's certificate is from an authority that this node does not trust: name the authority in `brokerCa`";
const wrongLogin = "check `brokerUsername` and `brokerPassword`, or the name in `brokerCert`";
const missingPermission = "the broker's access rules do not permit it: check its ACL for this user";

/** By TLS and socket error code, and by MQTT reason code. Codes below 128 are of MQTT 3.1.1. */
const fixes = new Map<string | number, string>([
  ["SELF_SIGNED_CERT_IN_CHAIN", unknownAuthority],
  ["DEPTH_ZERO_SELF_SIGNED_CERT", unknownAuthority],
  ["UNABLE_TO_GET_ISSUER_CERT", unknownAuthority],
  ["UNABLE_TO_GET_ISSUER_CERT_LOCALLY", unknownAuthority],
  ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", unknownAuthority],
  ["CERT_HAS_EXPIRED", "the broker's certificate has to be renewed"],
  ["ERR_TLS_CERT_ALTNAME_INVALID", "the host in `broker` has to be one of those that the broker's certificate names"],
  ["ECONNREFUSED", "there is no listener"],
  ["ENOTFOUND", "there is no such host"],
  ["ECONNRESET", "a listener that expects TLS does this to `mqtt://`: would `mqtts://` be right?"],
  [4, wrongLogin],
  [5, wrongLogin],
  [134, wrongLogin],
  [135, missingPermission],
]);

const unknownNodeAuthority =
  "the certificate of the primary is from an authority that this node does not trust: name the authority in `tlsCa`";

const refusedByNode = "compare `nodeKey` with that of the primary, whose log says why it refused this node";

/** At the port of a primary. */
const nodeFixes = new Map<string | number, string>([
  [4, refusedByNode],
  [5, refusedByNode],
  ["SELF_SIGNED_CERT_IN_CHAIN", unknownNodeAuthority],
  ["DEPTH_ZERO_SELF_SIGNED_CERT", unknownNodeAuthority],
  ["UNABLE_TO_GET_ISSUER_CERT", unknownNodeAuthority],
  ["UNABLE_TO_GET_ISSUER_CERT_LOCALLY", unknownNodeAuthority],
  ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", unknownNodeAuthority],
  ["CERT_HAS_EXPIRED", "the certificate of the primary has to be renewed"],
  ["ERR_TLS_CERT_ALTNAME_INVALID", "the host in `primary` has to be one of those that its certificate names"],
  [
    "ECONNRESET",
    "for a primary with `tlsCert`, `primary` begins with `https://`; a `nodePort` has to accept `tlsCert`",
  ],
]);

/** What to do about a broker, and about a primary. */
const tlsAlertFixes: readonly (readonly [pattern: RegExp, ofBroker: string, ofNode: string])[] = [
  [
    /ALERT_(?:CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE)|alert: (?:CertificateRequired|HandshakeFailure)/,
    "the broker wants a client certificate: set `brokerCert` and `brokerKey`",
    "`primary` names a `nodePort`, which wants a client certificate: set `tlsCert` and `tlsKey`",
  ],
  [
    /ALERT_(?:UNKNOWN_CA|BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|CERTIFICATE_\w+)|alert: (?:UnknownCA|\w*Certificate\w*)/,
    "the broker does not accept the certificate in `brokerCert`: check its issuer and its expiry date",
    "the primary does not accept the certificate in `tlsCert`: check its issuer and its expiry date",
  ],
  [
    /WRONG_VERSION_NUMBER/,
    "the listener does not use TLS: would `mqtt://` be right?",
    "the primary does not use TLS: would `http://` be right in `primary`?",
  ],
];
