/**
 * The metrics that `/metrics` exposes, except for the gauges that `roles/node-metrics.ts` reads from the running node.
 * Metrics of each request use `labelled-metrics.ts`, the others prom-client, which is cheaper than the instruments of
 * OpenTelemetry. Labels have few values: a route is a pattern, never a path, and no content of a request becomes a
 * label. What each environment has is counted by environment (`environment-label.ts`). Each thread has its own registry,
 * so the main thread records the metrics of its workers.
 */
import Counter from "prom-client/lib/counter.js";
import Gauge from "prom-client/lib/gauge.js";
import Registry from "prom-client/lib/registry.js";
import { environmentLabel, otherEnvironments } from "./environment-label.ts";
import {
  combinationsOf,
  type Distribution,
  LabelledCounter,
  LabelledHistogram,
  LabelledMetric,
  type RecordedSeries,
  type LabelNames,
  namesOf,
} from "./labelled-metrics.ts";

const registry = new Registry();
const registers = [registry];

const requestSeconds = [
  0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20,
];
const querySeconds = [0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.1, 1, 20];
const lagSeconds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 300];

function counter<Label extends string = never>(name: string, help: string, labels: LabelNames<Label> = []) {
  const made = new Counter<Label>({ name, help, labelNames: namesOf(labels), registers });
  for (const combination of combinationsOf(labels)) made.inc(combination, 0);
  return made;
}

/** A gauge that each environment sets. Those without a label of their own would overwrite each other's value. */
function environmentGauge(name: string, help: string) {
  const gauge = new Gauge({ name, help, labelNames: ["environment"], registers });
  gauge.set(0);
  return {
    set(value: number): void {
      const environment = environmentLabel();
      if (environment === undefined) gauge.set(value);
      else if (environment !== otherEnvironments) gauge.set({ environment }, value);
    },
  };
}

const byEnvironment = { byEnvironment: true } as const;

