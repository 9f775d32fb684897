/**
 * The loop that keeps a replica at the primary's position. It sends inputs to the state machine (`replica-state.ts`)
 * and performs its commands: it applies batches of the event stream in order, catches up, and installs snapshots.
 *
 * INVARIANT: only this loop changes the database's position, so a position that was checked still holds when the events
 * are applied.
 */
import type { StoreState } from "../../store/log/store-state.ts";
import { getLogger, isDebugging } from "../../telemetry/logger.ts";
import { metrics } from "../../telemetry/metrics.ts";
import { AppError } from "../../util/app-error.ts";
import { rateLimiter } from "../../util/rate-limiter.ts";
import { backoffMs } from "../../util/backoff.ts";
import { detailOf, reasonOf } from "../../util/reason.ts";
import { isDamage, storageFailureIn } from "../../util/storage-failure.ts";
import type { ReplicaStateName } from "../node-health.ts";
import type { ReplayRequest } from "../../log/append/replay.ts";
import type { CommittedReplay } from "../../log/writer/store-writer.ts";
import type { Writer } from "../../log/writer/writer.ts";
import { batchRows, commitTimesAfter, decodeBatch } from "../transport/messages.ts";
import type { NodeClient } from "../transport/node-client.ts";
import { type DeliverySource, logAppliedEvents, logReceivedBatch, recordAppliedEvents } from "./applied-events.ts";
import { catchUp, type CatchUpOptions } from "./catch-up.ts";
import { CatchUpRequests } from "./catch-up-requests.ts";
import { PrimaryMonitor, type PrimaryMonitorOptions, type ReplicaContext } from "./primary-monitor.ts";
import {
  type CatchUpCause,
  catchUpCause,
  hasMissedEvents,
  initialState,
  isDiverged,
  type ReceivedBatch,
  recentSnapshotMs,
  type ReplayFailure,
  type ReplicaCommand,
  type ReplicaInput,
  type ReplicaState,
  transition,
} from "./replica-state.ts";

const log = getLogger("replica");

export interface ReplicaLoopOptions
  extends
    Pick<PrimaryMonitorOptions, "maxStalenessMs" | "peers" | "state" | "onQuestions">,
    Pick<CatchUpOptions, "onDivergence" | "onVerified"> {
  readonly writer: Pick<Writer, "prepare" | "replay">;
  /**
   * As for catching up. `isDistrusted` says that the current database must not answer any more. Calls `onInstalled` when
   * the new one is in use, before anybody can find fault with it.
   */
  readonly installSnapshot: (
    from: NodeClient,
    replacing: () => unknown,
    isDistrusted: boolean,
    onInstalled: () => void,
  ) => Promise<StoreState>;
  /** `isDiverged` has changed. */
  readonly onTrustChange: () => void;
  /** The file is damaged, or could not be read. */
  readonly onDamage: (error: unknown) => void;
}

export class ReplicaLoop {
  readonly #context: ReplicaContext;
  readonly #options: ReplicaLoopOptions;
  readonly #catchUpOptions: CatchUpOptions;
  readonly #buffer: ReturnType<typeof createBatchBuffer>;
  readonly monitor: PrimaryMonitor;
  readonly #requests: CatchUpRequests;
  /** A broker can cause a warning again and again. */
  readonly #warnings: ReturnType<typeof rateLimiter>;
  #state: ReplicaState = initialState;
  #isAwake = false;
  #isRunning = false;
  #running: Promise<void> = Promise.resolve();
  #cancelRetry = (): void => {};
  #visibleAfterMs: number | null = null;

