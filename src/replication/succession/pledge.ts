/**
 * What an edge promises to the peer that asks before it takes the primary's place: to count for no acknowledgement (`--ack`) of the present epoch any
 * more, and to promise the same to nobody else. From then on the primary of before, should it still run, can acknowledge nothing that its successor
 * has not; and of two that would be promoted at once, one is refused. It is the promise of the first phase of Paxos (Lamport, "Paxos Made Simple",
 * section 2.2), with the term of the epoch as the number.
 *
 * It is kept on disk, since a restart must not undo it. It ends with a later epoch, or when the peer says that it is not about to be promoted.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { readNote, writeNote } from "../../store/data-directory.ts";
import { compareEpochs, type EpochName } from "../../store/epochs.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { AppError } from "../../util/app-error.ts";
import { epochOf, type NodeHead } from "../feed/envelope.ts";

const log = getLogger("edge");

const noteName = "pledge";

/** One attempt of a node to become the primary after an epoch. */
export interface Candidacy {
  readonly node: string;
  /** Tells it from others of the same node. */
  readonly token: string;
}

export interface PledgeRequest extends Candidacy, EpochName {
  /** Whether it is to be promoted whoever else is. */
  readonly force: boolean;
}

const noteSchema = z.object({ node: z.string(), token: z.string(), epoch: z.string(), term: z.number() });
type Given = z.infer<typeof noteSchema>;

export class Pledge {
  readonly #directory: string;
  #given: Given | undefined;

  /** `directory` is the node's data directory. */
  constructor(directory: string) {
    this.#directory = directory;
    const note = readNote(directory, noteName);
    this.#given = note === undefined ? undefined : noteSchema.parse(JSON.parse(note));
  }

  /** To which node it was given, while it stands. */
  get to(): string | undefined {
    return this.#given?.node;
  }

  /** Gives it, if `present` is of no later epoch than the one that asks. AppError `conflict` where it was given to another. */
  give({ node, token, epoch, term, force }: PledgeRequest, present: EpochName | undefined): void {
    if (present !== undefined && compareEpochs(present, { epoch, term }) > 0) return;
    const before = this.#given;
    if (before !== undefined && before.node !== node && !force)
      throw new AppError("conflict", `it waits for the promotion of ${before.node}`);
    const given = { node, token, epoch, term };
    writeNote(this.#directory, noteName, JSON.stringify(given));
    this.#given = given;
    log.warning(
      "{node} is about to be promoted: until that is settled this edge counts for no acknowledgement of a write. If that node is gone for good and nobody is promoted, remove `{note}` and restart this one",
      { node, note: join(this.#directory, noteName) },
    );
  }

  /** This node is in that epoch now. */
  moved(present: EpochName): void {
    if (this.#given !== undefined && compareEpochs(present, this.#given) > 0) this.#end("there is a later epoch");
  }

  /** What a peer says of itself. */
  heard(head: NodeHead): void {
    const given = this.#given;
    if (given === undefined || head.node !== given.node || head.candidacy === given.token) return;
    // Of one that has begun an epoch already, that epoch ends it.
    if (compareEpochs(epochOf(head), given) <= 0) this.#end(`${given.node} is not about to be promoted any more`);
  }

  #end(reason: string): void {
    rmSync(join(this.#directory, noteName), { force: true });
    this.#given = undefined;
    log.info("this edge counts for acknowledgements again: {reason}", { reason });
  }
}
