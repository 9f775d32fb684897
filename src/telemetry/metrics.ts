/**
 * Every metric, in one place, with the name under which `/metrics` shows it. Those of each request are tallies (`tallies.ts`), the others
 * prom-client's, which cost less than the instruments of OpenTelemetry. Labels have few values by type: routes are patterns, never paths, and nothing of a request's
 * content becomes a label. Each thread has its own set, so a worker's numbers are recorded by whoever hears from it on the main thread.
 */
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { LabelledCounter, LabelledHistogram } from "./labelled-metrics.ts";

const registry = new Registry();
const registers = [registry];

const requestSeconds = [
  0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20,
];
const querySeconds = [0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.1, 1, 20];
const lagSeconds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 300];

function counter<Label extends string = never>(name: string, help: string, labelNames: readonly Label[] = []) {
  return new Counter<Label>({ name, help, labelNames, registers });
}

function labelledCounter<Label extends string>(name: string, help: string, labelNames: readonly Label[]) {
  return new LabelledCounter({ name, help }, labelNames, registry);
}

function labelledHistogram<Label extends string>(
  name: string,
  help: string,
  bounds: readonly number[],
  labelNames: readonly Label[],
) {
  return new LabelledHistogram({ name, help }, labelNames, bounds, registry);
}

export const metrics = {
  httpDuration: labelledHistogram(
    "ostiary_http_request_duration_seconds",
    "Time from the arrival of a request to its response; `route` is the pattern of the route, never a path",
    requestSeconds,
    ["method", "route", "status"],
  ),
  fallbackHttpRequests: labelledHistogram(
    "oso_fallback_http_requests",
    "On fallbacks, under the name and labels that dashboards of Oso Cloud's fallback nodes know: milliseconds from the arrival of a request to its response",
    requestSeconds.map((seconds) => seconds * 1000),
    ["path", "status_code"],
  ),
  connections: new Gauge({
    name: "ostiary_connections",
    help: "Open TCP connections to the API's port when they were last counted",
    registers,
  }),
  connectionsClosed: counter(
    "ostiary_connections_closed_total",
    "TCP connections that this node closed because there were too many",
  ),
  bufferedBytes: new Gauge({
    name: "ostiary_buffered_bytes",
    help: "Bytes of request bodies and unsent responses that this node holds in memory",
    registers,
  }),
  largeResponses: new Gauge({
    name: "ostiary_large_responses",
    help: "Responses that are being sent in slices",
    registers,
  }),
  largeResponsesEnded: counter(
    "ostiary_large_responses_ended_total",
    "Responses sent in slices; `reason` is sent, client (the client went away), slow or failed",
    ["reason"],
  ),
  decisions: labelledCounter(
    "ostiary_decisions_total",
    "Decisions of `POST /api/authorize`; `result` is allow or deny",
    ["result"],
  ),
  planCache: labelledCounter(
    "ostiary_plan_cache_total",
    "Lookups of the prepared plan of a query; `result` is hit or miss",
    ["result"],
  ),
  decisionCache: labelledCounter(
    "ostiary_decision_memo_total",
    "Decisions answered from the decision cache (`result` hit) or computed and put there (miss)",
    ["result"],
  ),
  offloadedQueries: counter(
    "ostiary_queries_aside_total",
    "Queries that ran in a worker process since they may take long; `kind` as in `ostiary_query_duration_seconds`, or authorizeResources or listing",
    ["kind"],
  ),
  queryDuration: labelledHistogram(
    "ostiary_query_duration_seconds",
    "Time that the engine takes for a query on the serving thread, except for decisions from the cache; `kind` is authorize, list, actions, query or facts",
    querySeconds,
    ["kind"],
  ),
  writes: counter(
    "ostiary_writes_total",
    "On the primary, writes that reached the writer; `kind` is batch, policy, clear or keys; `result` is done, unchanged (nothing to do), repeated (done before), refused (the request is wrong), failed, or unacknowledged (committed, but `ack` edges did not confirm it in time)",
    ["kind", "result"],
  ),
  eventsApplied: counter(
    "ostiary_events_applied_total",
    "Events that this node applied; `source` is write (on the primary), feed (in a message of the broker), fetch (over HTTP, since the feed only announces events larger than `publishEventBytesMax`), poll (over HTTP, while there is no feed) or catch_up (over HTTP, since this node had missed them)",
    ["source"],
  ),
  commitToVisible: new Histogram({
    name: "ostiary_commit_to_visible_seconds",
    help: "Time from the commit of an event on the primary until it is visible on this node",
    buckets: lagSeconds,
    registers,
  }),
  brokerEvents: counter(
    "ostiary_feed_events_total",
    "Events that a broker took from this node or brought to it, with or without their bodies; `direction` is published or received",
    ["direction"],
  ),
  brokerGaps: counter(
    "ostiary_feed_gaps_total",
    "Messages of the feed before which others are missing, or that belong to another epoch",
  ),
  brokerDuplicates: counter(
    "ostiary_feed_duplicates_total",
    "Messages of the feed whose events this node had already, by another broker or over HTTP",
  ),
  brokerMessagesRejected: counter(
    "ostiary_feed_refused_total",
    "Messages of the feed that no node of this environment sent, or that continue another history",
  ),
  brokerStaleHeads: counter(
    "ostiary_feed_old_heads_total",
    "Heads of the feed that are older than one that this node knows: a broker repeats or delays messages",
  ),
  confirmations: counter(
    "ostiary_confirmations_total",
    "Requests of this node to the primary for its position; `result` is done or failed",
    ["result"],
  ),
  databasesRejected: counter(
    "ostiary_copies_distrusted_total",
    "Times that this node found its database damaged or different from the primary's",
  ),
  catchUps: counter(
    "ostiary_catch_ups_total",
    "Times that this node asked other nodes for what it had missed, also at each connection to a broker; `result` is done or failed",
    ["result"],
  ),
  eventStreams: new Gauge({
    name: "ostiary_event_streams",
    help: "Open event streams of clients (`GET /api/events` as server-sent events)",
    registers,
  }),
  eventStreamsEnded: counter(
    "ostiary_event_streams_ended_total",
    "Event streams of clients that ended; `reason` is client, end, gone, unauthorized, slow or stop",
    ["reason"],
  ),
  snapshots: counter(
    "ostiary_snapshots_total",
    "Snapshots; `action` is built, served, installed, unchanged (the own one is the newest) or failed",
    ["action"],
  ),
  snapshotBytes: counter("ostiary_snapshot_bytes_total", "Bytes of snapshots; `direction` is sent or received", [
    "direction",
  ]),
  storageFailures: counter(
    "ostiary_storage_failures_total",
    "Times that something could not be stored; `reason` is full, reserve (less space than the reserve), wal (the write-ahead log is too long), read_only, io, descriptors, permission, unopenable, replaced or other",
    ["reason"],
  ),
  leaseRenewals: counter(
    "ostiary_lease_renewals_total",
    "Renewals of the lease of the primary (`failover`); `outcome` is renewed or failed",
    ["outcome"],
  ),
  unhandledErrors: counter(
    "ostiary_stray_failures_total",
    "Failures of timers, and failures of the system that no other code had handled; the node went on",
  ),
  logLinesLost: counter("ostiary_log_lines_lost_total", "Lines of the log that could not be written"),
} as const;

