/**
 * Expectations of applications that migrate: which result they expected of a decision (`POST /api/expect`). They become
 * parity reports in the decision log. An expectation can arrive before its decision; it waits here for a while, and no
 * API key displaces those of another one.
 */
import { LRUCache } from "lru-cache";
import type { DecisionLog } from "../../decisions/decision-log.ts";
import type { ParityResult } from "../../decisions/parity-reports.ts";
import { metrics } from "../../telemetry/metrics.ts";

const keysMax = 1000;
/** Expectations of one API key that wait, and results that it was told. */
const waitingMax = 1000;

/** Of one API key, by request id. */
interface KeyExpectations {
  readonly waiting: LRUCache<string, boolean>;
  readonly told: LRUCache<string, { readonly expected: boolean; readonly result: ParityResult }>;
}

export class ParityLog {
  readonly #decisions: Pick<DecisionLog, "findRecent" | "expect">;
  readonly #keys = new LRUCache<string, KeyExpectations>({ max: keysMax });
  #hasWaiting = false;

  constructor(decisions: Pick<DecisionLog, "findRecent" | "expect">) {
    this.#decisions = decisions;
  }

  /** Completes an expectation that came before its decision, which the decision log has just got. */
  decided(keyId: string, requestId: string): void {
    if (!this.#hasWaiting) return;
    const waiting = this.#keys.peek(keyId)?.waiting;
    const expected = waiting?.get(requestId);
    if (expected === undefined) return;
    waiting?.delete(requestId);
    this.#hasWaiting = this.#keys.values().some((key) => key.waiting.size > 0);
    this.expected(keyId, requestId, expected);
  }

  /** Notes an expectation. A repeated one replaces the earlier one of this key and request id. */
  expected(keyId: string, requestId: string, expected: boolean): ParityResult {
    const { waiting, told } = this.#of(keyId);
    const known = told.get(requestId);
    if (known?.expected === expected) return known.result;
    const decision = this.#decisions.findRecent(keyId, requestId);
    this.#decisions.expect({ keyId, requestId, expected }, decision);
    if (decision === undefined) {
      waiting.set(requestId, expected);
      this.#hasWaiting = true;
      return "pending";
    }
    const result = decision.allowed === expected ? "match" : "mismatch";
    metrics.parityResults.inc({ result });
    told.set(requestId, { expected, result });
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
