/**
 * Whether an edge may take its primary's place. Not while that one answers, or another has taken it already, and not while a peer has more: the edge
 * first takes from its peers what it has not, so that whichever edge is promoted has all that any of them had. Who decides that the primary is gone
 * is for somebody outside: an operator, or whatever holds the lease.
 */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { readNote, writeNote } from "../../store/data-directory.ts";
import { compareEpochs } from "../../store/epochs.ts";
import { AppError } from "../../util/app-error.ts";
import { must } from "../../util/assert.ts";
import type { Clock } from "../../util/clock.ts";
import { epochOf } from "../feed/envelope.ts";
import type { FollowingCopy } from "../following/following-copy.ts";
import type { System } from "../system.ts";

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

/** AppError `conflict` says why not, and what `force` would pass over. */
export async function requirePromotable(following: FollowingCopy, force: boolean, system: System): Promise<void> {
  following.engine();
  // The primary's file is the truth: nobody could repair it, and nobody could take a snapshot of it.
  await following.audit();
  following.engine();
  const state = must(following.present());
  const heads = await following.upstream.heads();
  const later = heads.find(({ head }) => compareEpochs(epochOf(head), state) > 0);
  if (later !== undefined) {
    throw new AppError(
      "conflict",
      `${later.url} knows of a later epoch than this node: another node was promoted, or this one is behind. It will follow when it can`,
    );
  }
  const primary = heads.find(({ head }) => head.role === "primary" && head.e === state.epoch);
  if (primary !== undefined && !force) {
    throw new AppError(
      "conflict",
      `the primary ${primary.url} is alive: stop it first, or use force, and what it accepts until it learns of its successor is lost to the others`,
    );
  }
  const furthest = Math.max(0, ...heads.filter(({ head }) => head.e === state.epoch).map(({ head }) => head.l));
  if (await reach(following, furthest, system.clock)) return;
  if (force) return;
  throw new AppError(
    "conflict",
    `another node has come to ${furthest}, this one only to ${must(following.present()).offset}: promote that one, or use force and lose what is between`,
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
