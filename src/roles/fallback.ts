/**
 * A fallback: the last resort beside the application. It fetches verified snapshots on a timer, or with `follow` the
 * primary's log, keeps its database on disk, and answers from it when all other nodes are gone. It never waits and
 * never writes; it only reports how old its data is.
 */
import type { Config } from "../config/config.ts";
import { createAuditRecorder } from "../replication/audit/audit-recorder.ts";
import { createBackupServer, serveReplicaBackups } from "../replication/backup/backup-server.ts";
import { foreignHealth } from "../replication/history-guard.ts";
import { nodeKeyHashesOf } from "../replication/identity.ts";
import { KeyUses, type UsesByKey } from "../replication/key-uses.ts";
import type { Node } from "../replication/node.ts";
import { NodeContext } from "../replication/node-context.ts";
import { lacksPolicy, type NodeHealth, withoutPolicy } from "../replication/node-health.ts";
import { openReplica } from "../replication/replica/replica.ts";
import { openSnapshotReplica, type SnapshotReplica } from "../replication/replica/snapshot-replica.ts";
import { reporterOf } from "../replication/survey/node-report.ts";
import { ReplicaSurvey } from "../replication/survey/replica-survey.ts";
import { withoutAckName } from "../replication/transport/open-peers.ts";
import type { AuditEntry } from "../store/log/audit-entry.ts";
import type { StoreState } from "../store/log/store-state.ts";
import { lockNodeDirectory } from "../store/directory/data-directory.ts";
import { AppError } from "../util/app-error.ts";
import type { ClusterSystem } from "./cluster-system.ts";
import { positionHealth, replicaHealth, startReports } from "./edge.ts";
import type { NodeParts } from "./node-parts.ts";

/** It asks for the log every few seconds and uses no broker. `stop` of the result ends the role, not the parts. */
export async function startFollowingFallback(parts: NodeParts, config: Config): Promise<Node> {
  // The parts stop in reverse order, also if a later part fails to start.
  await using started = new AsyncDisposableStack();
  const replica = await openReplica(config, parts, withoutAckName, started, (asked) => survey.answer(asked));
  const health = (): NodeHealth => {
    const { state, ...rest } = replicaHealth(replica, parts.limits.readyAgeMsMax);
    return {
      ...rest,
      ...withoutBroker,
      state: state === "STALE_FEED" ? "FOLLOWING" : state,
      ...policyHealth(replica.state()),
    };
  };
  const nodeKeyHashes = nodeKeyHashesOf(config);
  const own = reporterOf({ node: parts.id, nodeKeyHashes, health, appliedMs: replica.appliedMs });
  const survey = new ReplicaSurvey(own, replica.peers, parts.clock);
  replica.loop.start();
  startReports(parts, replica, started);
  const running = started.move();
  return {
    ...commonMembers(parts, parts.keyUses),
    engine: replica.engine,
    shared: replica.database,
    events: replica.events,
    audit: parts.audit,
    state: replica.state,
    health,
    survey: (wanted) => survey.ask(wanted),
    requireFresh: () => replica.requireFresh(config.maxStaleness),
    reportDamage: replica.reportDamage,
    backup: serveReplicaBackups(parts, replica, nodeKeyHashes?.[0]),
    stop: () => running.disposeAsync(),
  };
}

/** A node without a writer, so it has parts of its own. It ends them with its role. */
export async function startSnapshotFallback(config: Config, system: ClusterSystem): Promise<Node> {
  const { maxStaleness } = config;
  await using started = new AsyncDisposableStack();
  const context = new NodeContext(config, system);
  const { data, limits, clock } = context;
  const directory = lockNodeDirectory(data);
  started.defer(directory.unlock);
  const { id } = context;
  const replica = await openSnapshotReplica(context, config, directory, started, () => survey.report());
  const health = (): NodeHealth => snapshotHealth(replica, config);
  const nodeKeyHashes = nodeKeyHashesOf(config);
  const own = reporterOf({ node: id, nodeKeyHashes, health, appliedMs: () => null });
  const survey = new ReplicaSurvey(own, replica.peers, clock);
  // No question reaches this node, and its snapshots can be far apart.
  started.defer(clock.every(reportIntervalMs, () => survey.report()));
  const keyUses = new KeyUses(data, clock);
  const { peers } = replica;
  const report = peers && ((uses: UsesByKey) => peers.primary.client.keyUses(uses));
  started.defer(keyUses.start(limits.keyUsesIntervalMs, report));
  // Nothing writes to the database of this node: the next snapshot of the primary has the entries.
  const store = peers && ((entries: readonly AuditEntry[]) => peers.primary.client.sendAudit(entries));
  const audit = createAuditRecorder(context, () => replica.database.reader(), store);
  started.defer(() => audit.close());
  const running = started.move();
  return {
    ...commonMembers(context, keyUses),
    engine: replica.engine,
    shared: replica.database,
    events: undefined,
    audit,
    state: replica.state,
    health,
    survey: (wanted) => survey.ask(wanted),
    requireFresh: () => requireMaxAge(replica.ageMs(), maxStaleness),
    reportDamage: replica.reportDamage,
    backup: createBackupServer(context, () => replica.database.path, nodeKeyHashes?.[0]),
    stop: () => running.disposeAsync(),
  };
}

/** How often a fallback that fetches snapshots reports to the primary. */
const reportIntervalMs = 20_000;

/** A fallback ignores consistency tokens: when all other nodes are gone, an old answer is better than none. */
function commonMembers({ id, environment, clock }: NodeContext, keyUses: KeyUses) {
  return {
    role: "fallback",
    id,
    environment,
    clock,
    keyUses,
    writes: undefined,
    forward: undefined,
    promote: undefined,
    async waitFor() {},
    async waitForLatest() {},
    replication: () => undefined,
    mqttConnection: undefined,
  } as const;
}

/** A copy without a policy answers no questions. */
function policyHealth(state: StoreState | undefined): Partial<NodeHealth> {
  return lacksPolicy(state) ? { ok: false, degraded: withoutPolicy } : {};
}

/** AppError `not_ready` if the data is older than `maxMs`. */
function requireMaxAge(ageMs: number | null, maxMs: number | undefined): void {
  if (maxMs === undefined || ageMs === null || ageMs <= maxMs) return;
  throw new AppError(
    "not_ready",
    `this copy was last known to be the newest ${Math.round(ageMs / 1000)} s ago, longer than \`maxStaleness\` lets it answer`,
  );
}

const withoutBroker = { role: "fallback", isBrokerConnected: false, brokers: [] } as const;

/** After so many missed refreshes a fallback is degraded. */
const missedRefreshesMax = 3;

function snapshotHealth(replica: SnapshotReplica, { primary, refresh }: Config): NodeHealth {
  const { database, storage } = replica;
  const ageMs = replica.ageMs();
  // Without a primary no refresh is expected.
  const ageMsMax = primary === undefined ? Infinity : refresh * missedRefreshesMax;
  const isOld = ageMs !== null && ageMs > ageMsMax;
  return {
    ...positionHealth(replica.state()),
    ...withoutBroker,
    ageMs,
    storageOk: storage.problem === undefined,
    degraded: storage.problem ?? (isOld ? `its copy was last known to be the newest ${ageMs} ms ago` : undefined),
    ok: database.isOpen,
    state: database.isOpen ? "SNAPSHOT" : "BOOTSTRAP",
    ...policyHealth(replica.state()),
    ...foreignHealth(replica.historyGuard),
    ...database.health(),
  };
}
