/**
 * Clients that write, as described in `history.ts`: each has one register and waits for each answer. They send with
 * `redundantFetch`, and repeat writes that were refused or got no answer, as the official client does. (They do not use
 * that client, because it does not report the result of each send.)
 */
import * as Bun from "bun";
import { redundantFetch, type FetchBuilder } from "../../src/client/redundant-fetch.ts";
import { pick, random, type Random } from "../../scripts/benchmark/random.ts";
import { must } from "../../src/util/assert.ts";
import { positionOf, type Position, type Write } from "./history.ts";
import { groups } from "./register-policy.ts";

export interface WriterCounts {
  acknowledged: number;
  /** Sends that certainly were not done. */
  refused: number;
  /** Sends with an unknown result. */
  unanswered: number;
}

/** A register as a reader may know it: the last acknowledged version. */
export interface AcknowledgedWrite {
  readonly register: string;
  readonly group: string;
  readonly version: number;
  readonly token: string | undefined;
}

export interface WritersOptions {
  /** Nodes that accept writes. Each writer begins with another one. */
  readonly urls: readonly string[];
  readonly key: string;
  readonly seed: number;
  readonly writesPerSecond: number;
  /** Called with the status and the text of each answer that does not acknowledge a write. */
  readonly onRefused?: (answer: string) => void;
}

export type Sent = "refused" | "unanswered" | { readonly token: string };

const writerCount = 24;
const timeoutMs = 4000;
const arrearsMsMax = 5000;
const [againAfterMsMin, againAfterMsMax] = [20, 500];

export class Writers {
  readonly writes: Write[] = [];
  readonly counts: WriterCounts = { acknowledged: 0, refused: 0, unanswered: 0 };
  readonly #options: WritersOptions;
  readonly #next: Random;
  readonly #known: AcknowledgedWrite[] = [];
  readonly #builders: readonly FetchBuilder[];
  #registers = 0;
  #newest: string | undefined;
  #isStopped = false;
  #giveUpMs = Infinity;
  #running: Promise<void> | undefined;

