/**
 * Whether an edge may take its primary's place. Not while that one answers, or another has taken it already, and not while a peer has more: the edge
 * first takes from its peers what it has not, so that whichever edge is promoted has all that any of them had. Of those it also has their pledge, so
 * that nothing is acknowledged behind its back. It does not decide that the primary is gone: an
 * operator does, or the lease (`failover/campaign.ts`).
 */
import { compareEpochs, type EpochId } from "../../store/log/epochs.ts";
import type { StoreState } from "../../store/log/store-state.ts";
import { isSameFailover, nextFailoverTerm } from "../../store/log/terms.ts";
import { AppError } from "../../util/app-error.ts";
import { must } from "../../util/assert.ts";
import { sleep, type Clock } from "../../util/clock.ts";
import { epochOf, type NodeHead } from "../transport/messages.ts";
import type { Replica } from "../replica/replica.ts";
import type { Peers } from "../transport/peers.ts";
import type { Leadership } from "./leadership.ts";
import type { System } from "../system.ts";
import type { Candidacy } from "../transport/vote-request.ts";
import type { Votes } from "./votes.ts";

const catchUpWaitMs = 5000;
const catchUpPollMs = 50;
/** Enough for gigabytes that are in memory. The new primary's first audit looks at the rest. */
const pagesCheckMs = 2000;

export interface PromotionOptions {
  readonly replica: Replica;
  /** What this node has promised itself. */
  readonly votes: Votes;
  /** The last epoch that this node was the primary of. */
  readonly lastLedEpoch: string | undefined;
  /** The epochs of this node's history. */
  readonly epochs: () => readonly EpochId[];
  /** What its peers are asked to give their pledge to. */
  readonly candidacy: Candidacy;
  /** Called before the first other node is asked for something: until then this node found that it may stand. */
  readonly onCandidacy: () => void;
  /** How many edges have each write that was acknowledged (`--ack`), besides the primary. */
  readonly ack: number;
  /** Goes on whatever stands against it, but for a later epoch. */
  readonly force: boolean;
  /** Asks a primary that answers to hand over. */
  readonly graceful: boolean;
  /** Whether the node itself asks, and no operator. Without a lease it then needs the vote of at least one other node. */
  readonly automatic: boolean;
  /** Gives the lease under which it is promoted, whose term the others are asked for; undefined where there is no such lease. */
  readonly acquire: AcquireLease;
  readonly system: System;
}

/** The present primary answers: nobody else becomes one without force. */
export class PrimaryAliveError extends AppError {
  constructor(url: string) {
    super(
      "conflict",
      `the primary ${url} is alive: let it hand over (--graceful), or stop it first, or use force, and what it accepts until it learns of its successor is lost to the others`,
    );
  }
}

/**
 * Acquires the lease of the primary; undefined where none is configured. A graceful promotion calls `requestHandover` first, so that a primary can give the
 * lease up.
 */
export type AcquireLease = (askToHandOver: () => Promise<void>) => Promise<Leadership | undefined>;

/** What a node may begin as the primary. */
export interface Mandate {
  /** The epoch that its own will follow. */
  readonly after: EpochId;
  /** The term of its own: later than all that the nodes know that were asked. */
  readonly term: number;
  readonly leadership: Leadership | undefined;
}

/** AppError `conflict` says why the node may not become the primary, and what `force` would pass over. */
export async function obtainMandate(options: PromotionOptions): Promise<Mandate> {
  const { replica: following } = options;
  following.engine();
  // Nobody could repair the file of a primary. Computing the digest takes a second for a million facts, in which nobody can write; it was compared with
  // the primary's at each event.
  await following.checkPages(pagesCheckMs);
  following.engine();
  const state = must(following.state());
  const { heads, leadership } = await obtainLease(options, state);
  try {
    return await collectVotes(options, state, heads, leadership);
  } catch (error) {
    await leadership?.release();
    throw error;
  }
}

type PeerHeads = Awaited<ReturnType<Peers["heads"]>>;

/** Before anybody promises anything, which would hold up the writes of a primary that is well. */
async function obtainLease(
  { replica: following, candidacy, force, graceful, automatic, acquire, onCandidacy: onStanding }: PromotionOptions,
  state: StoreState,
): Promise<{ readonly heads: PeerHeads; readonly leadership: Leadership | undefined }> {
  const heads = await following.peers.heads();
  requireNoPrimary(heads, state, force || graceful);
  // One without a lease is none that has lost it: it was not configured for failover yet, and is well.
  const unleased = heads.find(({ head }) => head.role === "primary" && head.e === state.epoch && head.leased !== true);
  if (automatic && unleased !== undefined) throw new PrimaryAliveError(unleased.url);
  onStanding();
  const leadership = await acquire(() => following.peers.requestHandover(state, candidacy));
  // One that answered may hand over, or be an edge, by now.
  const isUnsure = leadership !== undefined && heads.some(({ head }) => head.role === "primary");
  return { heads: isUnsure ? await following.peers.heads() : heads, leadership };
}

