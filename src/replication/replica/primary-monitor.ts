/**
 * What a replica knows about its primary: from the heads of the event stream, from confirmations over HTTP while the
 * stream is alive, and from polls while it is silent. It measures freshness, compares digests with the primary's, and
 * sends what it finds to the replica's state machine.
 */
import { LRUCache } from "lru-cache";
import { compareEpochs } from "../../store/log/epochs.ts";
import type { StoreState } from "../../store/log/store-state.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { metrics } from "../../telemetry/metrics.ts";
import { rateLimiter } from "../../util/rate-limiter.ts";
import type { NodeContext, TimeContext } from "../node-context.ts";
import { decodeHead, epochOf, type Head } from "../transport/messages.ts";
import type { Peers } from "../transport/peers.ts";
import { Confirmations } from "./confirmations.ts";
import { Freshness, proofTimeOf, type ExpectedHead, type FreshnessProbe } from "./freshness.ts";
import type { ReplicaInput } from "./replica-state.ts";

const log = getLogger("replica");

export interface PrimaryMonitorOptions {
  /** The oldest database that may answer. */
  readonly maxStalenessMs?: number | undefined;
  readonly peers: Peers;
  readonly state: () => StoreState | undefined;
  /** Whether the replica is live: nothing but the next event is missing. */
  readonly isLive: () => boolean;
  /** Whether events are being fetched or applied. */
  readonly isBusy: () => boolean;
  /** Resolves when no events are being fetched or applied. */
  readonly whenIdle: () => Promise<void>;
  readonly send: (input: ReplicaInput) => void;
  /** Requests a catch-up because of a head that proves nothing. */
  readonly requestCatchUp: () => void;
  /** The primary asks its replicas. A question can arrive several times. */
  readonly onQuestions?: (questions: NonNullable<Head["ask"]>) => void;
}

/** What a replica needs of its node. */
export type ReplicaContext = TimeContext & Pick<NodeContext, "environment">;

export class PrimaryMonitor {
  readonly #context: ReplicaContext;
  readonly #options: PrimaryMonitorOptions;
  readonly freshness: Freshness;
  readonly #confirmations: Confirmations;
  readonly #gapCheck: GapCheck;
  /** Cleared when a snapshot replaces the database. */
  readonly digests = new DigestHistory();
  readonly #warnings: ReturnType<typeof rateLimiter>;
  #cancelTicks = (): void => {};
  #nextPollMs = 0;
  #isPolling = false;
  #isStopped = false;
  #isAckRequested = false;
  /** Whether the last answer of the primary had questions. */
  #wasAsked = false;

  constructor(context: ReplicaContext, options: PrimaryMonitorOptions) {
    const { clock } = context;
    this.#context = context;
    this.#options = options;
    this.freshness = new Freshness(context, options.maxStalenessMs);
    this.#confirmations = new Confirmations(clock, this.freshness.windowMs, async () => void (await this.#confirm()));
    this.#gapCheck = new GapCheck(context, options);
    this.#warnings = rateLimiter(60_000, clock);
  }

  start(): void {
    const { clock, limits } = this.#context;
    this.#cancelTicks = clock.every(Math.min(500, limits.brokerSilenceMsMax / 2), () => this.#pollIfDue());
    this.#confirmations.start();
  }

  /** Resolves when no request is under way. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancelTicks();
    this.#gapCheck.stop();
    await this.#confirmations.stop();
  }

  /** As `Freshness.ageMs`, in whole ms. */
  get ageMs(): number | null {
    const { ageMs } = this.freshness;
    return ageMs === null ? null : Math.round(ageMs);
  }

