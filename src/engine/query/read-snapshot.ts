/**
 * Reads of one state of the store. To take a state's lock and to look at which state it is costs as much as five lookups, so whoever reads next has
 * the same one for a moment, as long as nothing has changed.
 */
import type { SqlStatement } from "../../runtime/sqlite.ts";
import type { Connection } from "../../store/connection/connection.ts";
import { systemClock, type Clock } from "../../util/clock.ts";
import { type SequenceLock, readSequence } from "../../store/connection/sequence-lock.ts";
import { snapshotState, type SnapshotState } from "../policy/activation.ts";

/** For so long, nothing that was written meanwhile is moved from the log into the file: little, where writes are many. */
const heldMsMax = 10;

export class ReadSnapshot {
  readonly #database: Connection;
  readonly #changes: SequenceLock | undefined;
  readonly #after: Clock["after"];
  readonly #begin: SqlStatement;
  readonly #commit: SqlStatement;
  /** The state that the open transaction reads, as `changes` names it, where the next one may have it too. */
  #held: number | undefined;
  #isOpen = false;
  #isReading = false;
  /** The state when the present read began. */
  #entered: number | undefined;
  /** What was read of the open transaction, once it was. */
  #state: SnapshotState | undefined;
  /** Whether the open transaction will be ended soon. */
  #isEnding = false;

  /** `database` is a connection that nobody else begins transactions on; `changes` tell of all that changes in its file. */
  constructor(database: Connection, changes: SequenceLock | undefined, after: Clock["after"] = systemClock.after) {
    this.#after = after;
    this.#database = database;
    this.#changes = changes;
    this.#begin = database.prepare("BEGIN");
    this.#commit = database.prepare("COMMIT");
  }

  /** Whether this is inside of a read, whose state may not be the present one any more. */
  get isReading(): boolean {
    return this.#isReading;
  }

  /** Runs `body` over one state. Inside of another one, both are of its state, whatever has changed since. */
  run<T>(body: () => T): T {
    const isInner = this.enter();
    try {
      return body();
    } finally {
      this.leave(isInner);
    }
  }

  /** Begins what `run` does, for whoever would have to make a closure for that: `leave` has to follow, with what this gives. */
  enter(): boolean {
    if (this.#isReading) return true;
    this.#entered = this.#present();
    if (this.#entered === undefined || this.#entered !== this.#held) {
      this.#letGo();
      this.#begin.run();
      this.#isOpen = true;
    }
    this.#isReading = true;
    return false;
  }

  leave(isInner: boolean): void {
    if (isInner) return;
    this.#isReading = false;
    if (this.#entered !== undefined && this.#present() === this.#entered) this.#hold(this.#entered);
    else this.#letGo();
  }

  /** The state that the present read is of. */
  state(): SnapshotState {
    return (this.#state ??= snapshotState(this.#database));
  }

  close(): void {
    this.#letGo();
    this.#begin.finalize();
    this.#commit.finalize();
  }

  #present(): number | undefined {
    return this.#changes && readSequence(this.#changes);
  }

  #hold(state: number): void {
    this.#held = state;
    if (this.#isEnding) return;
    this.#isEnding = true;
    this.#after(heldMsMax, () => {
      this.#isEnding = false;
      this.#letGo();
    });
  }

  #letGo(): void {
    this.#held = undefined;
    this.#state = undefined;
    if (!this.#isOpen) return;
    this.#isOpen = false;
    try {
      this.#commit.run();
    } catch {
      // Of a damaged file even the end of a read may fail. Nothing is lost with it, and who asks next meets the damage.
    }
  }
}