async function collectVotes(
  options: PromotionOptions,
  state: StoreState,
  heads: PeerHeads,
  leadership: Leadership | undefined,
): Promise<Mandate> {
  const { replica: following, votes: pledge, candidacy, force, graceful, system } = options;
  const leased = leadership !== undefined;
  requireNoVoteGranted(pledge, force, leased);
  const term =
    leadership?.term ??
    nextFailoverTerm(state.term, pledge.promisedTerm, ...heads.flatMap(({ head }) => [head.n, head.promised ?? 0]));
  requireUnpromisedTerm(term, pledge);
  pledge.promiseTerm(term);
  const answering = new Set(heads.map(({ url }) => url));
  const how = { force, graceful, leased, wanted: term };
  const asked = await following.peers.requestVotes(state, candidacy, how, answering);
  const standings = asked.flatMap(({ url, answer }) =>
    answer !== undefined && "head" in answer ? [{ url, head: answer.head }] : [],
  );
  requireNoPrimary(standings, state, force || graceful);
  if (!force) requireVotes(asked, standings, state, options, leased);
  if (graceful) requireHandedOver(heads, standings, state, candidacy);
  const furthest = Math.max(0, ...standings.filter(({ head }) => head.e === state.epoch).map(({ head }) => head.l));
  const reached = await catchUpTo(following, furthest, system.clock);
  // That may have taken seconds.
  following.engine();
  requireNoVoteGranted(pledge, force, leased);
  leadership?.requireValid();
  if (pledge.promisedTerm > term && leased)
    throw new AppError("conflict", "this node has voted for a later lease meanwhile");
  // Only force passes over a greater promise, and then comes after it.
  const promised = Math.max(0, ...standings.map(({ head }) => head.promised ?? 0));
  if (promised > term && leased) throw new AppError("conflict", "another node has acquired a later lease");
  if (reached || force) return { after: state, term: promised > term ? nextFailoverTerm(promised) : term, leadership };
  throw new AppError(
    "conflict",
    `another node has come to ${furthest}, this one only to ${must(following.state()).offset}: promote that one, or use force and lose what is between`,
  );
}

interface VoterHead {
  readonly url: string;
  readonly head: NodeHead;
}

/** The primary does not answer, and nobody has taken its place. */
function requireNoPrimary(standings: readonly VoterHead[], present: StoreState, force: boolean): void {
  const later = standings.find(({ head }) => compareEpochs(epochOf(head), present) > 0);
  if (later !== undefined) {
    throw new AppError(
      "conflict",
      `${later.url} knows of a later epoch than this node: another node was promoted, or this one is behind. It will follow when it can`,
    );
  }
  const primary = standings.find(({ head }) => head.role === "primary" && head.e === present.epoch);
  if (primary === undefined || force) return;
  throw new PrimaryAliveError(primary.url);
}

/** Others of the same term may have been voted for, by this node among them. */
function requireUnpromisedTerm(term: number, pledge: Votes): void {
  if (term > pledge.promisedTerm) return;
  throw new AppError(
    "conflict",
    `this node has promised the term ${pledge.promisedTerm}, which is not before ${term}: try again`,
  );
}

/** This node has not promised to wait for another, other than one whose lease is over. */
function requireNoVoteGranted(pledge: Votes, force: boolean, leased: boolean): void {
  if (pledge.candidate === undefined || force || (leased && !pledge.isBinding)) return;
  throw new AppError(
    "conflict",
    `${pledge.candidate} is about to be promoted: look in a moment whether it was, or use force`,
  );
}

type VoteResponses = Awaited<ReturnType<Peers["requestVotes"]>>;

/** Nobody else is being promoted, and each write that was or may yet be acknowledged is on a node that has given its pledge, or on this one. */
function requireVotes(
  asked: VoteResponses,
  standings: readonly VoterHead[],
  state: StoreState,
  { replica: following, lastLedEpoch: led, epochs, ack, automatic }: PromotionOptions,
  leased: boolean,
): void {
  for (const { url, answer } of asked) {
    if (answer === undefined || !("refused" in answer)) continue;
    throw new AppError(
      "conflict",
      `${url} does not give its pledge: ${answer.refused}. Look in a moment who is the primary, or use force`,
    );
  }
  const needed = Math.max(ack, following.loop.isAckRequested ? 1 : 0);
  const silent = asked.filter(({ answer }) => answer === undefined);
  // One of them is the primary itself, unless that is an edge by now.
  const isPrimaryHere =
    hasLed(led, epochs(), state) || standings.some(({ head }) => hasLed(head.led, head.epochs, state));
  const edges = silent.length - (isPrimaryHere ? 0 : 1);
  if (automatic && !leased && standings.length === 0)
    throw new AppError("conflict", "no other node gives its pledge, and nobody has asked for this promotion");
  if (needed === 0 || edges < needed) return;
  throw new AppError(
    "conflict",
    `${silent.map(({ url }) => url).join(" and ")} can't be asked: there may be writes that were acknowledged with \`--ack\` and that nobody else has. Promote when more nodes can be reached, or use force and accept their loss`,
  );
}

/** Whether the last epoch that a node led is one of the present primary's: each of its starts begins one. An unknown epoch may be. */
function hasLed(led: string | undefined, epochs: readonly EpochId[], present: StoreState): boolean {
  if (led === undefined) return false;
  const known = epochs.find(({ epoch }) => epoch === led);
  return known === undefined || isSameFailover(known.term, present.term);
}

/** The primary has stopped its writes for this candidate. One that does not say so goes on writing: it did not hear of it, or is of an earlier version. */
function requireHandedOver(
  heads: readonly VoterHead[],
  answers: readonly VoterHead[],
  { epoch }: StoreState,
  { node }: Candidacy,
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

async function catchUpTo({ state: present, loop: follower }: Replica, offset: number, clock: Clock): Promise<boolean> {
  const reached = (): boolean => (present()?.offset ?? 0) >= offset;
  for (const end = clock.monotonicMs() + catchUpWaitMs; !reached() && clock.monotonicMs() < end;) {
    // As after a connection: whatever others have is fetched.
    follower.onSubscribed();
    await sleep(clock, catchUpPollMs);
  }
  return reached();
}
