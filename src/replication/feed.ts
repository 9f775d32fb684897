/**
 * The primary's brokers: the embedded one, external ones, or both. Each has a publisher of its own over the same log, with its own place in it,
 * so that one that is slow or away holds up none of the others. Edges that hear an event twice drop the second.
 */
import { scryptSync } from "node:crypto";
import { embeddedBroker } from "../config/broker-address.ts";
import type { Config } from "../config/config.ts";
import type { SqlDatabase } from "../runtime/sqlite.ts";
import { getLogger } from "../telemetry/logger.ts";
import { startBroker, type Broker } from "./broker.ts";
import { readTls } from "./broker-credentials.ts";
import { BrokerLink } from "./broker-link.ts";
import type { BrokerStatus } from "./node.ts";
import type { Outlet } from "./outlet.ts";
import { Publisher } from "./publish.ts";
import { topicsOf, type Topics } from "./topics.ts";

const log = getLogger("feed");

export interface Feed {
  readonly embedded: Broker | undefined;
  readonly brokers: readonly BrokerStatus[];
  /** True for good once another primary has taken over at one of the brokers. */
  readonly fenced: boolean;
  start(): void;
  /** Something was committed. */
  wake(): void;
  close(): Promise<void>;
}

/** `store` is a read-only connection for the feed. AppError `conflict` where a port is taken or a certificate can't be used. */
export async function openFeed(
  config: Config,
  store: SqlDatabase,
  verifyNodeKey: (key: string) => boolean,
): Promise<Feed> {
  const { limits, environment } = config;
  const topics = topicsOf(config.topicPrefix, environment);
  const links = openLinks(config, topics);
  const embedded = config.broker.includes(embeddedBroker) ? await openBroker(config, topics, verifyNodeKey) : undefined;
  const outlets = config.broker.flatMap((url): Outlet[] => {
    const outlet = url === embeddedBroker ? embedded : links.get(url);
    return outlet === undefined ? [] : [outlet];
  });
  const publishers = outlets.map((outlet) => new Publisher({ store, outlet, topics, limits }));
  const stop = (): void => publishers.forEach((publisher) => publisher.stop());

  let fenced = false;
  // When another primary has taken over, this one stops talking at once, and everywhere. It goes on answering, from what it has.
  const fence = (): void => {
    if (fenced) return;
    fenced = true;
    stop();
    for (const link of links.values()) void link.close();
    log.fatal(
      "another primary of environment {environment} is active: this one is FENCED, it publishes and writes nothing any more",
      { environment },
    );
  };
  for (const link of links.values()) link.onFenced(fence);

  return {
    embedded,
    get brokers() {
      return outlets.map(({ name, connected }) => ({ broker: name, connected: connected && !fenced }));
    },
    get fenced() {
      return fenced;
    },
    start() {
      for (const publisher of publishers) publisher.start();
      for (const link of links.values()) link.start();
    },
    wake: () => publishers.forEach((publisher) => publisher.wake()),
    async close() {
      stop();
      await Promise.all(outlets.map((outlet) => outlet.close()));
    },
  };
}

async function openBroker(config: Config, topics: Topics, verifyNodeKey: (key: string) => boolean): Promise<Broker> {
  const { limits, mqttHost, mqttPort, host } = config;
  const broker = await startBroker({
    topics,
    verifyNodeKey,
    connectionsMax: limits.brokerConnectionsMax,
    packetBytesMax: limits.brokerPacketBytesMax,
    drainTimeoutMs: limits.brokerDrainTimeoutMs,
  });
  try {
    if (mqttPort !== 0) await broker.listen(mqttHost ?? host, mqttPort);
    return broker;
  } catch (error) {
    await broker.close();
    throw error;
  }
}

/** The ways to external brokers, by URL. */
function openLinks(config: Config, topics: Topics): ReadonlyMap<string, BrokerLink> {
  const { limits, brokerUsername, brokerPassword } = config;
  const urls = config.broker.filter((url) => url !== embeddedBroker);
  const tls = readTls(config);
  const clientId = primaryClientId(config, tls.key);
  const linkTo = (url: string): BrokerLink =>
    new BrokerLink({
      url,
      clientId,
      username: brokerUsername,
      password: brokerPassword,
      ...tls,
      connectTimeoutMs: limits.brokerConnectTimeoutMs,
      keepaliveMs: limits.brokerKeepaliveMs,
      exclusive: { heads: topics.head },
    });
  return new Map(urls.map((url) => [url, linkTo(url)]));
}

/**
 * The same for every primary of an environment, since that is how two of them notice each other. Brokers let any user take any client id, so it
 * comes from the secret that only primaries have, the password or the private key: an edge that knew it could fence the primary. Slowly, because
 * brokers log client ids.
 */
function primaryClientId({ environment, brokerPassword }: Config, brokerKey: string | undefined): string {
  const name = `ostiary-primary-${environment}`;
  const secret = brokerPassword ?? brokerKey;
  return secret === undefined ? name : `${name}-${scryptSync(secret, name, 8).toString("hex")}`;
}
