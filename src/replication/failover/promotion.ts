/**
 * Decides whether an edge may replace its primary. It may not while the primary answers, while another node has
 * replaced it already, or while a peer has more events: the edge first fetches them, so that a promoted edge has all
 * events that any reachable edge has. It also needs the votes of its peers, so that nothing is acknowledged without it.
 * It does not decide that the primary is gone: an operator or the lease does (`lease-watch.ts`).
 */
import type { Config } from "../../config/config.ts";
import { compareEpochs, type EpochId, readEpochs } from "../../store/log/epochs.ts";
import type { StoreState } from "../../store/log/store-state.ts";
import { isSameFailover, nextFailoverTerm } from "../../store/log/terms.ts";
import { AppError } from "../../util/app-error.ts";
import { must } from "../../util/assert.ts";
import { sleep, type Clock } from "../../util/clock.ts";
import { epochOf, type NodeHead, type Candidate } from "../transport/messages.ts";
import type { Replica } from "../replica/replica.ts";
import type { Peers } from "../transport/peers.ts";
import type { Leadership } from "./leadership.ts";
import type { PromoteOptions } from "../node.ts";
import type { NodeContext } from "../node-context.ts";
import type { Votes } from "./votes.ts";

const catchUpWaitMs = 5000;
const catchUpPollMs = 50;
/** Enough for gigabytes that are in memory. The new primary's first audit checks the rest. */
const pagesCheckMs = 2000;

/**
 * Acquires the leadership: with `failover` the lease, for whose term the votes are requested. A graceful promotion calls
 * `askToHandOver` first, so that the primary can release the lease.
 */
export type AcquireLeadership = (askToHandOver: () => Promise<void>) => Promise<Leadership>;

/** How to become the primary. */
export interface PromotionRequest extends Required<Omit<PromoteOptions, "audit">> {
  readonly acquire: AcquireLeadership;
}

/** An edge that votes and can be promoted. */
export interface VotingEdge extends Pick<NodeContext, "id" | "data" | "clock"> {
  readonly config: Config;
  readonly votes: Votes;
  readonly replica: Replica;
}

/** What a candidate adds to the request. */
interface Attempt extends PromotionRequest {
  readonly lastLedEpoch: string | undefined;
  readonly candidate: Candidate;
  /** Called before the first request to another node, when this node becomes a candidate. */
  readonly onCandidate: () => void;
}

/** The current primary answers. Without force, no other node becomes the primary. */
export class PrimaryAliveError extends AppError {
  constructor(url: string) {
    super(
      "conflict",
      `the primary ${url} is alive: let it hand over (--graceful), or stop it first, or use force, which loses the writes that it accepts until it notices its successor`,
    );
  }
}

/** What a candidate has won: it may begin this term as the primary. */
export interface WonPromotion {
  /** The epoch before the new one. */
  readonly after: EpochId;
  /** The term of the new epoch: later than all terms that the asked nodes know. */
  readonly term: number;
  readonly leadership: Leadership;
}

/** AppError `conflict` says why the node may not become the primary, and which reasons `force` would ignore. */
export async function winPromotion(edge: VotingEdge, attempt: Attempt): Promise<WonPromotion> {
  const { replica } = edge;
  replica.engine();
  // A primary's file cannot be repaired from other nodes. Computing the digest takes a second for a million facts, and
  // blocks writes. It was compared with the primary's digest at each event.
  await replica.checkPages(pagesCheckMs);
  replica.engine();
  const state = must(replica.state());
  const { heads, leadership } = await acquireLeadership(replica, attempt, state);
  try {
    return await collectVotes(edge, attempt, state, heads, leadership);
  } catch (error) {
    await leadership.release();
    throw error;
  }
}

