/**
 * The schema of all settings: each has its type, its default and its description here, once. The keys of the file, the
 * variables of the environment (`OSTIARY_NODE_KEY`), the flags (`--node-key`), `--help`, the reference configuration
 * and the checks at the start are derived from it.
 *
 * By default a node is reachable from its own machine only.
 */
import { isIP } from "node:net";
import { z } from "zod";
import { embeddedBroker, isBroker } from "./broker-address.ts";
import { limitsSchema } from "./limits.ts";
import { ackCount, duration, flag, integer, list, ratio, settingInfo, type SettingInfo } from "./setting-types.ts";

const nodeUrl = /^https?:\/\/[^\s/@?#,]+$/;
const isNetwork = (text: string): boolean => {
  const [address = "", bits] = text.split("/");
  const family = isIP(address);
  return family !== 0 && (bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128)));
};
const isNodeUrl = (text: string): boolean => nodeUrl.test(text);

const roles = ["primary", "edge", "fallback"] as const;

/**
 * The environment and the API key of `ostiary dev`, as in the documentation and the examples of the official clients.
 * All other commands refuse the key, because it is public.
 */
export const developmentEnvironment = "0123456789";
export const developmentKey = "e_0123456789_12345_osotesttoken01xiIn";

const minute = 60_000;
const day = 24 * 60 * minute;

const node = {
  role: z.enum(roles).register(settingInfo, {
    group: "node",
    description:
      "The role of this node: the `primary` accepts writes, an `edge` replicates the primary and answers queries, a `fallback` answers queries from snapshots",
    allowed: "`primary`, `edge` or `fallback`",
    placeholder: "role",
  }),
  data: text(/./, "ostiary-data", {
    group: "node",
    description: "The directory of this node's database; it is created if it does not exist",
    allowed: "a path",
    placeholder: "directory",
  }),
  environment: text(/^[A-Za-z0-9-]{1,64}$/, "default", {
    group: "node",
    description:
      "The name of the environment (one policy, its facts and its API keys). It is part of each API key and the same on all nodes",
    allowed: "up to 64 letters, digits and `-`",
    placeholder: "name",
  }),
  nodeId: optionalText(/^[A-Za-z0-9._-]{1,64}$/, {
    group: "node",
    description:
      "The name of this node, unique in its environment. If it is not set, the node chooses one at its first start and stores it in its data directory",
    allowed: "up to 64 letters, digits, `.`, `_` and `-`",
    placeholder: "name",
  }),
  nodeKey: optionalText(/^[\x21-\x7e]{16,256}$/, {
    group: "node",
    description:
      "The shared secret with which nodes authenticate to each other and to the embedded broker. A primary without one creates one at its first start and prints it once",
    allowed: "16 to 256 printable characters without spaces, the same on all nodes",
    placeholder: "secret",
    secret: true,
  }),
  adminKey: optionalText(/^e_[A-Za-z0-9-]{1,64}_[A-Za-z0-9-]{1,64}_[A-Za-z0-9]{16,128}$/, {
    group: "node",
    description:
      "The API key that a new primary accepts from the beginning. If it is not set, the primary creates one at its first start and prints it once",
    allowed: "`e_<environment>_<key id>_<secret>` with a secret of at least 16 letters and digits",
    placeholder: "key",
    secret: true,
  }),
  import: optionalText(/./, {
    group: "node",
    description:
      "A file that `ostiary snapshot create` wrote with the node key; the node verifies its MAC. An edge or a fallback starts from it without a connection to other nodes, if its data directory has no database or an older one of the same history. A fallback with a database needs no primary, unless `follow` or `peers` is set",
    allowed: "a path",
    placeholder: "file",
  }),
};

const api = {
  host: text(/^[^\s/]+$/, "127.0.0.1", {
    group: "api",
    description:
      "The address to listen on. The default is reachable from this machine only; `0.0.0.0` means all interfaces",
    allowed: "an IP address or a host name of this machine",
    placeholder: "address",
  }),
  port: integer(0, 65_535).default(8080).register(settingInfo, {
    group: "api",
    description: "The port of the API, of the health endpoints and of requests from other nodes; 0 means any free port",
    allowed: "a whole number from 0 to 65535",
    placeholder: "number",
  }),
  trustedProxies: list(isNetwork, 0).default([]).register(settingInfo, {
    group: "advanced",
    description:
      "Proxies, ingress controllers and NAT gateways in front of this node. Many clients share their addresses, so `connectionsPerAddressMax` does not apply to them",
    allowed: "IP addresses or networks such as `10.0.0.0/8`, separated by commas",
    placeholder: "addresses",
  }),
  consistencyWait: duration(0, minute).default(2000).register(settingInfo, {
    group: "advanced",
    description:
      "How long a read with a consistency token can wait until this node has reached the token's position; after that it gets 503",
    allowed: "a duration from `0` to `1m`, such as `500ms`",
    placeholder: "duration",
  }),
};

