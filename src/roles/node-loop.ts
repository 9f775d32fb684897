/**
 * The loop of a node: it performs the commands of its state machine (`node-state.ts`) one after another. The node keeps
 * its parts, its address and its listener over all changes of its role. With `failover`, each node starts as an edge and
 * is the primary while it has the lease.
 */
import type { Config } from "../config/config.ts";
import { canFollow, type FenceOptions, withoutPeersProblem } from "../replication/failover/fence.ts";
import { type Leadership, staticLeadership } from "../replication/failover/leadership.ts";
import type { Lease } from "../replication/lease/lease.ts";
import { nodeIdOf } from "../replication/identity.ts";
import type { Node, Promoted, PromoteOptions } from "../replication/node.ts";
import { readPromisedTerm } from "../replication/failover/votes.ts";
import { hasPromotionNote, noteReplaced, writePromotionNote } from "../replication/role-notes.ts";
import { print } from "../runtime/process.ts";
import { currentStorePath, quarantineStore, requireNodeDirectory } from "../store/directory/data-directory.ts";
import type { NodeKeyHashes } from "../store/keys/node-keys.ts";
import { operator } from "../store/log/audit-entry.ts";
import { nextFailoverTerm } from "../store/log/terms.ts";
import { getLogger } from "../telemetry/logger.ts";
import { AppError } from "../util/app-error.ts";
import { must } from "../util/assert.ts";
import type { TokenBuckets } from "../util/token-buckets.ts";
import { realClusterSystem, type ClusterSystem } from "./cluster-system.ts";
import { startEdge, type EdgeNode } from "./edge.ts";
import type { BecomePrimary } from "./edge-promotions.ts";
import { startFollowingFallback, startSnapshotFallback } from "./fallback.ts";
import { acquireFirstLease, awaitFirstLease } from "./first-history.ts";
import { NodeParts } from "./node-parts.ts";
import { serveNode, type RunningNode, type ServiceOptions } from "./node-service.ts";
import {
  type Fencing,
  type NodeCommand,
  type NodeInput,
  type NodeState,
  type PromotedBy,
  type Role,
  transition,
} from "./node-state.ts";
import { startPrimary } from "./primary.ts";
import type { Takeover } from "./primary-claim.ts";
import { type MintedKeys, mintedKeysText } from "./primary-keys.ts";
import { Reclaim } from "./reclaim.ts";

const log = getLogger("node");

/** Between two attempts to start a role that the node must have. */
const retryPauseMs = 1000;

export interface NodeOptions extends ServiceOptions {
  /** For a hosted environment: SHA-256 of the node keys of the default one. */
  readonly nodeKeyHashes?: NodeKeyHashes | undefined;
  /**
   * The environment begins with this start, so that the node is its primary. `anew`: what other nodes and services know
   * of its id is of an earlier environment, which was deleted.
   */
  readonly begins?: "once" | "anew" | undefined;
  /** The lookups of API keys that all environments of the process may make; undefined for one environment alone. */
  readonly keyLookups?: TokenBuckets | undefined;
}

/** What makes this node the primary, and who waits for it. */
interface Promotion {
  readonly takeover: Takeover | undefined;
  readonly leadership: Leadership;
  readonly resolve: (promoted: Promoted) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Starts the node in the role of its configuration, then its API, which reports that it is not ready while there is no
 * data. An edge that was promoted is the primary after a restart as well. The keys that a first start makes are shown
 * once. AppError says why the node cannot start.
 */
export async function startNode(
  config: Config,
  system: ClusterSystem = realClusterSystem,
  options: NodeOptions = {},
): Promise<RunningNode> {
  if (config.role === "fallback" && !config.follow) return startSnapshots(config, system, options);
  if (config.role !== "fallback") requireNodeDirectory(config.data);
  return new NodeLoop(config, system, options).start();
}

/** A fallback that only fetches snapshots has no writer and never changes its role. */
async function startSnapshots(config: Config, system: ClusterSystem, options: NodeOptions): Promise<RunningNode> {
  const node = await startSnapshotFallback(config, system);
  try {
    const service = await serveNode(config, node, system, options);
    return { ...service, stop: () => service.stop().finally(() => node.stop()) };
  } catch (error) {
    await node.stop();
    throw error;
  }
}

class NodeLoop {
  readonly #config: Config;
  readonly #system: ClusterSystem;
  readonly #options: NodeOptions;
  readonly #lease: Lease | undefined;
  #state: NodeState<Promotion>;
  #parts: NodeParts | undefined;
  /** The role that runs, or has ended last. */
  #role: Node | EdgeNode | undefined;
  #service: RunningNode | undefined;
  /** The leadership of the primary. */
  #leadership: Leadership = staticLeadership;
  #startError: unknown;
  #reclaim: Reclaim | undefined;
  #reinstating: Promise<Promoted> | undefined;
  #performing: Promise<void> = Promise.resolve();
  #cancelRetry = (): void => {};

