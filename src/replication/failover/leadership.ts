/**
 * The lease as its holder sees it. It renews the lease all the time, and says whether the node may still act as the primary: only for a while after
 * the last renewal, by a clock that nobody sets. While the engine gives no answer, as many edges as each write needs (`--ack`) can confirm the term
 * in its stead: a successor would need their votes.
 */
import { getLogger } from "../../telemetry/logger.ts";
import { metrics } from "../../telemetry/metrics.ts";
import { AppError } from "../../util/app-error.ts";
import { sleep, type Clock } from "../../util/clock.ts";
import { reasonOf } from "../../util/reason.ts";
import { type Lease, LeaseLostError, type LeaseRecord } from "./lease/lease.ts";

const log = getLogger("failover");

/** What the other nodes say of a primary's term. */
export interface TermConfirmation {
  /** The edges that follow it and have promised nothing to a later candidate. */
  readonly edges: number;
  /** Whether a node knows of a later term. */
  readonly isSuperseded: boolean;
}

/** The primary that acts under the lease. */
interface LeadingPrimary {
  readonly confirm: () => Promise<TermConfirmation>;
  /** How many edges have each write that is acknowledged, besides the primary. */
  readonly ack: number;
  /** Called once, when another node has the lease. */
  readonly onLost: (reason: string) => void;
}

interface LeaseRequest {
  readonly lease: Lease;
  /** The term is later than this one. */
  readonly minTerm: number;
  /** Takes it from its holder. */
  readonly force: boolean;
  readonly ttlMs: number;
  readonly clock: Clock;
}

interface LeadershipOptions {
  readonly lease: Lease;
  /** As acquired. */
  readonly record: LeaseRecord;
  /** When the acquisition was asked for, on the monotonic clock. */
  readonly askedMs: number;
  readonly ttlMs: number;
  readonly clock: Clock;
}

/** Between two looks at both clocks. */
const clockCheckMs = 250;
/** Between two looks whether the lease is confirmed. */
const confirmationPollMs = 50;

export class Leadership {
  readonly #options: LeadershipOptions;
  #record: LeaseRecord;
  #leader: LeadingPrimary | undefined;
  #validUntilMs: number;
  /** The same by renewals alone, and when the question was asked that was answered last, by the engine or by peers. */
  #renewedUntilMs: number;
  #confirmedMs: number;
  /** How often this process stood still, and how many of these times were confirmed since. */
  #gaps = 0;
  #confirmedGaps = 0;
  #lost: string | undefined;
  #isEnded = false;
  #ticked: { readonly monotonicMs: number; readonly wallMs: number };
  #renewing: Promise<void> | undefined;
  #isFailing = false;
  #cancelRenewal: () => void;
  readonly #cancelTicks: () => void;

  constructor(options: LeadershipOptions) {
    this.#options = options;
    this.#record = options.record;
    this.#validUntilMs = this.#deadlineFrom(options.askedMs);
    this.#renewedUntilMs = this.#validUntilMs;
    this.#confirmedMs = options.askedMs;
    this.#ticked = this.#now();
    this.#cancelTicks = options.clock.every(clockCheckMs, () => this.#tick());
    this.#cancelRenewal = options.clock.after(this.#renewalMs, () => void this.#renew());
  }

  /** Undefined where another node holds the lease. Rejects where the engine gives no answer. */
  static async acquire({ lease, minTerm, force, ttlMs, clock }: LeaseRequest): Promise<Leadership | undefined> {
    const askedMs = clock.monotonicMs();
    const record = await lease.acquire(minTerm, { force });
    return record && new Leadership({ lease, record, askedMs, ttlMs, clock });
  }

  /** Of the primary that acts under this lease. */
  get term(): number {
    return this.#record.term;
  }

