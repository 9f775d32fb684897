/**
 * Every limit of a node, with its unit in its name. A limit that Oso Cloud publishes has the same value here, because
 * clients may rely on it; most others were measured. A bounded function takes its limits as an argument, so that a test
 * can set a low one.
 *
 * In the configuration file limits are in the section `advanced`, except those of `retention`, which are for every
 * operator. Limits that no operator has a reason to change are in `fixed-limits.ts`.
 *
 * This is plain data. Each thread and each worker process loads it, and schemas would take them half of their start.
 */
import { fixedLimits } from "./fixed-limits.ts";
import { count, day, GiB, KiB, MiB, size, time } from "./limit-definition.ts";

export const retentionLimits = {
  retentionEvents: count(
    1_000_000,
    "Maximum number of events kept in the log. Nodes use them to catch up, and `ostiary restore` to go back in time; a node that needs older events downloads a snapshot",
  ),
  retentionBytes: size(4 * GiB, "Maximum size of the events kept in the log"),
  retentionAgeMs: time(30 * day, "Maximum age of the events kept in the log", { max: 3650 * day }),
  auditRetentionAgeMs: time(365 * day, "Maximum age of the entries kept in the audit log", { max: 3650 * day }),
};

export const advancedLimits = {
  // Requests
  writeBodyBytesMax: size(960 * KiB, "Maximum size of the body of a write, such as a batch or a policy"),
  readBodyBytesMax: size(10 * MiB, "Maximum size of the body of a query"),
  batchEntriesMax: count(1000, "Maximum number of entries (inserted facts and delete patterns) in one batch"),
  contextFactsMax: count(100, "Maximum number of context facts in one query"),
  wildcardDeleteFactsMax: count(10_000, "Maximum number of facts that one delete pattern can remove"),
  resultSetsBytesMax: size(64 * MiB, "Maximum size of all result sets together; the oldest are removed first"),
  environmentsMax: count(
    200,
    "Maximum number of environments besides the default one. Deleted ones count until the deletion is final",
    { min: 0 },
  ),
  connectionsMax: count(
    10_000,
    "Maximum number of TCP connections to the port of the API; lower if the process cannot open that many files. Above it the node closes connections that never got a response first, then those that were silent for longest",
  ),
  connectionsPerAddressMax: count(
    0,
    "Maximum number of TCP connections to the port of the API from one client address (an IPv4 address or a /64 of IPv6) outside of `trustedProxies`; 0 means no limit",
    { min: 0 },
  ),
  bodyTimeoutMs: time(
    10_000,
    "How long the body of a request can take to arrive, however small it is; a larger body gets more time, a second for each 16 KiB",
  ),
  oidcLeewayMs: time(
    30_000,
    "How far the clocks of the OIDC issuer and of this node may differ when the times in a token are checked",
    { min: 0, max: 300_000 },
  ),
  requestsInFlightMax: count(
    10_000,
    "Maximum number of requests that run or wait at the same time; further requests get 503",
  ),
  keyRequestsInFlightMax: count(
    0,
    "Maximum number of requests of one API key that run or wait at the same time on this node; further requests get 429; 0 means no limit",
    { min: 0 },
  ),
  environmentRequestsInFlightMax: count(0, "The same for all API keys of the environment together; 0 means no limit", {
    min: 0,
  }),
  keyReadsPerSecondMax: count(
    0,
    "Maximum number of reads of one API key per second on this node; further reads get 429 with `Retry-After`; 0 means no limit",
    { min: 0 },
  ),
  environmentReadsPerSecondMax: count(0, "The same for all API keys of the environment together; 0 means no limit", {
    min: 0,
  }),
  keyFactsPerMinuteMax: count(
    0,
    "Maximum number of facts that one API key can insert and delete in any minute, wherever it sends its writes; further writes get 429 with `Retry-After`; 0 means no limit",
    { min: 0 },
  ),
  environmentFactsPerMinuteMax: count(0, "The same for all API keys of the environment together; 0 means no limit", {
    min: 0,
  }),
  bufferedBytesMax: size(
    256 * MiB,
    "Maximum number of bytes of request bodies and unsent responses that a node holds in memory; further requests get 503",
  ),
  responseStallMs: time(10_000, "The node ends a large response if the client reads nothing for this time"),
  apiKeysMax: count(128, "Maximum number of API keys of an environment"),
  stopGraceMs: time(10_000, "How long requests in flight can continue after the node was asked to stop"),
  // Policies
  policyBytesMax: size(1 * MiB, "Maximum size of a policy, all its files together"),
  policyCheckTimeMsMax: time(
    20_000,
    "How long the check of a policy, including its tests, can take, and how long an upload can wait for its turn",
  ),
  policyCheckMemoryBytesMax: size(
    768 * MiB,
    "Maximum memory of a worker process for the check of a policy, in addition to about 100 MB that every worker process needs",
  ),
  // Queries
  queryTimeMsMax: time(20_000, "How long one query can take"),
  queryMemoryBytesMax: size(
    512 * MiB,
    "Maximum memory of a worker process for its queries (JavaScript and SQLite), in addition to about 100 MB that every worker process needs",
  ),
  closureRowsMax: count(
    5_000_000,
    "Maximum number of rows of one materialized closure; queries compute a larger closure, until a policy becomes active or all data are deleted",
  ),
  closureUpdateRowsMax: count(
    500_000,
    "Maximum number of rows of a materialized closure that one fact can change; above it queries compute the closure",
  ),
  closureTimeMsMax: time(
    3000,
    "How long the update of closures can take for one event (an active policy or a batch), during which no other write runs; after that queries compute the closures",
  ),
  symbolCacheEntriesMax: count(
    4_000_000,
    "Maximum number of symbols (users, resources) in the symbol cache, about 40 bytes each; other symbols are read from the database by each query",
    { min: 0 },
  ),
  decisionCacheEntriesMax: count(
    100_000,
    "Maximum number of decisions in the decision cache. A cached decision is valid until a fact it may depend on changes; 0 turns the cache off",
    { min: 0 },
  ),
  // Replication
  auditRetentionEntries: count(
    100_000,
    "Maximum number of entries kept in the audit log; those of refused, failed and uncertain actions have at most a tenth of it each",
  ),
  ackTimeoutMs: time(
    5000,
    "How long a write waits for the acknowledgements of edges if the setting `ack` requires them",
  ),
  readyAgeMsMax: time(
    30_000,
    "`/readyz` fails if the node was last known to be up to date longer ago than this; the node still answers",
  ),
  databaseCheckIntervalMs: time(
    3_600_000,
    "How often a node reads its whole database, computes the digest again and compares it with the stored one",
  ),
  scrubIntervalMs: time(
    3_600_000,
    "Maximum time in which a node reads all pages of its database and verifies their checksums. It reads at least 4 MiB per second, so a small database takes seconds",
  ),
  // Events for applications
  eventStreamsMax: count(
    200,
    "Maximum number of open event streams; an API key that holds as many slots as are free gets 429",
  ),
  // The log, snapshots and the disk
  diskReserveBytes: size(
    64 * MiB,
    "If less disk space is free, a primary refuses writes with 503, so that it can still write its log. API keys can always be removed, and facts down to half of the reserve. On a small volume the reserve is at most a quarter of the volume; 0 turns it off",
    { min: 0 },
  ),
  walBytesMax: size(
    4 * GiB,
    "Maximum size of the write-ahead log: a primary refuses writes with 503 while long reads, such as a backup, prevent a checkpoint",
  ),
  snapshotBytesMax: size(64 * GiB, "Maximum size of the database in a snapshot, unpacked"),
  forwardTimeoutMs: time(
    10_000,
    "How long an edge waits for the primary's response to a forwarded write; for a policy two and a half times `policyCheckTimeMsMax` is added, which should be the same on all nodes",
  ),
};

const allLimits = { ...retentionLimits, ...advancedLimits, ...fixedLimits };

export type Limits = { readonly [Name in keyof typeof allLimits]: number };

/** The limits of a node whose configuration sets none. */
export const defaultLimits = Object.fromEntries(
  Object.entries(allLimits).map(([name, { defaultValue }]) => [name, defaultValue]),
) as Limits;
