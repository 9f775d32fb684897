/** The gauges that show the state of the nodes in this process. Each scrape of `/metrics` reads them from the nodes. */
import type { Engine } from "../engine/engine.ts";
import type { Node } from "../replication/node.ts";
import { isReady, type NodeHealth, replicaStateNames } from "../replication/node-health.ts";
import { build } from "../runtime/version.ts";
import { environmentLabel, otherEnvironments } from "../telemetry/environment-label.ts";
import { observedGauge } from "../telemetry/metrics.ts";
import { AppError } from "../util/app-error.ts";

/** What a node reports at a scrape. */
export interface NodeReading {
  readonly version: string;
  readonly health: NodeHealth;
  /** Undefined while the node has no database. */
  readonly size: ReturnType<Engine["size"]> | undefined;
  /** Undefined without `backupDirectory`; 0 if it has no backup. */
  readonly newestBackupMs?: number | undefined;
}

type NodeReader = () => NodeReading;

/** With the label of the node's environment; without one in the default environment. */
const readers = new Map<NodeReader, { readonly environment?: string }>();

/**
 * Exposes a node of an environment, by default the current one, until the result is called. A node of an environment
 * without a label of its own is not exposed.
 */
export function exposeNode(read: NodeReader, environment?: string): () => void {
  const label = environmentLabel(environment);
  if (label !== otherEnvironments) readers.set(read, label === undefined ? {} : { environment: label });
  return () => readers.delete(read);
}

/** For tests that end nodes without stopping them, as a crash does. */
export function hideNodes(): void {
  readers.clear();
}

export function readNode(node: Node): NodeReading {
  return { version: build.version, health: node.health(), size: sizeOf(node) };
}

function sizeOf(node: Node): NodeReading["size"] {
  try {
    return node.engine().size();
  } catch (error) {
    if (error instanceof AppError && error.code === "not_ready") return undefined;
    throw error;
  }
}

/** If several nodes of an environment set a gauge without other labels, the value of the last one is exposed. */
function gauge<Label extends string>(
  name: string,
  help: string,
  labelNames: readonly Label[],
  show: (set: (labels: Record<Label, string>, value: number) => void, reading: NodeReading) => void,
): void {
  observedGauge<string>(
    name,
    help,
    (shown) => {
      for (const [read, environment] of readers)
        show((labels, value) => shown.set({ ...labels, ...environment }, value), read());
    },
    [...labelNames, "environment"],
  );
}

/** Without a value the gauge is not exposed: it does not apply to the role. */
function valueGauge(name: string, help: string, valueOf: (reading: NodeReading) => number | null | undefined): void {
  gauge(name, help, [], (set, reading) => {
    const value = valueOf(reading);
    if (value !== undefined && value !== null) set({}, value);
  });
}

gauge(
  "ostiary_node_info",
  "Always 1; the labels say which node this is",
  ["role", "version"],
  (set, { version, health: { role } }) => set({ role, version }, 1),
);
valueGauge("ostiary_ready", "1 if `GET /readyz` is 200, 0 if clients should rather ask another node", ({ health }) =>
  isReady(health) ? 1 : 0,
);
gauge(
  "ostiary_replica_state",
  "1 for the `state` in which this node is, 0 for the others",
  ["state"],
  (set, { health }) => {
    for (const state of replicaStateNames) set({ state }, state === health.state ? 1 : 0);
  },
);
valueGauge("ostiary_log_offset", "The last offset of this node's log", ({ health }) =>
  health.role === "primary" ? health.offset : undefined,
);
valueGauge(
  "ostiary_applied_offset",
  "The last offset that this node's database contains",
  ({ health }) => health.offset,
);
gauge(
  "ostiary_broker_connected",
  "1 if this node is connected to the `broker` (`host:port`), 0 if not",
  ["broker"],
  (set, { health }) => {
    for (const { broker, connected } of health.brokers) set({ broker }, connected ? 1 : 0);
  },
);
valueGauge(
  "ostiary_foreign_history",
  "1 while another node has another history, so that neither node replicates the other",
  ({ health }) => (health.foreignHistory === undefined ? 0 : 1),
);
valueGauge("ostiary_broker_clients", "Clients connected to the embedded broker", ({ health }) => health.brokerClients);
valueGauge(
  "oso_fallback_snapshot_age_ms",
  "Age in milliseconds of the snapshot that this fallback answers from",
  ({ health: { role, ageMs } }) => (role === "fallback" ? ageMs : undefined),
);
valueGauge(
  "ostiary_replica_age_seconds",
  "On edges and fallbacks, seconds since their data were last known to be the primary's latest",
  ({ health: { role, ageMs } }) => (role === "primary" || ageMs === null ? undefined : ageMs / 1000),
);
valueGauge(
  "ostiary_newest_backup_timestamp_seconds",
  "When the newest backup in `backupDirectory` was made, in seconds since 1970; 0 if there is none, or the directory cannot be read",
  ({ newestBackupMs }) => newestBackupMs && newestBackupMs / 1000,
);
valueGauge("ostiary_stored_facts", "Facts in this node's database", ({ size }) => size?.facts);
gauge(
  "ostiary_stored_bytes",
  "Sizes of the files of this node's database; `file` is database, or wal (the write-ahead log)",
  ["file"],
  (set, { size }) => {
    if (size === undefined) return;
    set({ file: "database" }, size.files.database);
    set({ file: "wal" }, size.files.wal);
  },
);
valueGauge(
  "ostiary_storage_ok",
  "1 if this node can write to its disk, 0 if the disk is full, fails or is missing",
  ({ health }) => (health.storageOk ? 1 : 0),
);
valueGauge(
  "ostiary_migration_pending",
  "1 while this node's database keeps the format of an older release, until `ostiary migrate`",
  ({ health }) => (health.keptFormat === undefined ? 0 : 1),
);
gauge(
  "ostiary_closures",
  "Transitive closures of the active policy; `state` is kept (as a table), or walked (by each query, because it is too large)",
  ["state"],
  (set, { size }) => {
    if (size === undefined) return;
    set({ state: "kept" }, size.closures.kept);
    set({ state: "walked" }, size.closures.walked);
  },
);
valueGauge("ostiary_closure_rows", "Rows of all closure tables", ({ size }) => size?.closures.rows);
