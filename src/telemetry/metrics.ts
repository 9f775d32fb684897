/**
 * Every metric, in one place, with the name under which `/metrics` shows it. Those of each request are tallies (`tallies.ts`), the others
 * prom-client's, which cost less than the instruments of OpenTelemetry. Labels have few values by type: routes are patterns, never paths, and nothing of a request's
 * content becomes a label. Each thread has its own set, so a worker's numbers are recorded by whoever hears from it on the main thread.
 */
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { CounterTally, HistogramTally } from "./tallies.ts";

const registry = new Registry();
const registers = [registry];

const requestSeconds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20];
const querySeconds = [0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.1, 1, 20];
const lagSeconds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 300];

function counter<Label extends string = never>(name: string, help: string, labelNames: readonly Label[] = []) {
  return new Counter<Label>({ name, help, labelNames, registers });
}

function counterTally<Label extends string>(name: string, help: string, labelNames: readonly Label[]) {
  return new CounterTally({ name, help }, labelNames, registry);
}

function histogramTally<Label extends string>(
  name: string,
  help: string,
  bounds: readonly number[],
  labelNames: readonly Label[],
) {
  return new HistogramTally({ name, help }, labelNames, bounds, registry);
}

export const metrics = {
  httpDuration: histogramTally(
    "ostiary_http_request_duration_seconds",
    "Time from a request's arrival to its answer",
    requestSeconds,
    ["method", "route", "status"],
  ),
  /** Only on fallbacks: the name and labels that dashboards of Oso Cloud's fallback nodes know. In milliseconds. */
  fallbackHttpRequests: histogramTally(
    "oso_fallback_http_requests",
    "Milliseconds from a request's arrival at a fallback to its answer",
    requestSeconds.map((seconds) => seconds * 1000),
    ["path", "status_code"],
  ),
  connections: new Gauge({
    name: "ostiary_connections",
    help: "TCP connections to the API's port that were open when they were last counted",
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
  /** `reason`: sent, client, slow or failed. */
  largeResponsesEnded: counter("ostiary_large_responses_ended_total", "Responses sent in slices, by how they ended", [
    "reason",
  ]),
  /** `result`: allow or deny. */
  decisions: counterTally("ostiary_decisions_total", "Answers to `authorize`", ["result"]),
  /** `result`: hit or miss, as below. */
  planCache: counterTally("ostiary_plan_cache_total", "Questions whose shape was already prepared, or had to be", [
    "result",
  ]),
  decisionMemo: counterTally(
    "ostiary_decision_memo_total",
    "Decisions that were asked for again and still stood, or had to be made",
    ["result"],
  ),
  /** `kind`: as below, authorizeResources or listing. */
  queriesAside: counter(
    "ostiary_queries_aside_total",
    "Questions answered in a process aside, since they may take long",
    ["kind"],
  ),
  /** `kind`: authorize, list, actions, query or facts. */
  queryDuration: histogramTally(
    "ostiary_query_duration_seconds",
    "Time that the engine takes for a question, but for decisions that it remembers",
    querySeconds,
    ["kind"],
  ),
  /** `source`: write, feed, fetch (the feed announced them without their bodies), poll or catch_up. */
  eventsApplied: counter("ostiary_events_applied_total", "Events that changed this node's copy, by the way they came", [
    "source",
  ]),
  eventsPrepared: counter(
    "ostiary_events_prepared_total",
    "Events of the feed that this node had prepared while the primary was still committing them",
  ),
  commitToVisible: new Histogram({
    name: "ostiary_commit_to_visible_seconds",
    help: "Time from an event's commit on the primary to its visibility here",
    buckets: lagSeconds,
    registers,
  }),
  /** `direction`: published or received. */
  feedEvents: counter("ostiary_feed_events_total", "Events that went to a broker or came from one", ["direction"]),
  feedGaps: counter(
    "ostiary_feed_gaps_total",
    "Messages of the feed before which others are missing, or that belong to another epoch",
  ),
  feedDuplicates: counter("ostiary_feed_duplicates_total", "Messages of the feed that this node had already"),
  feedRefused: counter(
    "ostiary_feed_refused_total",
    "Messages of the feed that come from no node of this environment, or would continue another history than this node's",
  ),
  feedOldHeads: counter(
    "ostiary_feed_old_heads_total",
    "Heads of the feed that are older than one that this node knows: a broker repeats or delays messages",
  ),
  /** `result`: done or failed. */
  confirmations: counter(
    "ostiary_confirmations_total",
    "Times that this node asked the primary whether its copy is the newest, although the feed was alive",
    ["result"],
  ),
  copiesDistrusted: counter(
    "ostiary_copies_distrusted_total",
    "Times that this node found its copy damaged or different from the primary's",
  ),
  /** `result`: done or failed. */
  catchUps: counter("ostiary_catch_ups_total", "Times that this node asked the primary for what it missed", ["result"]),
  eventStreams: new Gauge({
    name: "ostiary_event_streams",
    help: "Streams of the change feed that are open",
    registers,
  }),
  /** `reason`: client, end, gone, unauthorized, slow or stop. */
  eventStreamsEnded: counter("ostiary_event_streams_ended_total", "Streams of the change feed that ended, by why", [
    "reason",
  ]),
  /** `action`: built, served, installed, unchanged or failed. */
  snapshots: counter("ostiary_snapshots_total", "What happened with snapshots", ["action"]),
  /** `reason`: one of `StorageReason`, or other. */
  storageFailures: counter(
    "ostiary_storage_failures_total",
    "Times that something could not be stored, by why: a full disk, a read-only file system, an input/output error and so on",
    ["reason"],
  ),
  /** `outcome`: renewed or failed. */
  leaseRenewals: counter("ostiary_lease_renewals_total", "Renewals of the lease of the primary (`failover`)", [
    "outcome",
  ]),
  /** Timers whose work failed, and failures of the system that nothing had caught: the node goes on. */
  strayFailures: counter(
    "ostiary_stray_failures_total",
    "Failures of timers, and failures of the system that no other code had handled; the node went on",
  ),
  logLinesLost: counter("ostiary_log_lines_lost_total", "Lines of the log that could not be written"),
  /** `direction`: sent or received. */
  snapshotBytes: counter(
    "ostiary_snapshot_bytes_total",
    "Bytes of snapshots that went to other nodes or came from them",
    ["direction"],
  ),
} as const;

export const feedStates = [
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
export type FeedState = (typeof feedStates)[number];

/** What a node tells about itself when somebody asks; undefined where it does not apply to its role. */
export interface NodeReading {
  readonly role: string;
  readonly version: string;
  readonly logOffset: number | undefined;
  readonly appliedOffset: number | undefined;
  readonly feedState: FeedState;
  /** Brokers that carry the feed, by `host:port`. */
  readonly brokers: readonly { readonly broker: string; readonly connected: boolean }[];
  readonly brokerClients: number | undefined;
  readonly snapshotAgeMs: number | undefined;
  /** Whether the node can store what it should. */
  readonly storageOk: boolean;
  /** Whether a node around this one has another history. */
  readonly foreignHistory: boolean;
  /** Undefined while there is no copy to count in. */
  readonly closures: ClosureCounts | undefined;
}

/** Of the tables that answer recursion: those that are kept, those that are too large so that facts are walked instead, and all their rows. */
export interface ClosureCounts {
  readonly kept: number;
  readonly walked: number;
  readonly rows: number;
}

type Reader = () => NodeReading;

const readers = new Set<Reader>();

/** Set anew at each scrape, from what the nodes of this process say of themselves; without labels, the last one counts. */
function gauge<Label extends string = never>(
  name: string,
  help: string,
  show: (gauge: Gauge<Label>, reading: NodeReading) => void,
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

function valueGauge(name: string, help: string, valueOf: (reading: NodeReading) => number | undefined): void {
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
  "1 for the state in which this node is, 0 for the others",
  (shown, { feedState }) => {
    for (const state of feedStates) shown.set({ state }, state === feedState ? 1 : 0);
  },
  ["state"],
);
valueGauge("ostiary_log_offset", "The last offset of this node's log", ({ logOffset }) => logOffset);
valueGauge(
  "ostiary_applied_offset",
  "The last offset that this node's copy contains",
  ({ appliedOffset }) => appliedOffset,
);
gauge(
  "ostiary_broker_connected",
  "1 where this node is connected to the broker, 0 where it is not",
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
  "ostiary_storage_ok",
  "1 where this node can store what it should, 0 where its disk is full, fails or was taken away",
  ({ storageOk }) => (storageOk ? 1 : 0),
);
gauge(
  "ostiary_closures",
  "Transitive closures of the active policy: kept as tables, or walked with each question because they are too large",
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
export function observeNode(read: Reader): () => void {
  readers.add(read);
  return () => readers.delete(read);
}

export const metricsContentType = registry.contentType;

/** The body of `/metrics`. */
export function renderMetrics(): Promise<string> {
  return registry.metrics();
}
