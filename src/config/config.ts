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
import { environmentId, environmentIdText } from "./environment-id.ts";
import { isNodeKeySetting, nodeKeyAllowed } from "./node-key.ts";
import { hashableFields, omittableFields } from "./redacted-fields.ts";
import { advancedSchemas, limitsSchema, retentionSchemas } from "./limit-schemas.ts";
import {
  ackCount,
  boolean,
  bytes,
  duration,
  integer,
  list,
  names,
  ratio,
  setting,
  threadCount,
} from "./setting-types.ts";
import { formatDuration } from "./units.ts";

const nodeUrl = /^https?:\/\/[^\s/@?#,]+$/;

/**
 * The environment and the API key of `ostiary dev`, as in the documentation and the examples of the official clients.
 * All other commands refuse the key, because it is public.
 */
export const developmentEnvironment = "0123456789";
export const developmentKey = "e_0123456789_12345_osotesttoken01xiIn";

const minute = 60_000;
const day = 24 * 60 * minute;

const node = {
  role: setting(z.enum(["primary", "edge", "fallback"]), "role", "`primary`, `edge` or `fallback`").describe(
    "The role of this node: the `primary` accepts writes, an `edge` replicates the primary and answers queries, a `fallback` answers queries from snapshots",
  ),
  data: text("directory", "a path", /./, "ostiary-data").describe(
    "The directory of this node's database; it is created if it does not exist",
  ),
  environment: text("name", "up to 64 letters, digits and `-`", /^[A-Za-z0-9-]{1,64}$/, "default").describe(
    "The name of the environment (one policy, its facts and its API keys). It is part of each API key and the same on all nodes",
  ),
  nodeId: optionalText("name", "up to 64 letters, digits, `.`, `_` and `-`", /^[A-Za-z0-9._-]{1,64}$/).describe(
    "The name of this node, unique in its environment. If it is not set, the node chooses one at its first start and stores it in its data directory",
  ),
  nodeKey: setting(z.string().refine(isNodeKeySetting).optional(), "secret", nodeKeyAllowed, true).describe(
    "The shared secret with which nodes authenticate to each other and to the embedded broker. A primary without one creates one at its first start and prints it once. Of two keys, the node uses the first one and accepts both",
  ),
  adminKey: secret(
    "key",
    "`e_<environment>_<key id>_<secret>` with a secret of at least 16 letters and digits",
    /^e_[A-Za-z0-9-]{1,64}_[A-Za-z0-9-]{1,64}_[A-Za-z0-9]{16,128}$/,
  ).describe(
    "The API key that a new primary accepts from the beginning. If it is not set, the primary creates one at its first start and prints it once",
  ),
  nodeKeyFile: file().describe(
    "A file with the node key in place of `nodeKey`, such as a secret of Docker or Kubernetes; it is read at the start. It can have two keys, one per line",
  ),
  adminKeyFile: file().describe(
    "A file with the admin key in place of `adminKey`, such as a secret of Docker or Kubernetes; it is read at the start",
  ),
  backupDirectory: optionalText("directory", "a path", /./).describe(
    "A directory with backups that `ostiary backup` wrote, or directories of `ostiary backup --all`, for example on a schedule. `GET /api/backups`, `ostiary backup list` and the console list them; the node only reads it",
  ),
  import: file().describe(
    "A file that `ostiary snapshot create` wrote with the node key; the node verifies its MAC. An edge or a fallback starts from it without a connection to other nodes, if its data directory has no database or an older one of the same history. A fallback with a database needs no primary, unless `follow` or `peers` is set",
  ),
};

const api = {
  host: text("address", "an IP address or a host name of this machine", /^[^\s/]+$/, "127.0.0.1").describe(
    "The address to listen on. The default is reachable from this machine only; `0.0.0.0` means all interfaces",
  ),
  port: port(8080).describe(
    "The port of the API, of the health endpoints and of requests from other nodes; 0 means any free port",
  ),
  publicUrl: optionalText(
    "url",
    "`https://host`, `https://host:port`, or one with a path; without a slash at its end, a query and a fragment",
    /^https?:\/\/[^\s/?#@]+(?:\/[^\s/?#]+)*$/,
  ).describe(
    "The URL of the API as clients see it, for the discovery document of AuthZEN. The `Host` header is never used, because a client could choose it",
  ),
  tlsCert: file("a path; `tlsKey` belongs to it").describe(
    "A PEM file with the certificate of this node, and its chain. With it `port` and `mqttPort` speak TLS only, and this node presents it to other nodes. The node reads changed files by itself",
  ),
  tlsKey: file("a path; `tlsCert` belongs to it").describe(
    "A PEM file with the private key of `tlsCert`, not encrypted",
  ),
  tlsCa: file().describe(
    "A PEM file with the certificate authority of the other nodes, if it is not one of the system's. Only this authority is then trusted. Commands read the variable too, but not the file with settings",
  ),
  console: flag(true).describe(
    "Whether this node serves the web console at `/console/`. Its files are public; everything that it shows needs an API key or a login",
  ),
};

const cluster = {
  primary: optionalText("url", "`http://host:port` or `https://host:port`, without a path", nodeUrl).describe(
    "The URL of the primary, for an edge or a fallback. A fallback that only answers from an imported snapshot needs none",
  ),
  peers: setting(
    list((url) => nodeUrl.test(url), 0).default([]),
    "urls",
    "`http://host:port` or `https://host:port`, or several of these separated by commas",
  ).describe(
    "The URLs of other nodes. While the primary is away, a node fetches missed events from its peers and follows the peer that is promoted. A primary learns from its peers that it was replaced, was rolled back, or runs on a copied directory",
  ),
  ack: setting(ackCount().default(0), "edges", "`none`, or `edges:` and a number from 1 to 100").describe(
    "When a primary acknowledges a write: with `none` when it is on the primary's own disk, with `edges:2` when two edges have it as well. One of these edges can then become the primary without the loss of an acknowledged write. The same on all nodes that can become the primary",
  ),
  environments: setting(
    names((id) => environmentId.test(id)).optional(),
    "ids",
    `ids of environments separated by commas, each ${environmentIdText}; in the file also a list, and \`[]\` for none`,
  ).describe(
    "The environments that an edge or a fallback follows besides the default one. If it is not set, it follows all. A node that can become the primary has to follow all",
  ),
  maxStaleness: setting(
    duration(1000, 7 * day).optional(),
    "duration",
    "a duration from `1s` to `7d`, such as `30s`; an edge asks its primary at least twice in this time, even if brokers deliver events",
  ).describe(
    "A node that was last known to be up to date longer ago than this refuses queries with 503. If it is not set, a node answers however old its database is",
  ),
};

const broker = {
  broker: setting(
    list(isBroker).default([embeddedBroker]),
    "urls",
    "`embedded`, or `mqtt://`, `mqtts://`, `ws://` or `wss://` with host and port, or several of these separated by commas; user and password are settings of their own",
  ).describe(
    "The MQTT brokers that carry events from the primary to the edges. `embedded` is the broker inside the primary. Each of several brokers carries all events, so one that works is enough; brokers do not need a connection to each other",
  ),
  brokerUsername: userName().describe(
    "The user name for external brokers, the same for all of them. Not needed if the broker identifies nodes by their client certificate",
  ),
  brokerPassword: password().describe(
    "The password for external brokers. An edge without one sends its node key, but only to a broker on the host of its primary",
  ),
  brokerCa: file().describe(
    "A PEM file with the certificate authority of external brokers, if it is not one of the system's. Only this authority is then trusted",
  ),
  mqttPort: port(1883).describe(
    "The TCP port of the embedded broker, with TLS if `tlsCert` is set; 0 means none, edges then use MQTT over WebSocket on the port of the API, which always works",
  ),
};

const failover = {
  failover: optionalText(
    "url",
    "`etcd://host:port,host:port` (`etcds://` over TLS), `kubernetes://namespace/name` in a pod, `kubernetes+https://host:port/namespace/name`, or `s3://bucket/key?endpoint=url&region=name`",
    /^(?:etcds?|kubernetes(?:\+https?)?|s3):\/\/[^\s]+$/,
  ).describe(
    "The coordination service that keeps the lease of the primary. With it nodes elect the primary themselves: each starts as an edge, and the node that has the lease and the votes of its peers is the primary until it loses the lease. The same on all nodes that can become the primary",
  ),
  failoverMayLoseWrites: flag().describe(
    "Permits `failover` without `ack`. A write that the last primary acknowledged and no edge has is then lost when that primary fails: usually some milliseconds of writes, at worst all since an edge was last connected",
  ),
};

const fallback = {
  refresh: time({ min: 1000, max: 7 * day, default: 30 * minute }).describe(
    "How often a fallback downloads a snapshot",
  ),
  follow: flag().describe(
    "Whether a fallback replicates its primary's log continuously, some seconds behind, instead of downloading snapshots",
  ),
};

const oidc = {
  issuer: optionalText(
    "url",
    "`https://host` with an optional port and path, as in the claim `iss`; `http://` only for this machine (`127.0.0.1`, `localhost`, `[::1]`)",
    /^(?:https:\/\/[^\s/?#@]+|http:\/\/(?:127\.0\.0\.1|localhost|\[::1\])(?::\d+)?)(?:\/[^\s?#]*)?$/,
  ).describe(
    "The issuer of OpenID Connect whose tokens (JWT) people may send in place of an API key. The node fetches its keys by discovery, from `/.well-known/openid-configuration` below this URL. The same on all nodes, like all settings of this section",
  ),
  audience: values("audience").describe(
    "The accepted values of the claim `aud`. A token for somebody else is refused. For ID tokens, which `ostiary login` uses by default, it is the client id",
  ),
  clientId: optionalText("id", "a text without spaces", /^\S{1,256}$/).describe(
    "The id of the public client, without a secret, with which `ostiary login` asks the issuer for tokens. Nodes tell it to everybody",
  ),
  scopes: setting(
    z
      .string()
      .regex(/^[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*$/)
      .default("openid email offline_access"),
    "scopes",
    "scopes, separated by spaces, such as `openid email groups`",
  ).describe("The scopes that `ostiary login` asks for. `offline_access` is for a refresh token"),
  roleClaim: claim("groups").describe(
    "The claim whose values give a role: the name of a claim, or a path such as `realm_access.roles`. Its value is a text or a list of texts. The claim `email` counts only with `email_verified`",
  ),
  admin: values("values").describe(
    "The values of `oidc.roleClaim` that give the role `admin`. A person with several roles has the strongest; a person without one is refused. A value counts in the default environment, and one with the id of an environment and `::` before it, such as `staging::testers`, only in that environment",
  ),
  write: values("values").describe("The values of `oidc.roleClaim` that give the role `write`"),
  read: values("values").describe("The values of `oidc.roleClaim` that give the role `read`"),
};

const oidcDetails = {
  ca: file().describe(
    "A PEM file with the certificate authority of the issuer, if it is not one of the system's. Only this authority is then trusted",
  ),
  nameClaim: claim("email").describe(
    "The claim with the name of the person, for the author of a policy. A name is only shown; the claim `sub` identifies the person",
  ),
};

const log = z.strictObject({
  level: setting(
    z.enum(["debug", "info", "warning", "error"]).default("info"),
    "level",
    "`debug`, `info`, `warning` or `error`",
  ).describe("The least severe messages that are logged"),
  format: setting(z.enum(["text", "json"]).default("text"), "format", "`text` or `json`").describe(
    "The format of messages on standard error: text for people, or one JSON object per line",
  ),
});

const trace = {
  sampleRatio: setting(ratio().optional(), "ratio", "a number from 0 to 1").describe(
    "The share of requests that are traced if the caller has not decided. Traces go to OTEL_EXPORTER_OTLP_ENDPOINT; if the ratio is not set, the standard OTEL_TRACES_SAMPLER variables apply",
  ),
};

const traceDetails = {
  recentPerSecond: setting(integer(0, 1000).default(5), "number", "a whole number from 0 to 1000").describe(
    "How many traces of decisions, and as many of other requests, an environment of this node records per second for `GET /api/traces` while no collector is configured; with one, these are the traces that are sent to it. 0 keeps no traces",
  ),
  url: setting(
    z
      .string()
      .max(2048)
      .refine((text) => isTraceUrl(text))
      .optional(),
    "url",
    "a URL that begins with `http://` or `https://` and has `{traceId}` in it",
  ).describe(
    "The address of a trace in another tracing system, to which the console links, such as `https://jaeger.example/trace/{traceId}`",
  ),
};

const decisions = {
  log: setting(
    z.enum(["off", "denials", "sample", "all"]).default("off"),
    "decisions",
    "`off`, `denials`, `sample` or `all`",
  ).describe(
    "Which decisions this node logs in `decisions.db` of its data directory: none, those of `authorize` that deny and empty lists, a random sample, or all",
  ),
  sampleRatio: setting(ratio().default(0.01), "ratio", "a number from 0 to 1").describe(
    "The share of the decisions that `sample` logs",
  ),
  bytesMax: setting(
    bytes(1024 * 1024, 1024 ** 4).default(1024 ** 3),
    "size",
    "a number of bytes from `1MiB` to `1024GiB`, such as `1GiB`",
  ).describe("The size of the decision log. The oldest decisions are removed; one takes about 100 bytes"),
  ageMax: time({ min: 1000, max: 3650 * day, default: 30 * day }).describe(
    "The age at which decisions are removed from the log, also on an idle node",
  ),
  export: setting(z.enum(["none", "otlp"]).default("none"), "target", "`none` or `otlp`").describe(
    "Sends logged decisions to a collector of OpenTelemetry as log records, over HTTP: `OTEL_EXPORTER_OTLP_LOGS_ENDPOINT` or `OTEL_EXPORTER_OTLP_ENDPOINT` names it",
  ),
};

const decisionDetails = {
  omit: setting(list(isOneOf(omittableFields), 0).default([]), "fields", fieldsIn(omittableFields)).describe(
    "What the decision log leaves out: ids of actors, ids of resources, context facts, request ids, trace ids or key ids. A decision without its question cannot be explained",
  ),
  hash: setting(list(isOneOf(hashableFields), 0).default([]), "fields", fieldsIn(hashableFields)).describe(
    "What the decision log has only as keyed hashes, by which it can still be searched",
  ),
  hashSecret: secret("secret", "16 to 256 printable characters without spaces", /^[\x21-\x7e]{16,256}$/).describe(
    "The secret of these hashes. Without one each node makes its own in `decisions.db.key`, so that hashes of different nodes differ",
  ),
};

const advanced = {
  threads: setting(threadCount(256).default(0), "number", "`auto`, or a whole number from 1 to 256").describe(
    "How many threads answer questions. `auto` is one less than the processors that this process may use, at least one",
  ),
  environmentGrace: time({ min: 0, max: 3650 * day, default: 7 * day }).describe(
    "How long a deleted environment can be restored; after that its data is deleted. Only time counts during which the primary ran, whatever the date is. The same on all nodes",
  ),
  environmentsUnknown: time({ min: 0, max: 365 * day, default: 60 * minute }).describe(
    "After `ostiary restore`: how long keys of environments that the node does not know are refused with 503 and not with 401, because their data may still arrive. It begins with the first start of the restored node; `ostiary env complete` ends it",
  ),
  trustedProxies: setting(
    list(isNetwork, 0).default([]),
    "addresses",
    "IP addresses or networks such as `10.0.0.0/8`, separated by commas",
  ).describe(
    "Proxies, ingress controllers and NAT gateways in front of this node. Many clients share their addresses, so `connectionsPerAddressMax` does not apply to them. The audit log takes the address of a client from their `X-Forwarded-For`",
  ),
  nodePort: port(0).describe(
    "A port for requests of other nodes, with TLS: each needs a certificate of the authority in `nodeClientCa`, and `port` refuses them. `primary` and `peers` of other nodes name this port. 0 means that `port` serves them",
  ),
  nodeClientCa: file("a path; `nodePort` belongs to it").describe(
    "A PEM file with the certificate authority whose certificates other nodes present at `nodePort` and `mqttPort`. Use one that issues certificates to nodes only",
  ),
  plainPort: port(0).describe(
    "A port of the API without TLS, for programs of this machine: it listens on 127.0.0.1 only. 0 means none",
  ),
  consistencyWait: time({ min: 0, max: minute, default: 2000, example: "500ms" }).describe(
    "How long a read with a consistency token can wait until this node has reached the token's position; after that it gets 503",
  ),
  brokerCert: file("a path; `brokerKey` belongs to it").describe(
    "A PEM file with the client certificate of this node for external brokers, and its chain. A broker that identifies nodes by certificate uses the name in it",
  ),
  brokerKey: file("a path; `brokerCert` belongs to it").describe(
    "A PEM file with the private key of `brokerCert`, not encrypted. All primaries of one environment share one key or one `brokerPassword`, by which they notice each other",
  ),
  promotedBrokerUsername: userName().describe(
    "The user name of an edge for external brokers after its promotion, when it needs the rights of a primary",
  ),
  promotedBrokerPassword: password().describe("The password for `promotedBrokerUsername`"),
  mqttHost: optionalText("address", "an IP address or a host name of this machine", /^[^\s/]+$/).describe(
    "The address on which the embedded broker listens; by default that of `host`",
  ),
  topicPrefix: text("topic", "a topic without `+`, `#` and spaces", /^[^\s#+]{1,128}$/, "ostiary/v1").describe(
    "The part of MQTT topics before the name of the environment",
  ),
  failoverTtl: time({ min: 2000, max: minute, default: 6000 }).describe(
    "How long the lease of the primary is valid without a renewal; in its last sixth the primary acknowledges no write. The same on all nodes",
  ),
  failoverUsername: userName().describe("The user name for etcd, if it requires one"),
  failoverPassword: password().describe(
    "The password of `failoverUsername` for etcd, or the bearer token for `kubernetes+http://` and `kubernetes+https://`",
  ),
  failoverCa: file().describe(
    "A PEM file with the certificate authority of the coordination service, if it is not one of the system's",
  ),
  failoverCert: file("a path; `failoverKey` belongs to it").describe(
    "A PEM file with the client certificate of this node for the coordination service",
  ),
  failoverKey: file("a path; `failoverCert` belongs to it").describe(
    "A PEM file with the private key of `failoverCert`, not encrypted",
  ),
};

/** The settings by group, as flags and the configuration file have them. */
export const settingGroups = {
  node,
  api,
  cluster,
  broker,
  failover,
  fallback,
  people: { oidc: z.strictObject(oidc) },
  retention: { limits: z.strictObject(retentionSchemas) },
  logs: { log, trace: z.strictObject(trace) },
  decisions: { decisions: z.strictObject(decisions) },
  advanced: {
    ...advanced,
    oidc: z.strictObject(oidcDetails),
    trace: z.strictObject(traceDetails),
    decisions: z.strictObject(decisionDetails),
    limits: z.strictObject(advancedSchemas),
  },
};

export const configSchema = z.strictObject({
  ...node,
  ...api,
  ...cluster,
  ...broker,
  ...failover,
  ...fallback,
  ...advanced,
  oidc: z.strictObject({ ...oidc, ...oidcDetails }).prefault({}),
  log: log.prefault({}),
  trace: z.strictObject({ ...trace, ...traceDetails }).prefault({}),
  decisions: z.strictObject({ ...decisions, ...decisionDetails }).prefault({}),
  limits: limitsSchema.prefault({}),
});

export type Config = z.output<typeof configSchema>;

function text(placeholder: string, allowed: string, pattern: RegExp, defaultText: string) {
  return setting(z.string().regex(pattern).default(defaultText), placeholder, allowed);
}

function optionalText(placeholder: string, allowed: string, pattern: RegExp) {
  return setting(z.string().regex(pattern).optional(), placeholder, allowed);
}

function secret(placeholder: string, allowed: string, pattern: RegExp) {
  return setting(z.string().regex(pattern).optional(), placeholder, allowed, true);
}

function file(allowed = "a path") {
  return optionalText("file", allowed, /./);
}

/** The name of a claim, or a path to it. */
function claim(defaultName: string) {
  return text("claim", "up to 256 characters without spaces", /^\S{1,256}$/, defaultName);
}

/** A list of texts. In the file, a YAML list can have texts with commas. */
function values(placeholder: string) {
  const allowed = "texts separated by commas; in the file also a list";
  return setting(names().default([]), placeholder, allowed);
}

function userName() {
  return optionalText("name", "a text", /./);
}

function password() {
  return secret("secret", "a text", /./);
}

function port(defaultPort: number) {
  return setting(integer(0, 65_535).default(defaultPort), "number", "a whole number from 0 to 65535");
}

function flag(byDefault = false) {
  return setting(boolean().default(byDefault), "true or false", "`true` or `false`");
}

/** In milliseconds; `example` is by default the default. */
function time(options: { min: number; max: number; default: number; example?: string }) {
  const { min, max, default: value, example = formatDuration(value) } = options;
  const allowed = `a duration from \`${formatDuration(min)}\` to \`${formatDuration(max)}\`, such as \`${example}\``;
  return setting(duration(min, max).default(value), "duration", allowed);
}

/** The id of a trace is inserted, so only the place of `{traceId}` may be missing of a URL. */
function isTraceUrl(text: string): boolean {
  return /^https?:\/\//.test(text) && text.includes("{traceId}") && URL.canParse(text.replaceAll("{traceId}", "0"));
}

function isOneOf(allowed: readonly string[]): (text: string) => boolean {
  return (text) => allowed.includes(text);
}

function fieldsIn(allowed: readonly string[]): string {
  return `${allowed.map((field) => `\`${field}\``).join(", ")}, or several of these separated by commas`;
}

/** Whether a text is an IP address, or a network such as `10.0.0.0/8`. */
function isNetwork(text: string): boolean {
  const [address = "", bits] = text.split("/");
  const family = isIP(address);
  return family !== 0 && (bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128)));
}
