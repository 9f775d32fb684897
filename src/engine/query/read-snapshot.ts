/**
 * A read snapshot of the store that consecutive queries reuse. Taking SQLite's read lock and reading which state it
 * protects costs as much as five lookups, so the snapshot stays open for a moment and serves the next query too, as
 * long as the store has not changed.
 */
import type { SqlStatement } from "../../runtime/sqlite.ts";
import type { Connection } from "../../store/connection/connection.ts";
import { readSequence, type SequenceLock } from "../../store/connection/sequence-lock.ts";
import { type Clock, systemClock } from "../../util/clock.ts";
import { snapshotState, type SnapshotState } from "../policy/activation.ts";

/**
 * How long the snapshot stays open without a query. Meanwhile SQLite cannot checkpoint newer pages of the write-ahead
 * log into the file, which is a short delay if writes are many.
 */
const holdMs = 10;

export class ReadSnapshot {
  readonly #database: Connection;
  readonly #changes: SequenceLock | undefined;
  readonly #after: Clock["after"];
  readonly #begin: SqlStatement;
  readonly #commit: SqlStatement;
  /** The sequence number of the state that the open transaction reads, if the next query may reuse the transaction. */
  #reusable: number | undefined;
  #isOpen = false;
  #isActive = false;
  /** The sequence number when the active query began; `undefined` if the store was changing. */
  #sequence: number | undefined;
  /** Read once from the open transaction. */
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

  /** Whether a query is running. Its state may be older than the current one. */
  get isActive(): boolean {
    return this.#isActive;
  }

  /**
   * Runs `body` over one state. Nested calls read the state of the outermost one, even if the store has changed since.
   */
  run<T>(body: () => T): T {
    const isNested = this.acquire();
    try {
      return body();
    } finally {
      this.release(isNested);
    }
  }

  /**
   * The first half of `run`, for callers on the hot path that cannot afford a closure. Pass the result to `release`.
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

  /** The second half of `run`. Keeps the snapshot open for reuse if the store did not change meanwhile. */
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
    this.#after(holdMs, () => {
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
      // On a damaged file even the end of a read can fail. A read loses nothing by it, and the next query reports the
      // damage.
    }
  }
}
