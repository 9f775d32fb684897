/**
 * A cluster member: a node that can be the primary or an edge, and changes its role in the same process and at the same
 * address. An edge that is promoted becomes the primary and stays the primary over restarts, until another node is
 * promoted. A primary that was replaced becomes an edge of its successor, and stays an edge over restarts until it is
 * promoted. A primary with an old data directory that knows no successor becomes an edge until it has fetched the missing
 * events from its peers, and then asks for their votes. With `failover`, each node starts as an edge and is the primary
 * while it has the lease.
 */
import type { Config } from "../config/config.ts";
import { startEdgeNode } from "./edge.ts";
import { Leadership } from "../replication/failover/leadership.ts";
import type { Lease } from "../replication/failover/lease/lease.ts";
import { approvedHistory } from "../replication/history-notes.ts";
import { nodeIdOf } from "../replication/identity.ts";
import type { MintedKeys } from "./primary-keys.ts";
import type { Node, Promoted, PromoteOptions } from "../replication/node.ts";
import { startPrimaryNode, type PrimaryOptions, type Takeover } from "./primary.ts";
import { formatToken } from "../log/event/position.ts";
import {
  canFollow,
  type FenceReason,
  type ObservedPosition,
  withoutPeersProblem,
} from "../replication/failover/fence.ts";
import { readPromisedTerm } from "../replication/failover/votes.ts";
import { PrimaryAliveError } from "../replication/failover/promotion.ts";
import {
  hasPromotionNote,
  noteReplaced,
  tryToNoteReplaced,
  wasReplaced,
  writePromotionNote,
} from "../replication/role-notes.ts";
import { realClusterSystem, type ClusterSystem } from "./cluster-system.ts";
import { print } from "../runtime/process.ts";
import { getLogger } from "../telemetry/logger.ts";
import {
  currentStorePath,
  lockNodeDirectory,
  quarantineStore,
  requireNodeDirectory,
} from "../store/directory/data-directory.ts";
import type { NodeKeyHashes } from "../store/keys/node-keys.ts";
import { operator } from "../store/log/audit-entry.ts";
import { isSameFailover, nextFailoverTerm } from "../store/log/terms.ts";
import { AppError } from "../util/app-error.ts";
import { must } from "../util/assert.ts";
import { sleep } from "../util/clock.ts";
import { reasonOf } from "../util/reason.ts";
import type { TokenBuckets } from "../util/token-buckets.ts";
import { serveNode, type RunningNode, type ServiceOptions } from "./node-service.ts";

const log = getLogger("node");

/** Between two attempts at something that the node must retry until it succeeds. */
const retryPauseMs = 1000;
/** For how long a node asks for votes to be the primary again. Its role is not settled until then. */
const settleMsMax = 120_000;
/** For how long an environment that begins waits for its lease. */
const firstLeaseMsMax = 10_000;

export interface MemberOptions extends ServiceOptions {
  /** For a hosted environment: SHA-256 of the node keys of the default one. */
  readonly nodeKeyHashes?: NodeKeyHashes | undefined;
  /**
   * The environment begins with this start, whatever the configured role is. `anew`: what other nodes and services know
   * of its id is of an earlier environment, which was deleted.
   */
  readonly begins?: "once" | "anew" | undefined;
  /** The lookups of API keys that all environments of the process may make; undefined for one environment alone. */
  readonly keyLookups?: TokenBuckets | undefined;
}

/** Starts the log, then the brokers, then the API. The keys that a first start makes are shown once. */
export async function startPrimary(
  config: Config,
  system: ClusterSystem = realClusterSystem,
  options: MemberOptions = {},
): Promise<RunningNode> {
  requireNodeDirectory(config.data);
  return Member.start(config, "primary", system, options);
}