  constructor(context: ReplicaContext, options: ReplicaLoopOptions) {
    this.#context = context;
    this.#options = options;
    const { limits, clock } = context;
    const { maxStalenessMs, peers, state, onDivergence, onVerified } = options;
    const asked = options.onQuestions === undefined ? {} : { onQuestions: options.onQuestions };
    const send = (input: ReplicaInput): void => void this.#send(input);
    this.#buffer = createBatchBuffer(limits.catchUpBufferMessagesMax, limits.catchUpBufferBytesMax);
    this.#requests = new CatchUpRequests(context, (cause) => this.#requestNow(cause));
    this.#warnings = rateLimiter(60_000, clock);
    this.monitor = new PrimaryMonitor(context, {
      ...{ maxStalenessMs, peers, state, send, ...asked },
      isLive: () => this.#state.name === "live",
      isBusy: () => this.#isRunning && !this.#isStopped,
      whenIdle: () => this.#running,
      requestCatchUp: () => this.#requests.request(),
    });
    this.#catchUpOptions = {
      ...{ context, peers, onDivergence, onVerified },
      isStopped: () => this.#isStopped,
      replay: (request, from) => this.#replay(request, from),
      installSnapshot: (from, replacing) => this.#installSnapshot(from, replacing),
      monitor: this.monitor,
    };
  }

  /** Begins to catch up. The event stream may deliver already. */
  start(): void {
    this.monitor.start();
    this.#wake();
  }

  /** Resolves when no work is under way. */
  async stop(): Promise<void> {
    void this.#send({ type: "stopped" });
    this.#cancelRetry();
    this.#requests.stop();
    await Promise.all([this.#running, this.monitor.stop()]);
  }

  get stateName(): ReplicaStateName {
    if (this.isDiverged) return "DIVERGED";
    if (this.#options.state() === undefined) return "BOOTSTRAP";
    const { isStreamAlive, isTrusted, isPrimaryAlive } = this.monitor.freshness;
    if (isStreamAlive && hasMissedEvents(this.#state)) return "CATCHUP";
    if (isStreamAlive && isTrusted) return "LIVE";
    return isPrimaryAlive ? "STALE_FEED" : "DISCONNECTED";
  }

  /** Whether the database must not answer. */
  get isDiverged(): boolean {
    return isDiverged(this.#state);
  }

  /** Whether the database must not answer, and the only reason is that its file is damaged or could not be read. */
  get isDamaged(): boolean {
    return this.#state.name === "diverged" && this.#state.isDamaged;
  }

  get isAckRequested(): boolean {
    return this.monitor.isAckRequested;
  }

  /** Ms from the last event's commit on the primary until it was visible here. Null before the first event. */
  get visibleAfterMs(): number | null {
    return this.#visibleAfterMs;
  }

  /** The event stream was (re)subscribed: events that were published before have to be fetched. */
  onSubscribed(): void {
    this.#requestNow("missed");
  }

  receiveBatch(payload: Uint8Array): void {
    const decoded = decodeBatch(payload);
    if ("problem" in decoded || decoded.message.s !== this.#context.environment) {
      if (this.#warnings("message") > 0)
        log.warning("a message of the event stream cannot be read: {problem}", {
          problem: "problem" in decoded ? decoded.problem : "it is of another environment",
        });
      return this.#requests.request();
    }
    const batch = decoded.message;
    metrics.brokerEvents.inc({ direction: "received" }, batch.ev.length);
    if (isDebugging()) logReceivedBatch(batch);
    const received = { batch, bytes: payload.byteLength, atMs: this.#context.clock.preciseMs() };
    if (!this.#buffer.push(received)) return this.#requests.request();
    this.#wake();
  }

  /** Prepares an event that the primary is about to commit. It counts only when it arrives in a batch. */
  receiveNext(payload: Uint8Array): void {
    if (this.#state.name !== "live" || this.#isRunning) return;
    const decoded = decodeBatch(payload);
    const position = this.#options.state();
    if ("problem" in decoded || position === undefined) return;
    const { s: environment, e: epoch, p: offset, h: hash, d: digest } = decoded.message;
    if (environment !== this.#context.environment || epoch !== position.epoch || offset !== position.offset) return;
    const rows = batchRows(decoded.message);
    if (rows?.every(({ kind }) => kind === "facts") !== true) return;
    this.#options.writer.prepare({ epoch, rows, hash, digest });
  }

  receiveHead(payload: Uint8Array, isRetained: boolean, broker: string): void {
    this.monitor.receiveHead(payload, isRetained, broker);
  }

  /** A client waits for this replica: the primary is asked for events that the event stream may not have delivered. */
  requestCatchUp(): void {
    this.#requests.request();
  }

  onFilesLost(): void {
    void this.#send({ type: "filesLost" });
  }

  /** The database must not answer until a snapshot replaces it or, with `isDamage`, its file proves to be sound. */
  markDiverged(reason: string, isDamage = false): void {
    void this.#send({ type: "distrusted", reason, isDamage, nowMs: this.#context.clock.monotonicMs() });
  }

  onFileVerified(): void {
    void this.#send({ type: "fileVerified" });
  }

  get #isStopped(): boolean {
    return this.#state.name === "stopped";
  }

  #requestNow(cause: CatchUpCause): void {
    void this.#send({ type: "catchUpRequested", cause });
  }

  #wake(): void {
    this.#isAwake = true;
    if (!this.#isRunning) this.#running = this.#run();
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    while (this.#isAwake && !this.#isStopped) {
      this.#isAwake = false;
      await this.#send({ type: "ready", position: this.#options.state(), received: this.#buffer.first() });
    }
    this.#isRunning = false;
  }

  /** Makes a transition and performs its commands. Returns the promise of one that takes time (only after `ready`). */
  #send(input: ReplicaInput): Promise<void> | undefined {
    const { isDiverged: wasDiverged } = this;
    const { state, commands } = transition(this.#state, input);
    this.#state = state;
    if (this.isDiverged !== wasDiverged) this.#options.onTrustChange();
    let work: Promise<void> | undefined;
    for (const command of commands) work = this.#perform(command) ?? work;
    // There may be more to do after a command. Without one the loop rests until it is woken.
    if (input.type === "ready" && commands.length > 0) this.#isAwake = true;
    return work;
  }

  #perform(command: ReplicaCommand): Promise<void> | undefined {
    switch (command.type) {
      case "catchUp":
        return this.#catchUp(command);
      case "apply":
        return this.#applyBatch(command);
      case "drop":
        this.#buffer.removeFirst();
        if (command.isDuplicate) metrics.brokerDuplicates.inc();
        return undefined;
      case "requestCatchUp":
        this.#requests.request(command.cause);
        return undefined;
      case "retryLater":
        this.#retryLater(command);
        return undefined;
      case "wake":
        this.#wake();
        return undefined;
      case "reportGap":
        metrics.brokerGaps.inc();
        return undefined;
      case "reportDoubt":
        log.warning("a head of the event stream differs from this replica's database at {offset}: asking the primary", {
          offset: command.offset,
        });
        return undefined;
      case "reportDivergence":
        metrics.databasesRejected.inc();
        log.error("this replica has DIVERGED ({reason}): it does not answer until it has a fresh snapshot", {
          reason: command.reason,
        });
        return undefined;
    }
  }

  #retryLater({ failures, kind }: Extract<ReplicaCommand, { type: "retryLater" }>): void {
    const { limits, clock } = this.#context;
    const maxMs = kind === "catchUp" ? limits.retryDelayMsMax : recentSnapshotMs;
    const delayMs = backoffMs(failures, { minMs: limits.retryDelayMsMin, maxMs }, clock.random());
    this.#cancelRetry();
    this.#cancelRetry = clock.after(delayMs, () => void this.#send({ type: "retryDue" }));
  }

  async #catchUp({ cause, from }: Extract<ReplicaCommand, { type: "catchUp" }>): Promise<void> {
    const { state } = this.#options;
    const { clock } = this.#context;
    const startMs = clock.monotonicMs();
    const before = state();
    const offset = before?.offset ?? 0;
    log.debug("reading the logs of other nodes: {cause}, this node is at {offset}", { cause, offset });
    try {
      await catchUp(this.#catchUpOptions, from === "position" ? before : undefined);
    } catch (error) {
      if (!this.#isStopped) this.#onCatchUpFailed(error);
      return;
    }
    // A snapshot makes every catch-up one of missed events.
    if (catchUpCause(this.#state) === "missed") metrics.catchUps.inc({ result: "done" });
    void this.#send({ type: "caughtUp" });
    const after = state();
    this.#requests.onAnswer(before !== after);
    const ms = Math.round(clock.monotonicMs() - startMs);
    log.debug("read the logs to their end: this node is at {offset}", { offset: after?.offset ?? 0, ms });
  }

  #onCatchUpFailed(error: unknown): void {
    metrics.catchUps.inc({ result: "failed" });
    const isStorageFailure = storageFailureIn(error) !== undefined;
    void this.#send({ type: "catchUpFailed", isStorageFailure, nowMs: this.#context.clock.monotonicMs() });
    const isFirst = this.#state.name !== "stopped" && this.#state.memory.catchUpFailures === 1;
    const level = isFirst ? "warning" : "debug";
    log[level]("catching up with the primary failed, trying again: {error}", { error: detailOf(error) });
  }

  #installSnapshot(from: NodeClient, replacing: () => unknown): Promise<StoreState> {
    void this.#send({ type: "snapshotStarted" });
    return this.#options.installSnapshot(from, replacing, this.isDiverged, () => {
      this.#buffer.clear();
      this.monitor.digests.clear();
      void this.#send({ type: "snapshotInstalled", nowMs: this.#context.clock.monotonicMs() });
    });
  }

  async #applyBatch({ received, rows, after }: Extract<ReplicaCommand, { type: "apply" }>): Promise<void> {
    this.#buffer.removeFirst();
    const { batch, atMs } = received;
    const committedMs = commitTimesAfter(batch, after);
    try {
      const { e: epoch, h: hash, d: digest, au: audit } = batch;
      await this.#replay({ epoch, rows, hash, digest, committedMs, audit }, "stream", atMs);
    } catch (error) {
      const events = `${batch.p + 1} to ${batch.l}`;
      const failure = replayFailureOf(error);
      if (failure === "conflict") {
        metrics.brokerMessagesRejected.inc();
        if (this.#warnings("events") > 0)
          log.error(
            "events {events} of the event stream do not continue this history and are refused: {reason}. Unless the primary says the same, somebody else can publish events: check the broker's access list",
            { events, reason: reasonOf(error) },
          );
      } else if (failure !== "storage") log.error("events {events} could not be applied: {error}", { events, error });
    }
  }

  async #replay(
    request: ReplayRequest,
    from: "stream" | "primary" | "peer",
    receivedMs = this.#context.clock.preciseMs(),
  ): Promise<StoreState> {
    const source = from === "stream" ? "feed" : deliverySources[catchUpCause(this.#state) ?? "missed"];
    let committed: CommittedReplay;
    try {
      committed = await this.#options.writer.replay(request);
    } catch (error) {
      const failure = replayFailureOf(error);
      const nowMs = this.#context.clock.monotonicMs();
      void this.#send({ type: "applyFailed", failure, from, message: reasonOf(error), nowMs });
      if (failure === "damage") this.#options.onDamage(error);
      // The writer says it once, which can be before a snapshot that was under way is noted as installed.
      if (storageFailureIn(error)?.reason === "replaced") this.onFilesLost();
      throw error;
    }
    const announced = this.#state.name === "stopped" ? undefined : this.#state.memory.announced;
    void this.#send({ type: "applied" });
    const { state, events, wasPrepared } = committed;
    if (wasPrepared) metrics.eventsPrepared.inc(events.length);
    for (const event of events) this.monitor.digests.record(request.epoch, event.offset, event.digest);
    if (isDebugging()) logAppliedEvents(committed, source);
    const delivery = { source, receivedMs, committedMs: request.committedMs, announced };
    this.#visibleAfterMs = recordAppliedEvents(committed, delivery) ?? this.#visibleAfterMs;
    this.monitor.onPosition(state);
    return state;
  }
}

/**
 * A bounded buffer of batches that arrived from the event stream and are not applied yet, in the order in which they
 * arrived. A batch that does not fit is dropped: the primary's log has its events, and the gap will be noticed.
 */
function createBatchBuffer(messagesMax: number, bytesMax: number) {
  let entries: ReceivedBatch[] = [];
  let total = 0;
  return {
    /** Returns false if the buffer is full. */
    push(received: ReceivedBatch): boolean {
      if (entries.length >= messagesMax || total + received.bytes > bytesMax) return false;
      entries.push(received);
      total += received.bytes;
      return true;
    },
    first: () => entries[0],
    removeFirst(): void {
      total -= entries.shift()?.bytes ?? 0;
    },
    clear(): void {
      entries = [];
      total = 0;
    },
  };
}

const deliverySources: Readonly<Record<CatchUpCause, DeliverySource>> = {
  announced: "fetch",
  polled: "poll",
  missed: "catch_up",
};

function replayFailureOf(error: unknown): ReplayFailure {
  if (storageFailureIn(error) !== undefined) return "storage";
  if (error instanceof AppError && error.code === "conflict") return "conflict";
  return isDamage(error) ? "damage" : "other";
}
