/**
 * Parity reports: applications that migrate tell which result they expected of a decision, and this log keeps both. It
 * is local to the node, and its size is bounded. When it is full, the API key with most reports loses its
 * oldest ones, mismatches last: a key cannot displace the reports of another one.
 */
import { LRUCache } from "lru-cache";
import type { Limits } from "../../config/limits.ts";
import type { DecodedDecision } from "../../decisions/decision-entry.ts";
import { questionParts } from "../../decisions/decision-question.ts";
import type { DecisionLog } from "../../decisions/decision-log.ts";
import { metrics } from "../../telemetry/metrics.ts";

/** In the order of lists. A report is pending as long as this node does not know the decision. */
export const parityResults = ["mismatch", "pending", "match"] as const;

export type ParityResult = (typeof parityResults)[number];

export interface ParityReport {
  readonly keyId: string;
  readonly requestId: string;
  readonly expected: boolean;
  /** When the expectation arrived. */
  readonly timeMs: number;
  readonly decision: Decision | undefined;
  readonly result: ParityResult;
  /** Greater than that of each earlier report of this process. */
  readonly sequence: number;
}

/** The decision of a report. */
export interface Decision {
  readonly keyId: string;
  readonly requestId: string;
  /** The body of the request. */
  readonly question: string;
  /** The number of context facts that `question` does not have, because the body was too large to keep. */
  readonly omittedFacts: number;
  readonly allowed: boolean;
  readonly timeMs: number;
}

/** A larger body is not kept as it is. */
export const questionCharactersMax = 4096;

/** The place of a report in the whole list, for pages. */
export type ParityPosition = Pick<ParityReport, "result" | "sequence">;

export type ParityCounts = Readonly<Record<ParityResult, number>>;

/** The reports of one API key by request id, from the latest to the oldest. */
type KeyReports = Readonly<Record<ParityResult, LRUCache<string, ParityReport>>>;

export class ParityLog {
  readonly #bytesMax: number;
  readonly #decisions: Pick<DecisionLog, "findRecent">;
  readonly #reports = new Map<string, KeyReports>();
  #pending = 0;
  #sequence = 0;

  constructor({ parityReportsBytesMax }: ParityLimits, decisions: Pick<DecisionLog, "findRecent">) {
    this.#bytesMax = parityReportsBytesMax;
    this.#decisions = decisions;
  }

