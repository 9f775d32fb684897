/**
 * A network of Linux network namespaces: one for each host, with two bridges between them, one for clients and one for
 * the cluster. A link is cut by taking its interface down, which comes close to a pulled cable. Two hosts are cut from
 * each other by a wrong entry in the ARP table of each: then their packets go to an unused Ethernet address.
 *
 * The bridges belong to the namespace of this process, which should be its own (`inNamespace`): then everything is
 * removed with the process, and no packet can leave the machine.
 */
import * as Bun from "bun";
import { findProgram, programPath } from "../e2e/program.ts";
import { isEtcd, isNode, type Host, type Network, type Side } from "./network.ts";

const insideVariable = "OSTIARY_CHAOS_NAMESPACE";

/** Why there can be no namespaces on this machine; undefined if there can. */
export function missingForNamespaces(): string | undefined {
  if (process.getuid?.() !== 0) return "only root can make network namespaces";
  for (const program of ["ip", "unshare"]) if (findProgram(program) === null) return `${program} is not installed`;
  const addBridge = [programPath("ip"), "link", "add", "name", "tried", "type", "bridge"];
  const tried = Bun.spawnSync([programPath("unshare"), "--net", "--mount", ...addBridge]);
  return tried.success ? undefined : `no bridge in a namespace of its own: ${tried.stderr.toString().trim()}`;
}

/** Whether this process already runs in a namespace of its own. */
export const isInside = (): boolean => process.env[insideVariable] !== undefined;

/**
 * Runs the same program with the same parameters in its own namespaces for network and mounts. Resolves with its exit
 * status.
 */
export async function inNamespace(): Promise<number> {
  const child = Bun.spawn([programPath("unshare"), "--net", "--mount", process.execPath, ...process.argv.slice(1)], {
    env: { ...process.env, [insideVariable]: "1" },
    stdio: ["inherit", "inherit", "inherit"],
  });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => child.kill(signal));
  return child.exited;
}

const networks: Readonly<Record<Side, string>> = { clients: "10.77.1", cluster: "10.77.2" };
const sides: readonly Side[] = ["clients", "cluster"];
/** The addresses of this process at both bridges. */
const ownNumber = 254;

const unusedAddress = "02:00:00:00:00:00";

const namespaceOf = (host: Host): string => `ostiary-chaos-${process.pid}-${host}`;

export function openNamespaces(hosts: readonly Host[]): Network {
  const numberOf = (host: Host): number => hosts.indexOf(host) + 1;
  ip("link", "set", "lo", "up");
  for (const side of sides) {
    ip("link", "add", "name", side, "type", "bridge");
    ip("addr", "add", `${networks[side]}.${ownNumber}/24`, "dev", side);
    ip("link", "set", side, "up");
  }
  const removeAll = (): void => {
    for (const host of hosts) Bun.spawnSync([programPath("ip"), "netns", "delete", namespaceOf(host)]);
  };
  process.once("exit", removeAll);
  for (const host of hosts) connect(host, numberOf(host));
  const between = async (one: Host, other: Host, ...change: string[]): Promise<void> => {
    const pairs = [[one, other] as const, [other, one] as const];
    const entry = (of: Host): string[] => [...change, `${networks.cluster}.${numberOf(of)}`, "dev", "cluster"];
    await Promise.all(pairs.map(([from, to]) => ipLater("-n", namespaceOf(from), "neigh", ...entry(to))));
  };
  return {
    kind: "namespaces",
    place: (host) => ({
      through: [programPath("ip"), "netns", "exec", namespaceOf(host)],
      listen: "0.0.0.0",
      address: `${networks[isNode(host) ? "clients" : "cluster"]}.${numberOf(host)}`,
      port: portOf(host),
    }),
    address(from, to) {
      const side = from === "clients" && isNode(to) ? "clients" : "cluster";
      return `${networks[side]}.${numberOf(to)}:${portOf(to)}`;
    },
    cut: (host, side) => ipLater("link", "set", cableOf(side, numberOf(host)), "down"),
    mend: (host, side) => ipLater("link", "set", cableOf(side, numberOf(host)), "up"),
    cutBetween: (one, other) => between(one, other, "replace", "lladdr", unusedAddress, "nud", "permanent", "to"),
    mendBetween: (one, other) => between(one, other, "delete"),
    close: () => Promise.resolve(removeAll()),
  };
}

function portOf(host: Host): number {
  if (isNode(host)) return 8080;
  return isEtcd(host) ? 2379 : 1883;
}

/** The end of the cable in this process's namespace. Names of interfaces are short. */
const cableOf = (side: Side, number: number): string => `${side}-${number}`;

function connect(host: Host, number: number): void {
  const namespace = namespaceOf(host);
  ip("netns", "add", namespace);
  ip("-n", namespace, "link", "set", "lo", "up");
  for (const side of sides) {
    const cable = cableOf(side, number);
    ip("link", "add", "name", cable, "type", "veth", "peer", "name", side, "netns", namespace);
    ip("link", "set", cable, "master", side, "up");
    ip("-n", namespace, "addr", "add", `${networks[side]}.${number}/24`, "dev", side);
    ip("-n", namespace, "link", "set", side, "up");
  }
}

/** Asynchronous, unlike the others: it runs while clients measure the duration of their reads. */
async function ipLater(...parameters: string[]): Promise<void> {
  const child = Bun.spawn([programPath("ip"), ...parameters], { stderr: "pipe" });
  if ((await child.exited) === 0) return;
  throw new Error(`ip ${parameters.join(" ")} failed: ${(await child.stderr.text()).trim()}`);
}

function ip(...parameters: string[]): void {
  const { success, stderr } = Bun.spawnSync([programPath("ip"), ...parameters]);
  if (!success) throw new Error(`ip ${parameters.join(" ")} failed: ${stderr.toString().trim()}`);
}
