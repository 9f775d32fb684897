/** The divergence point of two histories, and whether a history contains a position. */
import { describe, expect, test } from "bun:test";
import { historyContains, lastCommonOffset } from "../../src/replication/replica/divergence-point.ts";
import type { Epoch } from "../../src/store/log/epochs.ts";
import type { Log } from "../../src/store/log/log.ts";
import type { StoreState } from "../../src/store/log/store-state.ts";

/** A history, given by its epochs and the offsets at which they begin. Its hashes are the text of the events before. */
class Written {
  readonly epochs: readonly Epoch[];
  readonly #end: number;
  readonly #trim: number;
  readonly #resumedAt: number;

  /**
   * From `resumedAt` on, the events differ from those at the same positions of the same epoch: a machine was resumed
   * from a copy of its memory.
   */
  constructor(begins: Readonly<Record<string, number>>, end: number, trim = 0, resumedAt = Number.POSITIVE_INFINITY) {
    this.#resumedAt = resumedAt;
    this.epochs = Object.entries(begins).map(([epoch, offset], index) => ({
      epoch,
      term: index + 1,
      offset,
      hash: "",
      timeMs: 0,
    }));
    this.epochs = this.epochs.map((epoch) => ({ ...epoch, hash: this.#hashAt(epoch.offset) }));
    this.#end = end;
    this.#trim = trim;
  }

  get state(): StoreState {
    const { epoch, term } = this.epochs.at(-1) ?? { epoch: "", term: 0 };
    return { epoch, term, offset: this.#end, hash: this.#hashAt(this.#end) } as StoreState;
  }

  get log(): Log {
    const hashAt = (offset: number) => (offset > this.#trim && offset <= this.#end ? this.#hashAt(offset) : undefined);
    return { hashAt } as Log;
  }

  commonWith(other: Written): number {
    return lastCommonOffset(this.state, this.log, this.epochs, other.epochs);
  }

  /** One primary writes all events of an epoch, so the epoch and the offset identify an event. */
  #hashAt(offset: number): string {
    const events = Array.from({ length: offset }, (_, index) => {
      const epoch = this.epochs.findLast((candidate) => candidate.offset <= index)?.epoch;
      return `${epoch}${index + 1}${index >= this.#resumedAt ? "'" : ""}`;
    });
    return events.join(" ");
  }
}

describe("the last common offset", () => {
  test("of a predecessor is where its successor began", () => {
    const before = new Written({ a: 0 }, 9);
    expect(before.commonWith(new Written({ a: 0, b: 7 }, 12))).toBe(7);
    expect(before.commonWith(new Written({ a: 0, b: 9 }, 12))).toBe(9);
  });

  test("of two successors is where the first one left the common epoch", () => {
    expect(new Written({ a: 0, b: 4 }, 6).commonWith(new Written({ a: 0, c: 7 }, 9))).toBe(4);
    expect(new Written({ a: 0, b: 7 }, 8).commonWith(new Written({ a: 0, c: 4 }, 9))).toBe(4);
    expect(new Written({ a: 0, b: 2, c: 8 }, 9).commonWith(new Written({ a: 0, b: 2, d: 6, e: 7 }, 9))).toBe(6);
  });

  test("is the beginning of the epoch if the same positions were written twice", () => {
    const resumed = new Written({ a: 0, b: 2, z: 8 }, 9, 0, 6);
    expect(new Written({ a: 0, b: 2 }, 12).commonWith(resumed)).toBe(2);
  });

  test("is the beginning of the last common epoch if the other node is still in it, because it may have diverged there", () => {
    expect(new Written({ a: 0, b: 4, c: 8 }, 9).commonWith(new Written({ a: 0, b: 4 }, 7))).toBe(4);
  });

  test("follows from the epochs if the log was trimmed, and is 0 without a common epoch", () => {
    expect(new Written({ a: 0, b: 4 }, 9, 8).commonWith(new Written({ a: 0, b: 4, c: 6 }, 9))).toBe(6);
    expect(new Written({ a: 0 }, 5).commonWith(new Written({ b: 1, c: 3 }, 5))).toBe(0);
  });
});

test("a history contains a position of its epoch with the same hash, and no other", () => {
  const { state, log } = new Written({ a: 0, b: 4 }, 9);
  const hash = log.hashAt(6);
  expect(historyContains(state, log, { epoch: "b", offset: 6, hash })).toBe(true);
  expect(historyContains(state, log, { epoch: "b", offset: 6, hash: undefined })).toBe(true);
  expect(historyContains(state, log, { epoch: "b", offset: 6, hash: "another" })).toBe(false);
  expect(historyContains(state, log, { epoch: "b", offset: 9, hash: state.hash })).toBe(true);
  expect(historyContains(state, log, { epoch: "b", offset: 9, hash: "another" })).toBe(false);
  expect(historyContains(state, log, { epoch: "b", offset: 10, hash: undefined })).toBe(false);
  expect(historyContains(state, log, { epoch: "a", offset: 3, hash: log.hashAt(3) })).toBe(false);
});