/** Called before any node promises anything, since that would delay the writes of a healthy primary. */
async function acquireLeadership(
  replica: Replica,
  { candidate, force, graceful, automatic, acquire, onCandidate }: Attempt,
  state: StoreState,
): Promise<{ readonly heads: readonly VoterHead[]; readonly leadership: Leadership }> {
  const heads = await replica.peers.heads();
  requireNoPrimary(heads, state, force || graceful);
  // A primary without a lease has not lost it: it was not configured for failover yet, and is healthy.
  const unleased = heads.find(({ head }) => head.role === "primary" && head.e === state.epoch && head.leased !== true);
  if (automatic && unleased !== undefined) throw new PrimaryAliveError(unleased.url);
  onCandidate();
  const leadership = await acquire(() => replica.peers.requestHandover(state, candidate));
  // A primary that answered may be handing over, or be an edge by now.
  const isUncertain = leadership.isLeased && heads.some(({ head }) => head.role === "primary");
  return { heads: isUncertain ? await replica.peers.heads() : heads, leadership };
}

async function collectVotes(
  edge: VotingEdge,
  attempt: Attempt,
  state: StoreState,
  heads: readonly VoterHead[],
  leadership: Leadership,
): Promise<WonPromotion> {
  const { replica, votes, clock } = edge;
  const { candidate, force, graceful } = attempt;
  const leased = leadership.isLeased;
  requireNoVoteGranted(votes, force, leased);
  const term =
    leadership.term ??
    nextFailoverTerm(state.term, votes.promisedTerm, ...heads.flatMap(({ head }) => [head.n, head.promised ?? 0]));
  // Another node may have votes for the same term, possibly from this node.
  if (term <= votes.promisedTerm)
    throw new AppError(
      "conflict",
      `this node has promised the term ${votes.promisedTerm}, which is not before ${term}: try again`,
    );
  votes.promiseTerm(term);
  const answering = new Set(heads.map(({ url }) => url));
  const voteOptions = { force, graceful, leased, wanted: term };
  const responses = await replica.peers.requestVotes(state, candidate, voteOptions, answering);
  const voters = responses.flatMap(({ url, answer }) =>
    answer !== undefined && "head" in answer ? [{ url, head: answer.head }] : [],
  );
  requireNoPrimary(voters, state, force || graceful);
  if (!force) requireVotes(edge, attempt, responses, voters, state, leased);
  if (graceful) requireHandedOver(heads, voters, state, candidate);
  const furthest = Math.max(0, ...voters.filter(({ head }) => head.e === state.epoch).map(({ head }) => head.l));
  const reached = await catchUpTo(replica, furthest, clock);
  // The votes may have taken seconds.
  replica.engine();
  requireNoVoteGranted(votes, force, leased);
  leadership.requireValid();
  if (votes.promisedTerm > term && leased)
    throw new AppError("conflict", "this node has voted for a later lease in the meantime");
  // Only force overrides a greater promise, and then uses a later term.
  const promised = Math.max(0, ...voters.map(({ head }) => head.promised ?? 0));
  if (promised > term && leased) throw new AppError("conflict", "another node has acquired a later lease");
  if (reached || force) return { after: state, term: promised > term ? nextFailoverTerm(promised) : term, leadership };
  throw new AppError(
    "conflict",
    `another node is at ${furthest}, this one only at ${must(replica.state()).offset}: promote that one, or use force and lose the events in between`,
  );
}

export interface VoterHead {
  readonly url: string;
  readonly head: NodeHead;
}

/** The primary does not answer, and no node has replaced it. */
export function requireNoPrimary(voters: readonly VoterHead[], current: StoreState, force: boolean): void {
  const later = voters.find(({ head }) => compareEpochs(epochOf(head), current) > 0);
  if (later !== undefined) {
    throw new AppError(
      "conflict",
      `${later.url} knows of a later epoch than this node: another node was promoted, or this one is behind. It will follow when it can`,
    );
  }
  const primary = voters.find(({ head }) => head.role === "primary" && head.e === current.epoch);
  if (primary === undefined || force) return;
  throw new PrimaryAliveError(primary.url);
}

