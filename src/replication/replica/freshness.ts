/**
 * Decides how fresh this copy is. Two things prove that it is the newest: the primary's own answer over HTTP, and a head of the feed with a greater
 * sequence number than every head before it. A broker can hold back, delay and repeat heads, so a head proves little: one that was seen before, that
 * is retained, that has no number, or that comes before the first answer of the primary proves nothing, and what heads prove counts only while the
 * primary itself answers now and then. No time that a message names is used, only this node's monotonic clock.
 */
import type { Limits } from "../../config/limits.ts";
import { compareEpochs } from "../../store/log/epochs.ts";
import type { StoreState } from "../../store/log/store-state.ts";
import type { Clock } from "../../util/clock.ts";
import { epochOf, type Head } from "../transport/messages.ts";

export interface FreshnessOptions {
  readonly limits: Pick<Limits, "pollIntervalMs" | "brokerSilenceMsMax" | "readyAgeMsMax">;
  /** The oldest copy that may be answered from. */
  readonly maxStalenessMs: number | undefined;
  readonly clock: Clock;
}

/** `newer`: it proves where the primary stands. `same`, `older`: a head like it, or a later one, came before. `hint`: it proves nothing. */
export type HeadKind = "newer" | "same" | "older" | "hint";

interface KnownHead {
  readonly epoch: string;
  readonly term: number;
  readonly number: number;
  /** When this node learned of it. */
  readonly atMs: number;
}

/** The moment when the primary is asked. */
export interface FreshnessProbe {
  readonly atMs: number;
  /** The greatest head that was known then. */
  readonly known: KnownHead | undefined;
}

/** A head, when this node asked for it or heard it, and from whom. */
export interface ExpectedHead {
  readonly head: Head;
  /** Undefined where it proves nothing. */
  readonly atMs: number | undefined;
  readonly source: "feed" | "primary";
}

/** So many heads that are ahead of this copy are waited for. */
const expectedMax = 8;
/** So many of the last heads are kept, to tell how long ago an older one was superseded. */
const knownHeadsMax = 16;
/** The primary's answers confirm the copy at least once in so many poll intervals. */
const pollsPerWindow = 3;

export class Freshness {
  /** The longest time between two questions to the primary, while heads arrive. */
  readonly windowMs: number;
  /** For how long after an answer of the primary heads are believed. */
  readonly #trustMs: number;
  readonly #limits: FreshnessOptions["limits"];
  readonly #clock: Clock;
  /** In ascending order; the last one is the greatest. */
  #known: readonly KnownHead[] = [];
  #awaited: readonly ExpectedHead[] = [];
  #headAtMs = Number.NEGATIVE_INFINITY;
  #primaryAtMs = Number.NEGATIVE_INFINITY;
  #confirmedAtMs = Number.NEGATIVE_INFINITY;
  #newestAtMs = Number.NEGATIVE_INFINITY;

  constructor({ limits, maxStalenessMs = Number.POSITIVE_INFINITY, clock }: FreshnessOptions) {
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
    // A later epoch is learned from its primary over HTTP.
    return head.e === greatest.epoch ? "newer" : "hint";
  }

  /** How long ago a head came that is later than this older one, at the least. */
  supersededMsAgo(head: Head): number {
    const later = this.#known.find((known) => compareHeads(head, known) < 0);
    return later === undefined ? 0 : this.#clock.monotonicMs() - later.atMs;
  }

  /** A newer head came. */
  onHead(head: Head): void {
    this.#headAtMs = this.#clock.monotonicMs();
    this.#learn(head);
  }

  /** To be called before the primary is asked. */
  startProbe(): FreshnessProbe {
    return { atMs: this.#clock.monotonicMs(), known: this.#known.at(-1) };
  }

  /** The primary itself answered with this head. */
  onPrimaryHead(head: Head, { known }: FreshnessProbe): void {
    this.#primaryAtMs = this.#clock.monotonicMs();
    if (head.q === undefined) return;
    // What it published before it was asked had smaller numbers, unless its directory was replaced by an old one: then its sequence begins there.
    const isReset = known !== undefined && known.epoch === head.e && head.q < known.number;
    if (isReset || this.#known.at(-1)?.epoch !== head.e) this.#known = [];
    const greatest = this.#known.at(-1);
    if (greatest === undefined || compareHeads(head, greatest) > 0) this.#learn(head);
  }

  /** The primary stood there at that moment, at the earliest. */
  expect(awaited: ExpectedHead): void {
    this.#awaited = [...this.#awaited, awaited].slice(-expectedMax);
  }

  /** This copy stands there: gives the heads that it has reached, at whose moments it was the newest. */
  onPosition({ epoch, offset }: Pick<StoreState, "epoch" | "offset">): readonly ExpectedHead[] {
    if (this.#awaited.length === 0) return this.#awaited;
    const ofEpoch = this.#awaited.filter(({ head }) => head.e === epoch);
    this.#awaited = ofEpoch.filter(({ head }) => head.l > offset);
    const reached = ofEpoch.filter(({ head }) => head.l <= offset);
    for (const { atMs = Number.NEGATIVE_INFINITY, source } of reached) {
      this.#newestAtMs = Math.max(this.#newestAtMs, atMs);
      if (source === "primary") this.#confirmedAtMs = Math.max(this.#confirmedAtMs, atMs);
    }
    return reached;
  }

  /** How long ago this copy was last known to be the newest; null while the primary has not confirmed it since the start. */
  get ageMs(): number | null {
    if (this.confirmedMsAgo === Number.POSITIVE_INFINITY) return null;
    if (this.confirmedMsAgo > this.#trustMs) return this.confirmedMsAgo;
    return this.#clock.monotonicMs() - this.#newestAtMs;
  }

  /** How long ago the primary itself said that this copy is the newest; infinite before it did. */
  get confirmedMsAgo(): number {
    return this.#clock.monotonicMs() - this.#confirmedAtMs;
  }

  /** Whether the feed brings heads. */
  get isFeedAlive(): boolean {
    return this.#clock.monotonicMs() - this.#headAtMs <= this.#limits.brokerSilenceMsMax;
  }

  /** Whether the primary has answered so lately that heads are believed. */
  get isTrusted(): boolean {
    return this.#clock.monotonicMs() - this.#primaryAtMs <= this.#trustMs;
  }

  /** Whether the primary has answered lately. */
  get isPrimaryAlive(): boolean {
    return this.#clock.monotonicMs() - this.#primaryAtMs <= this.#limits.pollIntervalMs * pollsPerWindow;
  }

  #learn({ e: epoch, n: term, q: number = 0 }: Head): void {
    this.#known = [...this.#known, { epoch, term, number, atMs: this.#clock.monotonicMs() }].slice(-knownHeadsMax);
  }
}

/** The moment of which an answer tells: an edge that is asked in place of a primary knows what was so some time ago, if that. */
export function proofTimeOf({ role, a: ageMs }: Head, { atMs }: FreshnessProbe): number | undefined {
  if (ageMs === undefined) return role === "primary" ? atMs : undefined;
  return ageMs === null ? undefined : atMs - ageMs;
}

function compareHeads(head: Head, { epoch, term, number }: KnownHead): number {
  return compareEpochs(epochOf(head), { epoch, term }) || (head.q ?? 0) - number;
}
