/** The states that a node reports in its health check, its replication status and its metrics. */
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
