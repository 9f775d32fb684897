/** The request of a candidate for the vote of another node. */
import type { EpochId } from "../../store/log/epochs.ts";

/** One attempt of a node to become the primary after an epoch. */
export interface Candidacy {
  readonly node: string;
  /** Distinguishes attempts, including attempts of the same node. */
  readonly token: string;
}

export interface VoteOptions {
  /** Whether the node is to be promoted regardless of other candidates. */
  readonly force: boolean;
  readonly graceful: boolean;
  /** Whether the term is that of the primary's lease. No other node begins it, and a later lease supersedes it. */
  readonly leased: boolean;
  /** The term that the candidate will begin. Undefined from earlier versions, and in requests for a handover. */
  readonly wanted: number | undefined;
}

/** `epoch` and `term` are the candidate's own. */
export interface VoteRequest extends Candidacy, EpochId, VoteOptions {}
