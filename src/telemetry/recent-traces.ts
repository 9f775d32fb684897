/**
 * The last traces of this process, in memory, so that they can be read without a collector. Each environment sees only
 * its own spans. Memory is bounded: the oldest traces are dropped, first those of the environment that has most of them.
 */

export const spanKinds = ["internal", "server", "client", "producer", "consumer"] as const;

export interface RecentSpan {
  readonly id: string;
  /** Null at the root; the parent can be a span of another node, or of the caller. */
  readonly parent: string | null;
  readonly name: string;
  readonly kind: (typeof spanKinds)[number];
  /** Microseconds since 1970. */
  readonly start_us: number;
  readonly duration_us: number;
  readonly failed: boolean;
  readonly attributes: Readonly<Record<string, string | number | boolean>>;
}

export interface RecentTrace {
  readonly id: string;
  readonly spans: readonly RecentSpan[];
}

export interface RecentTracesLimits {
  readonly traceBufferTracesMax: number;
  readonly traceBufferBytesMax: number;
}

interface StoredTrace extends RecentTrace {
  readonly environment: string | undefined;
  readonly spans: RecentSpan[];
  bytes: number;
}

/** Later spans of a longer trace are dropped. */
export const spansPerTraceMax = 200;
const textLengthMax = 256;
/** What a span takes besides its text, as measured with a heap snapshot, rounded up. */
const spanBytes = 400;

export class RecentTraces {
  /** By environment and id, oldest first. */
  readonly #traces = new Map<string, StoredTrace>();
  readonly #perEnvironment = new Map<string | undefined, number>();
  #limits: RecentTracesLimits = { traceBufferTracesMax: 0, traceBufferBytesMax: 0 };
  #bytes = 0;

  /** It keeps nothing before. */
  configure(limits: RecentTracesLimits): void {
    this.#limits = limits;
    this.#trim();
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** `environment` is the hosted environment of the span; undefined for the default one. */
  add(environment: string | undefined, id: string, span: RecentSpan): void {
    const key = keyOf(environment, id);
    let trace = this.#traces.get(key);
    if (trace === undefined) {
      trace = { id, environment, spans: [], bytes: 0 };
      this.#traces.set(key, trace);
      this.#perEnvironment.set(environment, (this.#perEnvironment.get(environment) ?? 0) + 1);
    }
    if (trace.spans.length >= spansPerTraceMax) return;
    const kept = { ...span, attributes: clipped(span.attributes) };
    const bytes = spanBytes + 2 * JSON.stringify(kept.attributes).length;
    trace.spans.push(kept);
    trace.bytes += bytes;
    this.#bytes += bytes;
    this.#trim();
  }

  /** The traces of an environment, newest first. */
  list(environment: string | undefined): RecentTrace[] {
    const own = [...this.#traces.values()].filter((trace) => trace.environment === environment);
    return own.toReversed();
  }

  /** The spans of a trace in an environment; none if this process has none. */
  spans(environment: string | undefined, id: string): readonly RecentSpan[] {
    return this.#traces.get(keyOf(environment, id))?.spans ?? [];
  }

  #trim(): void {
    const { traceBufferTracesMax, traceBufferBytesMax } = this.#limits;
    while (this.#traces.size > traceBufferTracesMax || this.#bytes > traceBufferBytesMax) {
      const fullest = this.#fullest();
      for (const [key, { environment, bytes }] of this.#traces) {
        if (environment !== fullest) continue;
        this.#traces.delete(key);
        this.#bytes -= bytes;
        const left = (this.#perEnvironment.get(environment) ?? 1) - 1;
        if (left === 0) this.#perEnvironment.delete(environment);
        else this.#perEnvironment.set(environment, left);
        break;
      }
    }
  }

  #fullest(): string | undefined {
    let [fullest, most]: [string | undefined, number] = [undefined, 0];
    for (const [environment, count] of this.#perEnvironment) if (count > most) [fullest, most] = [environment, count];
    return fullest;
  }
}

/** The traces of this process. */
export const recentTraces = new RecentTraces();

function keyOf(environment: string | undefined, id: string): string {
  return `${environment ?? ""} ${id}`;
}

function clipped(attributes: RecentSpan["attributes"]): RecentSpan["attributes"] {
  return Object.fromEntries(
    Object.entries(attributes).map(([name, value]) => [
      name,
      typeof value === "string" ? value.slice(0, textLengthMax) : value,
    ]),
  );
}
