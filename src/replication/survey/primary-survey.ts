/**
 * The primary's knowledge of all nodes that follow it: from their reports, from the positions that they send anyway, and
 * from their statuses on the event stream. It asks them only when somebody wants to know, so it costs nothing otherwise.
 */
import { randomBytes } from "node:crypto";
import { LRUCache } from "lru-cache";
import { getLogger } from "../../telemetry/logger.ts";
import { AppError } from "../../util/app-error.ts";
import type { Clock } from "../../util/clock.ts";
import { reasonOf } from "../../util/reason.ts";
import { parseNodeId } from "../identity.ts";
import type { NodeStatus } from "../transport/messages.ts";
import {
  type NodeReport,
  type Question,
  questionsMax,
  surveyedNodesMax,
  type SurveyedNode,
  type Wanted,
} from "../transport/reports.ts";
import type { OwnReport } from "./node-report.ts";
import { RecentAnswers } from "./recent-answers.ts";

const log = getLogger("survey");

interface KnownNode {
  readonly report: NodeReport;
  readonly lagEvents: number | null;
  readonly atMs: number;
  /** Whether the node is known to answer questions. */
  readonly answers: boolean;
}

interface OpenQuestion {
  readonly question: Question;
  /** By node. A node cannot fill the memory with reports under other names. */
  readonly reports: LRUCache<string, NodeReport>;
  readonly onReport: () => void;
}

const answerMsMax = 1000;
/** How long, and how often, nodes are waited for while none is known to answer. */
const [discoveryMs, discoveryIntervalMs] = [150, 5000];
/** A node that was silent for longer is not waited for. */
const expectedMs = 30_000;
/** A node that was silent for longer is not shown: it was probably removed. */
const keptMs = 60 * 60_000;

export class PrimarySurvey {
  readonly #own: OwnReport;
  /** The position of the primary. */
  readonly #state: () => Pick<NodeReport, "epoch" | "offset">;
  /** Sends a head with the questions to all replicas now. */
  readonly #announce: () => void;
  readonly #clock: Clock;
  readonly #known = new LRUCache<string, KnownNode>({ max: surveyedNodesMax - 1 });
  readonly #open = new Map<string, OpenQuestion>();
  readonly #answers: RecentAnswers;
  #discoveredAtMs = Number.NEGATIVE_INFINITY;

  constructor(own: OwnReport, state: () => Pick<NodeReport, "epoch" | "offset">, announce: () => void, clock: Clock) {
    this.#own = own;
    this.#state = state;
    this.#announce = announce;
    this.#clock = clock;
    this.#answers = new RecentAnswers(clock);
  }

  /** The questions for the next head; undefined if there are none. */
  get questions(): Question[] | undefined {
    return this.#open.size === 0 ? undefined : [...this.#open.values()].map(({ question }) => question);
  }

  /** What all nodes answer within a second, and what is known of the others. AppError `too_many_requests`. */
  ask(wanted: Wanted): Promise<readonly SurveyedNode[]> {
    return this.#answers.get(wanted, () => this.#ask(wanted));
  }

  receive(report: NodeReport): void {
    const { question, applied_ms: _applied, spans: _spans, ...rest } = report;
    // A fallback that fetches snapshots reports unasked, and gets no questions.
    this.#note(rest, question !== undefined || this.#known.get(report.node)?.answers === true);
    const open = question === undefined ? undefined : this.#open.get(question);
    open?.reports.set(report.node, report);
    open?.onReport();
  }

  /** A node that answers questions has asked for the head. */
  noteReporter(node: string, role: NodeReport["role"]): void {
    const known = this.#known.get(node);
    this.#note({ ...(known?.report ?? unknownReport(node)), role }, true);
  }

