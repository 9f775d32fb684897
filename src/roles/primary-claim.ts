/**
 * Whether a node still is the primary: the fence, what its peers, the brokers and its own directory know of another
 * primary, and the term that it begins. A primary writes nothing before `settleClaim` and `beginTerm` have succeeded.
 */
import type { Config } from "../config/config.ts";
import {
  DuplicatePrimaryMonitor,
  findPrimaries,
  type FoundPrimaries,
} from "../replication/failover/duplicate-primary.ts";
import { canFollow, Fence, type FenceOptions } from "../replication/failover/fence.ts";
import { Handover } from "../replication/failover/handover.ts";
import type { Leadership, TermConfirmation } from "../replication/failover/leadership.ts";
import type { WonPromotion } from "../replication/failover/promotion.ts";
import { StartTerm } from "../replication/failover/start-term.ts";
import { createSuccessorDetector, type SuccessorDetector } from "../replication/failover/successor-detector.ts";
import { readPromisedTerm } from "../replication/failover/votes.ts";
import { ForeignHistoryMonitor } from "../replication/history-guard.ts";
import type { CommitTimes } from "../log/reader/commit-times.ts";
import { claimOf, noteReplica, tryToNote, wasReplica } from "../replication/role-notes.ts";
import { epochOf, type VoteRequest } from "../replication/transport/messages.ts";
import type { NodeServerOptions } from "../replication/transport/node-server.ts";
import { openPrimaryPeers } from "../replication/transport/open-peers.ts";
import type { Peers } from "../replication/transport/peers.ts";
import type { Connection } from "../store/connection/connection.ts";
import type { AuditDraft } from "../store/log/audit-entry.ts";
import { compareEpochs, readEpochs } from "../store/log/epochs.ts";
import { readState, type StoreState } from "../store/log/store-state.ts";
import { nextFailoverTerm, nextStartTerm } from "../store/log/terms.ts";
import { AppError } from "../util/app-error.ts";
import { storageFailureIn } from "../util/storage-failure.ts";
import type { NodeParts } from "./node-parts.ts";
import { beginFirstTerm, recordLeadership, recordPositionPeriodically } from "./primary-database.ts";
import { acceptAdminKey, acceptAdminKeyLater, type PrimarySecrets } from "./primary-keys.ts";

/** What a promotion has won for the primary that continues from the open database of this node. */
export interface Takeover extends WonPromotion {
  /** Who asked for the promotion, for the audit log. */
  readonly audit: AuditDraft;
  /** Whether other nodes may have more events: none was acknowledged, or the operator accepts their loss. */
  readonly aheadIsLost: boolean;
}

/** The open database of a primary, and its keys. */
export interface OpenedData extends PrimarySecrets {
  /** A read-only connection. */
  readonly store: Connection;
  /** The first epoch of this primary's history. */
  readonly history: string;
  readonly commits: CommitTimes;
  /** Whether the history begins with this start. */
  readonly isNew: boolean;
}

export interface ClaimOptions {
  readonly config: Config;
  readonly opened: OpenedData;
  /** Identifies this start of the primary. */
  readonly instance: string;
  readonly takeover: Takeover | undefined;
  readonly leadership: Leadership;
  readonly onFenced: FenceOptions["onFenced"];
  /** Publishes a head, once there is an event stream. */
  readonly publishHead: () => void;
}

/** What decides whether the node is the primary. */
export interface Claim extends ClaimOptions {
  /** The peers, which the primary asks whether it still is one. */
  readonly peers: Peers | undefined;
  readonly fence: Fence;
  readonly foreign: ForeignHistoryMonitor;
  readonly duplicates: DuplicatePrimaryMonitor;
  readonly term: StartTerm;
  readonly successor: SuccessorDetector;
  /** What other nodes say before this primary begins. */
  readonly others: FoundPrimaries;
}

