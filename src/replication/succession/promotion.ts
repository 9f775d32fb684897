/**
 * Whether an edge may take its primary's place. Not while that one answers, or another has taken it already, and not while a peer has more: the edge
 * first takes from its peers what it has not, so that whichever edge is promoted has all that any of them had. Of those it also has their pledge, so
 * that nothing is acknowledged behind its back. Who decides that the primary is gone is for somebody outside: an operator, or whatever holds the lease.
 */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { readNote, writeNote } from "../../store/data-directory.ts";
import { compareEpochs, type EpochName } from "../../store/epochs.ts";
import type { State } from "../../store/state.ts";
import { nextSuccession } from "../../store/terms.ts";
import { AppError } from "../../util/app-error.ts";
import { must } from "../../util/assert.ts";
import type { Clock } from "../../util/clock.ts";
import { epochOf, type NodeHead } from "../feed/envelope.ts";
import type { FollowingCopy } from "../following/following-copy.ts";
import type { Upstream } from "../following/upstream.ts";
import type { System } from "../system.ts";
import type { Candidacy, Pledge } from "./pledge.ts";

const noteName = "promoted";

/** Whether the node of this directory was promoted, and nobody after it. */
export function isPromoted(directory: string): boolean {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  return readNote(directory, noteName) !== undefined;
}

export function notePromotion(directory: string): void {
  writeNote(directory, noteName, new Date().toISOString());
}

/** Another was promoted over this one. */
export function forgetPromotion(directory: string): void {
  rmSync(join(directory, noteName), { force: true });
}

const catchUpWaitMs = 5000;
const lookAgainMs = 50;

export interface PromotionOptions {
  readonly following: FollowingCopy;
  /** What this node has promised itself. */
  readonly pledge: Pledge;
  /** The last epoch that this node was the primary of. */
  readonly led: string | undefined;
  /** What its peers are asked to give their pledge to. */
  readonly candidacy: Candidacy;
  /** How many edges have each write that was acknowledged (`--ack`), besides the primary. */
  readonly ack: number;
  /** Goes on whatever stands against it, but for a later epoch. */
  readonly force: boolean;
  /** Asks a primary that answers to hand over. */
  readonly graceful: boolean;
  readonly system: System;
}

/** The present primary answers: nobody else becomes one without force. */
export class PrimaryIsAlive extends AppError {
  constructor(url: string) {
    super(
      "conflict",
      `the primary ${url} is alive: stop it first, or use force, and what it accepts until it learns of its successor is lost to the others`,
    );
  }
}

/** What a node may begin as the primary. */
export interface Mandate {
  /** The epoch that its own will follow. */
  readonly after: EpochName;
  /** The term of its own: later than all that the nodes know that were asked. */
  readonly term: number;
}

/** AppError `conflict` says why the node may not become the primary, and what `force` would pass over. */
export async function requirePromotable(options: PromotionOptions): Promise<Mandate> {
  const { following, pledge, candidacy, force, graceful, system } = options;
  following.engine();
  // The primary's file is the truth: nobody could repair it, and nobody could take a snapshot of it.
  await following.audit();
  following.engine();
  const state = must(following.present());
  // Before anybody pledges anything, which would hold up the writes of a primary that is well.
  requireGone(await following.upstream.heads(), state, force || graceful);
  requireFree(pledge, force);
  const asked = await following.upstream.pledges(state, candidacy, { force, graceful });
  const standings = asked.flatMap(({ url, answer }) =>
    answer !== undefined && "head" in answer ? [{ url, head: answer.head }] : [],
  );
  requireGone(standings, state, force || graceful);
  if (!force) requirePledges(asked, standings, state.epoch, options);
  const furthest = Math.max(0, ...standings.filter(({ head }) => head.e === state.epoch).map(({ head }) => head.l));
  const reached = await reach(following, furthest, system.clock);
  // That may have taken seconds.
  following.engine();
  requireFree(pledge, force);
  const term = nextSuccession(state.term, ...standings.map(({ head }) => head.n));
  if (reached || force) return { after: state, term };
  throw new AppError(
    "conflict",
    `another node has come to ${furthest}, this one only to ${must(following.present()).offset}: promote that one, or use force and lose what is between`,
  );
}

interface Standing {
  readonly url: string;
  readonly head: NodeHead;
}

/** The primary does not answer, and nobody has taken its place. */
function requireGone(standings: readonly Standing[], present: State, force: boolean): void {
  const later = standings.find(({ head }) => compareEpochs(epochOf(head), present) > 0);
  if (later !== undefined) {
    throw new AppError(
      "conflict",
      `${later.url} knows of a later epoch than this node: another node was promoted, or this one is behind. It will follow when it can`,
    );
  }
  const primary = standings.find(({ head }) => head.role === "primary" && head.e === present.epoch);
  if (primary === undefined || force) return;
  throw new PrimaryIsAlive(primary.url);
}

/** This node has not promised to wait for another. */
function requireFree(pledge: Pledge, force: boolean): void {
  if (pledge.to === undefined || force) return;
  throw new AppError("conflict", `${pledge.to} is about to be promoted: look in a moment whether it was, or use force`);
}

type Asked = Awaited<ReturnType<Upstream["pledges"]>>;

/** Nobody else is being promoted, and each write that was or may yet be acknowledged is on a node that has given its pledge, or on this one. */
function requirePledges(
  asked: Asked,
  standings: readonly Standing[],
  epoch: string,
  { following, led, ack }: PromotionOptions,
): void {
  for (const { url, answer } of asked) {
    if (answer === undefined || !("refused" in answer)) continue;
    throw new AppError(
      "conflict",
      `${url} does not give its pledge: ${answer.refused}. Look in a moment who is the primary, or use force`,
    );
  }
  const needed = Math.max(ack, following.follower.ackWanted ? 1 : 0);
  const silent = asked.filter(({ answer }) => answer === undefined);
  // One of them is the primary itself, unless that is an edge by now.
  const isPrimaryHere = led === epoch || standings.some(({ head }) => head.led === epoch);
  const edges = silent.length - (isPrimaryHere ? 0 : 1);
  if (needed === 0 || edges < needed) return;
  throw new AppError(
    "conflict",
    `${silent.map(({ url }) => url).join(" and ")} can't be asked: there may be writes that were acknowledged with \`--ack\` and that nobody else has. Promote when more nodes can be reached, or use force and accept their loss`,
  );
}

async function reach({ present, follower }: FollowingCopy, offset: number, clock: Clock): Promise<boolean> {
  const reached = (): boolean => (present()?.offset ?? 0) >= offset;
  for (const end = clock.monotonicMs() + catchUpWaitMs; !reached() && clock.monotonicMs() < end;) {
    // As after a connection: whatever others have is fetched.
    follower.subscribed();
    await new Promise<void>((resolve) => clock.after(lookAgainMs, resolve));
  }
  return reached();
}
