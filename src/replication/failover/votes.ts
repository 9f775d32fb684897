/**
 * What an edge promises to a peer that asks before it takes the primary's place: to count for no acknowledgement (`--ack`) of the present epoch any
 * more, and to promise the same to nobody else, unless that one uses force. From then on the primary of before, should it still run, can acknowledge
 * nothing that its successor has not; and of two that would be promoted at once, one is refused. It is the promise of the first phase of Paxos
 * (Lamport, "Paxos Made Simple", section 2.2), with the term of the epoch as the number.
 *
 * A term is promised to one candidate only, so two candidates that share a voter never begin the same one. The promise is kept on disk: a restart must
 * not undo it. It ends with a later succession, or when the candidate is not about to be promoted any more. Another start of the old primary does not
 * end it.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { readNodeFile, writeNodeFile } from "../../store/directory/data-directory.ts";
import { compareEpochs, type EpochId } from "../../store/log/epochs.ts";
import { isSameFailover, isStartTerm } from "../../store/log/terms.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { AppError } from "../../util/app-error.ts";
import { epochOf, type NodeHead } from "../transport/messages.ts";
import type { VoteRequest } from "../transport/vote-request.ts";

const log = getLogger("edge");

const noteName = "pledge";
const termName = "promised-term";

const noteSchema = z.array(
  z.object({
    node: z.string(),
    token: z.string(),
    epoch: z.string(),
    term: z.number(),
    /** The term that the candidate is going to begin, where it has the lease for it. */
    leaseTerm: z.number().optional(),
  }),
);
/** To whom, and for which epoch and those before it. */
export type GrantedVote = z.infer<typeof noteSchema>[number];

/** The greatest term that the node of this directory has promised, or stood for; 0 where there is none. */
export function readPromisedTerm(directory: string): number {
  return Number(readNodeFile(directory, termName) ?? 0) || 0;
}

/**
 * Whether this epoch is no later than the promise's, or only another start of the same primary. A leased candidate may be overtaken by one of an earlier
 * lease that has its votes already: what that one writes counts here only once the later candidate has given up.
 */
function isCoveredBy(epoch: EpochId, given: GrantedVote): boolean {
  if (given.leaseTerm !== undefined) return epoch.term < given.leaseTerm;
  return compareEpochs(epoch, given) <= 0 || (isSameFailover(epoch.term, given.term) && isStartTerm(epoch.term));
}

export class Votes {
  readonly #path: string;
  readonly #directory: string;
  /** Several only where somebody used force: each has to end by itself. */
  #given: readonly GrantedVote[];
  #term: number;

  /** `directory` is the node's data directory. AppError `internal` where what was promised can't be read. */
  constructor(directory: string) {
    this.#directory = directory;
    this.#path = join(directory, noteName);
    this.#given = this.#read();
    this.#term = readPromisedTerm(directory);
  }

  /** The greatest term that was promised to a candidate, or that this node stood for itself. No other candidate gets it. */
  get promisedTerm(): number {
    return this.#term;
  }

  /** Nobody else gets that term from now on. Throws where that can't be stored. */
  promiseTerm(term: number): void {
    if (term <= this.#term) return;
    writeNodeFile(this.#directory, termName, String(term));
    this.#term = term;
  }

  get granted(): readonly GrantedVote[] {
    return this.#given;
  }

  /** To which node it was given, while it stands. */
  get candidate(): string | undefined {
    return this.#given[0]?.node;
  }

  /** Whether it was given to a candidate that a later lease does not supersede. */
  get isBinding(): boolean {
    return this.#given.some(({ leaseTerm }) => leaseTerm === undefined);
  }

  /** AppError `conflict` where it was given to another, or where the term that is wanted was promised before. */
  grant({ node, token, epoch, term, force, wanted, leased }: Omit<VoteRequest, "graceful">): void {
    const isLease = leased && wanted !== undefined;
    const others = this.#given.filter(
      (given) => given.node !== node && !(isLease && (given.leaseTerm ?? wanted) < wanted),
    );
    if (others.length > 0 && !force) {
      throw new AppError(
        "conflict",
        `it waits for the promotion of ${this.candidate}; if that node is gone for good, remove \`${noteName}\` from its data directory and restart it`,
      );
    }
    if (wanted !== undefined) {
      if (wanted <= this.#term && !force)
        throw new AppError(
          "conflict",
          `it has promised the term ${this.#term} already, and ${wanted} is not after that`,
        );
      this.promiseTerm(wanted);
    }
    const given = [...others, { node, token, epoch, term, ...(isLease ? { leaseTerm: wanted } : {}) }];
    writeNodeFile(this.#directory, noteName, JSON.stringify(given));
    this.#given = given;
    log.warning(
      "{node} is about to be promoted: until that is settled this edge counts for no acknowledgement of a write. If that node is gone for good and nobody is promoted, remove `{note}` and restart this one",
      { node, note: this.#path },
    );
  }

  /** This node is now in `present`. Another start of the old primary does not end a promise. */
  onEpoch(present: EpochId): void {
    this.#keep((given) => isCoveredBy(present, given), "there is a later epoch");
  }

  /** What others said of themselves who were asked when `asked` had been given already: of what came later their words may be too old. */
  onHeads(heads: readonly NodeHead[], asked: readonly GrantedVote[]): void {
    const isOver = (given: GrantedVote): boolean => {
      const own = heads.filter(({ node }) => node === given.node);
      // Another attempt is under way where there is a candidacy; and what has begun an epoch, that epoch ends.
      return own.some(({ candidacy, ...head }) => candidacy === undefined && isCoveredBy(epochOf(head), given));
    };
    this.#keep((given) => !asked.includes(given) || !isOver(given), "who asked for it is not about to be promoted");
  }

  #keep(stands: (given: GrantedVote) => boolean, reason: string): void {
    const given = this.#given.filter(stands);
    if (given.length === this.#given.length) return;
    this.#given = given;
    try {
      if (given.length > 0) writeNodeFile(this.#directory, noteName, JSON.stringify(given));
      else rmSync(this.#path, { force: true });
    } catch (error) {
      // After a restart it stands again, and ends in the same way.
      log.error("`{note}` can't be written: {error}", { note: this.#path, error });
    }
    if (given.length === 0) log.info("this edge counts for acknowledgements again: {reason}", { reason });
  }

  #read(): readonly GrantedVote[] {
    const note = readNodeFile(this.#directory, noteName);
    if (note === undefined) return [];
    try {
      return noteSchema.parse(JSON.parse(note));
    } catch (cause) {
      throw new AppError(
        "internal",
        `\`${this.#path}\` can't be read: it says to whom this edge gave its pledge. Remove it once it is settled who is the primary`,
        { cause },
      );
    }
  }
}
