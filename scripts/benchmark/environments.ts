/** Hosted environments: how long it takes to create one, and what idle ones cost a primary and an edge. */
import { readFileSync } from "node:fs";
import * as Bun from "bun";
import type { NodeProcess } from "../node-process.ts";
import type { Nodes } from "./nodes.ts";
import { memoryOf, patienceMs } from "./starting.ts";
import { median } from "./timing.ts";

interface Created {
  readonly token: string;
}

/** Creates environments, one after the other. Returns their admin keys. */
export async function environmentsOf(
  nodes: Nodes,
  count: number,
  { copyOf, created = () => {} }: { readonly copyOf?: string; readonly created?: (milliseconds: number) => void } = {},
): Promise<string[]> {
  const keys: string[] = [];
  for (let index = 1; index <= count; index++) {
    const beginMs = performance.now();
    const { token } = (await call(nodes.primary, nodes.adminKey, "POST", "/api/environments", {
      id: `e${index}`,
      ...(copyOf !== undefined && { copy_of: copyOf }),
    })) as Created;
    created(performance.now() - beginMs);
    keys.push(token);
  }
  return keys;
}

export interface IdleCost {
  /** Bytes of own memory per environment. */
  readonly bytes: number;
  /** Share of a core, without environments and with them. */
  readonly before: number;
  readonly after: number;
}

export interface IdleCosts {
  readonly environments: number;
  /** Milliseconds, the median. The first one is left out: it creates the registry too. */
  readonly creation: number;
  readonly primary: IdleCost | undefined;
  readonly edge: IdleCost | undefined;
}

/** Both nodes get no requests in the meantime. Costs are undefined where the system does not report them. */
export async function measureIdle(nodes: Nodes, environments: number, idleSeconds: number): Promise<IdleCosts> {
  const { primary, edge, adminKey } = nodes;
  await primary.start(undefined, patienceMs);
  await edge.start(({ ok, state }) => ok && state === "LIVE", patienceMs);
  const before = await usageOf([primary, edge], idleSeconds);
  const taken: number[] = [];
  await environmentsOf(nodes, environments, { created: (milliseconds) => taken.push(milliseconds) });
  await followed(edge, adminKey, environments);
  const after = await usageOf([primary, edge], idleSeconds);
  const cost = (node: number): IdleCost | undefined => {
    const [first, second] = [before[node], after[node]];
    if (first === undefined || second === undefined) return undefined;
    return { bytes: (second.own - first.own) / environments, before: first.busy, after: second.busy };
  };
  return { environments, creation: median(taken.slice(1)), primary: cost(0), edge: cost(1) };
}

async function followed(edge: NodeProcess, adminKey: string, environments: number): Promise<void> {
  const endMs = performance.now() + patienceMs;
  while (performance.now() < endMs) {
    const answer = await call(edge, adminKey, "GET", "/api/environments");
    const { environments: all } = answer as { readonly environments: readonly { readonly ready?: boolean }[] };
    if (all.filter(({ ready }) => ready === true).length > environments) return;
    await Bun.sleep(100);
  }
  throw new Error("an edge does not follow all environments");
}

interface Usage {
  readonly own: number;
  readonly busy: number;
}

/** Own memory, at the end of some idle seconds, and the share of a core during these. */
async function usageOf(nodes: readonly NodeProcess[], seconds: number): Promise<(Usage | undefined)[]> {
  // Garbage of earlier work is collected meanwhile.
  await Bun.sleep(settleMs);
  const begun = nodes.map(({ pid }) => cpuSecondsOf(pid));
  await Bun.sleep(seconds * 1000);
  return nodes.map(({ pid }, index) => {
    const [first, second, memory] = [begun[index], cpuSecondsOf(pid), memoryOf(pid)];
    if (first === undefined || second === undefined || memory === undefined) return undefined;
    return { own: memory.own, busy: (second - first) / seconds };
  });
}

const settleMs = 5000;
/** Linux reports times in hundredths of a second on all platforms of Bun. */
const ticksPerSecond = 100;

/** User and system time of all threads. Undefined if the system does not report it. */
export function cpuSecondsOf(pid: number | undefined): number | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    return undefined;
  }
  // The name of the program, in parentheses, may contain spaces.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

/** Returns the answer. Throws if the request is refused. */
export async function call(
  node: NodeProcess,
  key: string,
  method: string,
  path: string,
  body?: unknown,
): Promise<unknown> {
  const response = await fetch(node.url + path, {
    method,
    headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json" },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  if (!response.ok) throw new Error(`${method} ${path} was answered with ${response.status}: ${await response.text()}`);
  return response.json();
}
