/**
 * Simulated histories of a cluster: a log, replicas that follow it at their own pace, and concurrent clients that write
 * and read, all from a seed. From time to time another primary takes over, without the writes that were not
 * acknowledged yet. Without a planted fault the history is correct. With one it is wrong in one way, which the checker
 * must detect.
 */
import { below, pick, random, type Random } from "../../scripts/benchmark/random.ts";
import { must } from "../../src/util/assert.ts";
import type { Answer, Epoch, History, Position, Read, Write } from "./history.ts";

export type PlantedFault =
  | "skipped event" // a replica skips one
  | "doubled event" // a replica applies one again, some time later
  | "late event" // a replica applies one too late
  | "reads that do not wait" // replicas ignore consistency tokens
  | "dropped write" // the primary acknowledges one and loses it
  | "half a write" // the primary inserts and does not delete
  | "copy set back" // a replica continues from an old state
  | "invented answer" // a replica answers once with a version that was never written
  | "offset given twice"
  | "write lost in a promotion" // a new primary begins before the last acknowledged write
  | "two acknowledging primaries"; // the old primary acknowledges one more write after its successor did

const groups = ["g0", "g1", "g2"];
const writerCount = 9;
const readerCount = 4;
const copyNames = ["edge-a", "edge-b", "fallback"] as const;
const lengthMs = 1500;
/** The first event that a fault may affect, and how many events later its second half happens. */
const [faultFrom, faultEvents] = [200, 40];
/** The average time until another primary takes over. */
const promotionMs = 200;

interface Event {
  /** Empty if a primary only begins its epoch. */
  readonly register: string;
  readonly version: number;
  /** Whether the previous version is deleted; always, in a correct cluster. */
  readonly replaces: boolean;
  /** It was not acknowledged when another primary took over, and that primary did not have it. */
  isLost: boolean;
}

interface Copy {
  readonly name: (typeof copyNames)[number];
  offset: number;
  versions: Map<string, Set<number>>;
  /** Where the log has to end before the replica follows on its own again. */
  stuckTo: number;
}

interface Register {
  readonly name: string;
  readonly group: string;
  version: number;
}

export function simulatedHistory(seed: number, planted?: PlantedFault): History {
  return new Simulation(seed, planted).run();
}

class Simulation {
  readonly #next: Random;
  readonly #planted: PlantedFault | undefined;
  readonly #agenda: { readonly atMs: number; readonly act: () => void }[] = [];
  readonly #log: Event[] = [];
  readonly #epochs: Epoch[] = [{ epoch: "epoch-1", term: 1, offset: 0 }];
  readonly #copies = copyNames.map((name): Copy => ({ name, offset: 0, versions: new Map(), stuckTo: 0 }));
  readonly #registers: Register[] = [];
  readonly #writes: Write[] = [];
  readonly #reads: Read[] = [];
  #nowMs = 0;
  #acknowledged = 0;
  /** Whether a fault that happens once has happened. */
  #struck = false;
  /** The event with which a replica goes wrong. */
  #victim: Event | undefined;

  constructor(seed: number, planted: PlantedFault | undefined) {
    this.#next = random(seed);
    this.#planted = planted;
  }