export const metrics = {
  httpDuration: new LabelledHistogram(
    registry,
    "ostiary_http_request_duration_seconds",
    "Time from the arrival of a request to its response; `method` is `_OTHER` for unusual ones; `route` is the pattern of the route, never a path; `outcome` is allow or deny (one decision), ok, refused (status 4xx) or failed (5xx)",
    requestSeconds,
    ["method", "route", "status", "outcome"],
    byEnvironment,
  ),
  fallbackHttpRequests: new LabelledHistogram(
    registry,
    "oso_fallback_http_requests",
    "On fallbacks, under the name and labels that dashboards of Oso Cloud's fallback nodes know: milliseconds from the arrival of a request to its response",
    requestSeconds.map((seconds) => seconds * 1000),
    ["path", "status_code"],
  ),
  internalErrors: counter(
    "ostiary_internal_errors_total",
    "Requests that got 500 because of a defect; the log has the reason",
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
  tlsExpiry: new Gauge({
    name: "ostiary_tls_certificate_expiry_timestamp_seconds",
    help: "When the TLS certificates of this node expire, in seconds since 1970; `setting` names the file: tlsCert, tlsCa or nodeClientCa",
    labelNames: ["setting"],
    registers,
  }),
  tlsLifetime: new Gauge({
    name: "ostiary_tls_certificate_lifetime_seconds",
    help: "How long the TLS certificates of this node are valid altogether, by the same `setting`",
    labelNames: ["setting"],
    registers,
  }),
  tlsFilesRefused: new Gauge({
    name: "ostiary_tls_files_refused",
    help: "1 while changed TLS files cannot be used, so that their earlier content stays in use; the log has the reason",
    registers,
  }),
  environmentsFailed: new Gauge({
    name: "ostiary_environments_failed",
    help: "Environments that this node cannot start, and tries again",
    registers,
  }),
  environmentsMissing: new Gauge({
    name: "ostiary_environments_missing",
    help: "Environments that this node follows, but whose data never arrived",
    registers,
  }),
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
    { reason: ["sent", "client", "slow", "failed"] },
  ),
  decisions: new LabelledCounter(
    registry,
    "ostiary_decisions_total",
    "Decisions of `POST /api/authorize`; `result` is allow or deny",
    { result: ["allow", "deny"] },
    byEnvironment,
  ),
  oidcTokens: new LabelledCounter(
    registry,
    "ostiary_oidc_tokens_total",
    "Requests with a token of the OIDC issuer; `result` is known (verified before), verified or refused",
    { result: ["known", "verified", "refused"] },
  ),
  oidcKeyFetches: counter(
    "ostiary_oidc_key_fetches_total",
    "Fetches of the keys of the OIDC issuer; `result` is done or failed",
    { result: ["done", "failed"] },
  ),
  decisionLogEntries: new LabelledCounter(
    registry,
    "ostiary_decision_log_entries_total",
    "Decisions that the setting `decisions.log` selects; `result` is written, dropped (the thread that writes was too far behind) or failed (the disk)",
    { result: ["written", "dropped", "failed"] },
    byEnvironment,
  ),
  decisionLogBytes: environmentGauge(
    "ostiary_decision_log_bytes",
    "Size of the decision log when it was last measured",
  ),
  parityResults: new LabelledCounter(
    registry,
    "ostiary_parity_results_total",
    "Decisions that were compared with the result that a client expected (`POST /api/expect`); `result` is match or mismatch",
    { result: ["match", "mismatch"] },
  ),
  parityPending: environmentGauge("ostiary_parity_pending", "Expected results whose decisions this node does not know"),
  planCache: new LabelledCounter(
    registry,
    "ostiary_plan_cache_total",
    "Lookups of the prepared plan of a query; `result` is hit or miss",
    { result: ["hit", "miss"] },
  ),
  decisionCache: new LabelledCounter(
    registry,
    "ostiary_decision_cache_total",
    "Decisions answered from the decision cache (`result` hit) or computed and put there (miss)",
    { result: ["hit", "miss"] },
  ),
  offloadedQueries: counter(
    "ostiary_offloaded_queries_total",
    "Queries that ran in a worker process, because they may take long; `kind` as in `ostiary_query_duration_seconds`, or authorizeResources, bulkActions, listing, actorListing, queryPattern, suggestions, metadata, authorizeLocal, listLocal, actionsLocal, queryLocal or bindingsCheck",
    {
      kind: [
        ...["authorize", "list", "actions", "query", "facts", "authorizeResources", "bulkActions", "listing"],
        ...["actorListing", "queryPattern", "suggestions", "metadata", "authorizeLocal", "listLocal", "actionsLocal"],
        ...["queryLocal", "bindingsCheck"],
      ],
    },
  ),
  queryDuration: new LabelledHistogram(
    registry,
    "ostiary_query_duration_seconds",
    "Time of a query on the serving thread, except for decisions from the cache; `kind` is authorize, list, actions, query or facts",
    querySeconds,
    ["kind"],
  ),
  writes: new LabelledCounter(
    registry,
    "ostiary_writes_total",
    "On the primary, writes that reached the writer; `kind` is batch, policy, clear or keys; `result` is done, unchanged (nothing to do), repeated (done before), refused (the request is wrong), failed, or unacknowledged (committed, but `ack` edges did not confirm it in time)",
    {
      kind: ["batch", "policy", "clear", "keys"],
      result: ["done", "unchanged", "repeated", "refused", "failed", "unacknowledged"],
    },
    byEnvironment,
  ),
  eventsApplied: counter(
    "ostiary_events_applied_total",
    "Events that this node applied; `source` is write (on the primary), feed (in a message of the broker), fetch (over HTTP, because brokers only announce larger events), poll (over HTTP, without a broker) or catch_up (over HTTP, since this node had missed them)",
    { source: ["write", "feed", "fetch", "poll", "catch_up"] },
  ),
  eventsPrepared: counter(
    "ostiary_events_prepared_total",
    "Events that this node had applied when the primary's commit was announced, so that it only had to commit them",
  ),
  commitToVisible: new LabelledHistogram(
    registry,
    "ostiary_commit_to_visible_seconds",
    "Time from the commit of an event on the primary until it is visible on this node",
    lagSeconds,
    [],
  ),
  brokerEvents: counter(
    "ostiary_broker_events_total",
    "Events that this node published to brokers or received from them, with or without their bodies; `direction` is published or received",
    { direction: ["published", "received"] },
  ),
  brokerGaps: counter(
    "ostiary_broker_gaps_total",
    "Messages of brokers with missing messages before them, or of another epoch",
  ),
  brokerDuplicates: counter(
    "ostiary_broker_duplicates_total",
    "Messages of brokers whose events this node had already, from another broker or over HTTP",
  ),
  brokerMessagesRejected: counter(
    "ostiary_broker_messages_rejected_total",
    "Messages of brokers that no node of this environment sent, or that continue another history",
  ),
  nodeKeyPreviousUses: counter(
    "ostiary_node_key_previous_uses_total",
    "Uses of the second key of `nodeKey`, which is the previous one at the end of a rotation: `use` is request, login or message (another node has sent it), or sent (another node refused the first key). While it grows, a node needs that key",
    { use: ["request", "login", "message", "sent"] },
  ),
  brokerStaleHeads: counter(
    "ostiary_broker_stale_heads_total",
    "Heads from brokers that are older than one that this node knows: a broker repeats or delays messages",
  ),
  confirmations: counter(
    "ostiary_confirmations_total",
    "Requests of this node to the primary for its position; `result` is done or failed",
    { result: ["done", "failed"] },
  ),
  databasesRejected: counter(
    "ostiary_databases_rejected_total",
    "Times that this node found its database damaged or different from the primary's",
  ),
  catchUps: counter(
    "ostiary_catch_ups_total",
    "Catch-ups: requests to other nodes for missed events, also at each connection to a broker; `result` is done or failed",
    { result: ["done", "failed"] },
  ),
  eventStreams: new Gauge({
    name: "ostiary_event_streams",
    help: "Open event streams of clients (`GET /api/events` as server-sent events)",
    registers,
  }),
  eventStreamsEnded: counter(
    "ostiary_event_streams_ended_total",
    "Event streams of clients that ended; `reason` is client, end, gone, unauthorized, slow or stop",
    { reason: ["client", "end", "gone", "unauthorized", "slow", "stop"] },
  ),
  snapshots: counter(
    "ostiary_snapshots_total",
    "Snapshots; `action` is built, served, installed, unchanged (the own one is the newest) or failed",
    { action: ["built", "served", "installed", "unchanged", "failed"] },
  ),
  snapshotBytes: counter("ostiary_snapshot_bytes_total", "Bytes of snapshots; `direction` is sent or received", {
    direction: ["sent", "received"],
  }),
  storageFailures: counter(
    "ostiary_storage_failures_total",
    "Failed writes to the disk; `reason` is full, reserve (less space than the reserve), share (a hosted environment has more data than space is left), wal (the write-ahead log is too long), read_only, io, descriptors, permission, unopenable, replaced or other",
    {
      reason: [
        ...["full", "reserve", "share", "wal", "read_only", "io", "descriptors", "permission", "unopenable"],
        ...["replaced", "other"],
      ],
    },
  ),
  leaseRenewals: counter(
    "ostiary_lease_renewals_total",
    "Renewals of the lease of the primary (`failover`); `outcome` is renewed or failed",
    { outcome: ["renewed", "failed"] },
  ),
  limitedRequests: new LabelledCounter(
    registry,
    "ostiary_limited_requests_total",
    "Requests that got 429 because of a limit for one API key or all; `limit` is concurrency or reads",
    { limit: ["concurrency", "reads"] },
    byEnvironment,
  ),
  auditEntries: counter(
    "ostiary_audit_entries_total",
    "Actions of administrators that this node recorded in the audit log; `result` is ok, unchanged (nothing to do), refused, failed, or uncertain (failed, and may have been done)",
    { result: ["ok", "unchanged", "refused", "failed", "uncertain"] },
  ),
  auditSuppressed: counter(
    "ostiary_audit_suppressed_total",
    "Refused or frequent actions of administrators that are not in the audit log, because there were too many",
  ),
  unhandledErrors: counter(
    "ostiary_unhandled_errors_total",
    "Errors that no code handled, of timers and of the system; the node continued",
  ),
  logLinesLost: counter("ostiary_log_lines_lost_total", "Log lines that could not be written"),
} as const;