export const replicaStateNames = [
  "PRIMARY",
  "FENCED",
  "BOOTSTRAP",
  "CATCHUP",
  "LIVE",
  "STALE_FEED",
  "DISCONNECTED",
  "DIVERGED",
  "SNAPSHOT",
  "FOLLOWING",
] as const;
export type ReplicaStateName = (typeof replicaStateNames)[number];

/** What a node tells about itself when somebody asks; undefined where it does not apply to its role. */
export interface NodeMetrics {
  readonly role: string;
  readonly version: string;
  readonly logOffset: number | undefined;
  readonly appliedOffset: number | undefined;
  readonly feedState: ReplicaStateName;
  /** Brokers that carry the feed, by `host:port`. */
  readonly brokers: readonly { readonly broker: string; readonly connected: boolean }[];
  readonly brokerClients: number | undefined;
  readonly snapshotAgeMs: number | undefined;
  /** How long ago this node's data were last known to be the primary's latest; undefined on a primary. */
  readonly replicaAgeMs: number | undefined;
  /** Whether the node can store what it should. */
  readonly storageOk: boolean;
  /** Whether a node around this one has another history. */
  readonly foreignHistory: boolean;
  /** These three are undefined while there is no copy to count in. */
  readonly closures: ClosureCounts | undefined;
  readonly facts: number | undefined;
  readonly files: FileBytes | undefined;
}

/** Of the tables that answer recursion: those that are kept, those that are too large so that facts are walked instead, and all their rows. */
export interface ClosureCounts {
  readonly kept: number;
  readonly walked: number;
  readonly rows: number;
}

/** Sizes of the database's files. */
export interface FileBytes {
  readonly database: number;
  readonly wal: number;
}

type NodeMetricsReader = () => NodeMetrics;

const readers = new Set<NodeMetricsReader>();

