/**
 * The most recent decisions of this node, by API key and request id, for parity reports that arrive after the decision.
 * Every decision is added, so adding costs nearly nothing: the index is completed only by the next lookup.
 */
import { must } from "../../util/assert.ts";

export interface Decision {
  /** The id of the API key that asked. Clients choose request ids, so only both together name a decision. */
  readonly keyId: string;
  readonly requestId: string;
  /** The body of the request. */
  readonly question: string;
  /** The number of context facts that `question` does not have, because the body was too large to keep. */
  readonly omittedFacts: number;
  readonly allowed: boolean;
  readonly timeMs: number;
}

/** The memory of an entry besides its strings; generous, so that the limits hold. */
export const entryBytes = 400;

export class RecentDecisions {
  readonly #bytesMax: number;
  /** In the order of the decisions; the entries before `#first` are removed. */
  #decisions: (Decision | undefined)[] = [];
  #first = 0;
  #indexed = 0;
  #bytes = 0;
  readonly #index = new Map<string, Decision>();

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  add(decision: Decision): void {
    this.#bytes += bytesOf(decision);
    this.#decisions.push(decision);
    while (this.#bytes > this.#bytesMax) this.#removeOldest();
  }

  /** The latest decision under this request id; undefined if there is none any more. */
  find(keyId: string, requestId: string): Decision | undefined {
    for (; this.#indexed < this.#decisions.length; this.#indexed++) {
      const decision = must(this.#decisions[this.#indexed]);
      this.#index.set(decisionKey(decision), decision);
    }
    return this.#index.get(decisionKey({ keyId, requestId }));
  }

  #removeOldest(): void {
    const oldest = must(this.#decisions[this.#first]);
    this.#bytes -= bytesOf(oldest);
    this.#decisions[this.#first++] = undefined;
    if (this.#first > this.#indexed) this.#indexed = this.#first;
    else if (this.#index.get(decisionKey(oldest)) === oldest) this.#index.delete(decisionKey(oldest));
    if (this.#first < compactAfter || this.#first < this.#decisions.length / 2) return;
    this.#decisions = this.#decisions.slice(this.#first);
    this.#indexed -= this.#first;
    this.#first = 0;
  }
}

/** Removed entries are dropped together, so that each costs little. */
const compactAfter = 1024;

/** A key id has no space. */
function decisionKey({ keyId, requestId }: Pick<Decision, "keyId" | "requestId">): string {
  return `${keyId} ${requestId}`;
}

/** An upper bound: most strings use one byte for each character. */
function bytesOf({ question, requestId }: Decision): number {
  return entryBytes + 2 * (question.length + requestId.length);
}