/** This node has not voted for another candidate, except one whose lease is over. */
export function requireNoVoteGranted(votes: Votes, force: boolean, leased: boolean): void {
  if (votes.candidate === undefined || force || (leased && !votes.isBinding)) return;
  throw new AppError(
    "conflict",
    `${votes.candidate} is about to be promoted: check in a moment whether it was, or use force`,
  );
}

type VoteResponses = Awaited<ReturnType<Peers["requestVotes"]>>;

/** No other node is being promoted, and each write that may be acknowledged is on this node or on a voter. */
function requireVotes(
  edge: VotingEdge,
  { automatic, lastLedEpoch }: Attempt,
  responses: VoteResponses,
  voters: readonly VoterHead[],
  state: StoreState,
  leased: boolean,
): void {
  for (const { url, answer } of responses) {
    if (answer === undefined || !("refused" in answer)) continue;
    throw new AppError(
      "conflict",
      `${url} does not grant its vote: ${answer.refused}. Check in a moment which node is the primary, or use force`,
    );
  }
  if (automatic && !leased && voters.length === 0)
    throw new AppError("conflict", "no other node grants its vote, and no operator has asked for this promotion");
  const silent = responses.filter(({ answer }) => answer === undefined).map(({ url }) => url);
  requireAcknowledged(edge, lastLedEpoch, silent, voters, state);
}

/** Each write that may be acknowledged is on this node or on one that answers, whatever the nodes in `silent` have. */
export function requireAcknowledged(
  { replica, config }: VotingEdge,
  lastEpoch: string | undefined,
  silent: readonly string[],
  answering: readonly VoterHead[],
  state: StoreState,
): void {
  const needed = Math.max(config.ack, replica.loop.isAckRequested ? 1 : 0);
  // One of the silent nodes is the primary itself, unless that is an edge by now.
  const epochs = readEpochs(replica.database.reader());
  const isPrimaryHere =
    hasLed(lastEpoch, epochs, state) || answering.some(({ head }) => hasLed(head.led, head.epochs, state));
  const edges = silent.length - (isPrimaryHere ? 0 : 1);
  if (needed === 0 || edges < needed) return;
  throw new AppError(
    "conflict",
    `${silent.join(" and ")} cannot be asked: there may be writes that were acknowledged with \`--ack\` and that no other node has. Promote when more nodes can be reached, or use force and accept their loss`,
  );
}

/** Whether the last epoch that a node led may be of the current primary, each of whose starts begins an epoch. */
function hasLed(lastEpoch: string | undefined, epochs: readonly EpochId[], current: StoreState): boolean {
  if (lastEpoch === undefined) return false;
  const known = epochs.find(({ epoch }) => epoch === lastEpoch);
  return known === undefined || isSameFailover(known.term, current.term);
}

/** The primary has stopped its writes for this candidate. If it does not say so, it still writes. */
function requireHandedOver(
  heads: readonly VoterHead[],
  answers: readonly VoterHead[],
  { epoch }: StoreState,
  { node }: Candidate,
): void {
  const primary = heads.find(({ head }) => head.role === "primary" && head.e === epoch);
  if (primary === undefined) return;
  const answer = answers.find(({ url }) => url === primary.url);
  if (answer?.head.handsOverTo === node) return;
  throw new AppError(
    "conflict",
    `the primary ${primary.url} does not hand over: it is busy, has no \`peers\` to follow, or is of an earlier version. Try again, or stop it and promote without --graceful`,
  );
}

async function catchUpTo({ state: current, loop }: Replica, offset: number, clock: Clock): Promise<boolean> {
  const reached = (): boolean => (current()?.offset ?? 0) >= offset;
  for (const end = clock.monotonicMs() + catchUpWaitMs; !reached() && clock.monotonicMs() < end;) {
    // As after a connection: missing events are fetched from other nodes.
    loop.onSubscribed();
    await sleep(clock, catchUpPollMs);
  }
  return reached();
}
