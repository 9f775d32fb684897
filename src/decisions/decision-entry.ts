/**
 * Decisions as bytes: the form in which the serving thread keeps the recent ones and hands them to the thread that writes
 * the log. Encoding is a part of each request, so it makes no objects; strings that repeat are numbers of a table.
 */
import type { AnswerVersion, DecisionKind, ListResult } from "../engine/request/questions.ts";

/** The kinds of logged decisions, by their number in the file: only append to the list. */
export const decisionKinds = [
  "authorize",
  "authorize_resources",
  "list",
  "list_actors",
  "actions",
  "bulk_actions",
  "query",
  "evaluate_query",
  "authorize_query",
  "list_query",
  "actions_query",
  "evaluate_query_local",
] as const;

export type LoggedKind = (typeof decisionKinds)[number];

/** The kind under which a question of the engine is logged. */
export const kindOfQuestion: Readonly<Record<DecisionKind, LoggedKind>> = {
  authorize: "authorize",
  authorizeResources: "authorize_resources",
  list: "list",
  listing: "list",
  actorListing: "list_actors",
  actions: "actions",
  bulkActions: "bulk_actions",
  queryPattern: "query",
  query: "evaluate_query",
  authorizeLocal: "authorize_query",
  listLocal: "list_query",
  actionsLocal: "actions_query",
  queryLocal: "evaluate_query_local",
};

/** A decision as the serving thread knows it. */
export interface Decision {
  readonly kind: LoggedKind;
  /** The id of the API key that asked. Clients choose request ids, so only both together name a decision. */
  readonly keyId: string;
  readonly requestId: string;
  /** 32 hexadecimal digits; null if the trace is not sampled. */
  readonly traceId: string | null;
  /** The body of the request, or the question of the engine as JSON. */
  readonly question: string;
  readonly isBody: boolean;
  /** Only of `authorize`. */
  readonly allowed: boolean;
  /** Undefined for `authorize`. */
  readonly result: ListResult | undefined;
  readonly version: AnswerVersion;
  /** When it was answered, in ms since 1970. */
  readonly timeMs: number;
  readonly durationUs: number;
}

/** A decision that was decoded. */
export interface DecodedDecision extends Decision {
  /** Whether the setting selects it for the log. */
  readonly isSelected: boolean;
  /** Orders the decisions of all threads (`decision-order.ts`); 0 with one thread. */
  readonly number: number;
}

/** The strings of one block that repeat: ids of API keys, and epochs. */
export class NameTable {
  readonly names: string[] = [];
  readonly #numbers = new Map<string, number>();
  #last = "";
  #lastNumber = -1;

