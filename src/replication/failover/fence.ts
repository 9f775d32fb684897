/**
 * The fence stops a primary that was replaced from writing. The primary notices its successor in several ways: a broker
 * gives its client id to another client, a broker has a head of a later epoch, a node that already follows the
 * successor requests the log, or a peer answers. From then on it writes and publishes nothing. Events that its
 * successor does not have are saved to a file for the operator. A primary whose data directory was rolled back is
 * fenced too, until it has fetched the missing events from its peers.
 */
import type { Config } from "../../config/config.ts";
import type { Connection } from "../../store/connection/connection.ts";
import { compareEpochs, type Epoch, type EpochId, readEpochs } from "../../store/log/epochs.ts";
import { openLog } from "../../store/log/log.ts";
import { readState, type StoreState } from "../../store/log/store-state.ts";
import type { StorageStatus } from "../../store/directory/storage-status.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { lastCommonOffset } from "../replica/divergence-point.ts";
import { describeUnreplicated, saveUnreplicated, type UnreplicatedEvents } from "../replica/unreplicated-events.ts";
import { tryToNote, tryToNoteReplaced } from "../role-notes.ts";

const log = getLogger("primary");

/** Whether a node with this configuration can follow another one when it is not the primary any more. */
export function canFollow({ nodeKey, primary, peers }: Pick<Config, "nodeKey" | "primary" | "peers">): boolean {
  return nodeKey !== undefined && (primary !== undefined || peers.length > 0);
}

/** The position of another node in a history of this primary. */
export interface ObservedPosition extends EpochId {
  readonly offset: number;
}

export interface FenceOptions {
  readonly directory: string;
  /** Whether this node becomes an edge of its successor. Otherwise an operator has to do something. */
  readonly canFollow: boolean;
  /** A read-only connection. */
  readonly store: Connection;
  readonly state: () => StoreState;
  readonly storage: StorageStatus;
  /** A later promotion of this node begins a later term than this one. Throws if that cannot be stored. */
  readonly promiseTerm: (term: number) => void;
  /** Called once, when the primary is fenced. `lacking` is a position that other nodes have and this one has not. */
  readonly onFenced: (reason: FenceReason, lacking?: ObservedPosition) => void;
}

/**
 * Why this node is not the primary any more:
 * - `replaced`: another node is or was the primary after it, so this one stays an edge until it is promoted.
 * - `behind`: its data are not the newest, or its directory was an edge's. It requests votes once it has caught up.
 * - `unleased`: it has lost the lease of the primary, and is a candidate when the lease is free.
 * - `damaged`: it has given up the lease, because its database is damaged and other nodes have all acknowledged writes.
 */
export type FenceReason = "replaced" | "behind" | "unleased" | "damaged";

const fenceProblems: Readonly<Record<FenceReason, string>> = {
  replaced: "another primary has taken over",
  behind: "the data of this node are not the newest, it fetches the rest from its peers",
  unleased: "this node has lost the lease of the primary",
  damaged: "the database of this node is damaged, it fetches a sound one from its peers",
};

/** Why a promotion of a replaced primary without peers needs force. */
export const withoutPeersProblem =
  "another node was promoted after this one, which has no `peers` and cannot ask whether it still lives: configure `peers`, or use force, which loses the events that only other nodes have";

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

  /** Why this node accepts no writes, for clients. Undefined while it does. */
  get problem(): string | undefined {
    return this.#reason && fenceProblems[this.#reason];
  }

  /** The events that only this node has, if there are any and they are known. */
  get unreplicated(): UnreplicatedEvents | undefined {
    return this.#saved === "nothing" ? undefined : this.#saved;
  }

  /** Another node is in this epoch. `epochs` is its history or the end of it, if known. */
  onEpoch(theirs: EpochId, epochs?: readonly Epoch[]): void {
    if (compareEpochs(theirs, this.#options.state()) <= 0) return;
    this.fence(`another node is the primary, of the later epoch ${theirs.epoch}`, theirs.term);
    if (epochs !== undefined) this.#save(epochs);
  }

  /** Another node is the primary, in this term if it is known. */
  fence(reason: string, term = 0): void {
    if (!this.#enter("replaced")) return;
    if (this.#options.canFollow)
      log.warning("this primary was replaced: {reason}. It continues as an edge", { reason });
    else
      log.fatal(
        "this primary is FENCED: {reason}. It writes and publishes nothing any more, and answers from the data that it has. Set `peers`, so that it continues as an edge",
        { reason },
      );
    this.#noteSuccessor(term);
  }

  /** The directory is an edge's, or of a primary that had old data: its peers have to vote for it. */
  requireVotes(): void {
    if (!this.#enter("behind")) return;
    log.warning(
      "this data directory was an edge's, or that of a primary which was handing over: this node requests the votes of its peers before it becomes the primary",
    );
  }

  /** This node has known its successor before it was started. */
  stayReplaced(): void {
    if (!this.#enter("replaced")) return;
    log.warning("this node was replaced as the primary before: to make it the primary, promote it");
    this.#noteSuccessor(0);
  }

  /** A later promotion of this node begins a later term. */
  #noteSuccessor(term: number): void {
    const { directory, promiseTerm } = this.#options;
    tryToNoteReplaced(directory);
    // Terms that leave no room for later ones are forged.
    if (term < Number.MAX_SAFE_INTEGER / 2) tryToNote(directory, () => promiseTerm(term));
  }

  /** The lease is lost or given up. The next primary may continue from this position or from an earlier one. */
  loseLease(reason: string): void {
    if (!this.#enter("unleased")) return;
    log.error("this node is not the primary any more: {reason}. It continues as an edge", { reason });
  }

  /** The database is damaged. Only for a primary with a lease, since another node can acquire it. */
  giveUpDamaged(): void {
    if (!this.#enter("damaged")) return;
    log.error(
      "this node is not the primary any more: its database is damaged. It continues as an edge with a fresh copy",
    );
  }

  /** Other nodes have reached a position that this node wrote and has lost. `isHeld`: a node still has it. */
  stepDown(position: ObservedPosition, isHeld: boolean): void {
    if (!this.#enter("behind", isHeld ? position : undefined)) return;
    log.error(
      "the data directory of this primary is not the newest: other nodes are at {epoch}:{offset}. It fetches the missing events from its peers before it writes anything",
      { epoch: position.epoch, offset: position.offset },
    );
  }

  /** Called before anything that may fail. Returns false if the primary is fenced already. */
  #enter(reason: FenceReason, lacking?: ObservedPosition): boolean {
    if (this.#reason !== undefined) return false;
    this.#reason = reason;
    this.#options.onFenced(reason, lacking);
    return true;
  }

  #save(epochs: readonly Epoch[]): void {
    if (this.#saved !== undefined) return;
    const { directory, store, storage } = this.#options;
    const eventLog = openLog(store);
    const state = readState(store);
    let saved: UnreplicatedEvents | undefined;
    try {
      const common = lastCommonOffset(state, eventLog, readEpochs(store), epochs);
      saved = saveUnreplicated(directory, eventLog, state, common);
      storage.recovered("events");
    } catch (error) {
      // They are still in the database, and the next observation of the successor tries again.
      return storage.failed("events", error, directory);
    }
    this.#saved = saved ?? "nothing";
    if (saved === undefined) return;
    log.error(
      "{events} of this primary never reached its successor, they are in {path}: decide which of them to repeat",
      { events: describeUnreplicated(saved), path: saved.path },
    );
  }
}
