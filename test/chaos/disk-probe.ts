/**
 * Continuously sends requests to a node whose disk fails, and only to this node: reads must be answered, writes must be
 * done or refused with 503, and the node must report the problem. Afterwards it waits until the node accepts writes
 * again.
 */
import * as Bun from "bun";
import { random, type Random } from "../../scripts/benchmark/random.ts";
import type { NodeName } from "./cluster-plan.ts";
import type { Readers } from "./readers.ts";
import type { Writers } from "../harness/writers.ts";

export interface DiskFigures {
  readsAnswered: number;
  readsRefused: number;
  writesAcknowledged: number;
  writesRefused: number;
  /** The longest time until a primary accepted writes after its disk had recovered. */
  writableAfterMs: number;
  /** Each one is a failure of the run. */
  readonly failures: string[];
}

export const noDiskFigures = (): DiskFigures => ({
  readsAnswered: 0,
  readsRefused: 0,
  writesAcknowledged: 0,
  writesRefused: 0,
  writableAfterMs: 0,
  failures: [],
});

export interface DiskProbeOptions {
  readonly node: NodeName;
  readonly url: string;
  readonly key: string;
  readonly readers: Readers;
  readonly writers: Writers;
  readonly figures: DiskFigures;
  /** Whether the node may report that it cannot read. */
  readonly mayRefuseReads: boolean;
}

const pauseMs = 50;
const timeoutMs = 3000;
const writableWithinMs = 15_000;

export class DiskProbe {
  readonly #options: DiskProbeOptions;
  readonly #next: Random;
  #isEnded = false;
  #writes = 0;
  #running: Promise<unknown> = Promise.resolve();

  constructor(options: DiskProbeOptions) {
    this.#options = options;
    this.#next = random(Math.round(performance.now()));
  }

  start(): void {
    const loops = [this.#repeat(() => this.#read())];
    if (this.#options.node === "primary") loops.push(this.#repeat(() => this.#write()));
    this.#running = Promise.all(loops);
  }

  async stop(): Promise<void> {
    this.#isEnded = true;
    await this.#running;
  }

  /** A node that cannot commit must report it for load balancers and operators. */
  async requireReported(fault: string): Promise<void> {
    const ready = await this.#call("GET", "/readyz").catch(() => undefined);
    const metrics = await this.#call("GET", "/metrics").catch(() => undefined);
    if (ready === undefined || metrics === undefined) return this.#fail(`does not answer during: ${fault}`);
    if (ready.status !== 503) this.#fail(`/readyz says ${ready.status} during: ${fault}`);
    if (!/^ostiary_storage_ok(?:\{.*\})? 0$/m.test(metrics.body)) this.#fail(`no metric tells of: ${fault}`);
  }

  async requireWritable(fault: string): Promise<void> {
    const { figures } = this.#options;
    const startMs = performance.now();
    for (; performance.now() - startMs < writableWithinMs; await Bun.sleep(pauseMs))
      if ((await this.#write()) === 200) {
        figures.writableAfterMs = Math.max(figures.writableAfterMs, performance.now() - startMs);
        return;
      }
    this.#fail(`accepts no writes ${writableWithinMs} ms after the end of: ${fault}`);
  }

  async #repeat(body: () => Promise<unknown>): Promise<void> {
    while (!this.#isEnded) {
      await body();
      await Bun.sleep(pauseMs);
    }
  }

  /** Checked against the history like all other reads. */
  async #read(): Promise<void> {
    const { node, readers, writers, figures } = this.#options;
    const { register, version } = writers.known(this.#next);
    const question = {
      actor_type: "User",
      actor_id: String(version),
      action: "read",
      resource_type: "Register",
      resource_id: register,
    };
    const startMs = performance.now();
    try {
      const { status, body } = await this.#call("POST", "/api/authorize", question);
      if (status === 503 && this.#options.mayRefuseReads) return void figures.readsRefused++;
      if (status !== 200) return this.#fail(`answers a read with ${status} ${body}`);
      figures.readsAnswered++;
      const { allowed } = JSON.parse(body) as { readonly allowed: boolean };
      const answer = { kind: "has", register, version, has: allowed } as const;
      const times = { startMs, endMs: performance.now() };
      readers.reads.push({ ...times, node, mayBeOld: node === "fallback", token: undefined, answer });
    } catch (error) {
      this.#fail(`does not answer a read: ${String(error)}`);
    }
  }

  /** Writes a fact that belongs to no register. Returns the status of the response. */
  async #write(): Promise<number | undefined> {
    const { figures } = this.#options;
    const args = [{ type: "User", id: String(this.#writes++) }];
    const startMs = performance.now();
    try {
      const changes = [{ inserts: [{ predicate: "probe", args }] }];
      const { status, body } = await this.#call("POST", "/api/batch", changes);
      if (status === 200) figures.writesAcknowledged++;
      else if (status === 503) figures.writesRefused++;
      else this.#fail(`answers a write with ${status} ${body}`);
      return status;
    } catch (error) {
      this.#fail(`does not answer a write for ${Math.round(performance.now() - startMs)} ms: ${String(error)}`);
      return undefined;
    }
  }

  async #call(method: "GET" | "POST", path: string, body?: unknown) {
    const response = await fetch(`${this.#options.url}${path}`, {
      method,
      headers: { Authorization: `Bearer ${this.#options.key}` },
      signal: AbortSignal.timeout(timeoutMs),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: response.status, body: await response.text() };
  }

  #fail(what: string): void {
    this.#options.figures.failures.push(`${this.#options.node} ${what}`);
  }
}
