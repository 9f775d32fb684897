/**
 * Counters and histograms for the metrics of every request, in the form that the registry of prom-client renders. The
 * ones of prom-client look up a string of all labels: three of them take 5 µs per request on a busy core. These look up
 * one label value after the other.
 */
import type { Metric, Registry } from "prom-client";

type LabelValue = string | number;
export type Labels<Label extends string> = Readonly<Record<Label, LabelValue>>;

interface Sample {
  readonly metricName?: string;
  readonly labels: Readonly<Record<string, LabelValue>>;
  readonly value: number;
}

interface MetricDescription {
  readonly name: string;
  readonly help: string;
}

/** A counter with labels. */
export class LabelledCounter<Label extends string> {
  readonly type = "counter";
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly Label[];
  readonly #series: SeriesSet<Label, { count: number }>;

  constructor({ name, help }: MetricDescription, labelNames: readonly Label[], registry: Registry) {
    this.name = name;
    this.help = help;
    this.labelNames = labelNames;
    this.#series = new SeriesSet(labelNames, () => ({ count: 0 }));
    register(registry, this);
  }

  inc(labels: Labels<Label>, by = 1): void {
    this.#series.at(labels).count += by;
  }

  /** The registry calls this at each scrape. */
  get(): Promise<MetricDescription & { readonly values: readonly Sample[] }> {
    const values = this.#series.all().map(({ labels, value: { count } }) => ({ labels, value: count }));
    return Promise.resolve({ ...this, values });
  }
}

/** A histogram with labels. */
export class LabelledHistogram<Label extends string> {
  readonly type = "histogram";
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly Label[];
  readonly #bounds: readonly number[];
  /** `counts` has an entry for each bucket; the last one is for values above all bounds. */
  readonly #series: SeriesSet<Label, { readonly counts: number[]; sum: number }>;

  /** `bounds` are the upper bounds of the buckets, in ascending order. */
  constructor(
    { name, help }: MetricDescription,
    labelNames: readonly Label[],
    bounds: readonly number[],
    registry: Registry,
  ) {
    this.name = name;
    this.help = help;
    this.labelNames = labelNames;
    this.#bounds = bounds;
    this.#series = new SeriesSet(labelNames, () => ({ counts: new Array<number>(bounds.length + 1).fill(0), sum: 0 }));
    register(registry, this);
  }

  observe(labels: Labels<Label>, value: number): void {
    const series = this.#series.at(labels);
    let index = 0;
    while (index < this.#bounds.length && value > (this.#bounds[index] ?? 0)) index++;
    series.counts[index] = (series.counts[index] ?? 0) + 1;
    series.sum += value;
  }

  /** The registry calls this at each scrape. */
  get(): Promise<MetricDescription & { readonly values: readonly Sample[] }> {
    const values = this.#series.all().flatMap(({ labels, value: { counts, sum } }): Sample[] => {
      let count = 0;
      const buckets = [...this.#bounds, "+Inf"].map((le, index) => ({
        metricName: `${this.name}_bucket`,
        labels: { le, ...labels },
        value: (count += counts[index] ?? 0),
      }));
      const [total, number] = [`${this.name}_sum`, `${this.name}_count`];
      return [...buckets, { metricName: total, labels, value: sum }, { metricName: number, labels, value: count }];
    });
    return Promise.resolve({ ...this, values });
  }
}

/** The registry accepts any object with a name and `get`, but its type requires a class of prom-client. */
function register(registry: Registry, metric: LabelledCounter<string> | LabelledHistogram<string>): void {
  registry.registerMetric(metric as unknown as Metric);
}

interface SeriesNode<Value> {
  readonly next: Map<LabelValue, SeriesNode<Value>>;
  value: Value | undefined;
}

/** The time series of a metric: one value for each combination of label values that occurred. */
class SeriesSet<Label extends string, Value> {
  readonly #names: readonly Label[];
  readonly #make: () => Value;
  readonly #root: SeriesNode<Value> = { next: new Map(), value: undefined };
  readonly #all: { readonly labels: Labels<Label>; readonly value: Value }[] = [];

  constructor(names: readonly Label[], make: () => Value) {
    this.#names = names;
    this.#make = make;
  }

  at(labels: Labels<Label>): Value {
    let node = this.#root;
    for (const name of this.#names) {
      let next = node.next.get(labels[name]);
      if (!next) node.next.set(labels[name], (next = { next: new Map(), value: undefined }));
      node = next;
    }
    return (node.value ??= this.#add(labels));
  }

  all(): readonly { readonly labels: Labels<Label>; readonly value: Value }[] {
    return this.#all;
  }

  #add(labels: Labels<Label>): Value {
    const value = this.#make();
    this.#all.push({ labels: { ...labels }, value });
    return value;
  }
}