  /** A status on the event stream. A clean end and a lost connection look the same. */
  noteStatus(node: string, { state, version, ageMs, epoch, offset }: NodeStatus): void {
    const known = this.#known.get(node);
    // A broker can keep the last status of a node that was removed long ago.
    if (state === "GONE" && known === undefined) return;
    const report = known?.report ?? unknownReport(node);
    this.#note(
      {
        ...report,
        state: state ?? report.state,
        version: version ?? report.version,
        ...(state === "GONE" ? { ready: null } : { age_ms: ageMs ?? null }),
        ...(epoch !== null && offset !== null && { epoch, offset }),
      },
      known?.answers ?? false,
      state === "GONE" ? known?.atMs : undefined,
    );
  }

  /** A position that an edge has sent with a request. */
  notePosition(node: string, { epoch, term, offset }: Readonly<Pick<NodeReport, "epoch" | "term" | "offset">>): void {
    const known = this.#known.get(node);
    this.#note({ ...(known?.report ?? unknownReport(node)), epoch, term, offset }, known?.answers ?? false);
  }

  #note(report: NodeReport, answers: boolean, atMs = this.#clock.monotonicMs()): void {
    // The other nodes would refuse the whole list.
    if (parseNodeId(report.node) === undefined) return;
    this.#known.set(report.node, { report, lagEvents: lagOf(report, this.#state()), atMs, answers });
  }

  async #ask(wanted: Wanted): Promise<readonly SurveyedNode[]> {
    if (this.#open.size >= questionsMax)
      throw new AppError("too_many_requests", "this node asks the others many questions already, try again");
    const id = randomBytes(8).toString("hex");
    const reports = new LRUCache<string, NodeReport>({ max: surveyedNodesMax });
    const expected = this.#expected();
    if (expected.length > 0 || this.#mayDiscover()) await this.#wait(id, wanted, reports, expected);
    const self = this.#own(wanted);
    return [{ ...self, seen_ms_ago: 0, lag_events: 0, answered: true }, ...this.#others(self.node, reports)];
  }

  #mayDiscover(): boolean {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#discoveredAtMs < discoveryIntervalMs) return false;
    this.#discoveredAtMs = nowMs;
    return true;
  }

  /** Asks, and waits until the expected nodes have answered, a second at most. */
  async #wait(
    id: string,
    wanted: Wanted,
    reports: OpenQuestion["reports"],
    expected: readonly string[],
  ): Promise<void> {
    const { promise: answered, resolve } = Promise.withResolvers<void>();
    const cancel = this.#clock.after(expected.length === 0 ? discoveryMs : answerMsMax, resolve);
    const onReport = (): void => {
      if (expected.length > 0 && expected.every((node) => reports.has(node))) resolve();
    };
    this.#open.set(id, { question: { ...wanted, id }, reports, onReport });
    try {
      this.#announce();
      await answered;
    } catch (error) {
      // An operator needs what is known most when the database cannot be read.
      log.debug("the other nodes cannot be asked now: {reason}", { reason: reasonOf(error) });
    } finally {
      cancel();
      this.#open.delete(id);
    }
  }

  /** The nodes that will probably answer. */
  #expected(): string[] {
    const [nowMs, self] = [this.#clock.monotonicMs(), this.#own({}).node];
    return [...this.#known]
      .filter(([node, { answers, atMs }]) => answers && node !== self && nowMs - atMs <= expectedMs)
      .map(([node]) => node);
  }

  #others(self: string, reports: OpenQuestion["reports"]): SurveyedNode[] {
    const nowMs = this.#clock.monotonicMs();
    return [...this.#known]
      .filter(([node, { atMs }]) => node !== self && nowMs - atMs <= keptMs)
      .map(([node, { report, lagEvents, atMs }]) => {
        const answer = reports.get(node);
        const { question: _question, ...rest } = answer ?? report;
        const seen = Math.max(0, Math.round(nowMs - atMs));
        return { ...rest, seen_ms_ago: seen, lag_events: lagEvents, answered: answer !== undefined };
      });
  }
}

/** How many events a node lacks; null in another epoch, where offsets cannot be compared. */
export function lagOf(
  { epoch, offset }: Pick<NodeReport, "epoch" | "offset">,
  primary: Pick<NodeReport, "epoch" | "offset">,
): number | null {
  if (offset === null || primary.offset === null || epoch !== primary.epoch) return null;
  return Math.max(0, primary.offset - offset);
}

/** Nodes of earlier versions that send positions are edges. */
function unknownReport(node: string): NodeReport {
  const nothing = { version: null, state: null, ready: null, epoch: null, term: null, offset: null, age_ms: null };
  return { node, role: "edge", ...nothing, brokers: [] };
}
