/**
 * The main thread's side of the writer: sends requests over, knows where the store stands, and puts what the Worker measured into the trace of
 * the request. Nothing here waits for another write; those that wait are grouped in the Worker.
 */
import type { Limits } from "../../config/limits.ts";
import { formatDuration } from "../../config/setting-types.ts";
import { noApproval, type PolicyApproval } from "../../engine/validation/policy-approval.ts";
import type { ApprovePolicy } from "../../engine/workers/policy-checks.ts";
import type { WorkerHandle } from "../../runtime/worker.ts";
import { newSequenceLock } from "../../store/connection/sequence-lock.ts";
import type { NodeSetting } from "../../store/keys/api-keys.ts";
import type { StoreState } from "../../store/log/store-state.ts";
import { getLogger, isDebugging } from "../../telemetry/logger.ts";
import { metrics } from "../../telemetry/metrics.ts";
import { recordSpan, withSpan } from "../../telemetry/tracing.ts";
import { AppError } from "../../util/app-error.ts";
import { must } from "../../util/assert.ts";
import { rateLimiter } from "../../util/rate-limiter.ts";
import type { Clock } from "../../util/clock.ts";
import { storageFailureIn, type StorageFailure } from "../../util/storage-failure.ts";
import { mintEpoch } from "../position.ts";
import { StorageStatus } from "../storage-status.ts";
import { realSystem, type System } from "../system.ts";
import type { WriteMeta, WriteRequest, WriteResult } from "./append.ts";
import type { ReplayRequest } from "./replay.ts";
import type { CommittedReplay, CommittedWrite, StateChange, WriterEvent } from "./store-writer.ts";
import { writerWorker, type WriterCommands } from "./writer-commands.ts";

const log = getLogger("writer");

export interface WriterOptions {
  readonly environment: string;
  readonly synchronous: "FULL" | "NORMAL";
  readonly limits: Limits;
  /** Free space below which ordinary writes are refused, in bytes; none where it is not given. */
  readonly reserveBytes?: number;
}

/** A batch whose changes are JSON, which only the Worker reads. */
export interface SerializedBatch {
  readonly kind: "batch";
  readonly json: string;
}

interface DamagedFile {
  readonly path: string;
  readonly problem: string;
}

type PolicyRequest = WriteRequest & { readonly kind: "policy" };

/** The same failure may come each second. */
const warningIntervalMs = 60_000;

/** How often a policy is checked again because another one became active meanwhile. */
const policyChecksMax = 3;

export class Writer {
  readonly #worker: WorkerHandle<WriterCommands, WriterEvent>;
  readonly #options: WriterOptions;
  readonly #clock: Clock;
  readonly #approve: ApprovePolicy;
  /** Tells those who read when the store may have changed. */
  readonly changes = newSequenceLock();
  /** What is reported of the storage of this node. */
  readonly storage = new StorageStatus();
  readonly #onMoved: ((move: StateChange, committedMs: number) => void)[] = [];
  #state: StoreState | undefined;
  /** Where the next commit leads, or the last one has led. */
  #moving: StateChange | undefined;
  #failed = false;
  #path = "";
  readonly #onReplaced: (() => void)[] = [];
  readonly #onDamaged: ((damaged: DamagedFile) => void)[] = [];
  readonly #troubles: ReturnType<typeof rateLimiter>;

