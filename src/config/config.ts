/**
 * Every setting, once: its type, its default, its prose. The file's keys, the environment's names (`OSTIARY_NODE_KEY`), the flags
 * (`--node-key`), `--help` and the checks at start all come from this schema. Nothing listens beyond this machine unless told to.
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

/** What `ostiary dev` takes, as the official clients' documentation and examples have it. Refused everywhere else: everybody knows it. */
export const developmentEnvironment = "0123456789";
export const developmentKey = "e_0123456789_12345_osotesttoken01xiIn";

const minute = 60_000;
const day = 24 * 60 * minute;

const role = z.enum(roles).register(settingInfo, {
  description:
    "What this node is: the `primary` takes writes, an `edge` follows it and answers, a `fallback` answers from snapshots",
  allowed: "`primary`, `edge` or `fallback`",
  placeholder: "role",
});

const listening = {
  host: text(/^[^\s/]+$/, "127.0.0.1", {
    description:
      "The address to listen on. The default is reachable from this machine only; `0.0.0.0` is every interface",
    allowed: "an IP address or a host name of this machine",
    placeholder: "address",
  }),
  port: integer(0, 65_535).default(8080).register(settingInfo, {
    description:
      "The port of the API, of the health endpoints and of what nodes ask of each other; 0 takes any free one",
    allowed: "a whole number from 0 to 65535",
    placeholder: "number",
  }),
  trustedProxies: list(isNetwork, 0).default([]).register(settingInfo, {
    description:
      "Proxies, ingress controllers and NAT gateways in front of this node. Many clients share their addresses, so `connectionsPerAddressMax` does not apply to them",
    allowed: "IP addresses or networks such as `10.0.0.0/8`, separated by commas",
    placeholder: "addresses",
  }),
};

const identity = {
  data: text(/./, "ostiary-data", {
    description: "The directory that holds this node's database; made where it is missing",
    allowed: "a path",
    placeholder: "directory",
  }),
  environment: text(/^[A-Za-z0-9-]{1,64}$/, "default", {
    description:
      "The name of the environment: one policy, its facts and its keys. The same on all nodes; part of each API key",
    allowed: "up to 64 letters, digits and `-`",
    placeholder: "name",
  }),
  nodeId: optionalText(/^[A-Za-z0-9._-]{1,64}$/, {
    description:
      "The name of this node, unique in its environment. Made at the first start and kept with the data where it is not set",
    allowed: "up to 64 letters, digits, `.`, `_` and `-`",
    placeholder: "name",
  }),
  nodeKey: optionalText(/^[\x21-\x7e]{16,256}$/, {
    description:
      "The secret with which nodes authenticate to each other and to the embedded broker. A primary that has none makes one at its first start and prints it once",
    allowed: "16 to 256 printable characters without spaces, the same on all nodes",
    placeholder: "secret",
    secret: true,
  }),
  adminKey: optionalText(/^e_[A-Za-z0-9-]{1,64}_[A-Za-z0-9-]{1,64}_[A-Za-z0-9]{16,128}$/, {
    description:
      "The API key that a primary accepts from its first start on. One is made and printed once where it is not set",
    allowed: "`e_<environment>_<key id>_<secret>` with a secret of at least 16 letters and digits",
    placeholder: "key",
    secret: true,
  }),
};