  /**
   * Whether the primary itself, not only the event stream, has confirmed in the last `withinMs`, or just now, that this
   * replica has all events.
   */
  isConfirmed(withinMs: number): boolean {
    return this.freshness.confirmedMsAgo <= Math.max(withinMs, this.#context.limits.brokerSilenceMsMax);
  }

  /** Whether the primary waits for acknowledgements of this replica. */
  get isAckRequested(): boolean {
    return this.#isAckRequested;
  }

  /** `broker` is for the log. */
  receiveHead(payload: Uint8Array, isRetained: boolean, broker: string): void {
    const { environment, clock } = this.#context;
    const { peers, state, send } = this.#options;
    const decoded = decodeHead(payload);
    const own = state();
    if ("problem" in decoded || decoded.message.s !== environment || own === undefined) return;
    const head = decoded.message;
    // A head of another history is no sign of life of this history's primary.
    const history = peers.histories.own;
    if (history !== undefined && (head.f ?? history) !== history) return;
    if (!isRetained) this.#onQuestions(head);
    const kind = this.freshness.classify(head, isRetained);
    if (kind === "same") return;
    if (kind === "older") return this.#ignoreOldHead(head, broker);
    if (kind === "hint" || head.e !== own.epoch) return this.#onHint(head, own);
    this.freshness.onHead(head);
    this.#isAckRequested = head.ack;
    send({ type: "headReceived", offset: head.l, position: own.offset });
    this.#expect({ head, atMs: clock.monotonicMs(), source: "stream" }, own);
  }

  /** The primary answered with this head, and this replica was at `state` then. */
  onPrimaryHead(head: Head, state: StoreState, probe: FreshnessProbe): void {
    this.#onAnswer(head, probe);
    this.freshness.expect({ head, atMs: proofTimeOf(head, probe), source: "primary" });
    this.onPosition(state);
  }

  /** This replica has come to `state`: the heads up to there must agree with its database. */
  onPosition(state: StoreState): void {
    const { send } = this.#options;
    const { clock } = this.#context;
    for (const { head, source } of this.freshness.onPosition(state)) {
      if (!this.digests.matches(head, state))
        send({ type: "mismatchFound", from: source, offset: head.l, nowMs: clock.monotonicMs() });
      if (source === "primary") send({ type: "primaryReached" });
    }
  }

  /** Asks the primary now whether this replica has all events, unless it was just asked. */
  requestConfirmation(): void {
    this.#confirmations.request();
  }

  /** One of several brokers may be a little slower. One that is much slower, or repeats messages, gets a warning. */
  #ignoreOldHead(head: Head, broker: string): void {
    metrics.brokerStaleHeads.inc();
    const lateMs = this.freshness.supersededMsAgo(head);
    if (lateMs <= this.#context.limits.brokerSilenceMsMax || this.#warnings() === 0) return;
    log.warning(
      "the broker at {broker} sends heads that were superseded at least {seconds} s ago. They are ignored: it repeats or delays messages. Check the broker, who may publish there, and whether it is overloaded",
      { broker, seconds: Math.floor(lateMs / 1000) },
    );
  }

  /** A head that proves nothing may still announce events that this replica does not have: the primary is asked. */
  #onHint(head: Head, own: StoreState): void {
    const order = compareEpochs(epochOf(head), own);
    if (order > 0) this.#options.requestCatchUp();
    else if (order === 0 && head.l > own.offset) this.#gapCheck.schedule(head, own);
  }

