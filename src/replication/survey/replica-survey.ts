/**
 * The part of a replica in surveys: it answers the questions of its primary, and asks the primary about all nodes. While
 * the primary is away, it knows the peers that answer, and what the primary last said of the others.
 */
import { LRUCache } from "lru-cache";
import type { Clock } from "../../util/clock.ts";
import type { Peers } from "../transport/peers.ts";
import type { NodeReport, Question, SurveyedNode, Wanted } from "../transport/reports.ts";
import type { OwnReport } from "./node-report.ts";
import { lagOf } from "./primary-survey.ts";
import { RecentAnswers } from "./recent-answers.ts";

/** More than arrive within the time in which a question can arrive again. */
const answeredMax = 64;
/** Questions that are repeated cannot make a node send more reports than this. */
const reportsPerSecondMax = 20;

export class ReplicaSurvey {
  readonly #own: OwnReport;
  readonly #peers: Peers | undefined;
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #answered = new LRUCache<string, true>({ max: answeredMax });
  readonly #answers: RecentAnswers;
  #reports = 0;
  #secondFromMs = 0;
  /** What the primary last said, and when. */
  #last: { readonly nodes: readonly SurveyedNode[]; readonly atMs: number } = { nodes: [], atMs: 0 };

  constructor(own: OwnReport, peers: Peers | undefined, clock: Pick<Clock, "monotonicMs">) {
    this.#own = own;
    this.#peers = peers;
    this.#clock = clock;
    this.#answers = new RecentAnswers(clock);
  }

  /** Sends a report to the primary for each new question. */
  readonly answer = (questions: readonly Question[]): void => {
    for (const question of questions) {
      if (this.#answered.has(question.id) || !this.#mayReport()) continue;
      this.#answered.set(question.id, true);
      this.report(question);
    }
  };

  /** Sends a report. A primary that does not take it knows this node by its positions. */
  report(question: Wanted | Question = {}): void {
    const peers = this.#peers;
    if (peers === undefined) return;
    const send = (): Promise<void> => peers.primary.client.report(this.#own(question));
    // A fallback that fetches snapshots has no other reason to look for the present primary.
    void send()
      .catch(async () => ((await peers.findPrimary()) ? send() : undefined))
      .catch(() => undefined);
  }

  /** What all nodes say, this one first. Nodes that do not answer are as they were last known. Never rejects. */
  ask(wanted: Wanted): Promise<readonly SurveyedNode[]> {
    return this.#answers.get(wanted, async () => {
      const answer = await this.#askPrimary(wanted);
      if (answer !== undefined) this.#last = { nodes: answer, atMs: this.#clock.monotonicMs() };
      const others = answer ?? (await this.#withoutPrimary());
      const own = this.#own(wanted);
      const primary = answer?.find(({ role }) => role === "primary");
      const lag = primary === undefined ? null : lagOf(own, primary);
      const self = { ...own, seen_ms_ago: 0, lag_events: lag, answered: true };
      return [self, ...others.filter(({ node }) => node !== own.node)];
    });
  }

  /** Also looks for another primary. Undefined if there is none that answers questions. */
  async #askPrimary(wanted: Wanted): Promise<readonly SurveyedNode[] | undefined> {
    const peers = this.#peers;
    if (peers === undefined) return undefined;
    const ask = () => peers.primary.client.survey(wanted).catch(() => undefined);
    return (await ask()) ?? ((await peers.findPrimary()) ? ask() : undefined);
  }

  async #withoutPrimary(): Promise<readonly SurveyedNode[]> {
    const heads = (await this.#peers?.heads().catch(() => [])) ?? [];
    const live = heads.flatMap(({ head }): SurveyedNode[] => {
      if (head.node === undefined) return [];
      const known = this.#last.nodes.find(({ node }) => node === head.node);
      const ageMs = head.a === undefined ? 0 : head.a;
      const position = { epoch: head.e, term: head.n, offset: head.l, age_ms: ageMs };
      const report: NodeReport = { ...(known ?? unknown(head.node)), role: head.role, ...position };
      return [{ ...report, state: null, seen_ms_ago: 0, lag_events: null, answered: false }];
    });
    const elapsedMs = this.#clock.monotonicMs() - this.#last.atMs;
    const silent = this.#last.nodes
      .filter(({ node }) => live.every((other) => other.node !== node))
      .map(({ spans: _spans, applied_ms: _applied, ...rest }) => ({
        ...rest,
        seen_ms_ago: Math.round(rest.seen_ms_ago + elapsedMs),
        lag_events: null,
        answered: false,
      }));
    return [...live, ...silent];
  }

  #mayReport(): boolean {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#secondFromMs >= 1000) [this.#secondFromMs, this.#reports] = [nowMs, 0];
    return ++this.#reports <= reportsPerSecondMax;
  }
}

function unknown(node: string) {
  return { node, version: null, state: null, ready: null, brokers: [] };
}
