/**
 * The system of a node in a cluster: the base system, connections to other nodes, the embedded broker, and the lease of
 * the primary.
 */
import type { Lease, LeaseOptions } from "../replication/lease/lease.ts";
import { openLease } from "../replication/lease/open-lease.ts";
import { realSystem } from "../replication/system.ts";
import type { BrokerSystem } from "../replication/transport/event-stream.ts";
import { connectNode, type PeerSystem } from "../replication/transport/node-client.ts";
import { SharedBroker } from "../replication/transport/shared-broker.ts";

export interface ClusterSystem extends PeerSystem, BrokerSystem {
  /** Opens the lease of the primary in the coordination service that the configuration names. */
  openLease(options: LeaseOptions): Lease;
}

export const realClusterSystem: ClusterSystem = {
  ...realSystem,
  connectNode: (options) => connectNode(options, realSystem),
  openBroker: (options) => new SharedBroker().open(options),
  openLease: (options) => openLease(options, realSystem),
};