const cluster = {
  primary: optionalText(nodeUrl, {
    group: "cluster",
    description:
      "The URL of the primary, for an edge or a fallback. A fallback that only answers from an imported snapshot needs none",
    allowed: "`http://host:port` or `https://host:port`, without a path",
    placeholder: "url",
  }),
  peers: list(isNodeUrl, 0).default([]).register(settingInfo, {
    group: "cluster",
    description:
      "The URLs of other nodes. While the primary is away, a node fetches missed events from its peers and follows the peer that is promoted. A primary learns from its peers that it was replaced, was rolled back, or runs on a copied directory",
    allowed: "`http://host:port` or `https://host:port`, or several of these separated by commas",
    placeholder: "urls",
  }),
  ack: ackCount().default(0).register(settingInfo, {
    group: "cluster",
    description:
      "When a primary acknowledges a write: with `none` when it is on the primary's own disk, with `edges:2` when two edges have it as well. One of these edges can then become the primary without the loss of an acknowledged write. The same on all nodes that can become the primary",
    allowed: "`none`, or `edges:` and a number from 1 to 100",
    placeholder: "edges",
  }),
  maxStaleness: duration(1000, 7 * day)
    .optional()
    .register(settingInfo, {
      group: "cluster",
      description:
        "A node that was last known to be up to date longer ago than this refuses queries with 503. If it is not set, a node answers however old its database is",
      allowed:
        "a duration from `1s` to `7d`, such as `30s`; an edge asks its primary at least twice in this time, even if brokers deliver events",
      placeholder: "duration",
    }),
};

const broker = {
  broker: list(isBroker).default([embeddedBroker]).register(settingInfo, {
    group: "broker",
    description:
      "The MQTT brokers that carry events from the primary to the edges. `embedded` is the broker inside the primary. Each of several brokers carries all events, so one that works is enough; brokers do not need a connection to each other",
    allowed:
      "`embedded`, or `mqtt://`, `mqtts://`, `ws://` or `wss://` with host and port, or several of these separated by commas; user and password are settings of their own",
    placeholder: "urls",
  }),
  brokerUsername: optionalText(/./, {
    group: "broker",
    description:
      "The user name for external brokers, the same for all of them. Not needed if the broker identifies nodes by their client certificate",
    allowed: "a text",
    placeholder: "name",
  }),
  brokerPassword: optionalText(/./, {
    group: "broker",
    description:
      "The password for external brokers. An edge without one sends its node key, but only to a broker on the host of its primary",
    allowed: "a text",
    placeholder: "secret",
    secret: true,
  }),
  brokerCa: optionalText(/./, {
    group: "broker",
    description:
      "A PEM file with the certificate authority of external brokers, if it is not one of the system's. Only this authority is then trusted",
    allowed: "a path",
    placeholder: "file",
  }),
  brokerCert: optionalText(/./, {
    group: "broker",
    description:
      "A PEM file with the client certificate of this node for external brokers, and its chain. A broker that identifies nodes by certificate uses the name in it",
    allowed: "a path; `brokerKey` belongs to it",
    placeholder: "file",
  }),
  brokerKey: optionalText(/./, {
    group: "broker",
    description:
      "A PEM file with the private key of `brokerCert`, not encrypted. All primaries of one environment share one key or one `brokerPassword`, by which they notice each other",
    allowed: "a path; `brokerCert` belongs to it",
    placeholder: "file",
  }),
  promotedBrokerUsername: optionalText(/./, {
    group: "broker",
    description:
      "The user name of an edge for external brokers after its promotion, when it needs the rights of a primary",
    allowed: "a text",
    placeholder: "name",
  }),
  promotedBrokerPassword: optionalText(/./, {
    group: "broker",
    description: "The password for `promotedBrokerUsername`",
    allowed: "a text",
    placeholder: "secret",
    secret: true,
  }),
  mqttPort: integer(0, 65_535).default(1883).register(settingInfo, {
    group: "broker",
    description:
      "The TCP port of the embedded broker; 0 means none, edges then use MQTT over WebSocket on the port of the API, which always works",
    allowed: "a whole number from 0 to 65535",
    placeholder: "number",
  }),
  mqttHost: optionalText(/^[^\s/]+$/, {
    group: "advanced",
    description: "The address on which the embedded broker listens; by default that of `host`",
    allowed: "an IP address or a host name of this machine",
    placeholder: "address",
  }),
  topicPrefix: text(/^[^\s#+]{1,128}$/, "ostiary/v1", {
    group: "advanced",
    description: "The part of MQTT topics before the name of the environment",
    allowed: "a topic without `+`, `#` and spaces",
    placeholder: "topic",
  }),
};

