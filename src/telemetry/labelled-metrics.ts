/**
 * Counters and histograms for the metrics of every request, in the form that the registry of prom-client renders. The
 * ones of prom-client look up a string of all labels: three of them take 5 µs per request on a busy core. These look up
 * one label value after the other.
 */
import type { Metric, Registry } from "prom-client";

type LabelValue = string | number;
type Labels<Label extends string> = Readonly<Record<Label, LabelValue>>;

interface Sample {
  readonly metricName?: string;
  readonly labels: Readonly<Record<string, LabelValue>>;
  readonly value: number;
}

interface SeriesNode<Series> {
  readonly next: Map<LabelValue, SeriesNode<Series>>;
  series: Series | undefined;
}

/** A metric with a time series for each combination of label values that occurred. */
abstract class LabelledMetric<Label extends string, Series> {
  abstract readonly type: string;
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly Label[];
  readonly #root: SeriesNode<Series> = { next: new Map(), series: undefined };
  readonly #all: { readonly labels: Labels<Label>; readonly series: Series }[] = [];

  constructor(registry: Registry, name: string, help: string, labelNames: readonly Label[]) {
    this.name = name;
    this.help = help;
    this.labelNames = labelNames;
    // The registry accepts any object with a name and `get`, but its type requires a class of prom-client.
    registry.registerMetric(this as unknown as Metric);
  }

  protected abstract newSeries(): Series;
  protected abstract samplesOf(labels: Labels<Label>, series: Series): Sample[];

  protected seriesOf(labels: Labels<Label>): Series {
    let node = this.#root;
    for (const name of this.labelNames) {
      let next = node.next.get(labels[name]);
      if (!next) node.next.set(labels[name], (next = { next: new Map(), series: undefined }));
      node = next;
    }
    return (node.series ??= this.#add(labels));
  }

  #add(labels: Labels<Label>): Series {
    const series = this.newSeries();
    this.#all.push({ labels: { ...labels }, series });
    return series;
  }

  /** The registry calls this at each scrape. */
  get() {
    const values = this.#all.flatMap(({ labels, series }) => this.samplesOf(labels, series));
    return Promise.resolve({ ...this, values });
  }
}

export class LabelledCounter<Label extends string> extends LabelledMetric<Label, { count: number }> {
  readonly type = "counter";

  inc(labels: Labels<Label>, by = 1): void {
    this.seriesOf(labels).count += by;
  }

  protected newSeries() {
    return { count: 0 };
  }

  protected samplesOf(labels: Labels<Label>, { count }: { readonly count: number }): Sample[] {
    return [{ labels, value: count }];
  }
}

/** `counts` has an entry for each bucket; the last one is for values above all bounds. */
interface Distribution {
  readonly counts: number[];
  sum: number;
}

export class LabelledHistogram<Label extends string> extends LabelledMetric<Label, Distribution> {
  readonly type = "histogram";
  readonly #bounds: readonly number[];

  /** `bounds` are the upper bounds of the buckets, in ascending order. */
  constructor(registry: Registry, name: string, help: string, bounds: readonly number[], labelNames: readonly Label[]) {
    super(registry, name, help, labelNames);
    this.#bounds = bounds;
  }

  observe(labels: Labels<Label>, value: number): void {
    const series = this.seriesOf(labels);
    let index = 0;
    while (index < this.#bounds.length && value > (this.#bounds[index] ?? 0)) index++;
    series.counts[index] = (series.counts[index] ?? 0) + 1;
    series.sum += value;
  }

  protected newSeries(): Distribution {
    return { counts: new Array<number>(this.#bounds.length + 1).fill(0), sum: 0 };
  }

  protected samplesOf(labels: Labels<Label>, { counts, sum }: Distribution): Sample[] {
    let count = 0;
    const buckets = [...this.#bounds, "+Inf"].map((le, index) => ({
      metricName: `${this.name}_bucket`,
      labels: { le, ...labels },
      value: (count += counts[index] ?? 0),
    }));
    const [total, number] = [`${this.name}_sum`, `${this.name}_count`];
    return [...buckets, { metricName: total, labels, value: sum }, { metricName: number, labels, value: count }];
  }
}
