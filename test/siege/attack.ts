/** The tools and counters of an attack. Each attack runs in its own process with a low priority. */
import * as Bun from "bun";
import { below, pick, random, type Random } from "../../scripts/benchmark/random.ts";

export const nodeNames = ["primary", "edge", "fallback"] as const;
export type NodeName = (typeof nodeNames)[number];
export type Urls = Readonly<Record<NodeName, string>>;

/** The parameters of the process. */
export interface AttackPlan {
  /** A name in `attacks.ts`. */
  readonly attack: string;
  readonly urls: Urls;
  /** The address of the embedded broker. */
  readonly mqttPort: number;
  readonly keys: Keys;
  /** The soft limit of descriptors of each node. */
  readonly descriptorsMax: number;
  /** Data directories that are mounted file systems, by node. */
  readonly disks: Readonly<Partial<Record<NodeName, string>>>;
  readonly seed: number;
  readonly seconds: number;
  /** From 0 to 1: the share of the full number of connections, bodies and requests. */
  readonly scale: number;
  /** How many random requests to send; only for that attack. */
  readonly requests: number;
}

export interface Keys {
  readonly read: string;
  readonly write: string;
  readonly admin: string;
}

/** A response with status 500, which must never occur. */
export interface ServerError {
  readonly atMs: number;
  readonly node: string;
  /** The request, shortened. */
  readonly request: string;
  readonly body: string;
}

export interface AttackReport {
  /** How often each thing happened: statuses, connections, bytes. */
  readonly counts: Readonly<Record<string, number>>;
  readonly serverErrors: readonly ServerError[];
}

export class AttackContext {
  readonly plan: AttackPlan;
  readonly random: Random;
  /** Aborted when the time of the attack is over. */
  readonly signal: AbortSignal;
  readonly #startMs = performance.now();
  readonly #counts: Record<string, number> = {};
  readonly #serverErrors: ServerError[] = [];

  constructor(plan: AttackPlan) {
    this.plan = plan;
    this.random = random(plan.seed);
    this.signal = AbortSignal.timeout(plan.seconds * 1000);
  }

  get isOver(): boolean {
    return this.signal.aborted;
  }

  get report(): AttackReport {
    return { counts: this.#counts, serverErrors: this.#serverErrors };
  }

  get #leftMs(): number {
    return Math.max(0, this.plan.seconds * 1000 - (performance.now() - this.#startMs));
  }

  /** A share of a number, at least one. */
  scaled(full: number): number {
    return Math.max(1, Math.round(full * this.plan.scale));
  }

  url(name: NodeName): string {
    return this.plan.urls[name];
  }

  anyNode(): NodeName {
    return pick(this.random, nodeNames);
  }

  below(count: number): number {
    return below(this.random, count);
  }

  count(what: string, number = 1): void {
    this.#counts[what] = (this.#counts[what] ?? 0) + number;
  }

  /** Counts a response by its status. */
  answered(node: NodeName, request: string, status: number, body: string): void {
    this.count(String(status));
    if (status !== 500 || this.#serverErrors.length >= serverErrorsMax) return;
    this.#serverErrors.push({ atMs: Date.now(), node, request: request.slice(0, 300), body: body.slice(0, 200) });
  }

  /** Waits, at most until the end of the attack. */
  async pause(ms: number): Promise<void> {
    const endMs = performance.now() + ms;
    while (!this.isOver && performance.now() < endMs) await Bun.sleep(Math.min(50, endMs - performance.now()));
  }

  /** Sends a request with a conforming client, reads the whole response, and counts it. */
  async ask(node: NodeName, request: Asked): Promise<number | undefined> {
    const { method = "POST", path, key, body, headers, timeoutMs = 10_000 } = request;
    try {
      const answer = await fetch(this.url(node) + path, {
        method,
        headers: { ...(key === undefined ? {} : { Authorization: `Bearer ${key}` }), ...headers },
        ...(body === undefined ? {} : { body }),
        signal: AbortSignal.timeout(Math.min(timeoutMs, this.#leftMs + lastAnswersMs)),
      });
      const text = answer.status === 500 ? await answer.text() : "";
      if (text === "") await answer.arrayBuffer();
      this.answered(
        node,
        `${method} ${path} ${typeof body === "string" ? body.slice(0, 200) : ""}`,
        answer.status,
        text,
      );
      return answer.status;
    } catch (error) {
      this.count(error instanceof Error && error.name === "TimeoutError" ? "no answer in time" : "connection failed");
      return undefined;
    }
  }
}

export interface Asked {
  readonly method?: string;
  readonly path: string;
  readonly key?: string | undefined;
  readonly body?: string | Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
}

export type Attack = (context: AttackContext) => Promise<void>;

/** Repeats `step` with this concurrency until the attack is over. */
export async function repeatedly(context: AttackContext, abreast: number, step: () => Promise<unknown>): Promise<void> {
  const run = async (): Promise<void> => {
    while (!context.isOver) await step();
  };
  await Promise.all(Array.from({ length: abreast }, run));
}

const serverErrorsMax = 20;
/** How long to wait for a response after the end of an attack. */
const lastAnswersMs = 3000;