const feed = {
  primary: optionalText(nodeUrl, {
    description:
      "Where an edge or a fallback finds its primary. A fallback that only answers from a snapshot that was given to it needs none",
    allowed: "`http://host:port` or `https://host:port`, without a path",
    placeholder: "url",
  }),
  peers: list(isNodeUrl, 0).default([]).register(settingInfo, {
    description:
      "Where this node finds other nodes: edges, fallbacks and primaries take what they missed from these while the primary is away, follow the one of them that is promoted, and a primary learns from them that it was replaced, was rolled back, or runs on a copied directory",
    allowed: "`http://host:port` or `https://host:port`, or several of these separated by commas",
    placeholder: "urls",
  }),
  ack: ackCount().default(0).register(settingInfo, {
    description:
      "When a primary acknowledges a write: `none` as soon as it is on its own disk, `edges:2` when two edges have it as well, so that one of those can take its place and nothing acknowledged is lost. The same on all nodes that may become the primary",
    allowed: "`none`, or `edges:` and a number from 1 to 100",
    placeholder: "whom",
  }),
  failover: optionalText(/^(?:etcds?|kubernetes(?:\+https?)?|s3):\/\/[^\s]+$/, {
    description:
      "The coordination engine that keeps the lease of the primary. With it nodes choose the primary by themselves: each starts as an edge, and the one that has the lease and the votes of the others is the primary until it loses it. The same on all nodes that may become the primary",
    allowed:
      "`etcd://host:port,host:port` (`etcds://` over TLS), `kubernetes://namespace/name` in a pod, `kubernetes+https://host:port/namespace/name`, or `s3://bucket/key?endpoint=url&region=name`",
    placeholder: "url",
  }),
  failoverTtl: duration(2000, minute).default(6000).register(settingInfo, {
    description:
      "How long the lease of the primary lasts without a renewal; in its last sixth the primary acknowledges no write. The same on all nodes",
    allowed: "a duration from `2s` to `1m`, such as `6s`",
    placeholder: "duration",
  }),
  failoverMayLoseWrites: flag().default(false).register(settingInfo, {
    description:
      "Allows `failover` without `ack`. What the last primary has acknowledged and no edge has when it fails is then lost: mostly some milliseconds of writes, all since the edge was last connected at worst",
    allowed: "`true` or `false`",
    placeholder: "yes or no",
  }),
  failoverUsername: optionalText(/./, {
    description: "The user name for etcd, where it demands one",
    allowed: "a text",
    placeholder: "name",
  }),
  failoverPassword: optionalText(/./, {
    description:
      "The password of `failoverUsername` for etcd, or the bearer token for `kubernetes+http://` and `kubernetes+https://`",
    allowed: "a text",
    placeholder: "secret",
    secret: true,
  }),
  failoverCa: optionalText(/./, {
    description:
      "A PEM file with the certificate authority of the coordination engine, where the system does not know it",
    allowed: "a path",
    placeholder: "file",
  }),
  failoverCert: optionalText(/./, {
    description: "A PEM file with the certificate that this node shows to the coordination engine",
    allowed: "a path; `failoverKey` belongs to it",
    placeholder: "file",
  }),
  failoverKey: optionalText(/./, {
    description: "A PEM file with the private key of `failoverCert`, not encrypted",
    allowed: "a path; `failoverCert` belongs to it",
    placeholder: "file",
  }),
  maxStaleness: duration(1000, 7 * day)
    .optional()
    .register(settingInfo, {
      description:
        "A copy that was last known to be the newest longer ago than this answers no questions (503). Without it any copy answers, however old",
      allowed:
        "a duration from `1s` to `7d`, such as `30s`; an edge asks its primary at least twice in this time, whatever brokers say",
      placeholder: "duration",
    }),
  promotedBrokerUsername: optionalText(/./, {
    description:
      "The user name that an edge shows to external brokers once it is promoted: it then needs the rights of a primary",
    allowed: "a text",
    placeholder: "name",
  }),
  promotedBrokerPassword: optionalText(/./, {
    description: "The password that belongs to it",
    allowed: "a text",
    placeholder: "secret",
    secret: true,
  }),
  broker: list(isBroker).default([embeddedBroker]).register(settingInfo, {
    description:
      "The MQTT brokers that carry events from the primary to the edges. `embedded` is the one inside the primary. With several each carries everything, and one that works is enough: they need not know of each other",
    allowed:
      "`embedded`, or `mqtt://`, `mqtts://`, `ws://` or `wss://` with host and port, or several of these separated by commas; user and password are settings of their own",
    placeholder: "urls",
  }),
  brokerUsername: optionalText(/./, {
    description:
      "The user name for external brokers, the same for all. Not needed where a client certificate says who this is",
    allowed: "a text",
    placeholder: "name",
  }),
  brokerPassword: optionalText(/./, {
    description:
      "The password for external brokers. An edge that has none shows its node key, and that only to a broker on its primary's host",
    allowed: "a text",
    placeholder: "secret",
    secret: true,
  }),
  brokerCa: optionalText(/./, {
    description:
      "A PEM file with the certificate authority of external brokers, where the system does not know it. Theirs is then the only one that is trusted",
    allowed: "a path",
    placeholder: "file",
  }),
  brokerCert: optionalText(/./, {
    description:
      "A PEM file with the certificate that this node shows to external brokers over TLS, and the chain that leads to it. The name in it is who this node is to a broker that goes by certificates",
    allowed: "a path; `brokerKey` belongs to it",
    placeholder: "file",
  }),
  brokerKey: optionalText(/./, {
    description:
      "A PEM file with the private key of `brokerCert`, not encrypted. Primaries of one environment share one key or one `brokerPassword`: that is how they notice each other",
    allowed: "a path; `brokerCert` belongs to it",
    placeholder: "file",
  }),
  mqttPort: integer(0, 65_535).default(1883).register(settingInfo, {
    description:
      "The TCP port of the embedded broker; 0 opens none, edges then use MQTT over WebSocket on the API's port, which always works",
    allowed: "a whole number from 0 to 65535",
    placeholder: "number",
  }),
  mqttHost: optionalText(/^[^\s/]+$/, {
    description: "The address on which the embedded broker listens; that of `host` where it is not set",
    allowed: "an IP address or a host name of this machine",
    placeholder: "address",
  }),
  topicPrefix: text(/^[^\s#+]{1,128}$/, "ostiary/v1", {
    description: "What the topics start with, before the environment's name",
    allowed: "a topic without `+`, `#` and spaces",
    placeholder: "topic",
  }),
  refresh: duration(1000, 7 * day)
    .default(30 * minute)
    .register(settingInfo, {
      description: "How often a fallback fetches a snapshot",
      allowed: "a duration from `1s` to `7d`, such as `30m`",
      placeholder: "duration",
    }),
  follow: flag().default(false).register(settingInfo, {
    description:
      "Whether a fallback follows its primary's log all the time, seconds behind, instead of fetching a snapshot now and then",
    allowed: "`true` or `false`",
    placeholder: "yes or no",
  }),
  import: optionalText(/./, {
    description:
      "A file that `ostiary snapshot create` has made with the node key: its MAC is verified. An edge or a fallback starts from it, without asking anybody, where its directory has no copy or an older one of the same history. A fallback with a copy needs no primary, unless `follow` or `peers` is set",
    allowed: "a path",
    placeholder: "file",
  }),
  consistencyWait: duration(0, minute).default(2000).register(settingInfo, {
    description:
      "How long a read that carries a consistency token may wait for this node to get there, before it is answered with 503",
    allowed: "a duration from `0` to `1m`, such as `500ms`",
    placeholder: "duration",
  }),
};