/**
 * A gauge whose values are read at each scrape. `show` sets them, after the values of the previous scrape were removed.
 */
export function observedGauge<Label extends string = never>(
  name: string,
  help: string,
  show: (gauge: Gauge<Label>) => void,
  labelNames: readonly Label[] = [],
): void {
  const gauge: Gauge<Label> = new Gauge<Label>({
    name,
    help,
    labelNames,
    registers,
    collect() {
      gauge.reset();
      // A gauge without labels is 0 after a reset. Without a value it must not be exposed at all.
      gauge.remove({});
      show(gauge);
    },
  });
}

const cpuTime: Counter = new Counter({
  name: "process_cpu_seconds_total",
  help: "Time that processors worked for this process, without its worker processes",
  registers,
  collect() {
    const { user, system } = process.cpuUsage();
    cpuTime.reset();
    cpuTime.inc((user + system) / 1_000_000);
  },
});
const residentMemory: Gauge = new Gauge({
  name: "process_resident_memory_bytes",
  help: "Resident memory",
  registers,
  collect: () => residentMemory.set(process.memoryUsage.rss()),
});
/** In milliseconds since 1970. */
export const processStartMs = Date.now() - process.uptime() * 1000;
new Gauge({
  name: "process_start_time_seconds",
  help: "When this process started, in seconds since 1970",
  registers,
}).set(processStartMs / 1000);
const clock: Gauge = new Gauge({
  name: "ostiary_clock_seconds",
  help: "The wall clock of this node, in seconds since 1970",
  registers,
  collect: () => clock.set(Date.now() / 1000),
});