  #expect(expected: ExpectedHead, own: StoreState): void {
    this.freshness.expect(expected);
    this.onPosition(own);
    // No batch follows the last one before a pause, so only the head shows that it was lost.
    if (expected.head.l > own.offset) this.#gapCheck.schedule(expected.head, own);
  }

  #pollIfDue(): void {
    const { clock, limits } = this.#context;
    const nowMs = clock.monotonicMs();
    if (this.freshness.isStreamAlive) this.#nextPollMs = nowMs;
    if (this.freshness.isStreamAlive || nowMs < this.#nextPollMs || this.#isPolling) return;
    this.#nextPollMs = nowMs + limits.pollIntervalMs * (0.75 + clock.random() / 2);
    void this.#poll();
  }

  /** Long-polls the primary while the event stream is silent. So events arrive as soon, and it learns this position. */
  async #poll(): Promise<void> {
    const { clock, limits } = this.#context;
    const { send, whenIdle } = this.#options;
    this.#isPolling = true;
    const waitMs = Math.min(limits.pollIntervalMs, this.freshness.windowMs / 2);
    while (!this.#isStopped && !this.freshness.isStreamAlive && this.#isLive) {
      const askedAtMs = clock.monotonicMs();
      this.#wasAsked = false;
      const hasNews = await this.#confirm(waitMs);
      // If the stream is alive now, it brings the events that the head names.
      if (hasNews && !this.freshness.isStreamAlive) send({ type: "catchUpRequested", cause: "polled" });
      await whenIdle();
      // A primary of an earlier version answers at once, with news or without.
      if (!hasNews && !this.#wasAsked && clock.monotonicMs() - askedAtMs < waitMs / 2) break;
    }
    this.#isPolling = false;
  }

  get #isLive(): boolean {
    return this.#options.state() !== undefined && this.#options.isLive();
  }

  /** Asks for the head only: missing events may be on their way. Returns whether the primary has more events. */
  async #confirm(waitMs = 0): Promise<boolean> {
    const { environment } = this.#context;
    const { state, peers, send } = this.#options;
    const before = state();
    // A catch-up asks the primary as well.
    if (before === undefined || !this.#isLive || this.#isStopped) return false;
    const probe = this.freshness.startProbe();
    let head: Head;
    try {
      head = await peers.primaryHead(waitMs);
    } catch {
      if (this.#isStopped) return false;
      metrics.confirmations.inc({ result: "failed" });
      // The catch-up looks for another primary, tries again, and logs why it failed.
      send({ type: "catchUpRequested", cause: "missed" });
      return false;
    }
    const own = state();
    if (this.#isStopped || own === undefined) return false;
    metrics.confirmations.inc({ result: "done" });
    const isSameEpoch = head.s === environment && head.e === own.epoch && head.e === before.epoch;
    // Only a primary that lost events has fewer than this replica had before.
    if (!isSameEpoch || head.l < before.offset) {
      send({ type: "catchUpRequested", cause: "missed" });
      return false;
    }
    this.#onAnswer(head, probe);
    this.#expect({ head, atMs: proofTimeOf(head, probe), source: "primary" }, own);
    return head.l > own.offset;
  }

  #onQuestions({ role, ask }: Head): void {
    if (role === "primary" && ask !== undefined && ask.length > 0) this.#options.onQuestions?.(ask);
  }

  #onAnswer(head: Head, probe: FreshnessProbe): void {
    this.#wasAsked = head.ask !== undefined;
    this.#onQuestions(head);
    this.freshness.onPrimaryHead(head, probe);
    this.#confirmations.answered(probe.atMs);
    this.#isAckRequested = head.ack;
  }
}

type GapCheckReplica = Pick<PrimaryMonitorOptions, "state" | "isBusy" | "requestCatchUp">;

/**
 * Detects that events which a head announces do not arrive. They may be on their way when it arrives, so the check
 * waits. At most one check is pending: heads arrive each second, and a snapshot may keep the node busy for an hour.
 */
export class GapCheck {
  readonly #context: TimeContext;
  readonly #replica: GapCheckReplica;
  #pending: { readonly epoch: string; readonly offset: number; readonly cancel: () => void } | undefined;

  constructor(context: TimeContext, replica: GapCheckReplica) {
    this.#context = context;
    this.#replica = replica;
  }

  /** The head announces an event after this position. */
  schedule(head: Head, { epoch, offset }: StoreState): void {
    if (this.#pending?.epoch === epoch && this.#pending.offset === offset) return;
    this.stop();
    const { clock, limits } = this.#context;
    const { state, isBusy, requestCatchUp } = this.#replica;
    const cancel = clock.after(limits.gapGraceMs, () => {
      this.#pending = undefined;
      const now = state();
      if (now?.epoch !== head.e || now.offset !== offset || offset >= head.l) return;
      // The missing events may be among those that are being fetched or applied.
      if (isBusy()) this.schedule(head, now);
      else requestCatchUp();
    });
    this.#pending = { epoch, offset, cancel };
  }

  stop(): void {
    this.#pending?.cancel();
    this.#pending = undefined;
  }
}

/**
 * The digests of this replica after its last events. A head carries the primary's digest at an offset. If they differ,
 * there is a bug or a damaged disk, and this replica's database must not answer.
 */
class DigestHistory {
  readonly #digests = new LRUCache<string, string>({ maxSize: 4096, sizeCalculation: () => 1 });

  record(epoch: string, offset: number, digest: string): void {
    this.#digests.set(`${epoch}:${offset}`, digest);
  }

  /** False if this replica had another digest, or has another chain hash, there. True if it does not know. */
  matches(head: Head, state: StoreState): boolean {
    if (head.e === state.epoch && head.l === state.offset) return head.d === state.digest && head.h === state.hash;
    const own = this.#digests.get(`${head.e}:${head.l}`);
    return own === undefined || own === head.d;
  }

  clear(): void {
    this.#digests.clear();
  }
}
