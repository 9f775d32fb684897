/**
 * When the last events were committed on the primary. An event's own time is when it was asked for, since its row is written before the commit; so what is
 * measured from the commit on, on other nodes too, needs this.
 */
import type { Writer } from "./writer.ts";

/** Those of earlier commits are forgotten: who is behind by more has waited for other reasons than the commit. */
const commitsMax = 10_000;

interface CommitTime {
  /** The last offset of the commit. */
  readonly offset: number;
  readonly atMs: number;
}

export class CommitTimes {
  /** In ascending order of offsets. */
  #commits: CommitTime[] = [];
  /** The events after this one are known. */
  #knownAfter: number;

  /** What was committed up to `offset` is not known. */
  constructor(offset: number) {
    this.#knownAfter = offset;
  }

  /** The events up to `offset` that were not committed before are committed now. `atMs` is in ms since 1970. */
  record(offset: number, atMs: number): void {
    this.#commits.push({ offset, atMs });
    if (this.#commits.length < 2 * commitsMax) return;
    const forgotten = this.#commits.length - commitsMax;
    this.#knownAfter = this.#commits[forgotten - 1]?.offset ?? this.#knownAfter;
    this.#commits = this.#commits.slice(forgotten);
  }

  /** When each of the rows was committed, null where that is not known; undefined where none is. */
  of(rows: readonly { readonly offset: number }[]): (number | null)[] | undefined {
    const times = rows.map(({ offset }) => this.#at(offset));
    return times.some((time) => time !== null) ? times : undefined;
  }

  #at(offset: number): number | null {
    const last = this.#commits.at(-1);
    if (last === undefined || offset <= this.#knownAfter || offset > last.offset) return null;
    let [low, high] = [0, this.#commits.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#commits[middle]?.offset ?? 0) < offset) low = middle + 1;
      else high = middle;
    }
    // A thousandth of a millisecond is enough, and shorter.
    return Math.round((this.#commits[low]?.atMs ?? 0) * 1000) / 1000;
  }
}

/** Of the writer's commits from now on. */
export function recordCommitTimes(writer: Pick<Writer, "state" | "onStateChange">): CommitTimes {
  const times = new CommitTimes(writer.state.offset);
  writer.onStateChange(({ state }, committedMs) => times.record(state.offset, committedMs));
  return times;
}
