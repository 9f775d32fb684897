/**
 * An edge follows its primary. Messages of the feed are put into an inbox and applied in order by one loop, which alone moves this copy:
 * what follows the present position is applied, what is older is dropped, and before a gap, another epoch or a hash that does not come out
 * the loop asks the primary's log, and takes a snapshot where the log can't help. While the feed is silent it waits for the primary's next head over
 * HTTP; while the feed is alive it asks for the primary's head now and then, since a broker can hold back what it likes.
 */
import type { Limits } from "../../config/limits.ts";
import { isDamage } from "../../runtime/sqlite.ts";
import { compareEpochs } from "../../store/log/epochs.ts";
import type { LogRow } from "../../store/log/log.ts";
import type { StoreState } from "../../store/log/store-state.ts";
import { getLogger, isDebugging } from "../../telemetry/logger.ts";
import { metrics } from "../../telemetry/metrics.ts";
import { AppError } from "../../util/app-error.ts";
import { rateLimiter } from "../../util/rate-limiter.ts";
import { backoffMs } from "../../util/backoff.ts";
import type { Clock } from "../../util/clock.ts";
import { detailOf } from "../../util/reason.ts";
import { storageFailureIn } from "../../util/storage-failure.ts";
import {
  commitTimesAfter,
  decodeBatch,
  decodeHead,
  epochOf,
  batchRows,
  type EventBatch,
  type Head,
} from "../transport/messages.ts";
import { createBatchBuffer, type BatchBuffer, type ReceivedBatch } from "./batch-buffer.ts";
import type { ReplicaStateName } from "../node-state.ts";
import type { ReplayRequest } from "../log/replay.ts";
import type { CommittedReplay } from "../log/store-writer.ts";
import { logAppliedEvents, logReceivedBatch } from "./applied-events-log.ts";
import { type AnnouncedEvents, recordAppliedEvents, type DeliverySource } from "./applied-events.ts";
import { catchUp, type CatchUpOptions } from "./catch-up.ts";
import { Confirmations } from "./confirmations.ts";
import { createDivergenceDetector } from "./divergence-detector.ts";
import { GapCheck } from "./gap-check.ts";
import { Freshness, proofTimeOf, type ExpectedHead, type FreshnessProbe } from "./freshness.ts";
import { type CatchUpCause, mergeCauses, CatchUpRequests } from "./catch-up-requests.ts";
import type { ReplicaLoopOptions } from "./replica-loop-options.ts";
import type { NodeClient } from "../transport/node-client.ts";

const log = getLogger("follow");

/** Applying the same events fails this often before the copy itself is taken for damaged. */
const replayFailuresMax = 3;
/** A copy that was found to be wrong within this time never was right. */
const recentSnapshotMs = 60_000;
/** What a broker can bring about again and again is logged no more often than this. */
const warningIntervalMs = 60_000;

export class ReplicaLoop {
  readonly #options: ReplicaLoopOptions;
  readonly #catchUpOptions: CatchUpOptions;
  readonly #limits: Limits;
  readonly #clock: Clock;
  readonly #inbox: BatchBuffer;
  readonly #divergence = createDivergenceDetector();
  readonly #freshness: Freshness;
  readonly #confirmations: Confirmations;
  readonly #hints: CatchUpRequests;
  readonly #gapCheck: GapCheck;
  readonly #complaints: ReturnType<typeof rateLimiter>;
  #diverged = false;
  /** Whether that is suspected only because the file was damaged or could not be read. */
  #isDamaged = false;
  /** The files of this copy are gone or replaced: it can be answered from, and needs a successor. */
  #filesLost = false;
  /** The feed has said that this copy differs, and the primary has not been asked yet. */
  #doubted = false;
  #working = false;
  #workWanted = false;
  #stopped = false;
  #cancelWatch = (): void => {};
  #cancelRetry = (): void => {};
  #running: Promise<void> = Promise.resolve();
  /** Why the logs of others are being asked. */
  #asking: CatchUpCause | undefined;
  /** Why they have to be asked, and not before when (by the clock). */
  #wanted: CatchUpCause | undefined = "missed";
  #catchUpAtMs = 0;
  #failures = 0;
  /** When the present copy came, and how many before it did not last either. */
  #freshAtMs = Number.NEGATIVE_INFINITY;
  #poorCopies = 0;
  #replayFailures = 0;
  #offsetAtHead = 0;
  /** The last message that could not be applied when its turn came. */
  #unapplied: EventBatch | undefined;
  /** The last offset that the feed has announced without the events up to there, and when it did. */
  #announced: AnnouncedEvents | undefined;
  #nextPollMs = 0;
  #isPolling = false;
  #ackWanted = false;
  #visibleAfterMs: number | null = null;

