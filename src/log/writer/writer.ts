/**
 * The main thread's interface to the writer: it sends requests to the worker, knows the state of the store, and adds
 * the worker's measurements to the trace of the request. Writes do not wait for each other here; the worker groups
 * waiting writes.
 */
import { formatDuration } from "../../config/units.ts";
import type { Limits } from "../../config/limits.ts";
import type { Commands, WorkerHandle, WorkerKind } from "../../runtime/worker.ts";
import { newSequenceLock } from "../../store/connection/sequence-lock.ts";
import type { NodeSetting } from "../../store/keys/api-keys.ts";
import type { LogRow } from "../../store/log/log.ts";
import type { StoreState } from "../../store/log/store-state.ts";
import { inThisEnvironment } from "../../telemetry/current-environment.ts";
import { getLogger, isDebugging } from "../../telemetry/logger.ts";
import { metrics } from "../../telemetry/metrics.ts";
import { recordSpan, withSpan } from "../../telemetry/tracing.ts";
import { AppError } from "../../util/app-error.ts";
import { must } from "../../util/assert.ts";
import { reasonOf } from "../../util/reason.ts";
import { rateLimiter } from "../../util/rate-limiter.ts";
import type { Clock } from "../../util/clock.ts";
import { storageFailureIn, type StorageFailure } from "../../util/storage-failure.ts";
import { decodeEffect, type Effect } from "../event/event.ts";
import { mintEpoch } from "../event/position.ts";
import { StorageStatus } from "../../store/directory/storage-status.ts";
import type { NextEvent, WriteMeta, WriteRequest, WriteResult } from "../append/append.ts";
import { type ApprovePolicy, noApproval, type PolicyApproval } from "../append/policy-approval.ts";
import type { ReplayRequest } from "../append/replay.ts";
import type { AuditExchange, CommittedReplay, CommittedWrite, StateChange, WriterEvent } from "./store-writer.ts";
import { writerWorker, type WriterCommands } from "./writer-commands.ts";
import type { WriterOpenOptions } from "./writer-connection.ts";

const log = getLogger("writer");

type WriterOptions = Pick<WriterOpenOptions, "environment" | "limits"> & WriterMode;

/** How the role of the node needs its database: how durable commits are, and what is left free on the disk. */
export type WriterMode = Pick<WriterOpenOptions, "synchronous" | "reserveBytes" | "sharesDisk">;

/** What the writer needs of its surroundings. */
export interface WriterSystem {
  readonly clock: Clock;
  spawnWorker<C extends Commands, Event>(kind: WorkerKind): WorkerHandle<C, Event>;
  /** Checks uploaded policies without blocking the serving thread or the writer. */
  approvePolicies(limits: Limits): ApprovePolicy;
  /** Compiles a policy that will become active, so that no thread that answers waits for it. By default nobody does. */
  readonly compileAhead?: ((source: string, filename: string | null) => Promise<void>) | undefined;
}

/** A batch whose changes are JSON that only the worker parses. */
export interface SerializedBatch {
  readonly kind: "batch";
  readonly json: string;
}

type DamagedFile = Extract<WriterEvent, { readonly damaged: unknown }>["damaged"];
type PolicyRequest = WriteRequest & { readonly kind: "policy" };

/** The same failure may occur each second. */
const warningIntervalMs = 60_000;

/** How often a policy is checked again because another one became active in the meantime. */
const policyChecksMax = 3;

export class Writer {
  #worker: WorkerHandle<WriterCommands, WriterEvent>;
  readonly #spawnWorker: () => WorkerHandle<WriterCommands, WriterEvent>;
  #options: WriterOptions;
  readonly #clock: Clock;
  readonly #approve: ApprovePolicy;
  readonly #compileAhead: (source: string, filename: string | null) => Promise<void>;
  /** Tells readers when the store may have changed. */
  readonly changes = newSequenceLock();
  readonly storage = new StorageStatus();
  readonly #onStateChange = new Set<(change: StateChange, committedMs: number) => void>();
  readonly #onNext = new Set<(next: NextEvent) => void>();
  #announces = false;
  #state: StoreState | undefined;
  /** The change of the current or last commit. */
  #committing: StateChange | undefined;
  #hasFailed = false;
  #path = "";
  readonly #onFilesReplaced = new Set<() => void>();
  readonly #onAddedTablesReplaced = new Set<() => void>();
  readonly #onDamaged = new Set<(damaged: DamagedFile) => void>();
  /** Writes that the worker has and has not answered. */
  readonly #pending = new Set<Promise<unknown>>();
  readonly #warningLimit: ReturnType<typeof rateLimiter>;

