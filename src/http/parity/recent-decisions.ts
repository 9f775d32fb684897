/**
 * The most recent decisions of this node, by API key and request id, for parity reports that arrive after the decision.
 * Every decision is added, so adding has to be cheap. Decisions are bytes in two blocks, of which the older one is
 * overwritten: strings that live for seconds would cost the garbage collector 1.4 µs per request. The index is completed
 * only by the next lookup.
 */
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

export class RecentDecisions {
  readonly #blockBytes: number;
  /** Made for the first decision. */
  #newer: DecisionBlock | undefined;
  #older: DecisionBlock | undefined;

  constructor(bytesMax: number) {
    this.#blockBytes = Math.floor(bytesMax / 2);
  }

  /** A decision that is larger than a block is not kept. */
  add(decision: Decision): void {
    this.#newer ??= new DecisionBlock(this.#blockBytes);
    if (this.#newer.add(decision)) return;
    const next = this.#older ?? new DecisionBlock(this.#blockBytes);
    this.#older = this.#newer;
    this.#newer = next;
    next.clear();
    next.add(decision);
  }

  /** The latest decision under this request id; undefined if there is none any more. */
  find(keyId: string, requestId: string): Decision | undefined {
    return this.#newer?.find(keyId, requestId) ?? this.#older?.find(keyId, requestId);
  }
}

/** The time, the number of omitted facts, whether it was allowed, and the bytes of the three strings. */
const [timeAt, omittedAt, allowedAt, keyAt, requestAt, questionAt, headerBytes] = [0, 8, 12, 13, 17, 21, 25];

class DecisionBlock {
  readonly #bytes: Buffer;
  #length = 0;
  /** Where each decision begins, of those before `#indexed`. */
  readonly #index = new Map<string, number>();
  #indexed = 0;

  constructor(size: number) {
    this.#bytes = Buffer.alloc(size);
  }

  /** Returns false if there is no room. */
  add({ keyId, requestId, question, omittedFacts, allowed, timeMs }: Decision): boolean {
    const start = this.#length;
    const bytesMax = headerBytes + utf8BytesMax * (keyId.length + requestId.length + question.length);
    if (start + bytesMax > this.#bytes.length) return false;
    const keyBytes = this.#bytes.write(keyId, start + headerBytes);
    const requestBytes = this.#bytes.write(requestId, start + headerBytes + keyBytes);
    const questionStart = start + headerBytes + keyBytes + requestBytes;
    const questionBytes = this.#bytes.write(question, questionStart);
    this.#bytes.writeDoubleLE(timeMs, start + timeAt);
    this.#bytes.writeUInt32LE(omittedFacts, start + omittedAt);
    this.#bytes.writeUInt8(allowed ? 1 : 0, start + allowedAt);
    this.#bytes.writeUInt32LE(keyBytes, start + keyAt);
    this.#bytes.writeUInt32LE(requestBytes, start + requestAt);
    this.#bytes.writeUInt32LE(questionBytes, start + questionAt);
    this.#length = questionStart + questionBytes;
    return true;
  }

  find(keyId: string, requestId: string): Decision | undefined {
    while (this.#indexed < this.#length) {
      const { decision, end } = this.#read(this.#indexed);
      this.#index.set(indexKey(decision.keyId, decision.requestId), this.#indexed);
      this.#indexed = end;
    }
    const start = this.#index.get(indexKey(keyId, requestId));
    return start === undefined ? undefined : this.#read(start).decision;
  }

  clear(): void {
    this.#length = 0;
    this.#indexed = 0;
    this.#index.clear();
  }

  #read(start: number): { readonly decision: Decision; readonly end: number } {
    const bytes = this.#bytes;
    let end = start + headerBytes;
    const text = (lengthAt: number): string => {
      const from = end;
      end += bytes.readUInt32LE(start + lengthAt);
      return bytes.toString("utf8", from, end);
    };
    const decision = {
      keyId: text(keyAt),
      requestId: text(requestAt),
      question: text(questionAt),
      omittedFacts: bytes.readUInt32LE(start + omittedAt),
      allowed: bytes.readUInt8(start + allowedAt) === 1,
      timeMs: bytes.readDoubleLE(start + timeAt),
    };
    return { decision, end };
  }
}

/** A UTF-16 unit has at most three bytes in UTF-8. */
const utf8BytesMax = 3;

/** A key id has no space. */
function indexKey(keyId: string, requestId: string): string {
  return `${keyId} ${requestId}`;
}