  constructor(options: ReplicaLoopOptions) {
    this.#options = options;
    this.#limits = options.limits;
    this.#clock = options.clock;
    const {
      environment,
      limits,
      clock,
      maxStalenessMs,
      peers: upstream,
      onDivergence: parting,
      onVerified: proven,
    } = options;
    this.#freshness = new Freshness({ limits, maxStalenessMs, clock });
    const { windowMs } = this.#freshness;
    this.#confirmations = new Confirmations({ windowMs, clock, ask: async () => void (await this.#confirm()) });
    this.#hints = new CatchUpRequests({ limits, clock, start: (cause) => this.#want(cause) });
    this.#gapCheck = new GapCheck({
      graceMs: limits.gapGraceMs,
      clock,
      state: options.state,
      isBusy: () => this.#working && !this.#stopped,
      onGap: () => this.#hints.request(),
    });
    this.#complaints = rateLimiter(warningIntervalMs, clock);
    this.#catchUpOptions = {
      environment,
      clock,
      peers: upstream,
      onDivergence: parting,
      onVerified: proven,
      isStopped: () => this.#stopped,
      replay: (request, from) => this.#replay(request, from),
      installSnapshot: (from, replacing) => this.#installSnapshot(from, replacing),
      startProbe: () => this.#freshness.startProbe(),
      onPrimaryHead: (head, state, question) => this.#confirmed(head, state, question),
    };
    this.#inbox = createBatchBuffer(limits.catchUpBufferMessagesMax, limits.catchUpBufferBytesMax);
  }

  /** Begins to catch up; the feed may already be delivering. */
  start(): void {
    const intervalMs = Math.min(500, this.#limits.brokerSilenceMsMax / 2);
    this.#cancelWatch = this.#clock.every(intervalMs, () => this.#watch());
    this.#confirmations.start();
    this.#work();
  }

  /** Resolves when nothing is under way any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelWatch();
    this.#cancelRetry();
    this.#hints.stop();
    this.#gapCheck.stop();
    await Promise.all([this.#running, this.#confirmations.stop()]);
  }

  /** The feed (re)starts: whatever was published before the subscription has to be fetched. */
  onSubscribed(): void {
    this.#wantCatchUp();
  }

  get feedState(): ReplicaStateName {
    if (this.#diverged) return "DIVERGED";
    if (this.#options.state() === undefined) return "BOOTSTRAP";
    const { isFeedAlive, isTrusted, isPrimaryAlive } = this.#freshness;
    if (isFeedAlive && (this.#wanted === "missed" || this.#asking === "missed")) return "CATCHUP";
    if (isFeedAlive && isTrusted) return "LIVE";
    return isPrimaryAlive ? "STALE_FEED" : "DISCONNECTED";
  }

  get isDiverged(): boolean {
    return this.#diverged;
  }

  /** How long ago this copy was last known to be the newest; null while the primary has not confirmed it since the start. */
  get ageMs(): number | null {
    const { ageMs } = this.#freshness;
    return ageMs === null ? null : Math.round(ageMs);
  }

  /** Whether the primary itself, not only the feed, has just confirmed that this copy is the newest. */
  get isConfirmed(): boolean {
    return this.#freshness.confirmedMsAgo <= this.#limits.brokerSilenceMsMax;
  }

  /** Whether the primary waits to hear how far this copy has come. */
  get isAckRequested(): boolean {
    return this.#ackWanted;
  }

  /** Milliseconds from the commit of the last event on the primary to its visibility here; null before the first. */
  get visibleAfterMs(): number | null {
    return this.#visibleAfterMs;
  }

  receiveBatch(payload: Uint8Array): void {
    const decoded = decodeBatch(payload);
    if ("problem" in decoded || decoded.message.s !== this.#options.environment) {
      if (this.#complaints("message") > 0)
        log.warning("a message of the feed is not understood: {problem}", {
          problem: "problem" in decoded ? decoded.problem : "another environment",
        });
      return this.#hints.request();
    }
    metrics.brokerEvents.inc({ direction: "received" }, decoded.message.ev.length);
    if (isDebugging()) logReceivedBatch(decoded.message);
    const received = { batch: decoded.message, bytes: payload.byteLength, atMs: this.#clock.preciseMs() };
    if (!this.#inbox.push(received)) return this.#hints.request();
    this.#work();
  }

  /** `broker` is named in the log. */
  receiveHead(payload: Uint8Array, retained: boolean, broker: string): void {
    const decoded = decodeHead(payload);
    const present = this.#options.state();
    if ("problem" in decoded || decoded.message.s !== this.#options.environment || present === undefined) return;
    const head = decoded.message;
    // One of another history is no sign of life of this one's primary.
    const { own } = this.#options.peers.histories;
    if (own !== undefined && (head.f ?? own) !== own) return;
    const kind = this.#freshness.classify(head, retained);
    if (kind === "same") return;
    if (kind === "older") return this.#passOver(head, broker);
    if (kind === "hint" || head.e !== present.epoch) return this.#takeHint(head, present);
    this.#freshness.onHead(head);
    this.#ackWanted = head.ack;
    // Heads may be overtaken by events, but not by those of a whole interval: then the primary has lost what this copy still has.
    if (head.l < this.#offsetAtHead) this.#wantCatchUp();
    this.#offsetAtHead = present.offset;
    this.#take({ head, atMs: this.#clock.monotonicMs(), source: "feed" }, present);
  }

  /** Of several brokers one may be a little slower; one that is much slower, or repeats what it had, is worth a word. */
  #passOver(head: Head, broker: string): void {
    metrics.brokerStaleHeads.inc();
    const lateMs = this.#freshness.supersededMsAgo(head);
    if (lateMs <= this.#limits.brokerSilenceMsMax || this.#complaints("head") === 0) return;
    log.warning(
      "the broker at {broker} brings heads that were superseded {seconds} s ago or earlier, they are ignored: it repeats or delays messages. Check what it is, who may publish there, and whether it is overloaded",
      { broker, seconds: Math.floor(lateMs / 1000) },
    );
  }

  /** What proves nothing may still tell of something that this copy has not: the primary is asked. */
  #takeHint(head: Head, present: StoreState): void {
    const order = compareEpochs(epochOf(head), present);
    if (order > 0) this.#hints.request();
    else if (order === 0 && head.l > present.offset) this.#gapCheck.schedule(head, present);
  }

  #take(awaited: ExpectedHead, present: StoreState): void {
    this.#freshness.expect(awaited);
    this.#reach(present);
    // The last message before a pause has no successor that would show its loss; the head does.
    if (awaited.head.l > present.offset) this.#gapCheck.schedule(awaited.head, present);
  }

  /** The copy stands there: what the heads say that it has reached must be true of it. */
  #reach(state: StoreState): void {
    for (const { head, source } of this.#freshness.onPosition(state)) {
      this.#compare(head, state, source);
      if (source === "primary") this.#doubted = false;
    }
  }

  /**
   * A head that names another state than this copy had there. Over the broker it may be forged, where somebody has more rights there than he should:
   * so the primary is asked itself, at once, and only where it can't be asked is the copy given up on that word alone.
   */
  #compare(head: Head, present: StoreState, source: ExpectedHead["source"]): void {
    if (this.#diverged || this.#divergence.matches(head, present)) return;
    if (source === "feed" && !this.#doubted) {
      log.warning("a head of the feed says that this copy is not the primary's at {offset}, asking the primary", {
        offset: head.l,
      });
      this.#doubted = true;
      return this.#wantCatchUp();
    }
    this.markDiverged(`it differs from the primary's at ${head.l}`);
  }

  /** The files of this copy were deleted or replaced: it answers on from what is open, and takes a fresh snapshot. */
  onFilesLost(): void {
    if (this.#filesLost) return;
    this.#filesLost = true;
    this.#wantCatchUp();
  }

  /** This copy is not to be answered from any more: it is replaced by a fresh snapshot. */
  markDiverged(reason: string, isDamaged = false): void {
    if (!isDamaged) this.#isDamaged = false;
    if (this.#diverged) return;
    this.#diverged = true;
    this.#isDamaged = isDamaged;
    metrics.databasesRejected.inc();
    log.error("this copy has DIVERGED ({reason}): it answers nothing until it has a fresh snapshot", { reason });
    const isFresh = this.#clock.monotonicMs() - this.#freshAtMs < recentSnapshotMs;
    this.#poorCopies = isFresh ? this.#poorCopies + 1 : 0;
    // Where one copy after the other turns out wrong, it is not the copies, and the others shall not be kept busy with sending them.
    if (isFresh) this.#postpone(this.#poorCopies, recentSnapshotMs);
    this.#wantCatchUp();
  }

  /** Whether this copy is not answered from because its file was damaged or could not be read, and for no other reason. */
  get isDamaged(): boolean {
    return this.#diverged && this.#isDamaged;
  }

  /** The file was found sound, the disk could not read it for a while: the copy goes on from where it stands. */
  onFileVerified(): void {
    if (!this.isDamaged) return;
    this.#diverged = false;
    this.#isDamaged = false;
    this.#replayFailures = 0;
    this.#catchUpAtMs = 0;
    this.#wantCatchUp();
  }

  #watch(): void {
    const now = this.#clock.monotonicMs();
    if (this.#freshness.isFeedAlive) this.#nextPollMs = now;
    if (this.#freshness.isFeedAlive || now < this.#nextPollMs || this.#isPolling) return;
    this.#nextPollMs = now + this.#limits.pollIntervalMs * (0.75 + this.#clock.random() / 2);
    void this.#poll();
  }

  /**
   * While the feed is silent the primary is asked for its next head, which it gives as soon as there is one: so events are here as soon as with a feed,
   * and the primary learns how far this copy has come.
   */
  async #poll(): Promise<void> {
    this.#isPolling = true;
    const { windowMs } = this.#freshness;
    const waitMs = Math.min(this.#limits.pollIntervalMs, windowMs / 2);
    while (!this.#stopped && !this.#freshness.isFeedAlive && this.#isFollowing) {
      const askedAtMs = this.#clock.monotonicMs();
      const isNew = await this.#confirm(waitMs);
      // Once the feed is alive it brings what the head names.
      if (isNew && !this.#freshness.isFeedAlive) this.#want("polled");
      await this.#running;
      // A primary of an earlier version answers at once, with news or without.
      if (!isNew && this.#clock.monotonicMs() - askedAtMs < waitMs / 2) break;
    }
    this.#isPolling = false;
    if (!this.#isFollowing) this.#want(this.#wanted ?? this.#asking ?? "missed");
  }

  /** Whether this copy follows the primary, and nothing but the next event is missing. */
  get #isFollowing(): boolean {
    const isAsked = this.#wanted !== undefined || this.#asking !== undefined;
    return this.#options.state() !== undefined && !isAsked && !this.#diverged;
  }

  /** Somebody waits for this copy to move on: the primary is asked what the feed may not have brought. */
  requestCatchUp(): void {
    this.#hints.request();
  }

  /** Asks the primary at once whether this copy is the newest, unless it was asked just now. */
  requestConfirmation(): void {
    this.#confirmations.request();
  }

  /** Asks the primary for its head alone: what this copy has not may already be on its way by the feed. Whether it has more than this copy. */
  async #confirm(waitMs = 0): Promise<boolean> {
    const before = this.#options.state();
    // Catching up asks the primary as well.
    if (before === undefined || !this.#isFollowing || this.#stopped) return false;
    const question = this.#freshness.startProbe();
    let head: Head;
    try {
      head = await this.#options.peers.primaryHead(waitMs);
    } catch {
      if (this.#stopped) return false;
      metrics.confirmations.inc({ result: "failed" });
      // Catching up looks for another primary, tries again, and says why it failed.
      this.#wantCatchUp();
      return false;
    }
    const present = this.#options.state();
    if (this.#stopped || present === undefined) return false;
    metrics.confirmations.inc({ result: "done" });
    const isFollowed = head.s === this.#options.environment && head.e === present.epoch && head.e === before.epoch;
    // Only a primary that lost events has fewer than this copy had before.
    if (!isFollowed || head.l < before.offset) {
      this.#wantCatchUp();
      return false;
    }
    this.#answered(head, question);
    this.#take({ head, atMs: proofTimeOf(head, question), source: "primary" }, present);
    return head.l > present.offset;
  }

  #answered(head: Head, question: FreshnessProbe): void {
    this.#freshness.onPrimaryHead(head, question);
    this.#confirmations.answered(question.atMs);
    this.#ackWanted = head.ack;
  }

  #wantCatchUp(): void {
    this.#want("missed");
  }

  #want(cause: CatchUpCause): void {
    this.#wanted = mergeCauses(this.#wanted, cause);
    this.#work();
  }

  #work(): void {
    this.#workWanted = true;
    if (!this.#working) this.#running = this.#run();
  }

  /** INVARIANT: only this loop moves the copy, so position checks hold until what they allowed is applied. */
  async #run(): Promise<void> {
    this.#working = true;
    while (this.#workWanted && !this.#stopped) {
      this.#workWanted = false;
      if (this.#wanted !== undefined && this.#clock.monotonicMs() >= this.#catchUpAtMs) {
        await this.#tryToCatchUp(this.#wanted);
        this.#workWanted = true;
      } else if (await this.#takeFromInbox()) this.#workWanted = true;
    }
    this.#working = false;
  }

  async #tryToCatchUp(cause: CatchUpCause): Promise<void> {
    this.#wanted = undefined;
    this.#asking = cause;
    const startMs = this.#clock.monotonicMs();
    const before = this.#options.state();
    log.debug("asking the logs of other nodes: {cause}, this node is at {offset}", {
      cause,
      offset: before?.offset ?? 0,
    });
    try {
      const trusted = !this.#diverged && !this.#filesLost && this.#replayFailures < replayFailuresMax;
      await catchUp(this.#catchUpOptions, trusted ? before : undefined);
      this.#failures = 0;
      if (!this.#diverged) this.#catchUpAtMs = 0;
      this.#announced = undefined;
      if (this.#asking === "missed") metrics.catchUps.inc({ result: "done" });
      const after = this.#options.state();
      this.#hints.onAnswer(before !== after);
      const ms = Math.round(this.#clock.monotonicMs() - startMs);
      log.debug("the logs are followed to their end: this node is at {offset}", { offset: after?.offset ?? 0, ms });
    } catch (error) {
      if (this.#stopped) return;
      this.#catchUpFailed(error);
    } finally {
      this.#asking = undefined;
    }
  }

  #catchUpFailed(error: unknown): void {
    this.#wanted = "missed";
    metrics.catchUps.inc({ result: "failed" });
    // A disk that fails here is no word of the primary's.
    if (this.#doubted && storageFailureIn(error) === undefined)
      this.markDiverged("a head of the feed says so, and the primary can't be asked");
    const isFirst = this.#failures++ === 0;
    log[isFirst ? "warning" : "debug"]("catching up with the primary failed, trying again: {error}", {
      error: detailOf(error),
    });
    this.#postpone(this.#failures, this.#limits.retryDelayMsMax);
  }

  /** Catches up after a delay that grows with the number of failures in a row. */
  #postpone(failures: number, maxMs: number): void {
    const delayMs = backoffMs(failures, { minMs: this.#limits.retryDelayMsMin, maxMs }, this.#clock.random());
    this.#catchUpAtMs = this.#clock.monotonicMs() + delayMs;
    this.#cancelRetry();
    this.#cancelRetry = this.#clock.after(delayMs, () => {
      // A timer may come a fraction of a millisecond early, and nothing else might.
      this.#catchUpAtMs = 0;
      this.#work();
    });
  }

  /** The primary itself says where it stands. */
  #confirmed(head: Head, state: StoreState, question: FreshnessProbe): void {
    this.#answered(head, question);
    this.#freshness.expect({ head, atMs: proofTimeOf(head, question), source: "primary" });
    this.#reach(state);
  }

  async #installSnapshot(from: NodeClient, replacing: () => unknown): Promise<StoreState> {
    this.#asking = "missed";
    const state = await this.#options.installSnapshot(from, replacing, this.#diverged);
    this.#inbox.clear();
    this.#divergence.clear();
    this.#diverged = false;
    this.#filesLost = false;
    this.#doubted = false;
    this.#freshAtMs = this.#clock.monotonicMs();
    this.#replayFailures = 0;
    this.#offsetAtHead = 0;
    return state;
  }

  /** Applies or drops the first message. False where there is none, or none that can be applied before catching up. */
  async #takeFromInbox(): Promise<boolean> {
    const received = this.#inbox.first();
    const present = this.#options.state();
    if (received === undefined || present === undefined || this.#diverged) return false;
    const { batch } = received;
    const order = compareEpochs(epochOf(batch), present);
    if (order < 0 || (order === 0 && batch.l <= present.offset)) {
      metrics.brokerDuplicates.inc();
      this.#inbox.shift();
      return true;
    }
    const isNext = order === 0 && batch.p <= present.offset;
    const rows = isNext ? batchRows(batch) : undefined;
    if (rows !== undefined) return this.#applyBatch(present, received, rows);
    if (this.#wanted !== undefined) return false;
    if (isNext) this.#announced = { offset: batch.l, atMs: received.atMs };
    // What follows events that were announced does not tell of others.
    const isGap = order !== 0 || batch.p > Math.max(present.offset, this.#announced?.offset ?? 0);
    if (isGap && batch !== this.#unapplied) metrics.brokerGaps.inc();
    // It stays, in the hope that it follows what the log gives; it goes where it can't (another epoch, bodies only referred to) or did not.
    const hopeless = order !== 0 || isNext || batch === this.#unapplied;
    if (hopeless) this.#inbox.shift();
    this.#unapplied = batch;
    this.#hints.request(isGap ? "missed" : "announced");
    return true;
  }

  async #applyBatch({ offset }: StoreState, { batch, atMs }: ReceivedBatch, rows: readonly LogRow[]): Promise<boolean> {
    this.#inbox.shift();
    const next = rows.filter((row) => row.offset > offset);
    const committedMs = commitTimesAfter(batch, offset);
    try {
      await this.#replay({ epoch: batch.e, rows: next, hash: batch.h, digest: batch.d, committedMs }, "feed", atMs);
    } catch (error) {
      const events = `${batch.p + 1} to ${batch.l}`;
      if (error instanceof AppError && error.code === "conflict") {
        metrics.brokerMessagesRejected.inc();
        if (this.#complaints("events") > 0)
          log.error(
            "events {events} of the feed do not continue this history and are refused: {reason}. Unless the primary says the same, somebody else can publish events: check the broker's access list",
            { events, reason: error.message },
          );
        this.#hints.request();
      } else {
        if (storageFailureIn(error) === undefined)
          log.error("events {events} could not be applied: {error}", { events, error });
        this.#wanted = "missed";
      }
    }
    return true;
  }

  async #replay(
    request: ReplayRequest,
    from: "feed" | "primary" | "peer",
    receivedMs = this.#clock.preciseMs(),
  ): Promise<StoreState> {
    const source = from === "feed" ? from : sources[this.#asking ?? "missed"];
    let arrived: CommittedReplay;
    try {
      arrived = await this.#options.writer.replay(request);
    } catch (error) {
      this.#replayFailed(error, from);
      throw error;
    }
    const { state, events } = arrived;
    this.#replayFailures = 0;
    for (const event of events) this.#divergence.record(request.epoch, event.offset, event.digest);
    if (isDebugging()) logAppliedEvents(arrived, source);
    const { committedMs } = request;
    const arrival = { source, receivedMs, committedMs, announced: this.#announced };
    this.#visibleAfterMs = recordAppliedEvents(arrived, arrival) ?? this.#visibleAfterMs;
    this.#reach(state);
    return state;
  }

  #replayFailed(error: unknown, from: "feed" | "primary" | "peer"): void {
    // A disk that fails says nothing about the copy, which is tried again.
    if (storageFailureIn(error) !== undefined) return;
    const unfitting = error instanceof AppError && error.code === "conflict";
    // What the feed or a peer says may be wrong; the primary's own log is asked next.
    if (unfitting && from !== "primary") return;
    this.#replayFailures++;
    if (isDamage(error)) this.#options.onDamage(error);
    // What the primary's own log says of this position leads elsewhere from here: then this copy is not what it should be.
    else if (unfitting) this.markDiverged(`what follows does not fit it: ${error.message}`);
  }
}

const sources: Readonly<Record<CatchUpCause, DeliverySource>> = {
  announced: "fetch",
  polled: "poll",
  missed: "catch_up",
};
