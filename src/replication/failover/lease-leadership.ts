/**
 * The lease from the holder's view. It renews the lease continuously, and tells whether the node may still act as the
 * primary: only for a limited time after the last renewal, by a monotonic clock. While the coordination service does
 * not answer, edges can confirm the term instead, as many as each write needs (`--ack`): a successor would need their
 * votes.
 */
import { getLogger } from "../../telemetry/logger.ts";
import { metrics } from "../../telemetry/metrics.ts";
import { AppError } from "../../util/app-error.ts";
import { sleep, type Clock } from "../../util/clock.ts";
import { reasonOf } from "../../util/reason.ts";
import type { LeadingPrimary, Leadership, TermConfirmation } from "./leadership.ts";
import { type Lease, LeaseLostError, type LeaseRecord } from "../lease/lease.ts";

const log = getLogger("failover");

/** The interval between two comparisons of both clocks. */
const clockCheckMs = 250;
/** The interval between two checks whether the lease is confirmed. */
const confirmationPollMs = 50;

export class LeaseLeadership implements Leadership {
  readonly isLeased = true;
  readonly #lease: Lease;
  readonly #ttlMs: number;
  readonly #clock: Clock;
  #record: LeaseRecord;
  #primary: LeadingPrimary | undefined;
  #validUntilMs: number;
  /** Until when the lease is valid by renewals only. */
  #renewedUntilMs: number;
  /** When the last request that the service or peers have answered was sent. */
  #confirmedMs: number;
  /** How often this process was suspended, and how many of these gaps were confirmed since. */
  #gaps = 0;
  #confirmedGaps = 0;
  #lostReason: string | undefined;
  #isEnded = false;
  #lastCheck: { readonly monotonicMs: number; readonly wallMs: number };
  #renewing: Promise<void> | undefined;
  #isFailing = false;
  #cancelRenewal: () => void;
  readonly #cancelTicks: () => void;

