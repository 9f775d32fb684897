/**
 * The freshness of a replica: since when it is known to have all events. The primary's own answer over HTTP proves it,
 * and so does a head of the event stream with a greater sequence number than all before it. A broker can hold back,
 * delay and repeat heads. So a head proves nothing if it was seen before, is retained, has no number, or arrives before
 * the first answer of the primary; and heads count only while the primary itself answers from time to time. Times in
 * messages are not used, only this node's monotonic clock.
 */
import type { Limits } from "../../config/limits.ts";
import { compareEpochs } from "../../store/log/epochs.ts";
import type { StoreState } from "../../store/log/store-state.ts";
import type { Clock } from "../../util/clock.ts";
import type { TimeContext } from "../node-context.ts";
import { epochOf, type Head } from "../transport/messages.ts";

/** `newer`: it proves the primary's position. `same`, `older`: that or a later one came before. `hint`: no proof. */
export type HeadKind = "newer" | "same" | "older" | "hint";

interface KnownHead {
  readonly epoch: string;
  readonly term: number;
  readonly number: number;
  /** When it arrived at this node. */
  readonly atMs: number;
}

/** A request to the primary, when it is sent. */
export interface FreshnessProbe {
  readonly atMs: number;
  /** The greatest head that was known then. */
  readonly known: KnownHead | undefined;
}

/** A head whose position this replica has not reached yet. */
export interface ExpectedHead {
  readonly head: Head;
  /** Since when it proves the primary's position. Undefined if it proves nothing. */
  readonly atMs: number | undefined;
  readonly source: "stream" | "primary";
}

/** How many heads ahead of this replica are kept. */
const expectedMax = 8;
/** How many of the last heads are kept, to tell when an older one was superseded. */
const knownHeadsMax = 16;
/** The primary confirms the replica at least once in so many poll intervals. */
const pollsPerWindow = 3;

export class Freshness {
  /** The longest time between two requests to the primary while heads arrive. */
  readonly windowMs: number;
  /** How long heads are trusted after an answer of the primary. */
  readonly #trustMs: number;
  readonly #limits: Limits;
  readonly #clock: Clock;
  /** In ascending order; the last one is the greatest. */
  #known: readonly KnownHead[] = [];
  #expected: readonly ExpectedHead[] = [];
  #latest: Head | undefined;
  #headAtMs = Number.NEGATIVE_INFINITY;
  #primaryAtMs = Number.NEGATIVE_INFINITY;
  #confirmedAtMs = Number.NEGATIVE_INFINITY;
  #newestAtMs = Number.NEGATIVE_INFINITY;

  /** `maxStalenessMs`: the oldest database that may answer. */
  constructor({ limits, clock }: TimeContext, maxStalenessMs = Number.POSITIVE_INFINITY) {
    const { pollIntervalMs, readyAgeMsMax } = limits;
    this.#limits = limits;
    this.#clock = clock;
    this.windowMs = Math.min(maxStalenessMs / 2, readyAgeMsMax / 2, pollIntervalMs * pollsPerWindow);
    this.#trustMs = Math.min(this.windowMs + pollIntervalMs, this.windowMs * 2);
  }

  classify(head: Head, retained: boolean): HeadKind {
    const greatest = this.#known.at(-1);
    if (retained || head.q === undefined || greatest === undefined) return "hint";
    const order = compareHeads(head, greatest);
    if (order === 0) return "same";
    if (order < 0) return "older";
    // Only the primary itself, over HTTP, proves a later epoch.
    return head.e === greatest.epoch ? "newer" : "hint";
  }

  /** How long ago a later head than this one arrived, at least. */
  supersededMsAgo(head: Head): number {
    const later = this.#known.find((known) => compareHeads(head, known) < 0);
    return later === undefined ? 0 : this.#clock.monotonicMs() - later.atMs;
  }

  onHead(head: Head): void {
    this.#headAtMs = this.#clock.monotonicMs();
    this.#learn(head);
  }