  constructor(options: WriterOptions, system: Pick<System, "spawnWorker" | "approvePolicies" | "clock"> = realSystem) {
    this.#options = options;
    this.#clock = system.clock;
    this.#troubles = rateLimiter(warningIntervalMs, system.clock);
    this.#approve = system.approvePolicies(options.limits);
    this.#worker = system.spawnWorker<WriterCommands, WriterEvent>(writerWorker);
    this.#worker.onEvent((event) => {
      if ("moving" in event) return void (this.#moving = event.moving);
      if ("clockSetMs" in event) return this.#clockSet(event.clockSetMs);
      if ("storage" in event) return this.#storageChanged(event.storage);
      if ("trouble" in event) return this.#troubled(event.trouble);
      if ("checkpoint" in event) return log.debug("made a checkpoint of the write-ahead log", event.checkpoint);
      if ("damaged" in event) return this.#onDamaged.forEach((listener) => listener(event.damaged));
      const move = must(this.#moving, "the writer says where a commit leads before it");
      this.#state = move.state;
      for (const listener of this.#onMoved) listener(move, event.moved.committedMs);
    });
    void this.#watch();
  }

  /** Where the open store stands, as of the last commit that this thread has heard of. */
  get state(): StoreState {
    return must(this.#state, "the writer has a store open");
  }

  /** Called after each commit that moved the position, with when that was in ms since 1970. */
  onStateChange(listener: (move: StateChange, committedMs: number) => void): void {
    this.#onMoved.push(listener);
  }

  /** Called when the files of the database are found to be gone or replaced. */
  onFilesReplaced(listener: () => void): void {
    this.#onReplaced.push(listener);
  }

  /** Called each second while pages of the file at `path` are damaged. */
  onDamaged(listener: (damaged: DamagedFile) => void): void {
    this.#onDamaged.push(listener);
  }

  /** Compares the pages of the open file for at most `maxMs`. Resolves with the damage, if any. Rejects where the file can't be read. */
  checkPages(maxMs: number): Promise<string | undefined> {
    return this.#worker.call("checkPages", maxMs);
  }

  /** Reads the damaged pages of the file at `path` again. Resolves with the damage that is left. Rejects where another file is open. */
  checkDamagedPages(path: string): Promise<string | undefined> {
    return this.#worker.call("checkDamagedPages", path);
  }

  /** Whether the Worker died by itself: then nothing can be written any more. */
  get hasFailed(): boolean {
    return this.#failed;
  }

  /** Opens the file, and makes it where it is missing unless it may not be made. */
  async open(path: string, { create = true } = {}): Promise<StoreState> {
    const { changes } = this;
    this.#path = path;
    const state = await this.#worker.call("open", { ...this.#options, path, changes, create });
    this.#state = state;
    return state;
  }

  /** Lets go of the open file, with everything in it and nothing in the WAL. */
  close(): Promise<void> {
    return this.#worker.call("close");
  }

  /** `admit` throws where nothing may be written any more. It is asked again after a policy was checked, which may take long. */
  async write(
    request: WriteRequest | SerializedBatch,
    meta: WriteMeta,
    admit: () => void = () => {},
  ): Promise<WriteResult> {
    admit();
    const { result, startMs, decidedMs, committedMs } = await this.#decided(request, meta, admit).catch(countFailure);
    const { offset, inserted = 0, deleted = 0 } = result;
    const changed = { "ostiary.facts.inserted": inserted, "ostiary.facts.deleted": deleted };
    const attributes = { "ostiary.kind": request.kind, "ostiary.offset": offset, ...changed };
    if (result.warning !== undefined) log.warn("{warning}", { warning: result.warning });
    if (isDebugging()) this.#logCommitted(request.kind, result);
    recordSpan("validate", { startTime: startMs, endTime: decidedMs });
    recordSpan("append", { attributes, startTime: decidedMs, endTime: committedMs });
    return { ...result, committedMs };
  }

  #decided(request: WriteRequest | SerializedBatch, meta: WriteMeta, admit: () => void): Promise<CommittedWrite> {
    if ("json" in request) return this.#worker.call("writeJson", request.json, meta);
    return request.kind === "policy"
      ? this.#writePolicy(request, meta, admit)
      : this.#worker.call("write", request, meta);
  }

  /**
   * The policy is checked in a worker process while others write, and then appended if the policy that it replaces is still the active one.
   * Otherwise it is checked against the new active one, as if it had come after that: the last upload wins. Its tests need not run again. The
   * first attempt, without a check, is for requests that are answered without one: repeated ones, and the active policy once more.
   */
  async #writePolicy(request: PolicyRequest, meta: WriteMeta, admit: () => void): Promise<CommittedWrite> {
    let approval: PolicyApproval = noApproval;
    for (let checks = 0; ; checks++) {
      try {
        return await this.#worker.call("write", request, { ...meta, approval });
      } catch (error) {
        if (!(error instanceof AppError) || error.code !== "conflict") throw error;
      }
      if (checks === policyChecksMax)
        throw new AppError("not_ready", "other policies became active while this one was checked, send it again");
      const { source, filename, force } = request;
      const runTests = !force && checks === 0;
      const upload = { source, filename, runTests, storePath: this.#path };
      approval = await withSpan("check policy", {}, () => this.#approve(upload, meta.sender ?? ""));
      admit();
    }
  }

  #logCommitted(kind: string, { epoch, offset, inserted, deleted, unchanged, repeated }: WriteResult): void {
    const properties = { kind, epoch, offset, inserted, deleted, unchanged, repeated };
    log.debug("a write ({kind}) was committed, up to {offset}", properties);
  }

  replay(request: ReplayRequest): Promise<CommittedReplay> {
    return this.#worker.call("replay", request).catch(countFailure);
  }

  /** Begins a new epoch of that term behind what is there, as an event of its own. AppError `conflict` where the term is not a later one. */
  async startEpoch(term: number): Promise<StoreState> {
    const request = { kind: "epoch", epoch: mintEpoch(this.#clock), term } as const;
    await this.write(request, { traceparent: null });
    return this.state;
  }

  readSetting(key: NodeSetting): Promise<string | undefined> {
    return this.#worker.call("readSetting", key);
  }

  writeSetting(key: NodeSetting, value: string): Promise<void> {
    return this.#worker.call("writeSetting", key, value);
  }

  /** As `StoreWriter.copyIfReplaced`. */
  copyIfReplaced(target: string): Promise<boolean> {
    return this.#worker.call("saveReplaced", target);
  }

  /** Finishes what was asked, empties the WAL and lets go of the file. */
  stop(): Promise<void> {
    return this.#worker.stop();
  }

  #troubled(trouble: string): void {
    if (this.#troubles(trouble) > 0) log.warning("{trouble}", { trouble });
  }

  #clockSet(setMs: number): void {
    log.warning(
      "the clock of this machine was set {direction} by {seconds} s: events get their times from it, and none are removed by age until it has been steady for {steady}",
      {
        direction: setMs > 0 ? "forward" : "back",
        seconds: Math.round(Math.abs(setMs) / 1000),
        steady: formatDuration(this.#options.limits.retentionClockSteadyMs),
      },
    );
  }

  #storageChanged(failure: StorageFailure | null): void {
    this.storage.set("database", failure ?? undefined, this.#path);
    if (failure?.reason === "replaced") for (const listener of this.#onReplaced) listener();
  }

  async #watch(): Promise<void> {
    const error = await this.#worker.exited;
    if (error === undefined) return;
    this.#failed = true;
    log.fatal("the writer died, this node takes no further changes and has to be started anew: {error}", { error });
  }
}

function countFailure(error: unknown): never {
  const failure = storageFailureIn(error);
  if (failure !== undefined) metrics.storageFailures.inc({ reason: failure.reason });
  throw error;
}
