/** Observes the nodes during the attacks: whether they run, their memory, their logs, and their responses with 500. */
import { readdirSync, readFileSync } from "node:fs";
import type { NodeProcess, OutputSize } from "../../scripts/node-process.ts";
import type { NodeName } from "./attack.ts";

export interface NodeExit {
  readonly node: NodeName;
  readonly atMs: number;
  readonly ending: string;
  readonly lastLines: string;
}

const watchIntervalMs = 200;
/** A node that exits is restarted, so that the siege continues, but only this often. */
const restartsMax = 10;

export class NodeWatch {
  readonly exits: NodeExit[] = [];
  readonly #nodes: ReadonlyMap<NodeName, NodeProcess>;
  readonly #restarts = new Map<NodeName, number>();
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(nodes: ReadonlyMap<NodeName, NodeProcess>) {
    this.#nodes = nodes;
  }

  start(): void {
    this.#timer = setInterval(() => this.#look(true), watchIntervalMs);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#look(false);
  }

  /** The memory of the node and its worker processes; undefined if it does not run. */
  anonymousBytes(name: NodeName): number | undefined {
    const pid = this.#nodes.get(name)?.pid;
    if (pid === undefined || this.#nodes.get(name)?.running !== true) return undefined;
    return withDescendants(pid).reduce((sum, one) => sum + anonymousBytesOf(one), 0);
  }

  outputSizes(): Readonly<Record<string, OutputSize>> {
    return Object.fromEntries([...this.#nodes].map(([name, node]) => [name, node.outputSize]));
  }

  #look(mayRestart: boolean): void {
    for (const [name, node] of this.#nodes) {
      const { ending } = node;
      const restarts = this.#restarts.get(name) ?? 0;
      if (ending === undefined || restarts > restartsMax) continue;
      this.exits.push({ node: name, atMs: Date.now(), ending, lastLines: node.output.slice(-1000) });
      this.#restarts.set(name, restarts + 1);
      if (mayRestart && restarts < restartsMax) node.launch();
    }
  }
}

function withDescendants(pid: number): number[] {
  const children = threadsOf(pid).flatMap((thread) => readOr(`/proc/${pid}/task/${thread}/children`, "").split(" "));
  return [pid, ...children.filter(Boolean).map(Number).flatMap(withDescendants)];
}

function threadsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

function anonymousBytesOf(pid: number): number {
  const kilobytes = /^Anonymous:\s+(\d+) kB/m.exec(readOr(`/proc/${pid}/smaps_rollup`, ""))?.[1];
  return Number(kilobytes ?? 0) * 1024;
}

function readOr(path: string, otherwise: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return otherwise;
  }
}

/** The number of responses with status 500 since the start of a node, by route; undefined if it does not answer. */
export async function serverErrorsAt(url: string, key: string): Promise<ReadonlyMap<string, number> | undefined> {
  try {
    const answer = await fetch(`${url}/metrics`, {
      headers: { Authorization: `Bearer ${key}` },
      signal: AbortSignal.timeout(5000),
    });
    if (!answer.ok) return undefined;
    const counts = new Map<string, number>();
    for (const [, labels = "", value] of (await answer.text()).matchAll(requestCount)) {
      const route = /route="([^"]*)"/.exec(labels)?.[1] ?? "";
      const method = /method="([^"]*)"/.exec(labels)?.[1] ?? "";
      if (labels.includes('status="500"')) counts.set(`${method} ${route}`, Number(value));
    }
    return counts;
  } catch {
    return undefined;
  }
}

const requestCount = /^ostiary_http_request_duration_seconds_count\{([^}]*)\} (\d+)/gm;