  run(): History {
    for (let index = 0; index < writerCount; index++) this.#writeNext(this.#newRegister(groups[index % groups.length]));
    for (let index = 0; index < readerCount; index++) this.#in(0, () => this.#read());
    for (const copy of this.#copies) this.#in(0, () => this.#follow(copy));
    this.#in(2 * promotionMs, () => this.#promote());
    for (let due = this.#due(); due !== undefined; due = this.#due()) {
      this.#nowMs = due.atMs;
      due.act();
    }
    for (const copy of this.#copies) this.#advance(copy, this.#log.length);
    const ends = this.#copies.map(({ name, versions }) => ({ node: name, versions: plain(versions) }));
    const terms = new Map(this.#epochs.map(({ epoch, term }) => [epoch, term]));
    return { writes: this.#writes, reads: this.#reads, epochs: this.#epochs, terms, ends };
  }

  #due() {
    const soonest = this.#agenda.reduce(
      (best, { atMs }, index, all) => (atMs < (all[best]?.atMs ?? 0) ? index : best),
      0,
    );
    return this.#agenda.splice(soonest, 1)[0];
  }

  /** The maximum delay. */
  #in(delayMsMax: number, act: () => void): void {
    this.#agenda.push({ atMs: this.#nowMs + this.#next() * delayMsMax, act });
  }

  #strikes(planted: PlantedFault): boolean {
    if (this.#planted !== planted || this.#struck || this.#log.length < faultFrom) return false;
    return (this.#struck = true);
  }

  #newRegister(group = ""): Register {
    const register = { name: `r${this.#registers.length}`, group, version: 0 };
    this.#registers.push(register);
    return register;
  }

  #writeNext(register: Register): void {
    if (this.#nowMs < lengthMs) this.#in(10, () => this.#write(register));
  }

  /** Some writes are answered only when they are sent again, some never, and some of these were not done. */
  #write(register: Register): void {
    const { name, group } = register;
    const version = ++register.version;
    // The register of the wrong event is written again, so that the fault shows.
    const luck = name === this.#victim?.register ? 0 : this.#next();
    const isSentAgain = luck > 0.97;
    const startMs = this.#nowMs;
    const begun = { register: name, group, version, startMs, sentMs: startMs, sends: isSentAgain ? 2 : 1 };
    let offset = 0;
    let isRetired = isSentAgain;
    let event: Event | undefined;
    this.#in(3, () => {
      // Later writes would show that the dropped one is missing; this fault is about writes that are not overwritten.
      const isDropped = !isSentAgain && this.#strikes("dropped write");
      isRetired ||= isDropped;
      if (luck < 0.995 && !isDropped) event = this.#append(begun, isSentAgain);
      offset = this.#log.length + (isDropped ? 1 : 0);
    });
    const answer = (): void => {
      // The primary that had it is gone, and its client sends it again.
      const isRepeated = event?.isLost === true;
      if (isRepeated) this.#append(begun, true);
      isRetired ||= isRepeated;
      const isSeveral = isSentAgain || isRepeated;
      if (isSeveral) offset = this.#log.length;
      const token = this.#position(offset, begun.sentMs, isSeveral);
      this.#writes.push({ ...begun, sends: isSeveral ? 2 : 1, endMs: this.#nowMs, token });
      this.#acknowledged = Math.max(this.#acknowledged, offset);
    };
    const isAnswered = luck < 0.99;
    if (!isAnswered) this.#writes.push({ ...begun, endMs: Infinity, token: undefined });
    const atMs = this.#nowMs + 3 + this.#next() * (isSentAgain ? 30 : 3);
    this.#agenda.push({
      atMs,
      act: () => {
        if (isAnswered) answer();
        this.#writeNext(isRetired ? this.#newRegister(group) : register);
      },
    });
  }

  #append({ register, version }: { readonly register: string; readonly version: number }, isRetired: boolean): Event {
    // A wrong first write of a register is not visible, since it has nothing to replace.
    const isFit = version > 1 && !isRetired;
    const event = { register, version, replaces: !(isFit && this.#strikes("half a write")), isLost: false };
    if (isFit && this.#log.length >= faultFrom) this.#victim ??= event;
    this.#log.push(event);
    return event;
  }

  #position(offset: number, sentMs: number, isSeveral: boolean): Position {
    const last = must(this.#epochs.at(-1));
    const before = this.#epochs.at(-2);
    const hasBegun = this.#writes.some(({ token, endMs }) => token?.epoch === last.epoch && endMs < sentMs);
    if (before !== undefined && hasBegun && !isSeveral && this.#strikes("two acknowledging primaries"))
      return { epoch: before.epoch, offset: last.offset };
    // The position of a write that was sent again is not exact.
    const isTaken = !isSeveral && this.#writes.some(({ sends, token }) => sends === 1 && token?.offset === offset - 1);
    return this.#at(isTaken && this.#strikes("offset given twice") ? offset - 1 : offset);
  }

  /** In the epoch of the event at this offset. */
  #at(offset: number): Position {
    const { epoch } = must(this.#epochs.findLast((one) => one.offset < offset) ?? this.#epochs[0]);
    return { epoch, offset };
  }

  /** The new primary has all acknowledged events, and perhaps more. Replicas with other events go back. */
  #promote(): void {
    if (this.#nowMs > lengthMs) return;
    const isLossy = this.#strikes("write lost in a promotion");
    const more = below(this.#next, this.#log.length - this.#acknowledged + 1);
    // The event with which a replica goes wrong stays, so that the fault shows.
    const victims = this.#victim === undefined ? 0 : this.#log.indexOf(this.#victim) + 1;
    const offset = isLossy ? this.#acknowledged - faultEvents : Math.max(victims, this.#acknowledged + more);
    for (const event of this.#log.splice(offset)) event.isLost = true;
    const term = this.#epochs.length + 1;
    this.#epochs.push({ epoch: `epoch-${term}`, term, offset });
    this.#log.push({ register: "", version: 0, replaces: true, isLost: false });
    for (const copy of this.#copies.filter((one) => one.offset > offset)) {
      [copy.offset, copy.versions] = [0, new Map()];
      this.#advance(copy, offset);
    }
    this.#in(2 * promotionMs, () => this.#promote());
  }

  #follow(copy: Copy): void {
    if (this.#nowMs > lengthMs) return;
    if (this.#log.length >= copy.stuckTo) this.#advance(copy, copy.offset + below(this.#next, 12));
    this.#in(12, () => this.#follow(copy));
  }

  /** To this offset, or to the end of the log. */
  #advance(copy: Copy, offset: number): void {
    const isFaulty = copy.name === "edge-a";
    if (isFaulty && copy.offset > faultFrom && this.#strikes("copy set back")) {
      [copy.offset, copy.versions, copy.stuckTo] = [0, new Map(), this.#log.length + 2 * faultEvents];
      return this.#advance(copy, faultFrom - 2 * faultEvents);
    }
    while (copy.offset < Math.min(offset, this.#log.length)) {
      const event = must(this.#log[copy.offset]);
      const isLate = this.#planted === "late event";
      const isLeftOut = isFaulty && event === this.#victim && (isLate || this.#planted === "skipped event");
      if (!isLeftOut) apply(copy, event);
      const before = isFaulty ? this.#log[copy.offset - faultEvents] : undefined;
      const comesNow = before !== undefined && before === this.#victim;
      if (comesNow && (isLate || this.#planted === "doubled event")) apply(copy, before);
      copy.offset++;
    }
  }

  #read(): void {
    if (this.#nowMs > lengthMs) return;
    const copy = pick(this.#next, this.#copies);
    const mayBeOld = copy.name === "fallback";
    const offset = Math.max(1, this.#acknowledged - below(this.#next, 4));
    const isStuck = (): boolean => this.#log.length < copy.stuckTo;
    const token = this.#acknowledged > 0 && this.#next() < 0.5 && !isStuck() ? this.#at(offset) : undefined;
    const begun = { startMs: this.#nowMs, node: copy.name, mayBeOld, token };
    this.#in(3, () => {
      const waits = token !== undefined && !mayBeOld && this.#planted !== "reads that do not wait";
      if (waits && !isStuck()) this.#advance(copy, token.offset);
      const answer = this.#answer(copy);
      this.#in(3, () => {
        this.#reads.push({ ...begun, endMs: this.#nowMs, answer });
        this.#in(4, () => this.#read());
      });
    });
  }

  #answer({ name, versions: held }: Copy): Answer {
    const { name: register, version, group } = pick(this.#next, this.#registers.slice(-2 * writerCount));
    const versions = [...(held.get(register) ?? [])];
    if (name === "edge-a" && this.#strikes("invented answer"))
      return { kind: "register", register, versions: [10_000] };
    const luck = this.#next();
    if (luck < 0.4) return { kind: "register", register, versions };
    if (luck < 0.6) return { kind: "has", register, version, has: versions.includes(version) };
    const inGroup = new Set(this.#registers.filter((one) => one.group === group).map((one) => one.name));
    return { kind: "group", group, versions: plain(new Map([...held].filter(([one]) => inGroup.has(one)))) };
  }
}

function apply({ versions }: Copy, { register, version, replaces }: Event): void {
  if (register === "") return;
  const held = versions.get(register) ?? new Set();
  if (replaces) held.delete(version - 1);
  versions.set(register, held.add(version));
}

const plain = (versions: ReadonlyMap<string, ReadonlySet<number>>): Map<string, number[]> =>
  new Map([...versions].map(([register, held]) => [register, [...held].sort((a, b) => a - b)]));
