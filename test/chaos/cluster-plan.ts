/**
 * The nodes of a cluster under chaos, and their settings. Either one node is always the primary, without failover; or
 * there are three members that can each be the primary and know the others' addresses (`peers`), with or without a
 * coordination service that decides which of them it is (`failover`).
 */
import type { Mosquitto } from "../e2e/mosquitto.ts";
import { etcdNames, hosts, isBroker, memberNames, type Host, type Network } from "./network.ts";

export const fixedNodes = ["primary", "edge-a", "edge-b", "fallback"] as const;
export const memberNodes = [...memberNames, "fallback"] as const;
export type NodeName = (typeof fixedNodes)[number] | (typeof memberNodes)[number];

export const brokerKinds = ["mosquitto", "embedded"] as const;

export interface ClusterPlan {
  /** Undefined if one node is always the primary. */
  readonly members: { readonly failover: boolean; readonly ack: string } | undefined;
  readonly broker: (typeof brokerKinds)[number];
}

/**
 * Whether nothing protects acknowledged writes and prevents two primaries. Then the checker has to report violations.
 */
export const isUnguarded = ({ members }: ClusterPlan): boolean => members?.failover === true && members.ack === "none";

type Settings = Readonly<Record<string, string>>;

/** A primary that has lost its lease without noticing continues long enough for its successor to start. */
const unguarded: Settings = { OSTIARY_FAILOVER_MAY_LOSE_WRITES: "true", OSTIARY_FAILOVER_TTL: "20s" };

export interface ClusterAddresses {
  readonly network: Network;
  readonly adminKey: string;
  /** Undefined if the nodes' own brokers are used. */
  readonly mosquitto: Mosquitto | undefined;
}

export function hostsOf({ members, broker }: ClusterPlan): readonly Host[] {
  const nodes = members === undefined ? fixedNodes : memberNodes;
  const brokers = broker === "embedded" ? [] : hosts.filter(isBroker);
  return [...nodes, ...brokers, ...(members?.failover === true ? etcdNames : [])];
}

export const nodesOf = ({ members }: ClusterPlan): readonly NodeName[] =>
  members === undefined ? fixedNodes : memberNodes;

/** The nodes that clients write to, and read from before they ask the fallback. */
export const frontOf = (plan: ClusterPlan): readonly NodeName[] => nodesOf(plan).filter((name) => name !== "fallback");

/** The nodes that are asked for reads before the fallback. */
export const readableOf = (plan: ClusterPlan): readonly NodeName[] =>
  frontOf(plan).filter((name) => name !== "primary");

export interface NodePlan {
  readonly role: "primary" | "edge" | "fallback";
  readonly settings: Settings;
}

export function planNode(name: NodeName, plan: ClusterPlan, around: ClusterAddresses): NodePlan {
  const { network, adminKey } = around;
  const brokers = brokerSettings(name, plan, around);
  const urlOf = (other: NodeName): string => `http://${network.address(name, other)}`;
  const first = plan.members === undefined ? "primary" : "node-a";
  const role = name === first ? "primary" : name === "fallback" ? "fallback" : "edge";
  const base = role === "primary" ? { OSTIARY_ADMIN_KEY: adminKey } : { OSTIARY_PRIMARY: urlOf(first) };
  const others = memberNames.filter((other) => other !== name);
  const peers: Settings = plan.members === undefined ? {} : { OSTIARY_PEERS: others.map(urlOf).join(",") };
  if (role === "fallback") return { role, settings: { ...base, ...peers, OSTIARY_REFRESH: "2s" } };
  return {
    role,
    settings: { ...base, ...peers, ...brokers, ...memberSettings(name, plan, network), OSTIARY_MQTT_PORT: "0" },
  };
}

function memberSettings(name: NodeName, plan: ClusterPlan, network: Network): Settings {
  const { members } = plan;
  if (members === undefined) return {};
  const engine = etcdNames.map((member) => network.address(name, member)).join(",");
  return {
    OSTIARY_ACK: members.ack,
    ...(members.failover ? { OSTIARY_FAILOVER: `etcd://${engine}` } : {}),
    ...(isUnguarded(plan) ? unguarded : {}),
  };
}

/** Each member logs in as an edge, and as the primary once it is promoted. */
function brokerSettings(name: NodeName, plan: ClusterPlan, { mosquitto, network }: ClusterAddresses): Settings {
  if (mosquitto === undefined) return {};
  const urls = hosts.filter(isBroker).map((broker) => `mqtt://${network.address(name, broker)}`);
  const { primary, edge } = mosquitto;
  const promoted: Settings = {
    OSTIARY_PROMOTED_BROKER_USERNAME: primary["OSTIARY_BROKER_USERNAME"] ?? "",
    OSTIARY_PROMOTED_BROKER_PASSWORD: primary["OSTIARY_BROKER_PASSWORD"] ?? "",
  };
  const isFirst = name === "primary" || name === "node-a";
  const login = isFirst ? primary : { ...edge, ...(plan.members === undefined ? {} : promoted) };
  return { ...login, OSTIARY_BROKER: urls.join(",") };
}
