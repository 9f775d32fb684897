/**
 * A node that can be the primary or an edge, and changes from one to the other in the same process and at the same address. An edge that is promoted
 * becomes the primary, and stays it over restarts until another one is promoted over it. A primary that was replaced becomes an edge of its successor.
 * One whose data directory is an old one becomes an edge until it has fetched the rest from its peers, and then asks them for their votes. With
 * `failover` each node starts as an edge, and is the primary while it has the lease.
 */
import type { Config } from "../config/config.ts";
import { startEdgeNode } from "./edge.ts";
import { Leadership } from "../replication/failover/leadership.ts";
import type { Lease } from "../replication/failover/lease/lease.ts";
import { approvedHistory } from "../replication/history-notes.ts";
import { nodeIdOf } from "../replication/identity.ts";
import type { MintedKeys } from "./primary-keys.ts";
import type { Node, Promoted } from "../replication/node.ts";
import { startPrimaryNode, type PrimaryOptions, type Takeover } from "./primary.ts";
import { formatToken } from "../replication/position.ts";
import type { FenceReason, ObservedPosition } from "../replication/failover/fence.ts";
import { PrimaryAliveError } from "../replication/failover/promotion.ts";
import { hasPromotionNote, writePromotionNote } from "../replication/role-notes.ts";
import { realClusterSystem, type ClusterSystem } from "./cluster-system.ts";
import { print } from "../runtime/process.ts";
import { getLogger } from "../telemetry/logger.ts";
import { currentStorePath, requireWritable, quarantineStore } from "../store/directory/data-directory.ts";
import { isSameFailover } from "../store/log/terms.ts";
import { AppError } from "../util/app-error.ts";
import { must } from "../util/assert.ts";
import { sleep } from "../util/clock.ts";
import { reasonOf } from "../util/reason.ts";
import { serveNode, type RunningNode } from "./node-service.ts";

const log = getLogger("node");

/** Between two attempts at what can't be given up. */
const retryPauseMs = 1000;

/** The store and log first, then brokers, then the API. Keys that a first start makes are shown once. */
export async function startPrimary(config: Config, system: ClusterSystem = realClusterSystem): Promise<RunningNode> {
  requireWritable(config.data);
  return Member.start(config, "primary", system);
}

/** The replica and the feed first, then the API. It listens at once, and says that it is not ready while it has no replica. */
export async function startEdge(config: Config, system: ClusterSystem = realClusterSystem): Promise<RunningNode> {
  requireWritable(config.data);
  if (!hasPromotionNote(config.data) || config.failover !== undefined) return Member.start(config, "edge", system);
  log.warning("this edge was promoted: it goes on as the primary; say so in its configuration (`role: primary`)");
  return Member.start(config, "primary", system);
}

class Member {
  readonly #config: Config;
  readonly #system: ClusterSystem;
  readonly #lease: Lease | undefined;
  #node: Node | undefined;
  /** The lease under which this node is the primary. */
  #leadership: Leadership | undefined;
  #service: RunningNode | undefined;
  /** Why the present primary is none any more, and what it lacks. */
  #fenced: { readonly reason: FenceReason; readonly lacking: ObservedPosition | undefined } | undefined;
  /** Nodes that started after the stop, while they end. */
  #ends: Promise<void>[] = [];
  #changing: Promise<void> = Promise.resolve();
  #isStopped = false;

  private constructor(config: Config, system: ClusterSystem) {
    this.#config = config;
    this.#system = system;
    this.#lease = config.failover === undefined ? undefined : openLeaseOf(config, config.failover, system);
  }