/** Starts the replica, the event stream, then the API, which reports that it is not ready while there is no data. */
export async function startEdge(
  config: Config,
  system: ClusterSystem = realClusterSystem,
  options: MemberOptions = {},
): Promise<RunningNode> {
  requireNodeDirectory(config.data);
  if (!hasPromotionNote(config.data) || config.failover !== undefined)
    return Member.start(config, "edge", system, options);
  log.warning("this edge was promoted and continues as the primary: set `role: primary` in its configuration");
  return Member.start(config, "primary", system, options);
}

class Member {
  readonly #config: Config;
  readonly #system: ClusterSystem;
  readonly #options: MemberOptions;
  readonly #lease: Lease | undefined;
  #node: Node | undefined;
  /** The lease under which this node is the primary. */
  #leadership: Leadership | undefined;
  #service: RunningNode | undefined;
  /** Why this node is no longer the primary, and which events it lacks. */
  #fenced: { readonly reason: FenceReason; readonly lacking: ObservedPosition | undefined } | undefined;
  /** Until when this edge may ask for votes to be the primary again, on the monotonic clock. */
  #unsettledUntilMs: number | undefined;
  #reinstating: Promise<Promoted> | undefined;
  /** The ends of nodes that started after the stop. */
  #lateStops: Promise<void>[] = [];
  #changing: Promise<void> = Promise.resolve();
  #isStopped = false;

  private constructor(config: Config, system: ClusterSystem, options: MemberOptions) {
    this.#config = config;
    this.#system = system;
    this.#options = options;
    this.#lease = config.failover === undefined ? undefined : openLeaseOf(config, config.failover, system, options);
  }