  numberOf(name: string): number {
    if (name === this.#last && this.#lastNumber >= 0) return this.#lastNumber;
    let number = this.#numbers.get(name);
    if (number === undefined) {
      number = this.names.push(name) - 1;
      this.#numbers.set(name, number);
    }
    this.#last = name;
    return (this.#lastNumber = number);
  }

  get isFull(): boolean {
    return this.names.length >= namesMax;
  }
}

/** The number of a name has 16 bits. */
const namesMax = 60_000;

const [allowedFlag, cachedFlag, selectedFlag, bodyFlag, resultFlag, traceFlag] = [1, 2, 4, 8, 16, 32];

/** Where the fields of the header begin. */
const at = {
  length: 0,
  kind: 4,
  flags: 5,
  key: 6,
  epoch: 8,
  requestBytes: 10,
  questionBytes: 12,
  time: 16,
  clock: 24,
  offset: 32,
  policy: 40,
  duration: 48,
  count: 52,
  digest: 56,
  trace: 72,
  number: 88,
} as const;
const headerBytes = 92;

/** A UTF-16 unit has at most three bytes in UTF-8. */
const utf8BytesMax = 3;

/** Writes and reads decisions in one block of memory. */
export class EntryBlock {
  readonly #bytes: Buffer;
  readonly #view: DataView;
  #names = new NameTable();
  #length = 0;

  constructor(size: number) {
    this.#bytes = Buffer.alloc(size);
    this.#view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset, size);
  }

  get length(): number {
    return this.#length;
  }

  get names(): readonly string[] {
    return this.#names.names;
  }

  /** Adds a decision; returns false if there is no room. `number` is that of `decision-order.ts`. */
  add(decision: Decision, isSelected: boolean, number = 0): boolean {
    const { kind, requestId, traceId, question, result, version } = decision;
    const start = this.#length;
    const bytesMax = headerBytes + utf8BytesMax * (requestId.length + question.length);
    if (start + bytesMax > this.#bytes.length || this.#names.isFull) return false;
    const requestStart = start + headerBytes;
    const requestBytes = this.#bytes.write(requestId, requestStart);
    const questionBytes = this.#bytes.write(question, requestStart + requestBytes);
    const view = this.#view;
    view.setUint8(start + at.kind, kind === "authorize" ? 0 : decisionKinds.indexOf(kind));
    view.setUint8(
      start + at.flags,
      (decision.allowed ? allowedFlag : 0) |
        (version.isCached ? cachedFlag : 0) |
        (isSelected ? selectedFlag : 0) |
        (decision.isBody ? bodyFlag : 0) |
        (result === undefined ? 0 : resultFlag) |
        (traceId === null ? 0 : traceFlag),
    );
    view.setUint16(start + at.key, this.#names.numberOf(decision.keyId), true);
    view.setUint16(start + at.epoch, this.#names.numberOf(version.epoch), true);
    view.setUint16(start + at.requestBytes, requestBytes, true);
    view.setUint32(start + at.questionBytes, questionBytes, true);
    view.setFloat64(start + at.time, decision.timeMs, true);
    view.setFloat64(start + at.clock, version.clock, true);
    view.setFloat64(start + at.offset, version.offset, true);
    view.setFloat64(start + at.policy, version.policyId, true);
    view.setUint32(start + at.duration, Math.min(decision.durationUs, 0xffff_ffff), true);
    if (result !== undefined) {
      view.setUint32(start + at.count, result.count, true);
      this.#bytes.set(result.digest, start + at.digest);
    }
    if (traceId !== null) this.#bytes.write(traceId, start + at.trace, "hex");
    view.setInt32(start + at.number, number, true);
    this.#length = requestStart + requestBytes + questionBytes;
    view.setUint32(start + at.length, this.#length - start, true);
    return true;
  }

  /** Adds the entry at `start` of a copy of another block; returns false if there is no room. */
  addCopied({ bytes, view, names }: CopiedEntries, start: number): boolean {
    const size = view.getUint32(start + at.length, true);
    if (this.#length + size > this.#bytes.length || this.#names.isFull) return false;
    this.#bytes.set(bytes.subarray(start, start + size), this.#length);
    for (const field of [at.key, at.epoch]) {
      const name = names[view.getUint16(start + field, true)] ?? "";
      this.#view.setUint16(this.#length + field, this.#names.numberOf(name), true);
    }
    this.#length += size;
    return true;
  }

  /** A copy of the entries from `start` on. */
  copyFrom(start: number): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.#bytes.subarray(start, this.#length));
  }

  /** What names the entry at `start`, and where it ends. */
  nameAt(start: number): EntryName {
    return nameAt(this.#bytes, this.#view, start, this.names);
  }

  decode(start: number): DecodedDecision {
    return decodeAt(this.#bytes, this.#view, start, this.names);
  }

  clear(): void {
    this.#length = 0;
    this.#names = new NameTable();
  }
}

/** What names an entry, and where it ends. */
interface EntryName extends Pick<Decision, "keyId" | "requestId"> {
  readonly isAuthorize: boolean;
  readonly end: number;
}

function nameAt(bytes: Buffer, view: DataView, start: number, names: readonly string[]): EntryName {
  const requestBytes = view.getUint16(start + at.requestBytes, true);
  return {
    isAuthorize: view.getUint8(start + at.kind) === 0,
    keyId: names[view.getUint16(start + at.key, true)] ?? "",
    requestId: bytes.toString("utf8", start + headerBytes, start + headerBytes + requestBytes),
    end: start + view.getUint32(start + at.length, true),
  };
}

/** A copy of entries of a block, for another thread. */
export class CopiedEntries {
  readonly bytes: Buffer;
  readonly view: DataView;
  readonly names: readonly string[];

  constructor(copied: Uint8Array, names: readonly string[]) {
    this.bytes = Buffer.from(copied.buffer, copied.byteOffset, copied.byteLength);
    this.view = new DataView(copied.buffer, copied.byteOffset, copied.byteLength);
    this.names = names;
  }

  get length(): number {
    return this.bytes.length;
  }

  decode(start: number): DecodedDecision {
    return decodeAt(this.bytes, this.view, start, this.names);
  }

  /** Where each entry begins, whether it is selected for the log, and its number. */
  *entries(): Generator<{ readonly start: number; readonly isSelected: boolean; readonly number: number }, undefined> {
    for (let start = 0; start < this.bytes.length; start += this.view.getUint32(start + at.length, true)) {
      const isSelected = (this.view.getUint8(start + at.flags) & selectedFlag) !== 0;
      yield { start, isSelected, number: this.view.getInt32(start + at.number, true) };
    }
    return undefined;
  }

  nameAt(start: number): EntryName {
    return nameAt(this.bytes, this.view, start, this.names);
  }
}

/** The selected decisions in a copy of a block, one after another. */
export function* decodeEntries(copied: Uint8Array, names: readonly string[]): Generator<DecodedDecision, undefined> {
  const all = new CopiedEntries(copied, names);
  for (const { start, isSelected } of all.entries()) if (isSelected) yield decodeAt(all.bytes, all.view, start, names);
  return undefined;
}

function decodeAt(bytes: Buffer, view: DataView, start: number, names: readonly string[]): DecodedDecision {
  const flags = view.getUint8(start + at.flags);
  const requestEnd = start + headerBytes + view.getUint16(start + at.requestBytes, true);
  const has = (flag: number): boolean => (flags & flag) !== 0;
  return {
    kind: decisionKinds[view.getUint8(start + at.kind)] ?? "authorize",
    keyId: names[view.getUint16(start + at.key, true)] ?? "",
    requestId: bytes.toString("utf8", start + headerBytes, requestEnd),
    traceId: has(traceFlag) ? bytes.toString("hex", start + at.trace, start + at.trace + 16) : null,
    question: bytes.toString("utf8", requestEnd, requestEnd + view.getUint32(start + at.questionBytes, true)),
    isBody: has(bodyFlag),
    allowed: has(allowedFlag),
    result: has(resultFlag)
      ? {
          count: view.getUint32(start + at.count, true),
          digest: new Uint8Array(bytes.subarray(start + at.digest, start + at.digest + 16)),
        }
      : undefined,
    version: {
      epoch: names[view.getUint16(start + at.epoch, true)] ?? "",
      offset: view.getFloat64(start + at.offset, true),
      policyId: view.getFloat64(start + at.policy, true),
      clock: view.getFloat64(start + at.clock, true),
      isCached: has(cachedFlag),
    },
    timeMs: view.getFloat64(start + at.time, true),
    durationUs: view.getUint32(start + at.duration, true),
    isSelected: has(selectedFlag),
    number: view.getInt32(start + at.number, true),
  };
}

/** Whether a number of `decision-order.ts` is earlier than another one. They have 32 bits and begin again. */
export function isBefore(number: number, other: number): boolean {
  return ((number - other) | 0) < 0;
}
