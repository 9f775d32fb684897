/**
 * The times of the last commits of a node. An event's own time is when it was requested, since its row is written
 * before the commit. So latencies since the commit, also on other nodes, need these times.
 */
import type { Writer } from "../writer/writer.ts";

/** Earlier times are dropped: a replica that is further behind waited for other reasons than the commit. */
const commitsMax = 10_000;

interface CommitTime {
  /** The last offset of the commit. */
  readonly offset: number;
  readonly atMs: number;
}

export class CommitTimes {
  /** Ordered by offset, ascending. */
  #commits: CommitTime[] = [];
  /** The times of events after this offset are known. */
  #knownAfter: number;

  /** Times of commits up to `offset` are unknown. */
  constructor(offset: number) {
    this.#knownAfter = offset;
  }

  /** Further events, up to `offset`, are committed at `atMs` (ms since 1970). */
  record(offset: number, atMs: number): void {
    this.#commits.push({ offset, atMs });
    if (this.#commits.length < 2 * commitsMax) return;
    const forgotten = this.#commits.length - commitsMax;
    this.#knownAfter = this.#commits[forgotten - 1]?.offset ?? this.#knownAfter;
    this.#commits = this.#commits.slice(forgotten);
  }

  /** When each row was committed, null if unknown; undefined if no time is known. */
  of(rows: readonly { readonly offset: number }[]): (number | null)[] | undefined {
    const times = rows.map(({ offset }) => this.at(offset));
    return times.some((time) => time !== null) ? times : undefined;
  }

  /** When an event was committed; null if unknown. */
  at(offset: number): number | null {
    const last = this.#commits.at(-1);
    if (last === undefined || offset <= this.#knownAfter || offset > last.offset) return null;
    let [low, high] = [0, this.#commits.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#commits[middle]?.offset ?? 0) < offset) low = middle + 1;
      else high = middle;
    }
    // A resolution of 1 µs is enough, and makes messages shorter.
    return Math.round((this.#commits[low]?.atMs ?? 0) * 1000) / 1000;
  }
}

/** Records the times of the writer's commits until `started` is disposed. */
export function recordCommitTimes(
  writer: Pick<Writer, "state" | "onStateChange">,
  started: AsyncDisposableStack,
): CommitTimes {
  const times = new CommitTimes(writer.state.offset);
  started.defer(writer.onStateChange(({ state }, committedMs) => times.record(state.offset, committedMs)));
  return times;
}
