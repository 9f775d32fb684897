/** The request of a candidate for the vote of another node. */
import type { EpochId } from "../../store/log/epochs.ts";

/** One attempt of a node to become the primary after an epoch. */
export interface Candidacy {
  readonly node: string;
  /** Tells it from others, also of the same node. */
  readonly token: string;
}

export interface VoteOptions {
  /** Whether the node is to be promoted regardless of other candidates. */
  readonly force: boolean;
  /** Whether a primary hands over to it. */
  readonly graceful: boolean;
  /** Whether the term is that of the lease of the primary: nobody else begins that term, and a later one supersedes it. */
  readonly leased: boolean;
  /** The term that it is going to begin. Undefined from a node of an earlier version, and where the primary is asked to hand over. */
  readonly wanted: number | undefined;
}

/** `epoch` and its term are where the candidate stands. */
export interface VoteRequest extends Candidacy, EpochId, VoteOptions {}
