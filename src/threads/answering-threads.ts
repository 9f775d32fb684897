/**
 * The threads that answer questions beside the main thread, as that one sees them. Each listens at the port of the node
 * and has a read-only connection, plans and a decision cache of its own. This class tells them from which database they
 * may answer, and collects what they count: metrics, uses of API keys, and decisions.
 */
import type { Config } from "../config/config.ts";
import { CopiedEntries } from "../decisions/decision-entry.ts";
import type { DecisionLog } from "../decisions/decision-log.ts";
import { DecisionOrder, newDecisionCounter } from "../decisions/decision-order.ts";
import { type DecisionCopy, ThreadDecisions } from "../decisions/thread-decisions.ts";
import type { ParityLog } from "../http/parity/parity-log.ts";
import type { Node } from "../replication/node.ts";
import { type CompiledAhead, onCompiledAhead } from "../policy/compile-ahead.ts";
import type { ListenerThreads } from "../runtime/listener-threads.ts";
import type { WorkerChannel } from "../runtime/platform.ts";
import { getLogger } from "../telemetry/logger.ts";
import { addMetricChanges, addMetricSource } from "../telemetry/metrics.ts";
import { traceChooser } from "../telemetry/tracing.ts";
import { type Clock, sleep, systemClock } from "../util/clock.ts";
import { reasonOf } from "../util/reason.ts";
import type { Permission, ThreadCommand, ThreadReport } from "./messages.ts";

const log = getLogger("threads");

const entry = "threads/answering-thread-worker.ts";
/** A thread that does not report in this time is not waited for: it may be about to end. */
const reportMsMax = 1000;
/** How often a fallback's threads learn the age of its data. */
const ageIntervalMs = 100;
/** How long decisions wait for those of other threads that came before. */
const collectAfterMs = 100;
/** How long a thread that plans its first questions keeps the node from being ready. */
const preparingMsMax = 2500;

interface Reports {
  readonly decisions: DecisionLog;
  readonly parity: ParityLog;
}

export class AnsweringThreads {
  readonly #config: Config;
  readonly #count: number;
  readonly #node: () => Node;
  readonly #reports: Reports;
  readonly #clock: Clock;
  readonly #threads = new Set<Thread>();
  readonly #counter = newDecisionCounter();
  readonly #own: ThreadDecisions;
  readonly #order = new DecisionOrder<Thread | ThreadDecisions>();
  readonly #inFlight: Int32Array<SharedArrayBuffer>;
  /** Stops what `resume` has started. */
  readonly #stops: (() => void)[] = [];
  /** Stops watching the database of the node. */
  #unwatch = (): void => {};
  /** Until the listener is open, too. */
  #isSuspended = true;
  #isPublishing = false;
  #isCollecting = false;
  #lastReport = 0;

  constructor(config: Config, count: number, node: () => Node, reports: Reports, clock: Clock) {
    this.#config = config;
    this.#count = count;
    this.#node = node;
    this.#reports = reports;
    this.#clock = clock;
    this.#inFlight = new Int32Array(new SharedArrayBuffer(count * Int32Array.BYTES_PER_ELEMENT));
    // What this thread decides itself waits for the earlier decisions of the others.
    this.#own = new ThreadDecisions(config, this.#counter, () => this.#takeOwn());
    reports.decisions.threads = {
      add: (decision, isSelected) => {
        this.#collectSoon();
        return this.#own.add(decision, isSelected);
      },
      collect: () => this.collect(),
    };
  }

  /** The threads for `serve`. */
  get listeners(): ListenerThreads {
    return {
      count: this.#count,
      entry,
      onThread: (channel) => this.#add(channel),
      onFailure: (reason) =>
        log.error("a thread that answers has ended, and is replaced: {reason}", { reason: reasonOf(reason) }),
    };
  }

  /** The node is there, or another one: its threads may answer. */
  resume(): void {
    this.#isSuspended = false;
    if (this.#stops.length === 0)
      this.#stops.push(
        this.#clock.every(ageIntervalMs, () => this.#sendAge()),
        addMetricSource(() => this.collect()),
        onCompiledAhead((compiled) => this.#sendPolicy(compiled)),
      );
    this.#unwatch();
    this.#unwatch = this.#node().shared.gate.onChange(() => this.#publishSoon());
    this.#publish();
  }

  /** No thread answers from now on, until `resume`. */
  suspend(): void {
    this.#isSuspended = true;
    this.#node().shared.gate.change();
  }

  /** Fetches what all threads have counted up to now. */
  async collect(): Promise<void> {
    const late = sleep(this.#clock, reportMsMax);
    const report = ++this.#lastReport;
    await Promise.all([...this.#threads].map((thread) => Promise.race([thread.collect(report), late])));
    this.#addDecisions();
  }

  /** Resolves when all threads have the policy. */
  async #sendPolicy(compiled: CompiledAhead): Promise<void> {
    for (const thread of this.#threads) thread.send({ compiled });
    await this.collect();
  }

  #collectSoon(): void {
    if (this.#isCollecting) return;
    this.#isCollecting = true;
    this.#clock.after(collectAfterMs, () => {
      this.#isCollecting = false;
      void this.collect();
    });
  }

  #takeOwn(): void {
    const { decisions } = this.#own.take();
    this.#take(this.#own, decisions, Atomics.load(this.#counter, 0));
    if (decisions !== undefined) this.#own.taken(decisions.bytes.byteLength);
  }

  /** Takes over decisions of a thread. Without a log they only have to be found, so their order costs nothing. */
  #take(source: Thread | ThreadDecisions, copy: DecisionCopy | undefined, next: number): void {
    const { decisions, parity } = this.#reports;
    const copied = copy && new CopiedEntries(copy.bytes, copy.names);
    if (decisions.selection !== "off") return this.#order.report(source, copied, next);
    if (copied === undefined) return undefined;
    decisions.keepCopied(copied);
    if (parity.hasWaiting) for (const { start } of copied.entries()) parity.decidedIn({ copied, start });
    return undefined;
  }