  static async start(config: Config, role: "primary" | "edge", system: ClusterSystem): Promise<RunningNode> {
    const member = new Member(config, system);
    // With a lease a node is an edge until it has it.
    const isPrimary = role === "primary" && member.#lease === undefined;
    const node = isPrimary ? await member.#startPrimary() : await member.#startEdge();
    member.#node = node;
    const service = await serveNode(config, node, system);
    member.#service = service;
    if (member.#fenced !== undefined) member.#stepDown();
    if (member.#lease !== undefined && config.role === "primary") void member.#beginHistory(member.#lease);
    return { ...service, stop: () => member.#stop() };
  }

  #startPrimary({ takeover, leadership }: Pick<PrimaryOptions, "takeover" | "leadership"> = {}): Promise<Node> {
    this.#fenced = undefined;
    this.#leadership = leadership;
    const announce = (minted: MintedKeys): Promise<void> => print(mintedKeysText(minted));
    const onFenced = (reason: FenceReason, lacking?: ObservedPosition): void => {
      this.#fenced = { reason, lacking };
      if (this.#node?.role === "primary") this.#stepDown();
    };
    return startPrimaryNode(asPrimary(this.#config), { announce, takeover, leadership, onFenced }, this.#system);
  }

  #startEdge(): Promise<Node> {
    const becomePrimary = (takeover: Takeover): Promise<Promoted> => this.#becomePrimary(takeover);
    const onEnding = (requests: number): Promise<void> => must(this.#service).drain(requests);
    return startEdgeNode(asEdge(this.#config), { becomePrimary, onEnding, lease: this.#lease }, this.#system);
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
      log.error("this edge can't become the primary, and goes on as an edge: {error}", { error });
      this.#change(() => this.#goOnAsEdge());
      throw error;
    }
    this.#replace(node);
    recordPromotion(this.#config.data);
    const { epoch, offset } = node.health();
    log.warning("this node is the primary now, of epoch {epoch} from offset {offset} on", { epoch, offset });
    if (this.#fenced !== undefined) this.#stepDown();
    return { epoch: must(epoch), offset: must(offset) };
  }

  /** Without peers, or a node key to show them, there is nobody to follow: the primary answers on from what it has. */
  #stepDown(): void {
    const { reason, lacking } = must(this.#fenced);
    const { nodeKey, primary, peers } = this.#config;
    if (nodeKey === undefined || (primary === undefined && peers.length === 0)) return;
    this.#change(async () => {
      if (this.#isStopped) return;
      await must(this.#service).drain(0);
      await this.#endNode();
      if (reason === "damaged") setDamagedDatabaseAside(this.#config.data);
      await this.#leadership?.release();
      await this.#goOnAsEdge();
      log.warning("this node goes on as an edge");
    });
    // With a lease it takes part in the choice of the next primary, as each edge does.
    if (reason === "behind" && this.#lease === undefined) void this.#changing.then(() => this.#recover(lacking));
  }

  /** What takes its place opens all of it anew. */
  #endNode(): Promise<void> {
    return must(this.#node)
      .stop()
      .catch((error: unknown) => log.error("this node did not end well: {error}", { error }));
  }

  /** Meanwhile nobody answers here, so there is no end to it but a stop. */
  async #goOnAsEdge(): Promise<void> {
    while (!this.#isStopped) {
      try {
        return this.#replace(await this.#startEdge());
      } catch (error) {
        log.error("this node can't go on as an edge, and tries again: {error}", { error });
        must(this.#service).failWaiting();
        await this.#pause();
      }
    }
  }

  /**
   * Asks the peers for their votes once this node has what it lacks, until it is the primary again. It stays an edge where it finds another primary, or
   * that another node was promoted meanwhile.
   */
  async #recover(lacking: ObservedPosition | undefined): Promise<void> {
    const term = lacking?.term ?? this.#node?.health().term;
    for (let attempt = 0; !this.#isStopped && this.#node?.role === "edge"; attempt++) {
      await this.#pause();
      try {
        await this.#askForVotes(must(this.#node), lacking, term);
      } catch (error) {
        if (error instanceof PrimaryAliveError || error instanceof Superseded)
          return log.warning("this node stays an edge: {reason}", { reason: reasonOf(error) });
        if (attempt === 0)
          log.warning("this node can't be the primary again yet, and tries on: {reason}", { reason: reasonOf(error) });
      }
    }
  }

  async #askForVotes(
    node: Node,
    lacking: ObservedPosition | undefined,
    term: number | null | undefined,
  ): Promise<void> {
    const { term: present } = node.health();
    if (present !== null && term !== null && term !== undefined && !isSameFailover(present, term))
      throw new Superseded("another node was promoted meanwhile");
    if (lacking !== undefined) await node.waitFor(formatToken(lacking.epoch, lacking.offset));
    await node.promote?.({ force: false, automatic: true });
  }

  /**
   * A first primary begins the history, once it has the lease. Where there is one already, somewhere, this node stays an edge: its data directory is empty
   * since it is new, or not mounted.
   */
  async #beginHistory(lease: Lease): Promise<void> {
    const { data, failoverTtl: ttlMs } = this.#config;
    for (; !this.#isStopped; await this.#pause()) {
      if (currentStorePath(data) !== undefined) return;
      try {
        const state = await lease.holder();
        if (state?.record.hasHistory === true && approvedHistory(data, "abandon-history") === undefined)
          return log.warning("{engine} knows of a history that has begun: this node stays an edge", {
            engine: lease.engine,
          });
        if (state?.isHeld === true) continue;
        const { clock } = this.#system;
        const leadership = await Leadership.acquire({ lease, minTerm: 0, force: false, ttlMs, clock });
        if (leadership === undefined) continue;
        this.#change(() => this.#startHistory(leadership));
        return await this.#changing;
      } catch (error) {
        log.warning("the first history can't begin yet: {reason}", { reason: reasonOf(error) });
      }
    }
  }

  /** Where a peer has a history after all, this node goes on as an edge. */
  async #startHistory(leadership: Leadership): Promise<void> {
    const service = must(this.#service);
    await service.drain(0);
    await this.#endNode();
    try {
      if (this.#isStopped || currentStorePath(this.#config.data) !== undefined)
        throw new AppError("conflict", "this node has got a copy of a history meanwhile");
      this.#replace(await this.#startPrimary({ leadership }));
      log.warning("this node has the lease of term {term} and begins a history", { term: leadership.term });
      if (this.#fenced !== undefined) this.#stepDown();
    } catch (error) {
      log.error("this node can't begin a history, and goes on as an edge: {reason}", { reason: reasonOf(error) });
      await leadership.release();
      await this.#goOnAsEdge();
    }
  }

  #change(body: () => Promise<void>): void {
    this.#changing = this.#changing
      .then(body)
      .catch((error: unknown) => log.error("a change of role failed: {error}", { error }));
  }

  #replace(node: Node): void {
    this.#node = node;
    if (this.#isStopped) this.#ends.push(node.stop());
    else must(this.#service).replace(node);
  }

  #pause(): Promise<void> {
    return sleep(this.#system.clock, retryPauseMs);
  }

  async #stop(): Promise<void> {
    this.#isStopped = true;
    await this.#changing;
    await must(this.#service).stop();
    await Promise.all(this.#ends);
    // Only now: until here it may have written.
    await this.#leadership?.release();
    this.#lease?.close();
  }
}

function openLeaseOf(config: Config, url: string, system: ClusterSystem): Lease {
  const { failoverTtl: ttlMs, failoverUsername: username, failoverPassword: password } = config;
  const { failoverCa: ca, failoverCert: cert, failoverKey: key } = config;
  return system.openLease({ url, node: nodeIdOf(config), ttlMs, username, password, ca, cert, key });
}

/** The check at a start looks at facts, keys and policy. A damaged page may hold something else, such as events. */
function setDamagedDatabaseAside(data: string): void {
  const path = currentStorePath(data);
  if (path === undefined) return;
  try {
    log.warning("the damaged database is kept as {aside}: without `ack` it may hold writes that no other node has", {
      aside: quarantineStore(path),
    });
  } catch (error) {
    log.error("the damaged database {path} cannot be put aside: {error}", { path, error });
  }
}

/** Another node has taken this one's place while it caught up. */
class Superseded extends Error {}

/** It is the primary, whether that can be noted or not. */
function recordPromotion(data: string): void {
  try {
    writePromotionNote(data);
  } catch (error) {
    log.error(
      "the promotion cannot be noted in {data}: configure `role: primary` before this node is started again, or it starts as an edge: {error}",
      { data, error },
    );
  }
}

/** The same node with what it needs as a primary. Its former primary is one of those whom it asks whether there is another. */
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

/** The same node with what it needs as an edge: the peers of a primary are those among whom its successor is. */
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