/** Set anew at each scrape, from what the nodes of this process say of themselves; without labels, the last one counts. */
function gauge<Label extends string = never>(
  name: string,
  help: string,
  show: (gauge: Gauge<Label>, reading: NodeMetrics) => void,
  labelNames: readonly Label[] = [],
): void {
  const collect = (shown: Gauge<Label>): void => {
    shown.reset();
    // Without labels there is a 0 now, which would be a value.
    shown.remove({});
    for (const read of readers) show(shown, read());
  };
  const made: Gauge<Label> = new Gauge<Label>({ name, help, labelNames, registers, collect: () => collect(made) });
}

function valueGauge(name: string, help: string, valueOf: (reading: NodeMetrics) => number | undefined): void {
  gauge(name, help, (shown, reading) => {
    const value = valueOf(reading);
    if (value !== undefined) shown.set(value);
  });
}

gauge(
  "ostiary_node_info",
  "Always 1; the labels say which node this is",
  (shown, { role, version }) => shown.set({ role, version }, 1),
  ["role", "version"],
);
gauge(
  "ostiary_feed_state",
  "1 for the `state` in which this node is, 0 for the others",
  (shown, { feedState }) => {
    for (const state of replicaStateNames) shown.set({ state }, state === feedState ? 1 : 0);
  },
  ["state"],
);
valueGauge("ostiary_log_offset", "The last offset of this node's log", ({ logOffset }) => logOffset);
valueGauge(
  "ostiary_applied_offset",
  "The last offset that this node's database contains",
  ({ appliedOffset }) => appliedOffset,
);
gauge(
  "ostiary_broker_connected",
  "1 where this node is connected to the `broker` (`host:port`), 0 where it is not",
  (shown, { brokers }) => {
    for (const { broker, connected } of brokers) shown.set({ broker }, connected ? 1 : 0);
  },
  ["broker"],
);
valueGauge(
  "ostiary_foreign_history",
  "1 while another node has a history that shares no beginning with this node's, so that neither takes over from the other",
  ({ foreignHistory }) => (foreignHistory ? 1 : 0),
);
valueGauge("ostiary_broker_clients", "Clients connected to the embedded broker", ({ brokerClients }) => brokerClients);
valueGauge(
  "oso_fallback_snapshot_age_ms",
  "Milliseconds since the snapshot that this fallback answers from was taken",
  ({ snapshotAgeMs }) => snapshotAgeMs,
);
valueGauge(
  "ostiary_replica_age_seconds",
  "On edges and fallbacks, seconds since their data were last known to be the primary's latest",
  ({ replicaAgeMs }) => (replicaAgeMs === undefined ? undefined : replicaAgeMs / 1000),
);
valueGauge("ostiary_stored_facts", "Facts in this node's database", ({ facts }) => facts);
gauge(
  "ostiary_stored_bytes",
  "Sizes of the files of this node's database; `file` is database, or wal (the write-ahead log)",
  (shown, { files }) => {
    if (files === undefined) return;
    shown.set({ file: "database" }, files.database);
    shown.set({ file: "wal" }, files.wal);
  },
  ["file"],
);
valueGauge(
  "ostiary_storage_ok",
  "1 where this node can store what it should, 0 where its disk is full, fails or was taken away",
  ({ storageOk }) => (storageOk ? 1 : 0),
);
gauge(
  "ostiary_closures",
  "Transitive closures of the active policy; `state` is kept (as a table), or walked (with each query, because it is too large)",
  (shown, { closures }) => {
    if (closures === undefined) return;
    shown.set({ state: "kept" }, closures.kept);
    shown.set({ state: "walked" }, closures.walked);
  },
  ["state"],
);
valueGauge("ostiary_closure_rows", "Rows of all closures that are kept", ({ closures }) => closures?.rows);
const residentMemory: Gauge = new Gauge({
  name: "process_resident_memory_bytes",
  help: "Resident memory",
  registers,
  collect: () => residentMemory.set(process.memoryUsage.rss()),
});
new Gauge({
  name: "process_start_time_seconds",
  help: "When this process started, in seconds since 1970",
  registers,
}).set(Date.now() / 1000 - process.uptime());

/** Lets `/metrics` ask `read` whenever it is scraped. Returns the way to end that. */
export function observeNode(read: NodeMetricsReader): () => void {
  readers.add(read);
  return () => readers.delete(read);
}

export const metricsContentType = registry.contentType;

/** Every metric, in the order of `/metrics`. */
export function describeMetrics(): readonly DescribedMetric[] {
  return registry.getMetricsAsArray() as unknown as readonly DescribedMetric[];
}

interface DescribedMetric {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly labelNames: readonly string[];
}

/** The body of `/metrics`. */
export function renderMetrics(): Promise<string> {
  return registry.metrics();
}