export const metricsContentType = registry.contentType;

interface DescribedMetric {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly labelNames: readonly string[];
}

type Labels = Readonly<Record<string, string | number>>;

/** The present values of a metric. */
export type CollectedMetric = Pick<DescribedMetric, "name" | "help"> &
  (
    | {
        readonly type: "counter" | "gauge";
        readonly series: readonly { readonly labels: Labels; readonly value: number }[];
      }
    | {
        readonly type: "histogram";
        readonly bounds: readonly number[];
        readonly series: readonly { readonly labels: Labels; readonly value: Distribution }[];
      }
  );

/** All metrics, in the order of `/metrics`. */
export function describeMetrics(): readonly DescribedMetric[] {
  return registry.getMetricsAsArray() as unknown as readonly DescribedMetric[];
}

/** What was counted in this thread since the last call, for `addMetricChanges` in another thread. */
export function takeMetricChanges(): MetricChanges {
  const changes: Record<string, MetricChanges[string]> = {};
  for (const metric of registry.getMetricsAsArray() as readonly unknown[]) {
    const changed = metric instanceof LabelledMetric ? metric.takeChanges() : [];
    if (changed.length > 0) changes[(metric as DescribedMetric).name] = changed;
  }
  return changes;
}

/** Adds what another thread has counted. */
export function addMetricChanges(changes: MetricChanges): void {
  for (const [name, changed] of Object.entries(changes)) {
    const metric = registry.getSingleMetric(name) as unknown;
    if (metric instanceof LabelledMetric) metric.addChanges(changed);
  }
}

/** By the name of the metric. */
export type MetricChanges = Readonly<Record<string, readonly RecordedSeries<unknown>[]>>;

/** What fetches the counts of other threads before metrics are read. */
const sources = new Set<() => Promise<void>>();

/** `fetch` is awaited before metrics are read, until the result is called. */
export function addMetricSource(fetch: () => Promise<void>): () => void {
  sources.add(fetch);
  return () => sources.delete(fetch);
}

async function fetchFromSources(): Promise<void> {
  await Promise.all([...sources].map((fetch) => fetch()));
}

/** All metrics with their present values, in the order of `/metrics`. */
export async function collectMetrics(): Promise<CollectedMetric[]> {
  await fetchFromSources();
  return Promise.all(registry.getMetricsAsArray().map((metric) => collect(metric)));
}

async function collect(metric: object): Promise<CollectedMetric> {
  if (metric instanceof LabelledHistogram) {
    const { name, help, bounds, all } = metric;
    return {
      name,
      help,
      type: "histogram",
      bounds,
      series: all.map(({ labels, series: value }) => ({ labels, value })),
    };
  }
  const { name, help, type, values } = await (metric as RegisteredMetric).get();
  return { name, help, type, series: values };
}

/** All but histograms, which are all of `labelled-metrics.ts`. */
interface RegisteredMetric {
  get(): Promise<{
    readonly name: string;
    readonly help: string;
    readonly type: "counter" | "gauge";
    readonly values: readonly { readonly labels: Labels; readonly value: number }[];
  }>;
}

/** The body of `/metrics`. */
export async function renderMetrics(): Promise<string> {
  await fetchFromSources();
  return registry.metrics();
}
