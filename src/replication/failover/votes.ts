/**
 * The votes that an edge has granted. A candidate requests the votes of its peers before it replaces the primary. An
 * edge that grants its vote stops counting for acknowledgements (`--ack`) of the current epoch, and promises the same
 * to no other candidate, except with force. So the old primary, if it still runs, can acknowledge nothing that its
 * successor does not have, and of two candidates at most one succeeds. This is the promise of the first phase of Paxos
 * (Lamport, "Paxos Made Simple", section 2.2), with the term of the epoch as the number.
 *
 * A term is promised to one candidate only, so two candidates that share a voter never begin the same term. The vote is
 * stored on disk, so that a restart does not undo it. It ends with a later failover term, or when the candidate gives
 * up. Another start of the old primary does not end it.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { readNodeFile, writeNodeFile } from "../../store/directory/data-directory.ts";
import { compareEpochs, type EpochId } from "../../store/log/epochs.ts";
import { isSameFailover, isStartTerm } from "../../store/log/terms.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { AppError } from "../../util/app-error.ts";
import { epochOf, type NodeHead, type VoteRequest } from "../transport/messages.ts";

const log = getLogger("edge");

const fileName = "pledge";
const termFileName = "promised-term";

const votesSchema = z.array(
  z.object({
    node: z.string(),
    token: z.string(),
    epoch: z.string(),
    term: z.number(),
    /** The term that the candidate will begin, if it has the lease for it. */
    leaseTerm: z.number().optional(),
  }),
);
/** The candidate, and the epoch up to which the vote holds. */
export type GrantedVote = z.infer<typeof votesSchema>[number];

/** The greatest term that the node of this directory has promised or stood for; 0 if there is none. */
export function readPromisedTerm(directory: string): number {
  return Number(readNodeFile(directory, termFileName) ?? 0) || 0;
}

/**
 * Whether this epoch is no later than the vote's epoch, or only another start of the same primary. A candidate with a
 * lease may be overtaken by one with an earlier lease that already has its votes. Writes of that one count here only
 * after the later candidate has given up.
 */
function isCoveredBy(epoch: EpochId, vote: GrantedVote): boolean {
  if (vote.leaseTerm !== undefined) return epoch.term < vote.leaseTerm;
  return compareEpochs(epoch, vote) <= 0 || (isSameFailover(epoch.term, vote.term) && isStartTerm(epoch.term));
}

export class Votes {
  readonly #path: string;
  readonly #directory: string;
  /** Several only after a vote with force. Each ends by itself. */
  #granted: readonly GrantedVote[];
  #promisedTerm: number;

  /** `directory` is the data directory. AppError `internal` if the stored votes cannot be read. */
  constructor(directory: string) {
    this.#directory = directory;
    this.#path = join(directory, fileName);
    this.#granted = this.#read();
    this.#promisedTerm = readPromisedTerm(directory);
  }

  /** The greatest term that this node has promised to a candidate or stood for itself. No other candidate gets it. */
  get promisedTerm(): number {
    return this.#promisedTerm;
  }

  /** Promises the term, so that no other candidate gets it. Throws if that cannot be stored. */
  promiseTerm(term: number): void {
    if (term <= this.#promisedTerm) return;
    writeNodeFile(this.#directory, termFileName, String(term));
    this.#promisedTerm = term;
  }

  get granted(): readonly GrantedVote[] {
    return this.#granted;
  }

  /** The candidate that has the vote, while it holds. */
  get candidate(): string | undefined {
    return this.#granted[0]?.node;
  }

  /** Whether the vote is for a candidate that a later lease does not supersede. */
  get isBinding(): boolean {
    return this.#granted.some(({ leaseTerm }) => leaseTerm === undefined);
  }

  /** AppError `conflict` if another candidate has the vote, or the requested term was promised before. */
  grant({ node, token, epoch, term, force, wanted, leased }: Omit<VoteRequest, "graceful">): void {
    const isLease = leased && wanted !== undefined;
    const others = this.#granted.filter(
      (vote) => vote.node !== node && !(isLease && (vote.leaseTerm ?? wanted) < wanted),
    );
    if (others.length > 0 && !force) {
      throw new AppError(
        "conflict",
        `it waits for the promotion of ${this.candidate}; if that node is gone for good, remove \`${fileName}\` from its data directory and restart it`,
      );
    }
    if (wanted !== undefined) {
      if (wanted <= this.#promisedTerm && !force)
        throw new AppError(
          "conflict",
          `it has already promised the term ${this.#promisedTerm}, and ${wanted} is not after that`,
        );
      this.promiseTerm(wanted);
    }
    const votes = [...others, { node, token, epoch, term, ...(isLease ? { leaseTerm: wanted } : {}) }];
    writeNodeFile(this.#directory, fileName, JSON.stringify(votes));
    this.#granted = votes;
    log.warning(
      "{node} is about to be promoted: until that is decided, this edge does not count for acknowledgements of writes. If that node is gone for good and none is promoted, remove `{note}` and restart this one",
      { node, note: this.#path },
    );
  }

  /** This node is now in `epoch`. Another start of the old primary does not end a vote. */
  onEpoch(epoch: EpochId): void {
    this.#retain((vote) => isCoveredBy(epoch, vote), "there is a later epoch");
  }

  /** Evaluates the heads of other nodes. Only for the votes in `known`: later votes may be newer than the heads. */
  onHeads(heads: readonly NodeHead[], known: readonly GrantedVote[]): void {
    const hasEnded = (vote: GrantedVote): boolean => {
      const own = heads.filter(({ node }) => node === vote.node);
      // A node with an attempt under way is still a candidate. If the candidate has begun its epoch, that epoch ends the vote.
      return own.some(({ candidacy, ...head }) => candidacy === undefined && isCoveredBy(epochOf(head), vote));
    };
    this.#retain((vote) => !known.includes(vote) || !hasEnded(vote), "the candidate is not being promoted any more");
  }

  #retain(isValid: (vote: GrantedVote) => boolean, reason: string): void {
    const votes = this.#granted.filter(isValid);
    if (votes.length === this.#granted.length) return;
    this.#granted = votes;
    try {
      if (votes.length > 0) writeNodeFile(this.#directory, fileName, JSON.stringify(votes));
      else rmSync(this.#path, { force: true });
    } catch (error) {
      // After a restart the vote holds again, and ends in the same way.
      log.error("`{note}` cannot be written: {error}", { note: this.#path, error });
    }
    if (votes.length === 0) log.info("this edge counts for acknowledgements again: {reason}", { reason });
  }

  #read(): readonly GrantedVote[] {
    const note = readNodeFile(this.#directory, fileName);
    if (note === undefined) return [];
    try {
      return votesSchema.parse(JSON.parse(note));
    } catch (cause) {
      throw new AppError(
        "internal",
        `\`${this.#path}\` cannot be read: it says which candidate has the vote of this edge. Remove it once it is clear which node is the primary`,
        { cause },
      );
    }
  }
}
