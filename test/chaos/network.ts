/**
 * The addresses of the processes of a cluster, and the links between them, which can be cut. Each host has up to two
 * links: one to the clients, and one to the rest of the cluster, so that a node can lose its primary and still be
 * asked.
 */
import type { Place } from "../../scripts/node-process.ts";

export const hosts = ["primary", "edge-a", "edge-b", "fallback", "broker-a", "broker-b"] as const;
export const memberNames = ["node-a", "node-b", "node-c"] as const;
export const etcdNames = ["etcd-a", "etcd-b", "etcd-c"] as const;
/** A node that may be the primary or an edge. */
export type Member = (typeof memberNames)[number];
export type Etcd = (typeof etcdNames)[number];
export type Host = (typeof hosts)[number] | Member | Etcd;

export const isBroker = (host: Host): boolean => host.startsWith("broker");
export const isEtcd = (host: Host): host is Etcd => host.startsWith("etcd");
export const isMember = (host: Host): host is Member => host.startsWith("node");
/** Whether clients ask it. The other hosts are only on the side of the cluster. */
export const isNode = (host: Host): boolean => !isBroker(host) && !isEtcd(host);

export type Side = "clients" | "cluster";

export interface Network {
  readonly kind: "namespaces" | "proxies";
  place(host: Host): Place & { readonly port: number };
  /** The host and port at which one host reaches another. */
  address(from: Host | "clients", to: Host): string;
  /** From now on nothing passes, without notice: packets are lost, connections stay open. */
  cut(host: Host, side: Side): Promise<void>;
  mend(host: Host, side: Side): Promise<void>;
  /** The same between two hosts of the cluster. Rejects in a network of proxies. */
  cutBetween(one: Host, other: Host): Promise<void>;
  mendBetween(one: Host, other: Host): Promise<void>;
  close(): Promise<void>;
}