  /** Call this before the primary is asked. */
  startProbe(): FreshnessProbe {
    return { atMs: this.#clock.monotonicMs(), known: this.#known.at(-1) };
  }

  onPrimaryHead(head: Head, { known }: FreshnessProbe): void {
    this.#primaryAtMs = this.#clock.monotonicMs();
    if (head.q === undefined) return;
    // A smaller number than before the request: its directory was replaced by an old one, its sequence begins anew.
    const isReset = known !== undefined && known.epoch === head.e && head.q < known.number;
    if (isReset || this.#known.at(-1)?.epoch !== head.e) this.#known = [];
    const greatest = this.#known.at(-1);
    if (greatest === undefined || compareHeads(head, greatest) > 0) this.#learn(head);
  }

  /** The primary was at this head at that time, or later. */
  expect(expected: ExpectedHead): void {
    const { head } = expected;
    const order = this.#latest === undefined ? 1 : compareEpochs(epochOf(head), epochOf(this.#latest));
    if (order > 0 || (order === 0 && head.l > (this.#latest?.l ?? 0))) this.#latest = head;
    this.#expected = [...this.#expected, expected].slice(-expectedMax);
  }

  /** This replica has come to a position. Returns the heads that it has reached: at their times it had all events. */
  onPosition({ epoch, offset }: Pick<StoreState, "epoch" | "offset">): readonly ExpectedHead[] {
    if (this.#expected.length === 0) return this.#expected;
    const ofEpoch = this.#expected.filter(({ head }) => head.e === epoch);
    this.#expected = ofEpoch.filter(({ head }) => head.l > offset);
    const reached = ofEpoch.filter(({ head }) => head.l <= offset);
    for (const { atMs = Number.NEGATIVE_INFINITY, source } of reached) {
      this.#newestAtMs = Math.max(this.#newestAtMs, atMs);
      if (source === "primary") this.#confirmedAtMs = Math.max(this.#confirmedAtMs, atMs);
    }
    return reached;
  }

  /** The head with the latest position that is known of the primary since this replica started. */
  get latestHead(): Head | undefined {
    return this.#latest;
  }

  /** How long ago this replica was last known to have all events. Null before the first answer of the primary. */
  get ageMs(): number | null {
    if (this.confirmedMsAgo === Number.POSITIVE_INFINITY) return null;
    if (this.confirmedMsAgo > this.#trustMs) return this.confirmedMsAgo;
    return this.#clock.monotonicMs() - this.#newestAtMs;
  }

  /** How long ago the primary itself last confirmed this replica. Infinite before the first time. */
  get confirmedMsAgo(): number {
    return this.#clock.monotonicMs() - this.#confirmedAtMs;
  }

  /** Whether the event stream delivers heads. */
  get isStreamAlive(): boolean {
    return this.#clock.monotonicMs() - this.#headAtMs <= this.#limits.brokerSilenceMsMax;
  }

  /** Whether the primary has answered recently enough to trust heads. */
  get isTrusted(): boolean {
    return this.#clock.monotonicMs() - this.#primaryAtMs <= this.#trustMs;
  }

  get isPrimaryAlive(): boolean {
    return this.#clock.monotonicMs() - this.#primaryAtMs <= this.#limits.pollIntervalMs * pollsPerWindow;
  }

  #learn({ e: epoch, n: term, q: number = 0 }: Head): void {
    this.#known = [...this.#known, { epoch, term, number, atMs: this.#clock.monotonicMs() }].slice(-knownHeadsMax);
  }
}

/** Since when an answer proves the primary's position. An edge that answers instead knows an older one, or none. */
export function proofTimeOf({ role, a: ageMs }: Head, { atMs }: FreshnessProbe): number | undefined {
  if (ageMs === undefined) return role === "primary" ? atMs : undefined;
  return ageMs === null ? undefined : atMs - ageMs;
}

function compareHeads(head: Head, { epoch, term, number }: KnownHead): number {
  return compareEpochs(epochOf(head), { epoch, term }) || (head.q ?? 0) - number;
}
