/**
 * The decision log of a node, as its serving thread sees it. A decision is encoded into a block of memory; a part of the
 * block goes to the thread that writes the file when it is large enough or some time has passed. If that thread is
 * behind, decisions are only counted: no answer waits for the log, whatever happens to its disk.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { type Config, configSchema } from "../config/config.ts";
import type { Limits } from "../config/limits.ts";
import { build } from "../runtime/version.ts";
import { spawnWorker } from "../runtime/spawn-worker.ts";
import type { WorkerHandle, WorkerKind } from "../runtime/worker.ts";
import { instanceIdOf } from "../store/directory/instance-id.ts";
import { inThisEnvironment } from "../telemetry/current-environment.ts";
import { getLogger } from "../telemetry/logger.ts";
import { metrics } from "../telemetry/metrics.ts";
import { otlpLogTarget } from "../telemetry/otlp-target.ts";
import { AppError } from "../util/app-error.ts";
import { type Clock, systemClock } from "../util/clock.ts";
import { rateLimiter } from "../util/rate-limiter.ts";
import type { CopiedEntries, Decision, DecodedDecision } from "./decision-entry.ts";
import { DecisionRecorder } from "./decision-recorder.ts";
import type { DecisionFilter, DecisionPage, PageOptions } from "./decision-store.ts";
import type { LoggedDecision } from "./logged-decision.ts";
import type { Expectation, ParityPosition } from "./parity-reports.ts";
import type { DecisionBatch, DecisionCommands, DecisionLogEvent } from "./decision-writer.ts";
import type { OrderedEntry } from "./decision-order.ts";
import { RecentDecisions } from "./recent-decisions.ts";

const log = getLogger("decisions");

const decisionLogWorker: WorkerKind = {
  name: "decisions",
  entry: "decisions/decision-log-worker.ts",
  // Of several environments in one process.
  threadsMax: 2,
};

/** The file of the log in the data directory. */
const decisionLogFile = "decisions.db";

/** Decisions go to the writing thread when they have so many bytes, or after this time. */
const flushBytesMax = 256 * 1024;
const flushAfterMs = 100;
/** The same failure may occur with each batch. */
const warningIntervalMs = 60_000;
/** A thread that ended is started again at most this often. */
const restartMs = 10_000;
/** Expectations that wait for the next batch. */
const expectationsMax = 10_000;
/** A parity report in the log, with its indexes. */
const reportBytes = 300;

type DecisionLogConfig = Pick<Config, "decisions" | "limits"> &
  Partial<Pick<Config, "role" | "environment" | "nodeId">> & { readonly data: string | undefined };

type Thread = WorkerHandle<DecisionCommands, DecisionLogEvent>;

export class DecisionLog extends DecisionRecorder {
  readonly #config: DecisionLogConfig;
  readonly #clock: Clock;
  readonly #recent: RecentDecisions;
  readonly #listeners = new Set<() => void>();
  readonly #warningLimit: ReturnType<typeof rateLimiter>;
  readonly #flushBytes: number;
  #thread: Thread | undefined;
  #startedMs = Number.NEGATIVE_INFINITY;
  /** How much of the current block the writing thread has got. */
  #sent = 0;
  /** Selected decisions since then. */
  #waiting = 0;
  #sentBytes = 0;
  /** Decisions that were not written, since the last batch. */
  #dropped = 0;
  #expectations: Expectation[] = [];
  #cancelFlush: (() => void) | undefined;
  #isClosed = false;
  /**
   * Takes the decisions of this thread, and adds those of all threads with `addCopied`. Undefined if there are no
   * others.
   */
  threads: { add(decision: Decision, isSelected: boolean): boolean; collect(): Promise<void> } | undefined;

