/** Nodes of one cluster in this process, with real parts: SQLite files, workers, HTTP listeners and brokers. */
import * as Bun from "bun";
import { expect } from "bun:test";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectAsync, type IClientOptions } from "mqtt";
import type { Config } from "../../src/config/config.ts";
import { defaultLimits } from "../../src/config/limits.ts";
import { loadConfig } from "../../src/config/load.ts";
import { startEdge } from "../../src/roles/edge.ts";
import { startFollowingFallback, startSnapshotFallback } from "../../src/roles/fallback.ts";
import { topicsOf } from "../../src/replication/transport/topics.ts";
import type { AnnounceKeys } from "../../src/roles/primary-keys.ts";
import type { Node } from "../../src/replication/node.ts";
import { mintEpoch } from "../../src/log/event/position.ts";
import { startPrimary, type PrimaryNode } from "../../src/roles/primary.ts";
import { append } from "../../src/log/append/append.ts";
import { type ClusterSystem, realClusterSystem } from "../../src/roles/cluster-system.ts";
import { startEnvironments } from "../../src/environments/host.ts";
import { startNode } from "../../src/roles/node-loop.ts";
import { startAlone } from "../../src/roles/node-parts.ts";
import { serveNode, type RunningNode } from "../../src/roles/node-service.ts";
import { currentStorePath } from "../../src/store/directory/data-directory.ts";
import { openStore } from "../../src/store/connection/open-store.ts";
import type { Fact } from "../../src/store/facts/fact.ts";
import { openLog } from "../../src/store/log/log.ts";
import { readState } from "../../src/store/log/store-state.ts";
import { nextFailoverTerm } from "../../src/store/log/terms.ts";
import { must } from "../../src/util/assert.ts";
import { type Clock, systemClock } from "../../src/util/clock.ts";
import type { NodeHealth } from "../../src/replication/node-health.ts";

export const nodeKey = "n_test_0123456789abcdef";
export const adminKey = "e_test_admin_0123456789abcdef0123456789abcdef";
export const untraced = { traceparent: null };

export const policy = `
actor User {}
resource Repo { permissions = ["read"]; roles = ["reader"]; "read" if "reader"; }
`;

export interface Running<N extends Node> {
  readonly node: N;
  readonly url: string;
  readonly data: string;
  stop(): Promise<void>;
}

/** A temporary directory that is removed after the test. */
export async function withDirectory<T>(body: (directory: string) => Promise<T>): Promise<T> {
  const directory = mkdtempSync(join(tmpdir(), "ostiary-test-"));
  try {
    return await body(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Several nodes in one directory. Nodes that still run at the end are stopped. */
/** How many threads of a node answer questions, if a test does not say it. */
export const threadsInTests = Number(process.env["TEST_THREADS"] ?? "1");

export async function withCluster(body: (cluster: Cluster) => Promise<void>, flags: Flags = {}): Promise<void> {
  await withDirectory(async (directory) => {
    const cluster = new Cluster(directory, flags);
    try {
      await body(cluster);
    } finally {
      await cluster.stop();
    }
  });
}

type Flags = Readonly<Record<string, string>>;

/** As the value of a flag: the flag is not given at all. */
export const unset = "";

export class Cluster {
  readonly directory: string;
  readonly #flags: Flags;
  readonly #running = new Set<Running<Node>>();
  readonly #roles = new Set<RunningNode>();

  constructor(directory: string, flags: Flags) {
    this.directory = directory;
    this.#flags = flags;
  }

  config(role: Config["role"], name: string, flags: Flags): Config {
    const common = {
      role,
      environment: "test",
      nodeKey,
      host: "127.0.0.1",
      port: "0",
      mqttPort: "0",
      "log.level": "error",
      threads: String(threadsInTests),
    };
    const all = { ...common, nodeId: name, data: join(this.directory, name), ...this.#flags, ...flags };
    const set = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== unset));
    const { config, problems } = loadConfig({ environment: {}, flags: set });
    return must(config, problems.join("; "));
  }

  async primary(flags: Flags = {}, announce?: AnnounceKeys, system?: ClusterSystem): Promise<Running<PrimaryNode>> {
    const config = this.config("primary", "primary", { adminKey, ...flags });
    return this.#serve(config, () => startAlone(config, (parts) => startPrimary(parts, config, { announce }), system));
  }

  async edge(
    name: string,
    primary: { readonly url: string },
    flags: Flags = {},
    system?: ClusterSystem,
  ): Promise<Running<Node>> {
    return this.#serve(this.config("edge", name, { primary: primary.url, ...flags }), (config) =>
      startAlone(config, (parts) => startEdge(parts, config), system),
    );
  }

  /** An edge as the command line starts it: it can be promoted, and then answers as the primary at the same address. */
  async promotable(
    name: string,
    flags: Flags,
    system?: ClusterSystem,
  ): Promise<RunningNode & { readonly data: string }> {
    return this.#asMember(this.config("edge", name, flags), startNode, system);
  }

  /** A primary as the command line starts it: it can be replaced, and then continues as an edge at the same address. */
  async member(flags: Flags, system?: ClusterSystem): Promise<RunningNode & { readonly data: string }> {
    return this.#asMember(this.config("primary", "primary", { adminKey, ...flags }), startNode, system);
  }

  /** A node with all its environments, as `ostiary serve` starts it. */
  async host(
    role: Config["role"],
    name: string,
    flags: Flags = {},
    system?: ClusterSystem,
  ): Promise<RunningNode & { readonly data: string }> {
    const config = this.config(role, name, { ...(role === "primary" && { adminKey }), ...flags });
    return this.#asMember(config, startEnvironments, system);
  }

  async #asMember(
    config: Config,
    start: typeof startNode,
    system?: ClusterSystem,
  ): Promise<RunningNode & { readonly data: string }> {
    const running = await start(config, system);
    const tracked = { ...running, data: config.data, stop: () => (this.#roles.delete(tracked), running.stop()) };
    this.#roles.add(tracked);
    return tracked;
  }

  async fallback(primary: { readonly url: string }, flags: Flags = {}, system?: ClusterSystem): Promise<Running<Node>> {
    return this.#serve(
      this.config("fallback", "fallback", { primary: primary.url, refresh: "1s", ...flags }),
      (config) =>
        config.follow
          ? startAlone(config, (parts) => startFollowingFallback(parts, config), system)
          : startSnapshotFallback(config, system ?? realClusterSystem),
    );
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#running, ...this.#roles].map((running) => running.stop()));
  }

  async #serve<N extends Node>(config: Config, start: (config: Config) => Promise<N>): Promise<Running<N>> {
    const node = await start(config);
    const { url, stop } = await serveNode(config, node).catch(async (error: unknown) => {
      await node.stop();
      throw error;
    });
    const running: Running<N> = {
      node,
      url,
      data: config.data,
      stop: () => {
        this.#running.delete(running);
        return stop().finally(() => node.stop());
      },
    };
    this.#running.add(running);
    return running;
  }
}

