/**
 * A client that continuously checks whether writes are possible: it sends a write to one node after the other, without
 * waiting for the answers. Each is the only write of a register of its own, so that the checker treats it like the
 * others.
 */
import { positionOf, type Write } from "../harness/history.ts";
import { probeGroup } from "../harness/register-policy.ts";
import { changesTo, sendWrite } from "../harness/writers.ts";

const everyMs = 200;
/** The time that a hanging node may take; none of the others waits for it. */
const timeoutMs = 8000;

export class Prober {
  readonly writes: Write[] = [];
  readonly #urls: readonly string[];
  readonly #key: string;
  readonly #running = new Set<Promise<void>>();
  #count = 0;
  #timer: ReturnType<typeof setInterval> | undefined;

  /** The nodes that accept writes. */
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
    const url = this.#urls[number % this.#urls.length] ?? "";
    const startMs = performance.now();
    const body = JSON.stringify(changesTo(register, probeGroup, 1));
    const sent = await sendWrite(url, this.#key, body, { timeoutMs }).catch(() => "unanswered" as const);
    if (sent === "refused") return;
    const begun = { register, group: probeGroup, version: 1, startMs, sentMs: startMs, sends: 1 };
    if (sent === "unanswered") this.writes.push({ ...begun, endMs: Infinity, token: undefined });
    else this.writes.push({ ...begun, endMs: performance.now(), token: positionOf(sent.token) });
  }
}