  /** Without a data directory nothing is written. */
  constructor(config: DecisionLogConfig, clock: Clock = systemClock) {
    super(config, clock);
    this.#config = config;
    this.#clock = clock;
    this.#recent = new RecentDecisions(config.limits.recentDecisionsBytesMax, () => {
      this.#flush();
      this.#sent = 0;
    });
    this.#warningLimit = rateLimiter(warningIntervalMs, clock);
    this.#flushBytes = Math.min(flushBytesMax, config.limits.decisionBufferBytesMax / 4);
    // An earlier log is trimmed by age even if nothing is logged any more.
    const { data, decisions } = config;
    if (data !== undefined && (decisions.log !== "off" || existsSync(join(data, decisionLogFile)))) this.#writer();
  }

  /** Which decisions are logged now. The log can have earlier ones even with `off`. */
  get selection(): Config["decisions"]["log"] {
    return this.#config.decisions.log;
  }

  /** Where its file is; undefined for a node without a log. */
  get directory(): string | undefined {
    return this.#config.data;
  }

  /** The latest decision under this request id, if it is still in memory. */
  findRecent(keyId: string, requestId: string): DecodedDecision | undefined {
    return this.#recent.find(keyId, requestId);
  }

  protected override keep(decision: Decision, isSelected: boolean): void {
    if (this.threads === undefined) this.#noteKept(this.#recent.add(decision, isSelected), isSelected);
    else if (!this.threads.add(decision, isSelected) && isSelected) this.#drop(1);
  }

  /** Adds a decision of this or another thread, in the order in which they were made. */
  addCopied({ copied, start, isSelected }: Omit<OrderedEntry, "number">): void {
    this.#noteKept(this.#recent.addCopied(copied, start), isSelected);
  }

  /** Keeps decisions of this or another thread, none of which is selected for the log, in any order. */
  keepCopied(copied: CopiedEntries): void {
    this.#recent.keep(copied);
  }

  /** So many selected decisions of a thread had no room there. */
  dropped(count: number): void {
    this.#drop(count);
  }

  /** Has the decisions of all threads added, up to now. */
  async collect(): Promise<void> {
    await this.threads?.collect();
  }

  #noteKept(isKept: boolean, isSelected: boolean): void {
    if (!isKept) {
      if (isSelected) this.#drop(1);
      return;
    }
    if (!isSelected) {
      // Without a selected decision before it, the thread needs nothing of it.
      if (this.#waiting === 0) this.#sent = this.#recent.current.length;
      return;
    }
    this.#waiting += 1;
    if (this.#recent.current.length - this.#sent >= this.#flushBytes) this.#flush();
    else this.#flushSoon();
  }

  #flushSoon(): void {
    this.#cancelFlush ??= this.#clock.after(flushAfterMs, () => this.#flush());
  }

  /**
   * Notes what an application expected. The decision, if it is known, is logged in any case. A flood of expectations
   * costs the later ones.
   */
  expect(
    expectation: Omit<Expectation, "allowed" | "decidedMs" | "timeMs">,
    decision: DecodedDecision | undefined,
  ): void {
    if (decision?.isSelected === false) this.#noteKept(this.#recent.add(decision, true, decision.number), true);
    if (this.#expectations.length >= expectationsMax) return;
    const { allowed = null, timeMs: decidedMs = null } = decision ?? {};
    this.#expectations.push({ ...expectation, allowed, decidedMs, timeMs: Date.now() });
    this.#flushSoon();
  }

  /** Parity reports behind a position, and their numbers: those of one API key, or of all. */
  async parity(
    keyId: string | undefined,
    after: ParityPosition | undefined,
    page: Pick<PageOptions, "limit" | "bytesMax">,
  ) {
    await this.collect();
    this.#flush();
    return this.#reader().call("parity", keyId, after, page);
  }

  /** Hands the decisions of the current block to the writing thread, or drops them if it is too far behind. */
  #flush(): void {
    this.#cancelFlush?.();
    this.#cancelFlush = undefined;
    const block = this.#recent.current;
    const [start, count] = [this.#sent, this.#waiting];
    this.#sent = block.length;
    this.#waiting = 0;
    const expectations = this.#expectations.splice(0);
    if (count === 0 && expectations.length === 0) return;
    const size = block.length - start;
    const thread = this.#sentBytes + size > this.#config.limits.decisionBufferBytesMax ? undefined : this.#writer();
    if (thread === undefined) return this.#drop(count);
    const bytes = block.copyFrom(start);
    const dropped = this.#dropped;
    this.#dropped = 0;
    this.#sentBytes += size;
    void this.#send(thread, { bytes, names: [...block.names], count, expectations, dropped });
  }

  async #send(thread: Thread, batch: DecisionBatch): Promise<void> {
    const { bytes, count, dropped } = batch;
    const size = bytes.byteLength;
    try {
      const { written, lost } = await thread.callWithTransfer([bytes.buffer], "write", batch);
      metrics.decisionLogEntries.inc({ result: "written" }, written);
      if (lost > 0) metrics.decisionLogEntries.inc({ result: "failed" }, lost);
      if (written > 0) for (const listener of this.#listeners) listener();
    } catch {
      // The thread has ended, and has reported why.
      this.#dropped += dropped + count;
      metrics.decisionLogEntries.inc({ result: "failed" }, count);
    } finally {
      this.#sentBytes -= size;
    }
  }

  #drop(count: number): void {
    this.#dropped += count;
    metrics.decisionLogEntries.inc({ result: "dropped" }, count);
  }

  /** The thread; undefined without a data directory, after the end, and for a while after it could not be started. */
  #writer(): Thread | undefined {
    if (this.#thread !== undefined && !this.#thread.hasExited) return this.#thread;
    const { data, decisions, limits } = this.#config;
    const nowMs = this.#clock.monotonicMs();
    if (data === undefined || this.#isClosed || nowMs - this.#startedMs < restartMs) return undefined;
    this.#startedMs = nowMs;
    try {
      const thread = spawnWorker<DecisionCommands, DecisionLogEvent>(decisionLogWorker);
      const onEvent = (event: DecisionLogEvent): void => {
        if ("problem" in event) this.#warn(event.problem);
        else if ("pendingReports" in event) metrics.parityPending.set(event.pendingReports);
        else metrics.decisionLogBytes.set(event.bytes);
      };
      thread.onEvent(inThisEnvironment(onEvent));
      void thread.exited.then((reason) => reason && !this.#isClosed && this.#warn(reason.message));
      const { omit, hash, hashSecret, bytesMax, ageMax } = decisions;
      thread.notify("open", {
        exportTo: this.#exportTo(),
        ...{ path: join(data, decisionLogFile), omit, hash, hashSecret, bytesMax, ageMs: ageMax },
        reportsMax: Math.ceil(limits.parityReportsBytesMax / reportBytes),
        clockSteadyMs: limits.retentionClockSteadyMs,
        trimIntervalMs: limits.decisionTrimIntervalMs,
      });
      return (this.#thread = thread);
    } catch (error) {
      this.#warn(error instanceof Error ? error.message : String(error));
      return undefined;
    }
  }

  /** A worker thread may not see variables that were set after the start of the process, so they are read here. */
  #exportTo() {
    if (this.#config.decisions.export === "none") return undefined;
    const target = otlpLogTarget();
    if (target === undefined) this.#warn("decisions are not exported, because OTEL_EXPORTER_OTLP_ENDPOINT is not set");
    return target && { target, attributes: attributesOf(this.#config) };
  }

  #warn(problem: string): void {
    const count = this.#warningLimit(problem);
    if (count > 0) log.warning("the decision log has a problem: {problem} ({count} times)", { problem, count });
  }

  /** A page of the log. `after` is a public id. AppError `not_found` if the log has another name than it. */
  async read(
    filter: DecisionFilter,
    { after, ...page }: Omit<PageOptions, "oldestMs" | "after"> & { readonly after?: string | undefined },
  ): Promise<Pick<DecisionPage, "decisions" | "hasMore"> & { readonly next: string | undefined }> {
    const from = after === undefined ? undefined : parseDecisionId(after);
    await this.collect();
    this.#flush();
    const found = await this.#reader().call("read", filter, { ...page, after: from?.number }, from?.logName);
    const { decisions, hasMore, last, name } = found;
    return { decisions, hasMore, next: last === undefined ? undefined : `${name}-${last}` };
  }

  /** The public id of the last decision. */
  async lastId(): Promise<string> {
    await this.collect();
    this.#flush();
    return this.#reader().call("lastId");
  }

  /** The decision with this public id. AppError `not_found`. */
  async find(id: string): Promise<LoggedDecision> {
    const { logName, number } = parseDecisionId(id);
    await this.collect();
    this.#flush();
    return this.#reader().call("find", number, logName);
  }

  /** Calls the listener after decisions were written, until the result is called. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Writes the remaining decisions and ends the thread. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#flush();
    this.#isClosed = true;
    await this.#thread?.stop().catch(() => {});
  }

  #reader(): Thread {
    const thread = this.#writer();
    if (thread === undefined)
      throw new AppError("not_ready", "the decision log of this node cannot be used now, try again");
    return thread;
  }
}

/** As in the traces of the node. */
function attributesOf({ role, environment, nodeId, data }: DecisionLogConfig): Record<string, string> {
  return {
    "service.version": build.version,
    ...(role !== undefined && { "ostiary.role": role }),
    ...(environment !== undefined && { "ostiary.environment": environment }),
    "service.instance.id": instanceIdOf({ nodeId, data }),
  };
}

/** The configuration of a node without a log: it only keeps the recent decisions. */
export function unloggedDecisions(limits: Limits): DecisionLogConfig {
  return { decisions: configSchema.shape.decisions.parse({}), limits, data: undefined };
}

const idPattern = /^([0-9a-f]{8})-(\d{1,15})$/;

/** The parts of the id of a decision. AppError `invalid_request`. */
function parseDecisionId(id: string): { readonly logName: string; readonly number: number } {
  const [, logName, number] = idPattern.exec(id) ?? [];
  if (logName === undefined)
    throw new AppError(
      "invalid_request",
      `\`${id.slice(0, 64)}\` is not the id of a decision: send the \`id\` or \`next\` of a response`,
    );
  return { logName, number: Number(number) };
}