  /** Adds the decisions to the log that are known to be the next ones. */
  #addDecisions(): void {
    const { decisions, parity } = this.#reports;
    this.#takeOwn();
    for (const entry of this.#order.take()) {
      decisions.addCopied(entry);
      parity.decidedIn(entry);
    }
    if (this.#order.hasWaiting) this.#collectSoon();
  }

  /** Takes over what the threads have counted. They answer nothing any more. */
  async close(): Promise<void> {
    this.suspend();
    await this.collect();
    this.#reports.decisions.threads = undefined;
    this.#unwatch();
    for (const stop of this.#stops.splice(0)) stop();
  }

  #add(channel: WorkerChannel): void {
    const { preparing } = this.#node().shared.gate;
    const number = this.#freeNumber();
    const thread = new Thread(channel, number, (report) => this.#receive(thread, report));
    this.#threads.add(thread);
    this.#order.report(thread, undefined, Atomics.load(this.#counter, 0));
    preparing.add(thread);
    thread.onPrepared = () => preparing.delete(thread);
    this.#clock.after(preparingMsMax, thread.onPrepared);
    channel.onEnd(() => {
      this.#threads.delete(thread);
      this.#order.end(thread);
      preparing.delete(thread);
      Atomics.store(this.#inFlight, number, 0);
      thread.end();
    });
    thread.send({ begin: { decisions: this.#counter, inFlight: this.#inFlight, thread: number } });
    if (!this.#isSuspended) thread.send({ permission: this.#permission() });
  }

  /** That of the thread which this one replaces. */
  #freeNumber(): number {
    const used = new Set([...this.#threads].map(({ number }) => number));
    return Array.from({ length: this.#count }, (_, number) => number).find((number) => !used.has(number)) ?? 0;
  }

  /** After the cause of the change is complete. */
  #publishSoon(): void {
    if (this.#isPublishing) return;
    this.#isPublishing = true;
    setImmediate(() => {
      this.#isPublishing = false;
      this.#publish();
    });
  }

  #publish(): void {
    const permission = this.#permission();
    for (const thread of this.#threads) thread.send({ permission });
  }

  /** Undefined while the main thread itself may not answer. */
  #permission(): Permission | undefined {
    const node = this.#node();
    const { limits, decisions, trace } = this.#config;
    const { gate, changes } = node.shared;
    const number = gate.current;
    const share = traceChooser();
    // Other threads only have the clock of the system.
    if (this.#isSuspended || node.clock !== systemClock) return undefined;
    try {
      const engine = node.engine();
      const { role, environment } = node;
      return {
        ...{
          gate: gate.number,
          number,
          storePath: engine.path,
          changes,
          role,
          environment,
          limits,
          decisions,
        },
        ageMs: node.health().ageMs,
        tracedShare: typeof share === "number" ? share : undefined,
        tracesPerSecond: trace.recentPerSecond,
        expected: engine.expectedQuestions,
      };
    } catch {
      // The node has no database that may answer. Requests get the reason from the main thread.
      return undefined;
    }
  }

  #sendAge(): void {
    const node = this.#node();
    if (node.role !== "fallback" || this.#isSuspended) return;
    const { ageMs } = node.health();
    for (const thread of this.#threads) thread.send({ ageMs });
  }

  #receive(
    thread: Thread,
    { metrics, keyUses, decisions, nextDecision, droppedDecisions, expected, problem }: ThreadReport,
  ): void {
    const node = this.#node();
    addMetricChanges(metrics);
    for (const [id, atMs] of keyUses) node.keyUses.record(id, atMs);
    if (droppedDecisions > 0) this.#reports.decisions.dropped(droppedDecisions);
    if (expected !== undefined) this.#expect(expected);
    if (problem !== undefined)
      log.warning("a thread cannot use the database, so the main thread answers for it: {problem}", { problem });
    this.#take(thread, decisions, nextDecision);
    if (decisions === undefined) return;
    thread.send({ takenBytes: decisions.bytes.byteLength });
    this.#addDecisions();
  }

  #expect(expected: NonNullable<ThreadReport["expected"]>): void {
    try {
      this.#node().engine().expectQuestions(expected);
    } catch {
      // There is no database now.
    }
  }
}

/** One thread. */
class Thread {
  /** From 0 on. */
  readonly number: number;
  readonly #channel: WorkerChannel;
  readonly #waiting = new Map<number, () => void>();
  /** The thread has planned its first questions. */
  onPrepared = (): void => {};

  constructor(channel: WorkerChannel, number: number, receive: (report: ThreadReport) => void) {
    this.#channel = channel;
    this.number = number;
    channel.onMessage((message) => {
      const report = message as ThreadReport;
      receive(report);
      if (report.isPrepared) this.onPrepared();
      if (report.report === undefined) return;
      this.#waiting.get(report.report)?.();
      this.#waiting.delete(report.report);
    });
  }

  send(message: ThreadCommand): void {
    this.#channel.send(message);
  }

  /** Resolves when the thread has reported, or has ended. */
  collect(report: number): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.set(report, resolve);
      this.send({ report });
    });
  }

  end(): void {
    for (const resolve of this.#waiting.values()) resolve();
  }
}
