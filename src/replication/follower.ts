/**
 * An edge follows its primary. Messages of the feed are put into an inbox and applied in order by one loop, which alone moves this copy:
 * what follows the present position is applied, what is older is dropped, and before a gap, another epoch or a hash that does not come out
 * the loop asks the primary's log, and takes a snapshot where the log can't help. While the feed is silent it asks every few seconds.
 */
import type { Limits } from "../config/limits.ts";
import type { LogRow } from "../store/log.ts";
import type { State } from "../store/state.ts";
import { getLogger } from "../telemetry/logger.ts";
import { metrics, type FeedState } from "../telemetry/metrics.ts";
import { AppError } from "../util/app-error.ts";
import { detailOf } from "../util/reason.ts";
import { recordArrival } from "./arrival-trace.ts";
import { watchDivergence } from "./divergence.ts";
import { decodeBatch, decodeHead, pageRows, wholeRows, type Batch, type Head, type Page } from "./envelope.ts";
import { createInbox, type Inbox } from "./inbox.ts";
import type { PrimaryClient } from "./primary-client.ts";
import type { Writer } from "./writer.ts";

const log = getLogger("follow");

export interface FollowerOptions {
  readonly environment: string;
  readonly limits: Limits;
  readonly writer: Writer;
  readonly primary: PrimaryClient;
  /** Where this copy stands; undefined before there is one. */
  readonly present: () => State | undefined;
  /** Replaces this copy by a fresh snapshot. */
  readonly installSnapshot: () => Promise<State>;
}

/** Applying the same events fails this often before the copy itself is taken for damaged. */
const replayFailuresMax = 3;

export class Follower {
  readonly #options: FollowerOptions;
  readonly #limits: Limits;
  readonly #inbox: Inbox;
  readonly #divergence = watchDivergence();
  #diverged = false;
  #working = false;
  #workWanted = false;
  #stopped = false;
  #watchdog: ReturnType<typeof setInterval> | undefined;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #running: Promise<void> = Promise.resolve();
  #catchingUp = false;
  /** Whether the primary has to be asked, and not before when (`performance.now()`). */
  #catchUpWanted = true;
  #catchUpAtMs = 0;
  #failures = 0;
  #replayFailures = 0;
  #headAtMs = Number.NEGATIVE_INFINITY;
  #offsetAtHead = 0;
  #pendingHead: Head | undefined;
  /** The last message that did not follow. */
  #gap: Batch | undefined;
  #primaryAtMs = Number.NEGATIVE_INFINITY;
  #newestAtMs: number | undefined;
  #nextPollMs = 0;

  constructor(options: FollowerOptions) {
    this.#options = options;
    this.#limits = options.limits;
    this.#inbox = createInbox(options.limits.feedBufferMessagesMax, options.limits.feedBufferBytesMax);
  }