  constructor(config: Config, system: ClusterSystem, options: NodeOptions) {
    this.#config = config;
    this.#system = system;
    this.#options = options;
    this.#lease = config.failover === undefined ? undefined : openLeaseOf(config, config.failover, system, options);
    this.#state = { name: "starting", role: "edge", fencing: undefined };
  }

  async start(): Promise<RunningNode> {
    try {
      this.#state = { name: "starting", role: await this.#firstRole(), fencing: undefined };
      this.#parts = new NodeParts(this.#config, this.#system);
      this.#perform([{ type: "start", role: this.#state.role, promotion: undefined }]);
      await this.#performing;
      if (this.#startError !== undefined) throw this.#startError;
    } catch (error) {
      await this.#close().catch((reason: unknown) => log.error("this node did not stop cleanly: {reason}", { reason }));
      throw error;
    }
    return { ...must(this.#service), stop: () => this.#stop() };
  }

  /** With `failover` a node is an edge until it has the lease. */
  async #firstRole(): Promise<Role> {
    const { role, data } = this.#config;
    const { begins } = this.#options;
    if (role === "fallback") return role;
    if (this.#lease !== undefined) {
      if (begins === undefined) return "edge";
      this.#leadership = await acquireFirstLease(this.#lease, begins, this.#config, this.#system.clock);
      return "primary";
    }
    if (begins !== undefined || role === "primary") return "primary";
    if (!hasPromotionNote(data)) return "edge";
    log.warning("this edge was promoted and continues as the primary: set `role: primary` in its configuration");
    return "primary";
  }

  #send(input: NodeInput<Promotion>): void {
    const { state, commands } = transition(this.#state, input);
    this.#state = state;
    this.#perform(commands);
  }

  #perform(commands: readonly NodeCommand<Promotion>[]): void {
    for (const command of commands)
      this.#performing = this.#performing
        .then(() => this.#execute(command))
        .catch((error: unknown) => log.error("a change of role failed: {error}", { error }));
  }

  async #execute(command: NodeCommand<Promotion>): Promise<void> {
    const { data } = this.#config;
    switch (command.type) {
      case "start":
        return this.#start(command.role, command.promotion);
      case "end":
        return this.#end(command.besides);
      case "serve":
        return this.#serve();
      case "failWaiting":
        return must(this.#service).failWaiting();
      case "retryLater":
        this.#cancelRetry = this.#system.clock.after(retryPauseMs, () => this.#send({ type: "retryDue" }));
        return undefined;
      case "quarantine":
        return keepDamagedDatabase(data);
      case "notePromoted":
        return recordPromotion(data);
      case "releaseLease":
        return this.#leadership.release();
      case "resolvePromotion":
        return command.promotion.resolve(this.#promoted());
      case "rejectPromotion":
        return command.promotion.reject(this.#startError);
      case "refusePromotion":
        return refuse(command.promotion);
      case "awaitHistory":
        return void this.#awaitHistory();
      case "reclaim":
        return void this.#startReclaim(command.fencing);
    }
  }

  async #start(role: Role, promotion: Promotion | undefined): Promise<void> {
    if (this.#state.name === "stopped") return promotion && refuse(promotion);
    try {
      this.#role = await this.#startRole(role, promotion);
      // From the first start on, the address is open.
      this.#service ??= await serveNode(this.#config, this.#role, this.#system, this.#options);
    } catch (error) {
      this.#startError = error;
      if (this.#service !== undefined) logFailedStart(this.#state, error);
      return this.#send({ type: "startFailed" });
    }
    this.#send({ type: "started" });
  }

  async #startRole(role: Role, promotion: Promotion | undefined): Promise<Node | EdgeNode> {
    const parts = must(this.#parts);
    switch (role) {
      case "primary": {
        if (promotion !== undefined) this.#leadership = promotion.leadership;
        // The edge followed other nodes until it ended.
        if (promotion !== undefined && promotion.takeover === undefined && currentStorePath(parts.data) !== undefined)
          throw new AppError("conflict", "this node has received a history meanwhile");
        const { nodeKeyHashes, begins } = this.#options;
        const reinstate = (how: PromoteOptions): Promise<Promoted> =>
          (this.#reinstating ??= this.#reinstate(how).finally(() => (this.#reinstating = undefined)));
        return startPrimary(parts, asPrimary(this.#config), {
          announce: (minted: MintedKeys): Promise<void> => print(mintedKeysText(minted)),
          ...{ nodeKeyHashes, ignoresKnownHistory: begins === "anew", reinstate },
          ...{ takeover: promotion?.takeover, leadership: this.#leadership, onFenced: this.#onFenced },
        });
      }
      case "edge": {
        // The fence may have failed to note it, for example because the disk was full.
        if (this.#state.name === "steppingDown" && this.#state.fencing?.reason === "replaced")
          noteReplaced(this.#config.data);
        this.#leadership = staticLeadership;
        const becomePrimary: BecomePrimary = (takeover, besides) =>
          this.#promote("votes", { takeover, leadership: takeover.leadership }, besides);
        const unsettled = (): string | undefined => this.#reclaim?.problem;
        const { keyLookups } = this.#options;
        return startEdge(parts, asEdge(this.#config), { becomePrimary, unsettled, lease: this.#lease, keyLookups });
      }
      case "fallback":
        return startFollowingFallback(parts, this.#config);
    }
  }

  readonly #onFenced: FenceOptions["onFenced"] = (reason, lacking) => {
    const term = lacking?.term ?? must(this.#parts).writer.state.term;
    const mayReclaim = reason === "behind" && this.#lease === undefined;
    this.#send({ type: "fenced", fencing: { reason, lacking, term, canFollow: canFollow(this.#config), mayReclaim } });
  };

  async #end(besides: number): Promise<void> {
    if (this.#state.name !== "stopped") await must(this.#service).drain(besides);
    // The next role needs nothing of this one, so a failure to stop is only logged.
    await must(this.#role)
      .stop()
      .catch((error: unknown) => log.error("this node did not stop cleanly: {error}", { error }));
  }

  #serve(): void {
    const [role, service] = [must(this.#role), must(this.#service)];
    if (service.node() === role) return;
    service.replace(role);
    if (role.role === "edge") log.warning("this node continues as an edge");
  }

  #promoted(): Promoted {
    const { epoch, offset } = must(this.#role).health();
    log.warning("this node is the primary now, of epoch {epoch} from offset {offset} on", { epoch, offset });
    return { epoch: must(epoch), offset: must(offset) };
  }

  #promote(by: PromotedBy, won: Pick<Promotion, "takeover" | "leadership">, besides: number): Promise<Promoted> {
    return new Promise((resolve, reject) => {
      this.#send({ type: "promoted", by, besides, promotion: { ...won, resolve, reject } });
    });
  }

  /** Makes a replaced primary without peers the primary again. AppError `conflict` without force. */
  async #reinstate({ force, graceful = false, audit }: PromoteOptions): Promise<Promoted> {
    if (!force) throw new AppError("conflict", withoutPeersProblem);
    const after = must(must(this.#role).state());
    const draft = {
      ...(audit ?? { actor: operator(), action: "node.promote" as const }),
      details: { force, graceful },
    };
    const term = nextFailoverTerm(after.term, readPromisedTerm(this.#config.data));
    const takeover = { after, term, leadership: staticLeadership, aheadIsLost: true, audit: draft };
    return this.#promote("operator", { takeover, leadership: staticLeadership }, 1);
  }

  /** If a peer has a history after all, this node continues as an edge. */
  async #awaitHistory(): Promise<void> {
    if (this.#lease === undefined || this.#config.role !== "primary") return;
    const isStopped = (): boolean => this.#state.name === "stopped";
    const leadership = await awaitFirstLease(this.#lease, this.#config, this.#system.clock, isStopped);
    if (leadership === undefined) return;
    await this.#promote("history", { takeover: undefined, leadership }, 0).then(
      () => log.warning("this node has the lease of term {term} and begins a history", { term: leadership.term }),
      // It was logged.
      () => {},
    );
  }

  async #startReclaim({ lacking, term }: Fencing): Promise<void> {
    const edge = (): Node | undefined => (this.#state.name === "edge" ? this.#role : undefined);
    const isOver = (): boolean => ["primary", "fenced", "stopped"].includes(this.#state.name);
    const reclaim = new Reclaim(must(this.#parts), { edge, isOver, lacking, term });
    this.#reclaim = reclaim;
    await reclaim.run();
    if (this.#reclaim === reclaim) this.#reclaim = undefined;
  }

  /** Also the commands that follow from those under way. */
  async #whenPerformed(): Promise<void> {
    for (let last: Promise<void> | undefined; last !== this.#performing;) await (last = this.#performing);
  }

  async #stop(): Promise<void> {
    this.#send({ type: "stopped" });
    this.#cancelRetry();
    await this.#whenPerformed();
    await this.#close();
  }

  /** Ends what has started, in reverse order, each part also if an earlier one fails. */
  async #close(): Promise<void> {
    const role = this.#role;
    await using ending = new AsyncDisposableStack();
    ending.defer(() => this.#lease?.close());
    // Released last, because the node may have written until here.
    ending.defer(() => this.#leadership.release());
    ending.defer(() => this.#parts?.close());
    // A promotion may be under way or hold the lease.
    ending.defer(() => (role !== undefined && "whenIdle" in role ? role.whenIdle() : undefined));
    ending.defer(() => role?.stop());
    ending.defer(() => this.#service?.stop());
  }
}

async function refuse({ leadership, reject }: Promotion): Promise<void> {
  await leadership.release();
  reject(new AppError("not_ready", "this node is changing its role or shutting down"));
}

function logFailedStart({ name, ...state }: NodeState<Promotion>, error: unknown): void {
  if (name !== "promoting") return log.error("this node cannot continue, and tries again: {error}", { error });
  if ("by" in state && state.by === "history")
    return log.error("this node cannot begin a history, and continues as an edge: {error}", { error });
  log.error("this edge cannot become the primary, and continues as an edge: {error}", { error });
}

function openLeaseOf(config: Config, url: string, system: ClusterSystem, { isHosted }: NodeOptions): Lease {
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