  /** `requestedMs`: when the acquisition was requested, by the monotonic clock. */
  constructor(lease: Lease, ttlMs: number, clock: Clock, record: LeaseRecord, requestedMs: number) {
    this.#lease = lease;
    this.#ttlMs = ttlMs;
    this.#clock = clock;
    this.#record = record;
    this.#validUntilMs = this.#deadlineFrom(requestedMs);
    this.#renewedUntilMs = this.#validUntilMs;
    this.#confirmedMs = requestedMs;
    this.#lastCheck = this.#now();
    this.#cancelTicks = clock.every(clockCheckMs, () => {
      this.#checkClocks();
      this.#lastCheck = this.#now();
    });
    this.#cancelRenewal = clock.after(this.#renewalMs, () => void this.#renew());
  }

  /**
   * Acquires the lease for a later term than `minTerm`; `force` takes it from its holder. Undefined if another node
   * holds it. Rejects if the service does not answer.
   */
  static async acquire(
    lease: Lease,
    ttlMs: number,
    clock: Clock,
    { minTerm, force }: { readonly minTerm: number; readonly force: boolean },
  ): Promise<LeaseLeadership | undefined> {
    const requestedMs = clock.monotonicMs();
    const record = await lease.acquire(minTerm, { force });
    return record && new LeaseLeadership(lease, ttlMs, clock, record, requestedMs);
  }

  get term(): number {
    return this.#record.term;
  }

  get problem(): string | undefined {
    this.#checkClocks();
    if (this.#lostReason !== undefined) return this.#lostReason;
    if (this.#isEnded) return "this node has given up the lease of the primary";
    if (this.#gaps > this.#confirmedGaps)
      return "this process was suspended, and its lease of the primary has to be confirmed first";
    if (this.#clock.monotonicMs() < this.#validUntilMs) return undefined;
    return `the lease of the primary could not be renewed at ${this.#lease.service}`;
  }

  /** Peers that confirm the term instead of the lease may vote for a successor in the next moment. */
  get ageMs(): number | null | undefined {
    if (this.problem !== undefined) return null;
    const nowMs = this.#clock.monotonicMs();
    return nowMs < this.#renewedUntilMs ? undefined : nowMs - this.#confirmedMs;
  }

  requireValid(): void {
    const { problem } = this;
    if (problem !== undefined) throw new AppError("not_ready", `${problem}: send the write again in a moment`);
  }

  async waitUntilValid(): Promise<void> {
    const clock = this.#clock;
    const endMs = clock.monotonicMs() + this.#ttlMs;
    while (this.problem !== undefined && !this.#isEnded && clock.monotonicMs() < endMs)
      await sleep(clock, confirmationPollMs);
    this.requireValid();
  }

  start(leader: LeadingPrimary): void {
    this.#primary = leader;
    // From now on no node begins a new history.
    this.#record = { ...this.#record, hasHistory: true };
    if (this.#lostReason !== undefined) return leader.onLost(this.#lostReason);
    this.#cancelRenewal();
    void this.#renew();
  }

  /** If the service fails, the lease just expires. */
  async release(successor?: string): Promise<void> {
    if (this.#isEnded) return;
    this.#end();
    await this.#renewing;
    await this.#lease
      .release(this.#record, successor)
      .catch((error: unknown) =>
        log.warning("the lease could not be released and will expire: {reason}", { reason: reasonOf(error) }),
      );
  }

  get #renewalMs(): number {
    return this.#ttlMs / 3;
  }

  #deadlineFrom(requestedMs: number): number {
    return requestedMs + this.#ttlMs - this.#ttlMs / 6;
  }

  #now(): { readonly monotonicMs: number; readonly wallMs: number } {
    return { monotonicMs: this.#clock.monotonicMs(), wallMs: this.#clock.wallMs() };
  }

  /** Compares both clocks, since the suspension of a machine may have stopped its monotonic clock too. */
  #checkClocks(): void {
    const now = this.#now();
    const passedMs = now.monotonicMs - this.#lastCheck.monotonicMs;
    const setMs = Math.abs(now.wallMs - this.#lastCheck.wallMs - passedMs);
    if (Math.max(passedMs - clockCheckMs, setMs) < this.#renewalMs || this.#isEnded) return;
    log.warning("this process was suspended or its clock was set, by {ms} ms: its lease has to be confirmed", {
      ms: Math.round(Math.max(passedMs, setMs)),
    });
    this.#gaps++;
    this.#lastCheck = now;
    this.#cancelRenewal();
    void (this.#renewing ?? Promise.resolve()).then(() => this.#renew());
  }

  #renew(): Promise<void> {
    this.#renewing ??= this.#renewOnce().finally(() => (this.#renewing = undefined));
    return this.#renewing;
  }

  async #renewOnce(): Promise<void> {
    if (this.#isEnded) return;
    const [lease, clock] = [this.#lease, this.#clock];
    const [requestedMs, gaps] = [clock.monotonicMs(), this.#gaps];
    const isUnconfirmed = gaps > this.#confirmedGaps;
    // If the peers' answer will be needed, they are asked now: a service that does not answer uses up the time.
    const peers = this.#isFailing || isUnconfirmed ? this.#askPeers() : undefined;
    let failure: unknown;
    try {
      await lease.renew(this.#record);
      metrics.leaseRenewals.inc({ outcome: "renewed" });
    } catch (error) {
      if (error instanceof LeaseLostError) return this.#loseLease(error.message);
      metrics.leaseRenewals.inc({ outcome: "failed" });
      failure = error;
    }
    this.#logOutcome(failure);
    const isRenewed = failure === undefined;
    const isConfirmed =
      isRenewed && !isUnconfirmed ? true : await this.#isConfirmed(isRenewed, peers ?? this.#askPeers());
    if (this.#isEnded) return;
    if (isConfirmed) {
      this.#validUntilMs = this.#deadlineFrom(requestedMs);
      if (isRenewed) this.#renewedUntilMs = this.#validUntilMs;
      this.#confirmedMs = requestedMs;
      this.#confirmedGaps = gaps;
    }
    const delayMs = isConfirmed && isRenewed ? this.#renewalMs : this.#renewalMs / 4;
    this.#cancelRenewal();
    this.#cancelRenewal = clock.after(delayMs, () => void this.#renew());
  }

  /** No peer may know a later term. With `--ack`, the edges that a write needs must confirm; without, a renewal. */
  async #isConfirmed(isRenewed: boolean, peers: Promise<TermConfirmation>): Promise<boolean> {
    const { edges, isSuperseded } = await peers;
    if (isSuperseded) return false;
    const needed = this.#primary?.ack() ?? 0;
    return needed > 0 ? edges >= needed : isRenewed;
  }

  async #askPeers(): Promise<TermConfirmation> {
    const nothing = { edges: 0, isSuperseded: false };
    return (await this.#primary?.confirm().catch(() => nothing)) ?? nothing;
  }

  #logOutcome(failure: unknown): void {
    if (failure !== undefined && !this.#isFailing)
      log.warning("the lease cannot be renewed, this node tries again: {reason}", { reason: reasonOf(failure) });
    if (failure === undefined && this.#isFailing) log.info("the lease is renewed again");
    this.#isFailing = failure !== undefined;
  }

  #loseLease(reason: string): void {
    if (this.#isEnded) return;
    this.#lostReason = reason;
    this.#end();
    log.error("this node has lost the lease of the primary: {reason}", { reason });
    this.#primary?.onLost(reason);
  }

  #end(): void {
    this.#isEnded = true;
    this.#cancelTicks();
    this.#cancelRenewal();
  }
}
