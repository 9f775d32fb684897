/**
 * A read snapshot of the store that consecutive queries reuse. SQLite's read lock and reading which state it protects
 * cost as much as five lookups, so the snapshot stays open for a moment, as long as the store has not changed.
 */
import type { SqlStatement } from "../../runtime/sqlite.ts";
import type { Connection } from "../../store/connection/connection.ts";
import { readSequence, type SequenceLock } from "../../store/connection/sequence-lock.ts";
import { type Clock, systemClock } from "../../util/clock.ts";
import { readSnapshotHoldMs } from "../../util/tuning.ts";
import { snapshotState, type SnapshotState } from "../../policy/activation.ts";

export class ReadSnapshot {
  readonly #database: Connection;
  readonly #changes: SequenceLock | undefined;
  readonly #after: Clock["after"];
  readonly #begin: SqlStatement;
  readonly #commit: SqlStatement;
  /** The sequence number of the state that the open transaction reads, if the next query may reuse it. */
  #reusable: number | undefined;
  #isOpen = false;
  #isActive = false;
  #sequence: number | undefined;
  #state: SnapshotState | undefined;
  #isReleaseScheduled = false;

  /** No other code begins transactions on `database`; `changes` counts all changes of its file. */
  constructor(database: Connection, changes: SequenceLock | undefined, after: Clock["after"] = systemClock.after) {
    this.#after = after;
    this.#database = database;
    this.#changes = changes;
    this.#begin = database.prepare("BEGIN");
    this.#commit = database.prepare("COMMIT");
  }

  /** The sequence number when the active query began; `undefined` if the store was changing. */
  get sequence(): number | undefined {
    return this.#sequence;
  }

  /**
   * Begins to read one state, until `release` gets the result: whether another read is active. A nested read reads the
   * state of the outermost one, even if the store has changed since.
   */
  acquire(): boolean {
    if (this.#isActive) return true;
    this.#sequence = this.#currentSequence();
    if (this.#sequence === undefined || this.#sequence !== this.#reusable) {
      this.#endTransaction();
      this.#begin.run();
      this.#isOpen = true;
    }
    this.#isActive = true;
    return false;
  }

  /** Keeps the snapshot open for reuse if the store did not change meanwhile. */
  release(isNested: boolean): void {
    if (isNested) return;
    this.#isActive = false;
    if (this.#sequence !== undefined && this.#currentSequence() === this.#sequence) this.#keepOpen(this.#sequence);
    else this.#endTransaction();
  }

  /** The state of the open snapshot. */
  state(): SnapshotState {
    return (this.#state ??= snapshotState(this.#database));
  }

  close(): void {
    this.#endTransaction();
    this.#begin.finalize();
    this.#commit.finalize();
  }

  #currentSequence(): number | undefined {
    return this.#changes && readSequence(this.#changes);
  }

  #keepOpen(sequence: number): void {
    this.#reusable = sequence;
    if (this.#isReleaseScheduled) return;
    this.#isReleaseScheduled = true;
    this.#after(readSnapshotHoldMs, () => {
      this.#isReleaseScheduled = false;
      this.#endTransaction();
    });
  }

  #endTransaction(): void {
    this.#reusable = undefined;
    this.#state = undefined;
    if (!this.#isOpen) return;
    this.#isOpen = false;
    try {
      this.#commit.run();
    } catch {
      // On a damaged file even the end of a read can fail. The next query reports the damage.
    }
  }
}
