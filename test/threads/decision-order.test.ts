import { expect, test } from "bun:test";
import { CopiedEntries, EntryBlock } from "../../src/decisions/decision-entry.ts";
import { DecisionOrder } from "../../src/decisions/decision-order.ts";
import { random } from "../../scripts/benchmark/random.ts";
import { must } from "../../src/util/assert.ts";
import { decisionOf } from "../http/logged-decision.ts";
import { seedsOf } from "../seeds.ts";

/** Sources that make decisions and report them at random times. `number` is that of the first decision. */
class Sources {
  readonly order = new DecisionOrder<number>();
  readonly #blocks: EntryBlock[];
  next: number;

  constructor(count: number, number: number) {
    this.#blocks = Array.from({ length: count }, () => new EntryBlock(100_000));
    this.next = number;
    for (const source of this.#blocks.keys()) this.order.report(source, undefined, number);
  }

  decide(source: number): void {
    must(this.#blocks[source]).add(decisionOf("key", String(this.next), true, "{}"), true, this.next);
    this.next = (this.next + 1) | 0;
  }

  report(source: number): void {
    const block = must(this.#blocks[source]);
    const copied = block.length === 0 ? undefined : new CopiedEntries(block.copyFrom(0), [...block.names]);
    block.clear();
    this.order.report(source, copied, this.next);
  }

  /** The request ids of what is taken. */
  take(): string[] {
    return this.order.take().map(({ copied, start }) => copied.nameAt(start).requestId);
  }
}

test.each(seedsOf(4711))(
  "decisions of several threads are taken in their order, also when numbers begin again: %d",
  (seed) => {
    const draw = random(seed);
    for (const first of [0, 2 ** 31 - 50]) {
      const sources = new Sources(3, first);
      const taken: string[] = [];
      for (let step = 0; step < 500; step++) {
        const source = Math.floor(draw() * 3);
        if (draw() < 0.6) sources.decide(source);
        else sources.report(source);
        taken.push(...sources.take());
      }
      for (const source of [0, 1, 2]) sources.report(source);
      taken.push(...sources.take());
      const made = (sources.next - first) | 0;
      expect(taken).toEqual(Array.from({ length: made }, (_, index) => String((first + index) | 0)));
      expect(sources.order.hasWaiting).toBe(false);
    }
  },
);

test("a thread that has ended keeps nothing back", () => {
  const sources = new Sources(2, 0);
  sources.decide(0);
  sources.report(0);
  expect(sources.take()).toEqual([]);
  sources.order.end(1);
  expect(sources.take()).toEqual(["0"]);
});
