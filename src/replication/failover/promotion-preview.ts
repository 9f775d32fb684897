/**
 * The preview of a promotion: what would prevent it, and what it would lose. It makes the checks that need no votes, so
 * it changes nothing on any node. The promotion itself can still be refused, by a vote or because something changed.
 */
import { AppError } from "../../util/app-error.ts";
import { reasonOf } from "../../util/reason.ts";
import type { PromoteOptions, PromotionPreview } from "../node.ts";
import type { Lease } from "../lease/lease.ts";
import {
  requireAcknowledged,
  requireNoPrimary,
  requireNoVoteGranted,
  type VoterHead,
  type VotingEdge,
} from "./promotion.ts";

/** Asks each other node for its head, for at most a second, and the coordination service for the lease. */
export async function previewPromotion(
  edge: VotingEdge,
  lastLedEpoch: string | undefined,
  lease: Lease | undefined,
  { force, graceful = false }: Pick<PromoteOptions, "force" | "graceful">,
): Promise<PromotionPreview> {
  const { id, config, replica, votes } = edge;
  const { ack } = config;
  const [asked, holder] = await Promise.all([replica.peers.headOfEach(), holderOf(lease)]);
  const nodes = asked.map(({ url, head }) => ({ url, node: head?.node, role: head?.role, offset: head?.l }));
  const answering = asked.flatMap(({ url, head }): VoterHead[] => (head === undefined ? [] : [{ url, head }]));
  const silent = asked.filter(({ head }) => head === undefined).map(({ url }) => url);
  const primaryUrl = replica.peers.primary.url;
  const state = replica.state();
  const reasons: string[] = [];
  const warnings: string[] = [];
  const check = (requirement: () => unknown): void => {
    try {
      requirement();
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      reasons.push(error.message);
    }
  };
  check(() => replica.engine());
  const { problem } = replica.writer.storage;
  if (problem !== undefined) reasons.push(problem);
  const none = { missingEvents: 0, lostEvents: undefined, primary: { url: primaryUrl, answers: false } };
  if (state === undefined) return { ...none, reasons, warnings, nodes };

  const isLeased = lease !== undefined;
  check(() => requireNoPrimary(answering, state, force || graceful));
  check(() => requireNoVoteGranted(votes, force, isLeased));
  if (!force) {
    for (const { url, head } of isLeased ? [] : answering) {
      if (head.pledgedTo !== undefined && head.pledgedTo !== id)
        reasons.push(`${url} has voted for ${head.pledgedTo}: check in a moment which node is the primary`);
      else if (head.candidacy !== undefined && head.role !== "primary") reasons.push(`${url} is about to be promoted`);
    }
    check(() => requireAcknowledged(edge, lastLedEpoch, silent, answering, state));
  }
  if (typeof holder === "string") reasons.push(holder);

  const primary = answering.find(({ head }) => head.role === "primary" && head.e === state.epoch);
  const furthest = Math.max(0, ...answering.filter(({ head }) => head.e === state.epoch).map(({ head }) => head.l));
  const latest = replica.loop.monitor.freshness.latestHead;
  const known = latest?.e === state.epoch ? latest.l : undefined;
  if (primary !== undefined && force)
    warnings.push(
      `the primary ${primary.url} answers: writes that it accepts until it learns of the promotion are lost`,
    );
  if (primary === undefined && ack === 0)
    warnings.push("no primary answers: events that only it has are not part of the new history");
  if (primary === undefined && silent.length > 0 && force && ack > 0)
    warnings.push(`${silent.join(" and ")} cannot be asked: acknowledged writes that only they have are lost`);
  if (typeof holder === "object" && holder.node !== id && !force && !graceful)
    warnings.push(`${holder.node} holds the lease of the primary: the promotion waits until the lease expires`);
  return {
    reasons,
    warnings,
    nodes,
    primary: { url: primary?.url ?? primaryUrl, answers: primary !== undefined },
    missingEvents: Math.max(0, furthest - state.offset),
    lostEvents:
      known === undefined && primary === undefined
        ? undefined
        : Math.max(0, (known ?? 0) - Math.max(furthest, state.offset)),
  };
}

/** Who holds the lease; a text says why that is not known. Undefined without a lease. */
async function holderOf(lease: Lease | undefined): Promise<{ readonly node: string } | string | undefined> {
  try {
    const state = await lease?.holder();
    return state?.isHeld === true ? { node: state.record.node } : undefined;
  } catch (error) {
    return `the lease cannot be acquired: ${reasonOf(error)}`;
  }
}
