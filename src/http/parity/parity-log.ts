/**
 * Expectations of applications that migrate: which result they expected of a decision (`POST /api/expect`). They become
 * parity reports in the decision log. An expectation can arrive before its decision; it waits here for a while, and no
 * API key displaces those of another one.
 */
import { LRUCache } from "lru-cache";
import type { DecodedDecision } from "../../decisions/decision-entry.ts";
import type { OrderedEntry } from "../../decisions/decision-order.ts";
import type { DecisionLog } from "../../decisions/decision-log.ts";
import type { ParityResult } from "../../decisions/parity-reports.ts";
import { metrics } from "../../telemetry/metrics.ts";

const keysMax = 1000;
/** Expectations of one API key that wait, and results that it was told. */
const waitingMax = 1000;

/** What was expected of a decision that was known. */
interface Told {
  readonly expected: boolean;
  readonly allowed: boolean;
  readonly decidedMs: number;
}

/** Of one API key, by request id. */
interface KeyExpectations {
  readonly waiting: LRUCache<string, boolean>;
  readonly told: LRUCache<string, Told>;
}

export class ParityLog {
  readonly #decisions: Pick<DecisionLog, "findRecent" | "expect">;
  readonly #keys = new LRUCache<string, KeyExpectations>({ max: keysMax });
  /** Whether an expectation came before its decision. */
  hasWaiting = false;

  constructor(decisions: Pick<DecisionLog, "findRecent" | "expect">) {
    this.#decisions = decisions;
  }

  /** Completes an expectation that came before its decision, which the decision log has just got. */
  decided(keyId: string, requestId: string): void {
    if (!this.hasWaiting) return;
    const waiting = this.#keys.peek(keyId)?.waiting;
    const expected = waiting?.get(requestId);
    if (expected === undefined) return;
    waiting?.delete(requestId);
    this.hasWaiting = this.#keys.values().some((key) => key.waiting.size > 0);
    this.expected(keyId, requestId, expected);
  }

  /** As `decided`, for a decision that the log got from its threads. */
  decidedIn({ copied, start }: Pick<OrderedEntry, "copied" | "start">): void {
    if (!this.hasWaiting) return;
    const { isAuthorize, keyId, requestId } = copied.nameAt(start);
    if (isAuthorize) this.decided(keyId, requestId);
  }

  /** Notes an expectation. A repeated one replaces the earlier one of this key and request id. */
  expected(keyId: string, requestId: string, expected: boolean): ParityResult {
    const { waiting, told } = this.#of(keyId);
    const known = told.get(requestId);
    const decision = this.#decisions.findRecent(keyId, requestId);
    if (known?.expected === expected && (decision === undefined || isOf(known, decision))) return resultOf(known);
    this.#decisions.expect({ keyId, requestId, expected }, decision);
    if (decision === undefined) {
      waiting.set(requestId, expected);
      this.hasWaiting = true;
      return "pending";
    }
    const { allowed, timeMs: decidedMs } = decision;
    const result = resultOf({ expected, allowed });
    metrics.parityResults.inc({ result });
    told.set(requestId, { expected, allowed, decidedMs });
    return result;
  }

  #of(keyId: string): KeyExpectations {
    const known = this.#keys.get(keyId);
    if (known !== undefined) return known;
    const made: KeyExpectations = {
      waiting: new LRUCache({ max: waitingMax }),
      told: new LRUCache({ max: waitingMax }),
    };
    this.#keys.set(keyId, made);
    return made;
  }
}

/** A client may use the id of a request again. */
function isOf({ allowed, decidedMs }: Told, decision: DecodedDecision): boolean {
  return allowed === decision.allowed && decidedMs === decision.timeMs;
}

function resultOf({ expected, allowed }: Pick<Told, "expected" | "allowed">): ParityResult {
  return expected === allowed ? "match" : "mismatch";
}