/** A system whose clocks a test can move. Its timers are real. */
export class SystemWithClock implements ClusterSystem {
  readonly #real = realClusterSystem;
  /** By how much the wall clock is ahead, in ms. */
  aheadMs = 0;
  /** How much time has passed on the monotonic clock besides the real one, in ms. */
  passedMs = 0;
  readonly clock: Clock = {
    ...systemClock,
    monotonicMs: () => systemClock.monotonicMs() + this.passedMs,
    wallMs: () => systemClock.wallMs() + this.aheadMs,
  };
  readonly fetch = this.#real.fetch;
  readonly connectMqtt = this.#real.connectMqtt;
  readonly openBroker = this.#real.openBroker;
  readonly spawnWorker = this.#real.spawnWorker;
  readonly approvePolicies = this.#real.approvePolicies;
  readonly compileAhead = this.#real.compileAhead;
  readonly serve = this.#real.serve;
  readonly connectNode = this.#real.connectNode;
  readonly openLease = this.#real.openLease;
}

/**
 * A data directory for a primary that replaces another one, which may still run: a copy, with the term that a promoted
 * edge begins.
 */
export function successorOf(original: { readonly data: string }, target: string): string {
  duplicateOf(original, target);
  const store = openStore(must(currentStorePath(target)));
  const term = nextFailoverTerm(readState(store).term);
  const request = { kind: "epoch", epoch: mintEpoch(systemClock), term } as const;
  store.transaction(() => append(store, openLog(store), request, { traceparent: null }, defaultLimits), "immediate");
  store.close();
  return target;
}

/** Copies the data directory of a primary, which may still run. */
export function duplicateOf({ data }: { readonly data: string }, target: string): string {
  cpSync(data, target, { recursive: true, filter: (path) => !/(?:\/lock|-shm)$/.test(path) });
  return target;
}

/**
 * Removes the retained head of a primary from a broker: another primary with an empty directory would refuse to start.
 */
export async function forgetHead(url: string, login: IClientOptions): Promise<void> {
  const client = await connectAsync(url, { ...login, clientId: "forgetful", reconnectPeriod: 0 });
  await client.publishAsync(topicsOf("ostiary/v1", "test").head, "", { qos: 1, retain: true });
  await client.endAsync();
}

export function reader(user: string, repo = "main"): Fact {
  const args = [
    { type: "User", id: user },
    { type: "String", id: "reader" },
    { type: "Repo", id: repo },
  ];
  return { predicate: "has_role", args };
}

export function mayRead(node: Node, user: string): boolean {
  const question = {
    actor: { type: "User", id: user },
    action: "read",
    resource: { type: "Repo", id: "main" },
    contextFacts: [],
  };
  return node.engine().authorize(question);
}

export async function loadPolicy(node: PrimaryNode): Promise<void> {
  await node.writes.policy({ source: policy, filename: "policy.polar", force: false }, untraced);
}

export function insert(node: PrimaryNode, ...users: string[]) {
  return node.writes.batch([{ inserts: users.map((user) => reader(user)) }], untraced);
}

export function post(url: string, path: string, body: unknown, key = adminKey): Promise<Response> {
  const headers = { Authorization: `Bearer ${key}`, "Content-Type": "application/json" };
  return fetch(`${url}${path}`, { method: "POST", headers, body: JSON.stringify(body) });
}

/** The values that must be equal on all replicas. */
export function positionOf(node: Node): Pick<NodeHealth, "epoch" | "offset" | "digest"> {
  const { epoch, offset, digest } = node.health();
  return { epoch, offset, digest };
}

/** The reason of a rejection. (`expect(…).rejects` does not work with results of workers.) */
export async function refusal(attempt: Promise<unknown>): Promise<Error> {
  const reason = await attempt.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!(reason instanceof Error)) throw new Error("the promise was not rejected");
  return reason;
}

/** Waits until both have the same position and state. */
export function converged(edge: Node, primary: Node): Promise<void> {
  return eventually(() => expect(positionOf(edge)).toEqual(positionOf(primary)));
}

/** Repeats an expectation until it holds, and returns its result. Its limit is for a busy machine. */
export async function eventually<T>(expectation: () => T | Promise<T>, withinMs = 45_000): Promise<T> {
  const end = performance.now() + withinMs;
  for (;;) {
    try {
      return await expectation();
    } catch (error) {
      if (performance.now() > end) throw error;
      await Bun.sleep(10);
    }
  }
}
