/** The health of a node, as `/readyz`, the metrics and the status on the event stream report it. */
import type { StoreState } from "../store/log/store-state.ts";

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

export interface BrokerStatus {
  /** `host:port`, or `embedded` for the broker inside this process. */
  readonly broker: string;
  readonly connected: boolean;
}

export interface NodeHealth {
  /** Whether this node can answer requests. */
  readonly ok: boolean;
  /** Why a load balancer should prefer other nodes although this node can answer, such as old data. */
  readonly degraded?: string | undefined;
  /** Whether this node can write to its disk. */
  readonly storageOk: boolean;
  readonly role: "primary" | "edge" | "fallback";
  readonly state: ReplicaStateName;
  readonly epoch: string | null;
  readonly term: number | null;
  readonly offset: number | null;
  readonly digest: string | null;
  /** How long ago this node was last known to have all events. Null while it has no database. */
  readonly ageMs: number | null;
  /** From the commit of the last event on the primary until it was visible here. Null before the first event. */
  readonly visibleAfterMs?: number | null;
  readonly isBrokerConnected: boolean;
  /** In the order of the setting. */
  readonly brokers: readonly BrokerStatus[];
  /** How many nodes are connected to the embedded broker. */
  readonly brokerClients?: number;
  /** The candidate whose promotion an edge waits for. Meanwhile the edge does not count for acknowledgements. */
  readonly votedFor?: string;
  /** The other history that a node nearby has and that this node does not adopt. */
  readonly foreignHistory?: string;
  /** Whether this node has just started, and plans the first questions. Clients should ask other nodes meanwhile. */
  readonly isWarmingUp?: boolean;
  /** The older format that the database keeps until `ostiary migrate`. */
  readonly keptFormat?: number;
  /** How many events only this primary has, which was replaced. */
  readonly unreplicated?: number;
}

/** Whether clients should ask this node, as `/readyz` says. */
export function isReady({ ok, degraded, isWarmingUp }: NodeHealth): boolean {
  return ok && degraded === undefined && isWarmingUp !== true;
}

/** Why a fallback does not answer although it has a copy. */
export const withoutPolicy = "its copy is from before the first policy; it waits for a newer one";

/** Whether a copy is from before the first policy. */
export function lacksPolicy(state: Pick<StoreState, "policyId"> | undefined): boolean {
  return state?.policyId === 0;
}
