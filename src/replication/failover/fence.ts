/**
 * Keeps a primary that was replaced from writing on. It learns of its successor by whatever way comes first: a broker that gives its place to
 * another, a head of a later epoch there, a node that already follows the successor and asks for its log, or a peer that it asks itself. From then
 * on it writes and publishes nothing; what it has that the successor has not goes into a file for the operator. The same goes for a primary whose
 * directory was rolled back, until it has fetched from its peers what it lacks.
 */
import type { Connection } from "../../store/connection/connection.ts";
import { compareEpochs, type Epoch, type EpochId, readEpochs } from "../../store/log/epochs.ts";
import { openLog } from "../../store/log/log.ts";
import { readState, type StoreState } from "../../store/log/store-state.ts";
import type { StorageStatus } from "../storage-status.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { lastCommonOffset } from "../replica/divergence-point.ts";
import { describeUnreplicated, saveUnreplicated, type UnreplicatedEvents } from "../replica/unreplicated-events.ts";
import { removePromotionNote } from "../role-notes.ts";

const log = getLogger("primary");

/** Where a node stands in the history of a primary. */
export interface ObservedPosition extends EpochId {
  readonly offset: number;
}

export interface FenceOptions {
  readonly directory: string;
  /** A read-only connection. */
  readonly store: Connection;
  readonly state: () => StoreState;
  readonly storage: StorageStatus;
  /** Called once, when the fence falls. `lacking` is what other nodes have and this one has not. */
  readonly onFenced: (reason: FenceReason, lacking?: ObservedPosition) => void;
}

/**
 * Why this node is no primary any more. `replaced`: another one is, so it stays an edge. `behind`: its data are not the newest, or its directory was an
 * edge's: it asks for votes once it has caught up. `unleased`: it has lost the lease of the primary, and takes part in the choice of the next one.
 * `damaged`: it has given the lease up, since its database is damaged and other nodes have all that was acknowledged.
 */
export type FenceReason = "replaced" | "behind" | "unleased" | "damaged";

const fenceProblems: Readonly<Record<FenceReason, string>> = {
  replaced: "another primary has taken over",
  behind: "the data of this node are not the newest, it fetches the rest from its peers",
  unleased: "this node has lost the lease of the primary",
  damaged: "the database of this node is damaged, it fetches a sound one from its peers",
};

export class Fence {
  readonly #options: FenceOptions;
  #reason: FenceReason | undefined;
  #saved: UnreplicatedEvents | "nothing" | undefined;

  constructor(options: FenceOptions) {
    this.#options = options;
  }

  get isFenced(): boolean {
    return this.#reason !== undefined;
  }

  /** Why this node takes no writes, for clients. Undefined while it does. */
  get problem(): string | undefined {
    return this.#reason && fenceProblems[this.#reason];
  }

  /** What only this node has, once that is known and if there is any. */
  get unreplicated(): UnreplicatedEvents | undefined {
    return this.#saved === "nothing" ? undefined : this.#saved;
  }

  /** Somebody has this epoch. `epochs` is that history or the end of it, where it is known. */
  onEpoch(theirs: EpochId, epochs?: readonly Epoch[]): void {
    if (compareEpochs(theirs, this.#options.state()) <= 0) return;
    this.fence(`another node is the primary, of the later epoch ${theirs.epoch}`);
    if (epochs !== undefined) this.#save(epochs);
  }

  fence(reason: string): void {
    if (!this.#close("replaced")) return;
    log.fatal(
      "this primary is FENCED: {reason}. It writes and publishes nothing any more. With `--peers` it goes on as an edge; without, it answers from what it has",
      { reason },
    );
    this.#forgetPromotion();
  }

  /** The directory is an edge's, or of a primary that may have been replaced: it is the primary again only with the votes of its peers, if at all. */
  requireVotes(mayAsk: boolean): void {
    if (!this.#close(mayAsk ? "behind" : "replaced")) return;
    log.warning(
      mayAsk
        ? "this data directory was an edge's: this node asks its peers for their votes before it is the primary"
        : "this node was replaced as the primary: it goes on as an edge; to make it the primary, promote it",
    );
  }

  /** This node has lost or given up the lease. The next primary may continue from this position or from an earlier one. */
  loseLease(reason: string): void {
    if (!this.#close("unleased")) return;
    log.error("this node is not the primary any more: {reason}. It goes on as an edge", { reason });
  }

  /** The database is damaged. Only for a primary with a lease: another node can take that. */
  giveUpDamaged(): void {
    if (!this.#close("damaged")) return;
    log.error(
      "this node is not the primary any more: its database is damaged. It goes on as an edge with a fresh copy",
    );
  }

  /** Others have come to there by what this node wrote, which it does not have itself any more. `isHeld`: a node has it still, and can give it back. */
  stepDown(standing: ObservedPosition, isHeld: boolean): void {
    if (!this.#close("behind", isHeld ? standing : undefined)) return;
    log.error(
      "the data directory of this primary is not the newest: other nodes have come to {epoch}:{offset}. It fetches from its peers what it lacks before it writes anything",
      { epoch: standing.epoch, offset: standing.offset },
    );
  }

  /** Before anything that could fail. False where it is closed already. */
  #close(reason: FenceReason, lacking?: ObservedPosition): boolean {
    if (this.#reason !== undefined) return false;
    this.#reason = reason;
    this.#options.onFenced(reason, lacking);
    return true;
  }

  #forgetPromotion(): void {
    const { directory } = this.#options;
    try {
      removePromotionNote(directory);
    } catch (error) {
      // Started again it would take itself for the primary until it hears of its successor.
      log.error("the note of the promotion in {directory} cannot be removed: {error}", { directory, error });
    }
  }

  #save(epochs: readonly Epoch[]): void {
    if (this.#saved !== undefined) return;
    const { directory, store, storage } = this.#options;
    const eventLog = openLog(store);
    const present = readState(store);
    let saved: UnreplicatedEvents | undefined;
    try {
      saved = saveUnreplicated(
        directory,
        eventLog,
        present,
        lastCommonOffset(present, eventLog, readEpochs(store), epochs),
      );
      storage.recovered("events");
    } catch (error) {
      // They are still in the database, and the next one who knows of the successor makes another attempt.
      return storage.failed("events", error, directory);
    }
    this.#saved = saved ?? "nothing";
    if (saved === undefined) return;
    log.fatal(
      "{events} of this primary never reached its successor, they are in {path}: see what of them is to be done again",
      {
        events: describeUnreplicated(saved),
        path: saved.path,
      },
    );
  }
}