const failover = {
  failover: optionalText(/^(?:etcds?|kubernetes(?:\+https?)?|s3):\/\/[^\s]+$/, {
    group: "failover",
    description:
      "The coordination service that keeps the lease of the primary. With it nodes elect the primary themselves: each starts as an edge, and the node that has the lease and the votes of its peers is the primary until it loses the lease. The same on all nodes that can become the primary",
    allowed:
      "`etcd://host:port,host:port` (`etcds://` over TLS), `kubernetes://namespace/name` in a pod, `kubernetes+https://host:port/namespace/name`, or `s3://bucket/key?endpoint=url&region=name`",
    placeholder: "url",
  }),
  failoverMayLoseWrites: flag().default(false).register(settingInfo, {
    group: "failover",
    description:
      "Permits `failover` without `ack`. A write that the last primary acknowledged and no edge has is then lost when that primary fails: usually some milliseconds of writes, at worst all since an edge was last connected",
    allowed: "`true` or `false`",
    placeholder: "true or false",
  }),
  failoverUsername: optionalText(/./, {
    group: "failover",
    description: "The user name for etcd, if it requires one",
    allowed: "a text",
    placeholder: "name",
  }),
  failoverPassword: optionalText(/./, {
    group: "failover",
    description:
      "The password of `failoverUsername` for etcd, or the bearer token for `kubernetes+http://` and `kubernetes+https://`",
    allowed: "a text",
    placeholder: "secret",
    secret: true,
  }),
  failoverCa: optionalText(/./, {
    group: "failover",
    description:
      "A PEM file with the certificate authority of the coordination service, if it is not one of the system's",
    allowed: "a path",
    placeholder: "file",
  }),
  failoverCert: optionalText(/./, {
    group: "failover",
    description: "A PEM file with the client certificate of this node for the coordination service",
    allowed: "a path; `failoverKey` belongs to it",
    placeholder: "file",
  }),
  failoverKey: optionalText(/./, {
    group: "failover",
    description: "A PEM file with the private key of `failoverCert`, not encrypted",
    allowed: "a path; `failoverCert` belongs to it",
    placeholder: "file",
  }),
  failoverTtl: duration(2000, minute).default(6000).register(settingInfo, {
    group: "advanced",
    description:
      "How long the lease of the primary is valid without a renewal; in its last sixth the primary acknowledges no write. The same on all nodes",
    allowed: "a duration from `2s` to `1m`, such as `6s`",
    placeholder: "duration",
  }),
};

const fallback = {
  refresh: duration(1000, 7 * day)
    .default(30 * minute)
    .register(settingInfo, {
      group: "fallback",
      description: "How often a fallback downloads a snapshot",
      allowed: "a duration from `1s` to `7d`, such as `30m`",
      placeholder: "duration",
    }),
  follow: flag().default(false).register(settingInfo, {
    group: "fallback",
    description:
      "Whether a fallback replicates its primary's log continuously, some seconds behind, instead of downloading snapshots",
    allowed: "`true` or `false`",
    placeholder: "true or false",
  }),
};

const log = z.strictObject({
  level: z.enum(["debug", "info", "warning", "error"]).default("info").register(settingInfo, {
    group: "logs",
    description: "The least severe messages that are logged",
    allowed: "`debug`, `info`, `warning` or `error`",
    placeholder: "level",
  }),
  format: z.enum(["text", "json"]).default("text").register(settingInfo, {
    group: "logs",
    description: "The format of messages on standard error: text for people, or one JSON object per line",
    allowed: "`text` or `json`",
    placeholder: "format",
  }),
});

const trace = z.strictObject({
  sampleRatio: ratio().optional().register(settingInfo, {
    group: "logs",
    description:
      "The share of requests that are traced if the caller has not decided. Traces go to OTEL_EXPORTER_OTLP_ENDPOINT; if the ratio is not set, the standard OTEL_TRACES_SAMPLER variables apply",
    allowed: "a number from 0 to 1",
    placeholder: "ratio",
  }),
});

export const configSchema = z.strictObject({
  ...node,
  ...api,
  ...cluster,
  ...broker,
  ...failover,
  ...fallback,
  log: log.prefault({}),
  trace: trace.prefault({}),
  limits: limitsSchema.prefault({}),
});

export type Config = z.output<typeof configSchema>;

function text(pattern: RegExp, defaultText: string, info: SettingInfo) {
  return z.string().regex(pattern).default(defaultText).register(settingInfo, info);
}

function optionalText(pattern: RegExp, info: SettingInfo) {
  return z.string().regex(pattern).optional().register(settingInfo, info);
}