/** Asks the peers and the brokers for other primaries. AppError `conflict` if another process is this primary. */
export async function openClaim(
  parts: NodeParts,
  options: ClaimOptions,
  started: AsyncDisposableStack,
): Promise<Claim> {
  const { config, opened, instance, takeover, onFenced, publishHead } = options;
  const { id, data, clock, system, writer, database } = parts;
  const { store, history, nodeKeyHashes, isNew } = opened;
  const state = (): StoreState => writer.state;
  // The edge went on following its primary until it ended.
  if (takeover !== undefined && compareEpochs(state(), takeover.after) !== 0)
    throw superseded("another node was promoted meanwhile");
  const foreign = new ForeignHistoryMonitor(history, clock);
  const fence = new Fence({
    ...{ directory: data, canFollow: canFollow(config), store, state, storage: writer.storage, onFenced },
    promiseTerm: (term) => parts.votes.promiseTerm(term),
  });
  const peers = openPrimaryPeers(config, state, foreign, system);
  if (peers !== undefined) started.defer(() => peers.close());
  // Before it begins a new history, a node has asked the others already.
  const others =
    takeover !== undefined || isNew
      ? { retained: [], primary: undefined }
      : await findPrimaries({ config, id, peers, state, history, nodeKeyHashes, system });
  const term = openTerm(parts, options, () => {
    // What a fence has noted meanwhile must stay.
    if (!fence.isFenced) recordLeadership(parts);
    publishHead();
    // The requests tell the peers of the new term, before a broker or their next check does.
    void peers?.heads();
  });
  const successor = createSuccessorDetector(parts, {
    peers,
    fence,
    // From the file: a node may report a commit before the writer's notification of it arrives here.
    state: () => (database.isOpen ? readState(store) : state()),
    ack: config.ack,
    beginAfter: term.beginAfter,
  });
  const duplicates = new DuplicatePrimaryMonitor(id, instance, state, fence);
  return { ...options, peers, fence, foreign, duplicates, term, successor, others };
}

/** The term of this start: the one of the promotion, otherwise the next term of the same primary. */
function openTerm(parts: NodeParts, { opened, takeover }: ClaimOptions, onBegun: () => void): StartTerm {
  const { id, data, writer } = parts;
  const { term: before } = writer.state;
  const first = takeover?.term ?? (wasReplica(data) ? nextFailoverTerm(before) : nextStartTerm(before));
  if (opened.isNew) recordLeadership(parts);
  let promotion = takeover?.audit;
  return new StartTerm({
    next: (known) => Math.max(first, nextStartTerm(known), nextStartTerm(writer.state.term)),
    async begin(term) {
      const audit = promotion && { draft: promotion, node: id };
      const begun = await writer.startEpoch(term, audit);
      promotion = undefined;
      return begun;
    },
    onBegun,
    isBegun: opened.isNew,
  });
}

/** Fences the node if another one is the primary, and looks for such a node from now on. AppError `conflict` after a takeover. */
export async function settleClaim(parts: NodeParts, claim: Claim, started: AsyncDisposableStack) {
  const { data, limits, clock, writer } = parts;
  const { config, opened, takeover, leadership, peers, fence, term, successor, duplicates, others } = claim;
  const right = takeover !== undefined || opened.isNew ? "leads" : claimOf(data, readEpochs(opened.store));
  if (others.primary !== undefined) fence.fence(others.primary.reason, others.primary.term);
  else if (right === "follows") fence.stayReplaced();
  else if (right === "asks" && peers !== undefined) fence.requireVotes();
  // Later than that: a former edge is behind its own primary, and may not recover as if it had been the primary.
  for (const { e: epoch, n, l: offset } of others.retained) successor.onBrokerPosition({ epoch, term: n, offset });
  if (takeover?.aheadIsLost !== true) await successor.askPeers();
  if (takeover !== undefined && fence.isFenced)
    throw superseded("another node was promoted meanwhile, or has come further than this one");
  successor.start();
  leadership.start({
    confirm: () => confirmTerm(peers, writer.state),
    // Before it begins its term, the edges follow another primary, or have voted: then the lease alone decides.
    ack: () => (term.isBegun ? config.ack : 0),
    onLost: (reason) => fence.loseLease(reason),
  });
  started.defer(() => successor.stop());
  if (peers === undefined) return;
  const checkDuplicates = async (): Promise<void> => {
    if (duplicates.hasNoReplica && !fence.isFenced) duplicates.onPrimaryHeads(await peers.livePrimaries());
  };
  started.defer(clock.every(limits.peerCheckIntervalMs, () => void checkDuplicates()));
}