  /** Completes a report that came before its decision, which the decision log has just got. */
  decided(keyId: string, requestId: string): void {
    if (this.#pending === 0) return;
    const pending = this.#reports.get(keyId)?.pending.peek(requestId);
    if (pending === undefined) return;
    const decision = this.#decisions.findRecent(keyId, requestId);
    if (decision !== undefined) this.#add({ ...pending, decision: keptDecision(decision) });
  }

  /** Keeps an expectation. A repeated one replaces the earlier one of this key and request id. */
  expected(keyId: string, requestId: string, expected: boolean): ParityResult {
    const known = this.#find(keyId, requestId);
    const recent = known?.decision === undefined ? this.#decisions.findRecent(keyId, requestId) : undefined;
    const decision = known?.decision ?? (recent && keptDecision(recent));
    if (known?.expected === expected && known.decision === decision) return known.result;
    return this.#add({ keyId, requestId, expected, decision, timeMs: Date.now() });
  }

  /** The numbers of reports that are kept: those of one API key, or of all. */
  counts(keyId: string | undefined): ParityCounts {
    const counts = { mismatch: 0, pending: 0, match: 0 };
    for (const reports of this.#of(keyId)) for (const result of parityResults) counts[result] += reports[result].size;
    return counts;
  }

  /** The reports after a position, in the order of `parityResults`, the latest ones of each result first. */
  *list(keyId: string | undefined, after: ParityPosition | undefined): Generator<ParityReport> {
    const start = after === undefined ? 0 : parityResults.indexOf(after.result);
    for (const result of parityResults.slice(start)) {
      const below = result === after?.result ? after.sequence : Infinity;
      const lists = [...this.#of(keyId)].map((each) => each[result].values());
      yield* merged(lists, below);
    }
  }

  /** All reports, in no particular order. */
  *all(): Generator<ParityReport> {
    for (const reports of this.#reports.values()) for (const result of parityResults) yield* reports[result].values();
  }

  /** Adds reports of an earlier process, in the order of their sequence. */
  restore(reports: readonly ParityReport[]): void {
    for (const report of reports.toSorted((one, other) => one.sequence - other.sequence)) this.#put(report);
    this.#removeOldest();
  }

  /** Changes with each report. */
  get version(): number {
    return this.#sequence;
  }

  #of(keyId: string | undefined): Iterable<KeyReports> {
    if (keyId === undefined) return this.#reports.values();
    const own = this.#reports.get(keyId);
    return own === undefined ? [] : [own];
  }

  #find(keyId: string, requestId: string): ParityReport | undefined {
    const own = this.#reports.get(keyId);
    return own && (own.mismatch.peek(requestId) ?? own.pending.peek(requestId) ?? own.match.peek(requestId));
  }

  #add(given: Omit<ParityReport, "result" | "sequence">): ParityResult {
    const result = this.#put(given);
    if (result !== "pending") metrics.parityResults.inc({ result });
    this.#removeOldest();
    return result;
  }

  #put(given: Omit<ParityReport, "result" | "sequence">): ParityResult {
    const { keyId, requestId, decision, expected } = given;
    const result = decision === undefined ? "pending" : decision.allowed === expected ? "match" : "mismatch";
    const own = this.#reports.getOrInsertComputed(keyId, () => this.#newReports());
    for (const each of parityResults) own[each].delete(requestId);
    own[result].set(requestId, { ...given, result, sequence: ++this.#sequence });
    return result;
  }

  #newReports(): KeyReports {
    const cache = () =>
      new LRUCache<string, ParityReport>({
        maxSize: this.#bytesMax,
        sizeCalculation: ({ requestId, decision }) =>
          entryBytes + 2 * (requestId.length + (decision?.question.length ?? 0)),
      });
    return { mismatch: cache(), pending: cache(), match: cache() };
  }

  /** Removes reports until there is room, and counts the pending ones. */
  #removeOldest(): void {
    for (;;) {
      let [bytes, pending] = [0, 0];
      let largest: { readonly keyId: string; readonly reports: KeyReports; readonly bytes: number } | undefined;
      for (const [keyId, reports] of this.#reports) {
        const own = reports.match.calculatedSize + reports.pending.calculatedSize + reports.mismatch.calculatedSize;
        if (own > (largest?.bytes ?? -1)) largest = { keyId, reports, bytes: own };
        bytes += own;
        pending += reports.pending.size;
      }
      this.#pending = pending;
      if (bytes <= this.#bytesMax || largest === undefined) break;
      const { match, pending: waiting, mismatch } = largest.reports;
      if (match.pop() === undefined && waiting.pop() === undefined && mismatch.pop() === undefined)
        this.#reports.delete(largest.keyId);
    }
    metrics.parityPending.set(this.#pending);
  }
}

/** The decision with its question as a body; without its context facts if it would be too large with them. */
function keptDecision({ keyId, requestId, question: text, isBody, allowed, timeMs }: DecodedDecision): Decision {
  const decision = { keyId, requestId, allowed, timeMs };
  if (isBody && text.length <= questionCharactersMax) return { ...decision, question: text, omittedFacts: 0 };
  const { actor, action, resource, contextFacts } = questionParts(text, isBody);
  const subject = { actor_type: actor?.type, actor_id: actor?.id, action };
  const question = { ...subject, resource_type: resource?.type, resource_id: resource?.id };
  const whole = JSON.stringify({ ...question, context_facts: contextFacts });
  if (whole.length <= questionCharactersMax) return { ...decision, question: whole, omittedFacts: 0 };
  return { ...decision, question: JSON.stringify(question), omittedFacts: contextFacts.length };
}

/** Merges lists that begin with their latest report, without the reports from the sequence number `below` on. */
function* merged(lists: readonly Iterator<ParityReport>[], below: number): Generator<ParityReport> {
  const heads = lists.map((list) => {
    let head = list.next();
    while (!head.done && head.value.sequence >= below) head = list.next();
    return { list, head };
  });
  for (;;) {
    let latest: (typeof heads)[number] | undefined;
    let report: ParityReport | undefined;
    for (const each of heads) {
      if (each.head.done || each.head.value.sequence < (report?.sequence ?? 0)) continue;
      [latest, report] = [each, each.head.value];
    }
    if (latest === undefined || report === undefined) return;
    yield report;
    latest.head = latest.list.next();
  }
}

/** The memory of a report besides its strings; generous, so that the limit holds. */
const entryBytes = 400;

type ParityLimits = Pick<Limits, "parityReportsBytesMax">;