const log = z.strictObject({
  level: z.enum(["debug", "info", "warning", "error"]).default("info").register(settingInfo, {
    description: "The least important kind of message that is logged",
    allowed: "`debug`, `info`, `warning` or `error`",
    placeholder: "level",
  }),
  format: z.enum(["text", "json"]).default("text").register(settingInfo, {
    description: "How messages are written to standard error: for people, or one JSON object a line",
    allowed: "`text` or `json`",
    placeholder: "format",
  }),
});

const trace = z.strictObject({
  sampleRatio: ratio().optional().register(settingInfo, {
    description:
      "The share of requests that are traced where the caller has not decided. Traces go to OTEL_EXPORTER_OTLP_ENDPOINT; the standard OTEL_TRACES_SAMPLER settings hold where this is not set",
    allowed: "a number from 0 to 1",
    placeholder: "ratio",
  }),
});

export const configSchema = z.strictObject({
  role,
  ...listening,
  ...identity,
  ...feed,
  log: log.prefault({}),
  trace: trace.prefault({}),
  limits: limitsSchema.prefault({}),
});

export type Config = z.output<typeof configSchema>;

function text(pattern: RegExp, standard: string, info: SettingInfo) {
  return z.string().regex(pattern).default(standard).register(settingInfo, info);
}

function optionalText(pattern: RegExp, info: SettingInfo) {
  return z.string().regex(pattern).optional().register(settingInfo, info);
}
