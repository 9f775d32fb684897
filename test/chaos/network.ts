/**
 * Where the processes of a cluster are, and the links between them, which can be cut. Each host has up to two of these: one to the clients, and one
 * to the rest of the cluster, so that a node can lose its primary and still be asked.
 */
import type { Place } from "../../scripts/node-process.ts";

export const hosts = ["primary", "edge-a", "edge-b", "fallback", "broker-a", "broker-b"] as const;
export type Host = (typeof hosts)[number];

export const isBroker = (host: Host): boolean => host.startsWith("broker");

export type Side = "clients" | "cluster";

export interface Network {
  readonly kind: "namespaces" | "proxies";
  place(host: Host): Place & { readonly port: number };
  /** Host and port at which somebody reaches a host. */
  address(from: Host | "clients", to: Host): string;
  /** From now on nothing goes through, and nobody is told: packets are lost, connections stay. */
  cut(host: Host, side: Side): Promise<void>;
  mend(host: Host, side: Side): Promise<void>;
  close(): Promise<void>;
}