  static async start(
    config: Config,
    role: "primary" | "edge",
    system: ClusterSystem,
    options: MemberOptions,
  ): Promise<RunningNode> {
    const member = new Member(config, system, options);
    const lease = member.#lease;
    try {
      const leadership = options.begins && lease && (await member.#acquireFirst(lease, options.begins));
      // With `failover` a node is an edge until it has the lease.
      const isPrimary = role === "primary" && (lease === undefined || leadership !== undefined);
      const node = isPrimary ? await member.#startPrimary({ leadership }) : await member.#startEdge();
      member.#node = node;
      const service = await serveNode(config, node, system, options);
      member.#service = service;
      if (member.#fenced !== undefined) member.#stepDown();
      if (lease !== undefined && !isPrimary && config.role === "primary") void member.#beginHistory(lease);
      return { ...service, stop: () => member.#stop() };
    } catch (error) {
      await member.#leadership?.release();
      lease?.close();
      throw error;
    }
  }

  /** AppError `not_ready`: the lease cannot be acquired in time; `conflict`: the environment has begun already. */
  async #acquireFirst(lease: Lease, begins: "once" | "anew"): Promise<Leadership> {
    const { clock } = this.#system;
    for (const endMs = clock.monotonicMs() + firstLeaseMsMax; clock.monotonicMs() < endMs; await this.#pause()) {
      const state = begins === "once" ? await lease.holder() : undefined;
      if (state?.record.hasHistory === true && approvedHistory(this.#config.data, "abandon-history") === undefined)
        throw new AppError("conflict", `${lease.service} knows a history of \`${this.#config.environment}\` already`);
      const ttlMs = this.#config.failoverTtl;
      const leadership = await Leadership.acquire({ lease, minTerm: 0, force: false, ttlMs, clock });
      if (leadership !== undefined) return leadership;
    }
    throw new AppError("not_ready", "the environment got no lease as the primary in time, try again");
  }

  #startPrimary({ takeover, leadership }: Pick<PrimaryOptions, "takeover" | "leadership"> = {}): Promise<Node> {
    this.#fenced = undefined;
    this.#leadership = leadership;
    const announce = (minted: MintedKeys): Promise<void> => print(mintedKeysText(minted));
    const onFenced = (reason: FenceReason, lacking?: ObservedPosition): void => {
      this.#fenced = { reason, lacking };
      if (this.#node?.role === "primary") this.#stepDown();
    };
    const { nodeKeyHashes, begins } = this.#options;
    const ignoresKnownHistory = begins === "anew";
    const reinstate = (how: PromoteOptions): Promise<Promoted> =>
      (this.#reinstating ??= this.#reinstate(how).finally(() => (this.#reinstating = undefined)));
    const options: PrimaryOptions = {
      ...{ announce, nodeKeyHashes, ignoresKnownHistory, takeover, leadership, reinstate, onFenced },
    };
    return startPrimaryNode(asPrimary(this.#config), options, this.#system);
  }

  #startEdge(): Promise<Node> {
    const becomePrimary = (takeover: Takeover): Promise<Promoted> => this.#becomePrimary(takeover);
    const onEnding = (requests: number): Promise<void> => must(this.#service).drain(requests);
    const unsettled = (): string | undefined => this.#unsettled();
    const { keyLookups } = this.#options;
    const options = { becomePrimary, onEnding, unsettled, lease: this.#lease, keyLookups };
    return startEdgeNode(asEdge(this.#config), options, this.#system);
  }

  /** The edge has just ended. */
  async #becomePrimary(takeover: Takeover): Promise<Promoted> {
    const { leadership } = takeover;
    if (this.#isStopped) {
      takeover.directory.unlock();
      await leadership?.release();
      throw new AppError("not_ready", "this node is shutting down");
    }
    let node: Node;
    try {
      node = await this.#startPrimary({ takeover, leadership });
    } catch (error) {
      await leadership?.release();
      log.error("this edge cannot become the primary, and continues as an edge: {error}", { error });
      this.#change(() => this.#continueAsEdge());
      throw error;
    }
    return this.#begin(node);
  }

  /** This node was promoted. */
  #begin(node: Node): Promoted {
    this.#replace(node);
    recordPromotion(this.#config.data);
    const { epoch, offset } = node.health();
    log.warning("this node is the primary now, of epoch {epoch} from offset {offset} on", { epoch, offset });
    if (this.#fenced !== undefined) this.#stepDown();
    return { epoch: must(epoch), offset: must(offset) };
  }

  /** Makes a replaced primary without peers the primary again. AppError `conflict` without force. */
  async #reinstate({ force, graceful = false, audit }: PromoteOptions): Promise<Promoted> {
    if (!force) throw new AppError("conflict", withoutPeersProblem);
    const { data } = this.#config;
    const after = must(must(this.#node).state());
    await must(this.#service).drain(1);
    await this.#endNode();
    const draft = {
      ...(audit ?? { actor: operator(), action: "node.promote" as const }),
      details: { force, graceful },
    };
    const takeover = {
      ...{ after, term: nextFailoverTerm(after.term, readPromisedTerm(data)), leadership: undefined },
      ...{ directory: lockNodeDirectory(data), path: must(currentStorePath(data)), aheadIsLost: true, audit: draft },
    };
    let node: Node;
    try {
      node = await this.#startPrimary({ takeover });
    } catch (error) {
      this.#replace(await this.#startPrimary());
      throw error;
    }
    return this.#begin(node);
  }

  /** Without peers or a node key, there is no node to follow: this node continues to answer from its data. */
  #stepDown(): void {
    const { reason, lacking } = must(this.#fenced);
    if (!canFollow(this.#config)) return;
    const term = lacking?.term ?? must(this.#node).health().term;
    // With a lease it is a candidate for the next primary, as each edge is.
    const endMs = this.#system.clock.monotonicMs() + settleMsMax;
    const mayRecover = reason === "behind" && this.#lease === undefined;
    if (mayRecover) this.#unsettledUntilMs = endMs;
    this.#change(async () => {
      if (this.#isStopped) return;
      await must(this.#service).drain(0);
      await this.#endNode();
      if (reason === "damaged") keepDamagedDatabase(this.#config.data);
      await this.#leadership?.release();
      await this.#continueAsEdge();
      log.warning("this node continues as an edge");
    });
    if (mayRecover) void this.#changing.then(() => this.#recover(lacking, term, endMs));
  }

  #unsettled(): string | undefined {
    if (this.#unsettledUntilMs === undefined) return undefined;
    const leftMs = Math.max(0, this.#unsettledUntilMs - this.#system.clock.monotonicMs());
    return `this node asks its peers for their votes to be the primary: without them it stays an edge in ${Math.ceil(leftMs / 1000)} s`;
  }

  /** The next node opens everything anew, so a failure to stop is only logged. */
  #endNode(): Promise<void> {
    return must(this.#node)
      .stop()
      .catch((error: unknown) => log.error("this node did not stop cleanly: {error}", { error }));
  }

  /** Retries until the node is stopped, because this node cannot answer meanwhile. */
  async #continueAsEdge(): Promise<void> {
    while (!this.#isStopped) {
      try {
        // The fence may have failed to note it, for example because the disk was full.
        if (this.#fenced?.reason === "replaced") noteReplaced(this.#config.data);
        return this.#replace(await this.#startEdge());
      } catch (error) {
        log.error("this node cannot continue as an edge, and tries again: {error}", { error });
        must(this.#service).failWaiting();
        await this.#pause();
      }
    }
  }

  /** Asks for votes once this node has the missing events, until it or another node is the primary, or its time is over. */
  async #recover(lacking: ObservedPosition | undefined, term: number | null, endMs: number): Promise<void> {
    await this.#askForVotes(lacking, term, endMs);
    if (this.#unsettledUntilMs === endMs) this.#unsettledUntilMs = undefined;
  }

  async #askForVotes(lacking: ObservedPosition | undefined, term: number | null, endMs: number): Promise<void> {
    const { clock } = this.#system;
    const { data } = this.#config;
    for (let attempt = 0; !this.#isStopped && this.#node?.role === "edge"; attempt++) {
      await this.#pause();
      try {
        const node = must(this.#node);
        const { term: current } = node.health();
        if (wasReplaced(data) || (current !== null && term !== null && !isSameFailover(current, term)))
          throw new Superseded("another node was promoted meanwhile");
        if (clock.monotonicMs() > endMs)
          throw new Superseded(`its peers have not voted for it within ${settleMsMax / 1000} s, promote it`);
        if (lacking !== undefined) await node.waitFor(formatToken(lacking.epoch, lacking.offset));
        await node.promote?.({ force: false, automatic: true });
      } catch (error) {
        if (error instanceof PrimaryAliveError) tryToNoteReplaced(data);
        if (error instanceof PrimaryAliveError || error instanceof Superseded)
          return log.warning("this node stays an edge: {reason}", { reason: reasonOf(error) });
        if (attempt === 0)
          log.warning("this node cannot be the primary again yet, and tries again: {reason}", {
            reason: reasonOf(error),
          });
      }
    }
  }

  /**
   * The first primary begins the history when it has the lease. If a history exists, this node stays an edge: its data
   * directory is empty because the node is new, or because its volume is not mounted.
   */
  async #beginHistory(lease: Lease): Promise<void> {
    const { data, failoverTtl: ttlMs } = this.#config;
    for (; !this.#isStopped; await this.#pause()) {
      if (currentStorePath(data) !== undefined) return;
      try {
        const state = await lease.holder();
        if (state?.record.hasHistory === true && approvedHistory(data, "abandon-history") === undefined)
          return log.warning("{service} knows a history that has begun: this node stays an edge", {
            service: lease.service,
          });
        if (state?.isHeld === true) continue;
        const { clock } = this.#system;
        const leadership = await Leadership.acquire({ lease, minTerm: 0, force: false, ttlMs, clock });
        if (leadership === undefined) continue;
        this.#change(() => this.#startHistory(leadership));
        return await this.#changing;
      } catch (error) {
        log.warning("the first history cannot begin yet: {reason}", { reason: reasonOf(error) });
      }
    }
  }

  /** If a peer has a history after all, this node continues as an edge. */
  async #startHistory(leadership: Leadership): Promise<void> {
    const service = must(this.#service);
    await service.drain(0);
    await this.#endNode();
    try {
      if (this.#isStopped || currentStorePath(this.#config.data) !== undefined)
        throw new AppError("conflict", "this node has received a history meanwhile");
      this.#replace(await this.#startPrimary({ leadership }));
      log.warning("this node has the lease of term {term} and begins a history", { term: leadership.term });
      if (this.#fenced !== undefined) this.#stepDown();
    } catch (error) {
      log.error("this node cannot begin a history, and continues as an edge: {reason}", { reason: reasonOf(error) });
      await leadership.release();
      await this.#continueAsEdge();
    }
  }

  #change(body: () => Promise<void>): void {
    this.#changing = this.#changing
      .then(body)
      .catch((error: unknown) => log.error("a change of role failed: {error}", { error }));
  }

  #replace(node: Node): void {
    this.#node = node;
    if (this.#isStopped) this.#lateStops.push(node.stop());
    else must(this.#service).replace(node);
  }

  #pause(): Promise<void> {
    return sleep(this.#system.clock, retryPauseMs);
  }

  async #stop(): Promise<void> {
    this.#isStopped = true;
    await this.#changing;
    await must(this.#service).stop();
    await Promise.all(this.#lateStops);
    // Released last, because the node may have written until here.
    await this.#leadership?.release();
    this.#lease?.close();
  }
}

function openLeaseOf(config: Config, url: string, system: ClusterSystem, { isHosted }: MemberOptions): Lease {
  const { failoverTtl: ttlMs, failoverUsername: username, failoverPassword: password } = config;
  const { failoverCa: ca, failoverCert: cert, failoverKey: key } = config;
  const hostedEnvironment = isHosted === true ? config.environment : undefined;
  return system.openLease({ url, hostedEnvironment, node: nodeIdOf(config), ttlMs, username, password, ca, cert, key });
}

/** Renames the damaged database: the check at a start reads facts, keys and the policy, but not all pages. */
function keepDamagedDatabase(data: string): void {
  const path = currentStorePath(data);
  if (path === undefined) return;
  try {
    log.warning("the damaged database is kept as {path}: without `ack` it may have writes that no other node has", {
      path: quarantineStore(path),
    });
  } catch (error) {
    log.error("the damaged database {path} cannot be renamed: {error}", { path, error });
  }
}

/** Only a promotion makes this node the primary again. */
class Superseded extends Error {}

/** The node is the primary even if the promotion cannot be recorded. */
function recordPromotion(data: string): void {
  try {
    writePromotionNote(data);
  } catch (error) {
    log.error(
      "the promotion cannot be recorded in {data}: configure `role: primary` before this node is started again, or it starts as an edge: {error}",
      { data, error },
    );
  }
}

/** The configuration of this node as a primary. Its former primary is one of its peers. */
function asPrimary(config: Config): Config {
  if (config.role === "primary") return config;
  const { primary, peers, brokerUsername, brokerPassword, promotedBrokerUsername, promotedBrokerPassword } = config;
  return {
    ...config,
    role: "primary",
    peers: [...new Set([...(primary === undefined ? [] : [primary]), ...peers])],
    brokerUsername: promotedBrokerUsername ?? brokerUsername,
    brokerPassword: promotedBrokerPassword ?? brokerPassword,
  };
}

/** The configuration of this node as an edge. Its successor is one of the peers of the former primary. */
function asEdge(config: Config): Config {
  if (config.role === "edge") return config;
  const [primary, ...peers] = config.peers;
  return { ...config, role: "edge", primary, peers };
}

function mintedKeysText({ adminKey, nodeKey }: MintedKeys): string {
  const rule = "-".repeat(78);
  const lines = [
    rule,
    "Keys were made at this first start. They are shown this once: keep them.",
    ...(adminKey === undefined ? [] : [`  admin key (clients): ${adminKey}`]),
    ...(nodeKey === undefined ? [] : [`  node key (edges, fallbacks): ${nodeKey}`]),
    rule,
  ];
  return `${lines.join("\n")}\n`;
}