  /** Why the node may not act as the primary now. Undefined while it may. */
  get problem(): string | undefined {
    this.#look();
    if (this.#lost !== undefined) return this.#lost;
    if (this.#isEnded) return "this node has given up the lease of the primary";
    if (this.#gaps > this.#confirmedGaps)
      return "this process stood still, and its lease of the primary has to be confirmed first";
    if (this.#options.clock.monotonicMs() < this.#validUntilMs) return undefined;
    return `the lease of the primary could not be renewed at ${this.#options.lease.engine}`;
  }

  /**
   * How long ago this node was known to be the only primary, in ms: undefined while the engine keeps others from it. Peers that confirm the term instead
   * may vote for a successor in the next moment. Null where it may not act as the primary.
   */
  get ageMs(): number | null | undefined {
    if (this.problem !== undefined) return null;
    const nowMs = this.#options.clock.monotonicMs();
    return nowMs < this.#renewedUntilMs ? undefined : nowMs - this.#confirmedMs;
  }

  /** AppError `not_ready` where the node may not act as the primary now. */
  requireValid(): void {
    const { problem } = this;
    if (problem !== undefined) throw new AppError("not_ready", `${problem}: send the write again in a moment`);
  }

  /** Resolves when the node may act as the primary. AppError `not_ready` where it may not, and will not soon. */
  async waitUntilValid(): Promise<void> {
    const { clock, ttlMs } = this.#options;
    const endMs = clock.monotonicMs() + ttlMs;
    while (this.problem !== undefined && !this.#isEnded && clock.monotonicMs() < endMs)
      await sleep(clock, confirmationPollMs);
    this.requireValid();
  }

  /** From now on a primary acts under it. */
  start(leader: LeadingPrimary): void {
    this.#leader = leader;
    // From now on nobody begins a new history.
    this.#record = { ...this.#record, hasHistory: true };
    if (this.#lost !== undefined) return leader.onLost(this.#lost);
    this.#cancelRenewal();
    void this.#renew();
  }

  /** Gives the lease up, also where the engine can't be told: then it expires. With `successor` that node alone may have it until then. */
  async release(successor?: string): Promise<void> {
    if (this.#isEnded) return;
    this.#end();
    await this.#renewing;
    const { lease } = this.#options;
    await lease
      .release(this.#record, successor)
      .catch((error: unknown) =>
        log.warning("the lease could not be released and will expire: {reason}", { reason: reasonOf(error) }),
      );
  }

  get #renewalMs(): number {
    return this.#options.ttlMs / 3;
  }

  #deadlineFrom(askedMs: number): number {
    return askedMs + this.#options.ttlMs - this.#options.ttlMs / 6;
  }

  #now(): { readonly monotonicMs: number; readonly wallMs: number } {
    const { clock } = this.#options;
    return { monotonicMs: clock.monotonicMs(), wallMs: clock.wallMs() };
  }

  #tick(): void {
    this.#look();
    this.#ticked = this.#now();
  }

  /** A machine that was suspended may have stopped its monotonic clock as well, so both clocks are compared. */
  #look(): void {
    const now = this.#now();
    const passedMs = now.monotonicMs - this.#ticked.monotonicMs;
    const setMs = Math.abs(now.wallMs - this.#ticked.wallMs - passedMs);
    if (Math.max(passedMs - clockCheckMs, setMs) < this.#renewalMs || this.#isEnded) return;
    log.warning("this process stood still or its clock was set, by {ms} ms: its lease has to be confirmed", {
      ms: Math.round(Math.max(passedMs, setMs)),
    });
    this.#gaps++;
    this.#ticked = now;
    this.#cancelRenewal();
    void (this.#renewing ?? Promise.resolve()).then(() => this.#renew());
  }

  #renew(): Promise<void> {
    this.#renewing ??= this.#renewOnce().finally(() => (this.#renewing = undefined));
    return this.#renewing;
  }

  async #renewOnce(): Promise<void> {
    if (this.#isEnded) return;
    const { lease, clock } = this.#options;
    const [askedMs, gaps] = [clock.monotonicMs(), this.#gaps];
    const isDoubted = gaps > this.#confirmedGaps;
    // At the same time where it will be needed: an engine that does not answer takes as long as there is.
    const peers = this.#isFailing || isDoubted ? this.#askPeers() : undefined;
    let failure: unknown;
    try {
      await lease.renew(this.#record);
      metrics.leaseRenewals.inc({ outcome: "renewed" });
    } catch (error) {
      if (error instanceof LeaseLostError) return this.#lose(error.message);
      metrics.leaseRenewals.inc({ outcome: "failed" });
      failure = error;
    }
    this.#noteOutcome(failure);
    const isRenewed = failure === undefined;
    const isConfirmed = isRenewed && !isDoubted ? true : await this.#isConfirmed(isRenewed, peers ?? this.#askPeers());
    if (this.#isEnded) return;
    if (isConfirmed) {
      this.#validUntilMs = this.#deadlineFrom(askedMs);
      if (isRenewed) this.#renewedUntilMs = this.#validUntilMs;
      this.#confirmedMs = askedMs;
      this.#confirmedGaps = gaps;
    }
    const delayMs = isConfirmed && isRenewed ? this.#renewalMs : this.#renewalMs / 4;
    this.#cancelRenewal();
    this.#cancelRenewal = clock.after(delayMs, () => void this.#renew());
  }

  /**
   * Whether the term is still the latest one. With `--ack` as many edges as each write needs must confirm it; without, a renewal is enough. A peer that
   * knows of a later term always refutes it.
   */
  async #isConfirmed(isRenewed: boolean, peers: Promise<TermConfirmation>): Promise<boolean> {
    const { edges, isSuperseded } = await peers;
    if (isSuperseded) return false;
    const needed = this.#leader?.ack ?? 0;
    return needed > 0 ? edges >= needed : isRenewed;
  }

  async #askPeers(): Promise<TermConfirmation> {
    const nothing = { edges: 0, isSuperseded: false };
    return (await this.#leader?.confirm().catch(() => nothing)) ?? nothing;
  }

  #noteOutcome(failure: unknown): void {
    if (failure !== undefined && !this.#isFailing)
      log.warning("the lease can't be renewed, this node tries again: {reason}", { reason: reasonOf(failure) });
    if (failure === undefined && this.#isFailing) log.info("the lease is renewed again");
    this.#isFailing = failure !== undefined;
  }

  #lose(reason: string): void {
    if (this.#isEnded) return;
    this.#lost = reason;
    this.#end();
    log.error("this node has lost the lease of the primary: {reason}", { reason });
    this.#leader?.onLost(reason);
  }

  #end(): void {
    this.#isEnded = true;
    this.#cancelTicks();
    this.#cancelRenewal();
  }
}
