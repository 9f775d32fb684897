/**
 * A client that tries all the time whether writes are possible: a write to one node after the other, without waiting for the answers. Each is the first and
 * only one of a register of its own, so that it is held against the history like the others.
 */
import { positionOf, type Write } from "./history.ts";
import { probeGroup } from "./policy.ts";
import { changesTo, isNotDone } from "./writers.ts";

const everyMs = 200;
/** What a node that hangs may take: none of the others waits for it. */
const timeoutMs = 8000;

export class Prober {
  readonly writes: Write[] = [];
  readonly #urls: readonly string[];
  readonly #key: string;
  readonly #running = new Set<Promise<void>>();
  #count = 0;
  #timer: ReturnType<typeof setInterval> | undefined;

  /** Of all nodes that take writes. */
  constructor(urls: readonly string[], key: string) {
    this.#urls = urls;
    this.#key = key;
  }

  start(): void {
    this.#timer = setInterval(() => {
      const probe = this.#probe(this.#count++).finally(() => this.#running.delete(probe));
      this.#running.add(probe);
    }, everyMs);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#running);
  }

  async #probe(number: number): Promise<void> {
    const register = `probe${number}`;
    const startMs = performance.now();
    const token = await this.#send(this.#urls[number % this.#urls.length] ?? "", register);
    if (token === "not done") return;
    const begun = { register, group: probeGroup, version: 1, startMs, sentMs: startMs, sends: 1 };
    if (token === undefined) this.writes.push({ ...begun, endMs: Infinity, token });
    else this.writes.push({ ...begun, endMs: performance.now(), token: positionOf(token) });
  }

  /** The token; undefined where it was done or not. */
  async #send(url: string, register: string): Promise<string | undefined> {
    try {
      const response = await fetch(`${url}/api/batch`, {
        method: "POST",
        headers: { Authorization: `Bearer ${this.#key}` },
        body: JSON.stringify(changesTo(register, probeGroup, 1)),
        signal: AbortSignal.timeout(timeoutMs),
      });
      const text = await response.text();
      const token = response.headers.get("OsoOffset");
      if (response.ok && token !== null) return token;
      return isNotDone(text) ? "not done" : undefined;
    } catch {
      return undefined;
    }
  }
}