export function openHandover(parts: NodeParts, claim: Claim, started: AsyncDisposableStack): Handover {
  const { leadership, fence } = claim;
  const handover = new Handover(parts.clock, (to) => {
    if (leadership.isLeased) fence.loseLease(`it gave the lease to ${to}, which did not become the primary`);
    else if (!fence.isFenced) recordLeadership(parts);
  });
  started.defer(() => handover.close());
  return handover;
}

/** The term begins after everything that can fail, and never over the term of a successor. */
export async function beginTerm(parts: NodeParts, claim: Claim, started: AsyncDisposableStack): Promise<void> {
  const { opened, term, fence, leadership, takeover } = claim;
  if (fence.isFenced) return;
  // The lease may need another confirmation if opening took long.
  await leadership.waitUntilValid();
  const isPromoted = takeover !== undefined;
  await beginFirstTerm(parts, term, isPromoted);
  recordPositionPeriodically(parts, started);
  if (opened.adminKey === undefined || !term.isBegun) return;
  try {
    await acceptAdminKey(parts, opened.adminKey, parts.id);
  } catch (error) {
    // The other nodes follow the new term, so the promotion must not fail any more.
    if (!isPromoted || storageFailureIn(error) === undefined) throw error;
    const mayWrite = (): boolean => !fence.isFenced && leadership.problem === undefined;
    acceptAdminKeyLater(parts, opened.adminKey, mayWrite, started);
  }
}

/** Votes for a candidate of a later epoch (this node may be an edge tomorrow), or one that it hands over to. */
export function createVoter(
  parts: NodeParts,
  { fence, peers, leadership }: Claim,
  handover: Handover,
): Pick<NodeServerOptions, "promised" | "vote"> {
  const { data, writer } = parts;
  let promised = readPromisedTerm(data);
  return {
    promised: () => promised,
    async vote(request: VoteRequest) {
      const isLater = compareEpochs(writer.state, request) < 0;
      const isHandover = request.graceful && !fence.isFenced && request.epoch === writer.state.epoch;
      // Any other candidate for the current epoch sees in the head that there is a primary.
      if (!isLater && !isHandover) return;
      if (isHandover && peers === undefined)
        throw new AppError("conflict", "it has no `peers`, and could not follow its successor");
      if (peers !== undefined && !(await peers.confirmsCandidate(request)))
        throw new AppError("conflict", `none of its peers says that it is ${request.node}, about to be promoted`);
      if (isLater) {
        parts.votes.grant({ ...request, force: true });
        promised = parts.votes.promisedTerm;
        return;
      }
      // If this process ends before it knows its successor, the next one has to ask for votes.
      if (!leadership.isLeased) tryToNote(data, () => noteReplica(data, "edge"));
      await handover.start(request.node);
      const released = leadership.release(request.node);
      // A candidate that has the lease already does not wait for it.
      if (!request.leased) await released;
    },
  };
}

/** What the peers know of the current term of this primary. */
async function confirmTerm(peers: Peers | undefined, state: StoreState): Promise<TermConfirmation> {
  const heads = ((await peers?.heads()) ?? []).map(({ head }) => head);
  const edges = heads.filter(
    ({ role, e, pledgedTo }) => role === "edge" && e === state.epoch && pledgedTo === undefined,
  );
  return {
    edges: edges.length,
    isSuperseded: heads.some((head) => compareEpochs(epochOf(head), state) > 0),
  };
}

function superseded(reason: string): AppError {
  return new AppError("conflict", `${reason}: this one continues as an edge, look again which one to promote`);
}