  constructor(options: WritersOptions) {
    this.#options = options;
    this.#next = random(options.seed);
    const { urls } = options;
    this.#builders = urls.map((_, first) =>
      redundantFetch([...urls.slice(first), ...urls.slice(0, first)], { timeoutMs }),
    );
  }

  start(): void {
    for (let index = 0; index < writerCount; index++) this.#known.push(this.#newRegister(groupOf(index)));
    this.#running = Promise.all(Array.from({ length: writerCount }, (_, index) => this.#writeOn(index))).then(
      () => undefined,
    );
  }

  /** Starts no more writes. Pending writes are repeated until they are answered, for at most this time. */
  async stop(withinMs: number): Promise<void> {
    this.#isStopped = true;
    this.#giveUpMs = performance.now() + withinMs;
    await this.#running;
  }

  /** One of the registers that are being written. */
  known(next: Random): AcknowledgedWrite {
    return pick(next, this.#known);
  }

  /** The token of the last acknowledged write of any writer. */
  get newest(): string | undefined {
    return this.#newest;
  }

  async #writeOn(index: number): Promise<void> {
    const group = groupOf(index);
    const fetchFrom = must(this.#builders[index % this.#builders.length])(fetch);
    const pauseMs = (writerCount / this.#options.writesPerSecond) * 1000;
    let nextMs = performance.now() + this.#next() * pauseMs;
    while (!this.#isStopped) {
      await Bun.sleep(Math.max(0, nextMs - performance.now()));
      // A part of the writes that were late is made up for.
      nextMs = Math.max(nextMs + 2 * this.#next() * pauseMs, performance.now() - arrearsMsMax);
      const { register, version } = must(this.#known[index]);
      const write = await this.#write(fetchFrom, register, group, version + 1);
      if (write === undefined) continue;
      this.writes.push({ ...write, token: write.token === undefined ? undefined : positionOf(write.token) });
      const goesOn = write.sends === 1 && write.token !== undefined;
      this.#known[index] = goesOn
        ? { register, group, version: version + 1, token: write.token }
        : this.#newRegister(group);
    }
  }

  #newRegister(group: string): AcknowledgedWrite {
    return { register: `r${this.#registers++}`, group, version: 0, token: undefined };
  }

  /** Undefined if it certainly was not done. */
  async #write(fetchFrom: ReturnType<FetchBuilder>, register: string, group: string, version: number) {
    const body = JSON.stringify(changesTo(register, group, version));
    const startMs = performance.now();
    let sends = 0;
    let sentMs = startMs;
    for (let againAfterMs = againAfterMsMin; ; againAfterMs = Math.min(2 * againAfterMs, againAfterMsMax)) {
      const attemptMs = performance.now();
      const sent = await this.#send(fetchFrom, body);
      if (sent !== "refused") sends++;
      if (sent !== "refused") sentMs = attemptMs;
      const begun = { register, group, version, startMs, sentMs, sends };
      if (typeof sent === "object") {
        this.counts.acknowledged++;
        this.#newest = newer(this.#newest, sent.token);
        return { ...begun, endMs: performance.now(), token: sent.token };
      }
      this.counts[sent]++;
      if (performance.now() > this.#giveUpMs)
        return sends === 0 ? undefined : { ...begun, endMs: Infinity, token: undefined };
      await Bun.sleep(againAfterMs);
    }
  }

  async #send(fetchFrom: ReturnType<FetchBuilder>, body: string): Promise<Sent> {
    const { key, onRefused } = this.#options;
    return sendWrite("http://cluster", key, body, { fetch: fetchFrom, onRefused });
  }
}

interface SendOptions {
  readonly fetch?: ReturnType<FetchBuilder>;
  readonly timeoutMs?: number;
  readonly onRefused?: ((answer: string) => void) | undefined;
}

/** Sends a write once. Throws if it was refused for good. */
export async function sendWrite(url: string, key: string, body: string, options: SendOptions = {}): Promise<Sent> {
  const { fetch: send = fetch, timeoutMs: limitMs, onRefused } = options;
  let refusal: string;
  try {
    const answer = await send(`${url}/api/batch`, {
      method: "POST",
      headers: { Authorization: `Bearer ${key}` },
      body,
      ...(limitMs === undefined ? {} : { signal: AbortSignal.timeout(limitMs) }),
    });
    const token = answer.headers.get("OsoOffset");
    if (answer.ok && token !== null) return { token };
    const text = await answer.text();
    refusal = `${answer.status} ${text.slice(0, 200)}`;
    onRefused?.(refusal);
    if (answer.status >= 500 || answer.status === 429)
      return answer.status === 429 || isNotDone(text) ? "refused" : "unanswered";
  } catch (error) {
    return isNotDone(String(error)) ? "refused" : "unanswered";
  }
  throw new Error(`a write was refused for good: ${refusal}`);
}

const groupOf = (index: number): string => groups[index % groups.length] ?? "g0";

/** An edge without its primary and `redundantFetch` both say so if they know. */
const isNotDone = (text: string): boolean => text.includes("nothing was written");

export function changesTo(register: string, group: string, version: number): unknown[] {
  const inserts = [{ inserts: [factOf(register, group, version)] }];
  return version === 1 ? inserts : [{ deletes: [factOf(register, group, version - 1)] }, ...inserts];
}

function factOf(register: string, group: string, version: number) {
  const args = [
    { type: "User", id: String(version) },
    { type: "String", id: group },
    { type: "Register", id: register },
  ];
  return { predicate: "has_role", args };
}

function newer(known: string | undefined, token: string): string {
  const offsetOf = (one: string): Position["offset"] => positionOf(one).offset;
  return known === undefined || offsetOf(token) > offsetOf(known) ? token : known;
}