  constructor(options: WriterOptions, system: WriterSystem) {
    this.#options = options;
    this.#clock = system.clock;
    this.#warningLimit = rateLimiter(warningIntervalMs, system.clock);
    this.#approve = system.approvePolicies(options.limits);
    this.#compileAhead = system.compileAhead ?? (() => Promise.resolve());
    const onEvent = inThisEnvironment((event: WriterEvent) => this.#onEvent(event));
    this.#spawnWorker = () => {
      const worker = system.spawnWorker<WriterCommands, WriterEvent>(writerWorker);
      worker.onEvent(onEvent);
      void this.#watch(worker);
      return worker;
    };
    this.#worker = this.#spawnWorker();
  }

  /** The state of the open store after the last commit that this thread knows. */
  get state(): StoreState {
    return must(this.#state, "the writer has a store open");
  }

  // Each of these returns the function that ends the calls of the listener.

  /** Calls the listener after each commit that changed the state, with the time of the commit in ms since 1970. */
  onStateChange(listener: (change: StateChange, committedMs: number) => void): () => void {
    return subscribe(this.#onStateChange, listener);
  }

  /** Calls the listener before an event is applied, as long as `announce` asks for it. Nothing may come of the event. */
  onNext(listener: (next: NextEvent) => void): () => void {
    return subscribe(this.#onNext, listener);
  }

  announce(isWanted: boolean): void {
    if (isWanted === this.#announces) return;
    this.#announces = isWanted;
    this.#worker.notify("announce", isWanted);
  }

  /** Applies an event that will probably be replayed next, but does not commit it. */
  prepare(request: ReplayRequest): void {
    this.#worker.notify("prepare", request);
  }

  /** Calls the listener when the files of the database are gone or replaced. */
  onFilesReplaced(listener: () => void): () => void {
    return subscribe(this.#onFilesReplaced, listener);
  }

  /** Calls the listener each second while pages of the file at `path` are damaged. */
  onDamaged(listener: (damaged: DamagedFile) => void): () => void {
    return subscribe(this.#onDamaged, listener);
  }

  /** Calls the listener when damaged tables beside the database were replaced. Other connections have to attach the new ones. */
  onAddedTablesReplaced(listener: () => void): () => void {
    return subscribe(this.#onAddedTablesReplaced, listener);
  }

  /** Replaces the tables beside the database if they are damaged. */
  replaceDamagedAddedTables(): void {
    this.#worker
      .call("replaceDamagedAddedTables")
      // Also if they are sound by now: then the reader that has met damage has earlier ones.
      .then(() => this.#onAddedTablesReplaced.forEach((listener) => listener()))
      .catch((error: unknown) =>
        this.#warn(`the damaged tables beside the database cannot be replaced: ${reasonOf(error)}`),
      );
  }

  /** Compares pages for at most `maxMs`. Resolves with the damage, if any. Rejects if the file cannot be read. */
  checkPages(maxMs: number): Promise<string | undefined> {
    return this.#worker.call("checkPages", maxMs);
  }

  /** Reads the damaged pages again. Resolves with the remaining damage. Rejects if `path` is not the open file. */
  checkDamagedPages(path: string): Promise<string | undefined> {
    return this.#worker.call("checkDamagedPages", path);
  }

  /** Whether the worker thread has died. Then no more writes are possible. */
  get hasFailed(): boolean {
    return this.#hasFailed;
  }

  /** From the next `open` on. */
  set mode(mode: WriterMode) {
    this.#options = { ...this.#options, ...mode };
  }

  /** Opens the file in place of the one that was open, and creates it if it is missing and may be created. */
  async open(path: string, { create = true } = {}): Promise<StoreState> {
    const { changes } = this;
    this.#path = path;
    // The next role of a node whose writer thread has died gets another one.
    if (this.#hasFailed) this.#worker = this.#spawnWorker();
    this.#hasFailed = false;
    const state = await this.#worker.call("open", { ...this.#options, path, changes, create });
    this.#state = state;
    return state;
  }

  /** Closes the open file, with an empty write-ahead log. */
  close(): Promise<void> {
    return this.#worker.call("close");
  }

  /** `admit` throws if this node must not write. It is called again after a policy check, which may take long. */
  async write(
    request: WriteRequest | SerializedBatch,
    meta: WriteMeta,
    admit: () => void = () => {},
  ): Promise<WriteResult> {
    admit();
    const { result, startMs, decidedMs, committedMs } = await this.#decide(request, meta, admit).catch(countFailure);
    const { offset, inserted = 0, deleted = 0 } = result;
    const changed = { "ostiary.facts.inserted": inserted, "ostiary.facts.deleted": deleted };
    const attributes = { "ostiary.kind": request.kind, "ostiary.offset": offset, ...changed };
    if (result.warning !== undefined) log.warn("{warning}", { warning: result.warning });
    if (isDebugging()) {
      const { epoch, unchanged, repeated } = result;
      const properties = { kind: request.kind, epoch, offset, inserted, deleted, unchanged, repeated };
      log.debug("committed a write ({kind}) at {offset}", properties);
    }
    recordSpan("validate", { startTime: startMs, endTime: decidedMs });
    recordSpan("append", { attributes, startTime: decidedMs, endTime: committedMs });
    return { ...result, committedMs };
  }

  #decide(request: WriteRequest | SerializedBatch, meta: WriteMeta, admit: () => void): Promise<CommittedWrite> {
    if ("json" in request) return this.#track(this.#worker.call("writeJson", request.json, meta));
    return request.kind === "policy"
      ? this.#writePolicy(request, meta, admit)
      : this.#track(this.#worker.call("write", request, meta));
  }

  #track<Result>(write: Promise<Result>): Promise<Result> {
    this.#pending.add(write);
    const settle = (): void => void this.#pending.delete(write);
    write.then(settle, settle);
    return write;
  }

  /**
   * The role of the node ends. Resolves when no write of it can be committed any more, provided that it admits no more
   * writes. The next role reports the storage of its own parts.
   */
  async endRole(): Promise<void> {
    this.announce(false);
    while (this.#pending.size > 0) await Promise.allSettled(this.#pending);
    this.storage.endRole();
  }

  /**
   * The policy is checked in a worker process while other writes continue. Then it is appended if the policy that it
   * replaces is still the active one. Otherwise it is checked against the new active policy, as if it had been uploaded
   * after that one: the last upload wins, unless it names the policy that it replaces. Its tests do not run again. The first attempt, without a check, serves
   * requests that need no check: repeated ones, and uploads of the active policy.
   */
  async #writePolicy(request: PolicyRequest, meta: WriteMeta, admit: () => void): Promise<CommittedWrite> {
    let approval: PolicyApproval = noApproval;
    for (let checks = 0; ; checks++) {
      try {
        return await this.#track(this.#worker.call("write", request, { ...meta, approval }));
      } catch (error) {
        // With details, the conflict is one of the client.
        if (!(error instanceof AppError) || error.code !== "conflict" || error.details !== undefined) throw error;
      }
      if (checks === policyChecksMax)
        throw new AppError("not_ready", "other policies became active while this one was checked, send it again");
      const { source, filename, force } = request;
      const runTests = !force && checks === 0;
      const upload = { source, filename, runTests, storePath: this.#path };
      approval = await withSpan("check policy", {}, () => this.#approve(upload, meta.sender ?? ""));
      await this.#compileAhead(source, filename);
      admit();
    }
  }

  async replay(request: ReplayRequest): Promise<CommittedReplay> {
    const last = request.rows.findLast(({ kind }) => kind === "policy");
    if (last !== undefined) await this.#compileStored(last);
    return this.#worker.call("replay", request).catch(countFailure);
  }

  /** An event of another node is checked when it is applied. */
  async #compileStored({ body }: LogRow): Promise<void> {
    let effect: Effect;
    try {
      effect = decodeEffect(body);
    } catch {
      return;
    }
    if (effect.kind === "policy") await this.#compileAhead(effect.source, effect.filename);
  }

  /** Begins a new epoch with an event of its own. AppError `conflict` if the term is not a later one. */
  async startEpoch(term: number, audit?: WriteMeta["audit"]): Promise<StoreState> {
    const request = { kind: "epoch", epoch: mintEpoch(this.#clock), term } as const;
    await this.write(request, { traceparent: null, audit });
    return this.state;
  }

  /** Adds entries to the audit log, and notes what was exchanged with the primary. */
  recordAudit(exchanged: AuditExchange): Promise<void> {
    return this.#worker.call("recordAudit", exchanged).catch(countFailure);
  }

  /** For a database from a snapshot: adds the entries that only the audit log of the file at `replaced` has. */
  adoptAudit(replaced: string | null): Promise<void> {
    return this.#worker.call("adoptAudit", replaced);
  }

  readSetting(key: NodeSetting): Promise<string | undefined> {
    return this.#worker.call("readSetting", key);
  }

  writeSetting(key: NodeSetting, value: string): Promise<void> {
    return this.#worker.call("writeSetting", key, value);
  }

  /** See `StoreWriter.copyIfReplaced`. */
  copyIfReplaced(target: string): Promise<boolean> {
    return this.#worker.call("copyIfReplaced", target);
  }

  /** Finishes pending requests, empties the write-ahead log and closes the file. */
  stop(): Promise<void> {
    return this.#worker.stop();
  }

  #warn(trouble: string): void {
    if (this.#warningLimit(trouble) > 0) log.warning("{trouble}", { trouble });
  }

  #warnOfClock(setMs: number): void {
    log.warning(
      "the clock of this machine was set {direction} by {seconds} s: events get their times from it, and none are removed by age until it has been steady for {steady}",
      {
        direction: setMs > 0 ? "forward" : "back",
        seconds: Math.round(Math.abs(setMs) / 1000),
        steady: formatDuration(this.#options.limits.retentionClockSteadyMs),
      },
    );
  }

  #onEvent(event: WriterEvent): void {
    if ("next" in event) return this.#onNext.forEach((listener) => listener(event.next));
    if ("committing" in event) return void (this.#committing = event.committing);
    if ("clockSetMs" in event) return this.#warnOfClock(event.clockSetMs);
    if ("storage" in event) return this.#onStorageChange(event.storage);
    if ("auditLoss" in event) return log.error("{loss}", { loss: event.auditLoss });
    if ("trouble" in event) return this.#warn(event.trouble);
    if ("checkpoint" in event) return log.debug("made a checkpoint of the write-ahead log", event.checkpoint);
    if ("damaged" in event) return this.#onDamaged.forEach((listener) => listener(event.damaged));
    if ("addedTablesReplaced" in event) return this.#onAddedTablesReplaced.forEach((listener) => listener());
    const change = must(this.#committing, "the writer announces a change before its commit");
    this.#state = change.state;
    for (const listener of this.#onStateChange) listener(change, event.committed.committedMs);
  }

  #onStorageChange(failure: StorageFailure | null): void {
    this.storage.set("database", failure ?? undefined, this.#path);
    if (failure?.reason === "replaced") for (const listener of this.#onFilesReplaced) listener();
  }

  async #watch(worker: WorkerHandle<WriterCommands, WriterEvent>): Promise<void> {
    const error = await worker.exited;
    if (error === undefined) return;
    this.#hasFailed = true;
    log.fatal("the writer thread died: this node accepts no more changes and must be restarted: {error}", { error });
  }
}

function subscribe<Listener>(listeners: Set<Listener>, listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function countFailure(error: unknown): never {
  const failure = storageFailureIn(error);
  if (failure !== undefined) metrics.storageFailures.inc({ reason: failure.reason });
  throw error;
}