  /** Begins to catch up; the feed may already be delivering. */
  start(): void {
    const intervalMs = Math.min(500, this.#limits.staleFeedAfterMs / 2);
    this.#watchdog = setInterval(() => this.#watch(), intervalMs);
    this.#work();
  }

  /** Resolves when nothing is under way any more. */
  stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#watchdog);
    clearTimeout(this.#retry);
    return this.#running;
  }

  /** The feed (re)starts: whatever was published before the subscription has to be fetched. */
  subscribed(): void {
    this.#wantCatchUp();
  }

  get feedState(): FeedState {
    if (this.#diverged) return "DIVERGED";
    if (this.#options.present() === undefined) return "BOOTSTRAP";
    const now = performance.now();
    if (now - this.#headAtMs <= this.#limits.staleFeedAfterMs)
      return this.#catchUpWanted || this.#catchingUp ? "CATCHUP" : "LIVE";
    return now - this.#primaryAtMs <= this.#limits.pollIntervalMs * 3 ? "STALE_FEED" : "DISCONNECTED";
  }

  get diverged(): boolean {
    return this.#diverged;
  }

  /** How long ago this copy was last known to be the newest. */
  get ageMs(): number | null {
    return this.#newestAtMs === undefined ? null : Math.round(performance.now() - this.#newestAtMs);
  }

  receiveBatch(payload: Uint8Array): void {
    const decoded = decodeBatch(payload);
    if ("problem" in decoded || decoded.message.s !== this.#options.environment) {
      log.warning("a message of the feed is not understood: {problem}", {
        problem: "problem" in decoded ? decoded.problem : "another environment",
      });
      return this.#wantCatchUp();
    }
    metrics.feedEvents.inc({ direction: "received" }, decoded.message.ev.length);
    if (!this.#inbox.push(decoded.message, payload.byteLength)) return this.#wantCatchUp();
    this.#work();
  }

  receiveHead(payload: Uint8Array, retained: boolean): void {
    const decoded = decodeHead(payload);
    if ("problem" in decoded || decoded.message.s !== this.#options.environment) return;
    // A retained head says where the primary stood once, not that it lives.
    if (!retained) this.#headAtMs = performance.now();
    this.#consider(decoded.message, retained);
  }

  #consider(head: Head, retained: boolean): void {
    const present = this.#options.present();
    if (present === undefined) return;
    if (head.e !== present.epoch) return this.#wantCatchUp();
    // Heads may be overtaken by events, but not by those of a whole interval: then the primary has lost what this copy still has.
    if (!retained && head.l < this.#offsetAtHead) this.#wantCatchUp();
    this.#offsetAtHead = retained ? 0 : present.offset;
    if (head.l <= present.offset) {
      if (!retained) this.#newestAtMs = performance.now();
      this.#compare(head, present);
    } else {
      this.#pendingHead = head;
      setTimeout(() => this.#checkProgress(present.offset, head), this.#limits.gapGraceMs);
    }
  }

  /** The last message before a pause has no successor that would show its loss; the head does. */
  #checkProgress(offsetBefore: number, head: Head): void {
    const present = this.#options.present();
    if (present?.epoch === head.e && present.offset === offsetBefore && present.offset < head.l) this.#wantCatchUp();
  }

  #compare(head: Head, present: State): void {
    if (this.#diverged || this.#divergence.agrees(head, present)) return;
    this.#diverged = true;
    log.error("this copy has DIVERGED from the primary at {offset}: it answers nothing until it has a fresh snapshot", {
      offset: head.l,
    });
    this.#wantCatchUp();
  }

  #watch(): void {
    const now = performance.now();
    if (now - this.#headAtMs <= this.#limits.staleFeedAfterMs || now < this.#nextPollMs) return;
    this.#nextPollMs = now + this.#limits.pollIntervalMs * (0.75 + Math.random() / 2);
    this.#wantCatchUp();
  }

  #wantCatchUp(): void {
    this.#catchUpWanted = true;
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
      if (this.#catchUpWanted && performance.now() >= this.#catchUpAtMs) {
        await this.#tryToCatchUp();
        this.#workWanted = true;
      } else if (await this.#takeFromInbox()) this.#workWanted = true;
    }
    this.#working = false;
  }

  async #tryToCatchUp(): Promise<void> {
    this.#catchUpWanted = false;
    this.#catchingUp = true;
    try {
      await this.#catchUp();
      this.#failures = 0;
      this.#catchUpAtMs = 0;
      metrics.catchUps.inc({ result: "done" });
    } catch (error) {
      if (this.#stopped) return;
      this.#catchUpWanted = true;
      metrics.catchUps.inc({ result: "failed" });
      if (this.#failures++ === 0)
        log.warning("catching up with the primary failed, trying again: {error}", { error: detailOf(error) });
      const { retryDelayMsMin, retryDelayMsMax } = this.#limits;
      const delayMs = Math.min(retryDelayMsMin * 2 ** this.#failures, retryDelayMsMax) * (0.5 + Math.random() / 2);
      this.#catchUpAtMs = performance.now() + delayMs;
      clearTimeout(this.#retry);
      this.#retry = setTimeout(() => this.#work(), delayMs);
    } finally {
      this.#catchingUp = false;
    }
  }

  /** Follows the primary's log to its end; takes a snapshot first where there is no copy, or none that can be trusted. */
  async #catchUp(): Promise<void> {
    let present = this.#options.present();
    let fresh = false;
    if (present === undefined || this.#diverged || this.#replayFailures >= replayFailuresMax) {
      present = await this.#takeSnapshot();
      fresh = true;
    }
    for (;;) {
      const answer = await this.#options.primary.log(present);
      this.#primaryAtMs = performance.now();
      if (this.#stopped) return;
      if ("snapshotNeeded" in answer) {
        if (fresh) throw new Error(`the log does not continue a fresh snapshot: ${answer.snapshotNeeded}`);
        log.info("the log can't be followed from {offset}, taking a snapshot: {reason}", {
          offset: present.offset,
          reason: answer.snapshotNeeded,
        });
        present = await this.#takeSnapshot();
        fresh = true;
      } else {
        present = await this.#applyPage(present, answer.page);
        if (present.offset >= answer.page.head.l) return;
        fresh = false;
      }
    }
  }

  async #applyPage(present: State, page: Page): Promise<State> {
    if (page.head.s !== this.#options.environment) throw new Error(`the primary serves environment \`${page.head.s}\``);
    const rows = pageRows(page);
    const state = rows.length === 0 ? present : await this.#replay(page.head.e, rows, page.h, "catch_up");
    if (state.offset >= page.head.l) {
      this.#newestAtMs = this.#primaryAtMs;
      this.#compare(page.head, state);
    }
    return state;
  }

  async #takeSnapshot(): Promise<State> {
    const state = await this.#options.installSnapshot();
    this.#inbox.clear();
    this.#divergence.clear();
    this.#diverged = false;
    this.#replayFailures = 0;
    this.#pendingHead = undefined;
    this.#offsetAtHead = 0;
    return state;
  }

  /** Applies or drops the first message. False where there is none, or none that can be applied before catching up. */
  async #takeFromInbox(): Promise<boolean> {
    const batch = this.#inbox.first();
    const present = this.#options.present();
    if (batch === undefined || present === undefined || this.#diverged) return false;
    if (batch.e === present.epoch && batch.l <= present.offset) {
      metrics.feedDuplicates.inc();
      this.#inbox.shift();
      return true;
    }
    const rows = batch.e === present.epoch && batch.p <= present.offset ? wholeRows(batch) : undefined;
    if (rows !== undefined) return this.#applyBatch(present, batch, rows);
    if (this.#catchUpWanted) return false;
    metrics.feedGaps.inc();
    this.#catchUpWanted = true;
    // It stays, in the hope that it follows what the log gives; it goes where it can't (another epoch, bodies only referred to) or did not.
    const hopeless = batch.e !== present.epoch || batch.p <= present.offset || batch === this.#gap;
    if (hopeless) this.#inbox.shift();
    this.#gap = batch;
    return true;
  }

  async #applyBatch(present: State, batch: Batch, rows: readonly LogRow[]): Promise<boolean> {
    this.#inbox.shift();
    const next = rows.filter((row) => row.offset > present.offset);
    try {
      await this.#replay(batch.e, next, batch.h, "feed");
    } catch (error) {
      if (error instanceof AppError && error.code === "conflict")
        log.error("a message of the feed does not continue this history: {reason}", { reason: error.message });
      else
        log.error("events {first} to {last} could not be applied: {error}", {
          first: batch.p + 1,
          last: batch.l,
          error,
        });
      this.#catchUpWanted = true;
    }
    return true;
  }

  async #replay(epoch: string, rows: readonly LogRow[], hash: string, source: "feed" | "catch_up"): Promise<State> {
    const startMs = Date.now();
    try {
      const { state, events } = await this.#options.writer.replay({ epoch, rows, hash });
      this.#replayFailures = 0;
      for (const event of events) this.#divergence.note(epoch, event.offset, event.digest);
      recordArrival(events, source, startMs);
      const head = this.#pendingHead;
      if (head !== undefined && head.l <= state.offset) {
        this.#pendingHead = undefined;
        this.#newestAtMs = performance.now();
        this.#compare(head, state);
      }
      return state;
    } catch (error) {
      this.#replayFailures++;
      throw error;
    }
  }
}
