/**
 * Counters and histograms for the metrics of every request, in the form that the registry of prom-client renders. The
 * ones of prom-client look up a string of all labels: three of them take 5 µs per request on a busy core. These look up
 * one label value after the other.
 */
import type { Metric, Registry } from "prom-client";
import { environmentLabel } from "./environment-label.ts";

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

export interface RecordedSeries<Series> {
  readonly labels: Sample["labels"];
  readonly series: Series;
}

/** Whether a metric has the label `environment`. */
interface LabelOptions {
  readonly byEnvironment?: boolean;
}

/** The names of labels, or with them all values that each has. */
export type LabelNames<Label extends string> = readonly Label[] | Readonly<Record<Label, readonly string[]>>;

export function namesOf<Label extends string>(labels: LabelNames<Label>): readonly Label[] {
  return Array.isArray(labels) ? labels : (Object.keys(labels) as Label[]);
}

/**
 * Each combination of the values, if these are known. The series of all of them are exposed from the start: Prometheus
 * does not count the first event of a series that begins with it.
 */
export function combinationsOf<Label extends string>(labels: LabelNames<Label>): readonly Record<Label, string>[] {
  if (Array.isArray(labels)) return [];
  return Object.entries<readonly string[]>(labels as Readonly<Record<string, readonly string[]>>).reduce(
    (all, [label, values]) => all.flatMap((given) => values.map((value) => ({ ...given, [label]: value }))),
    [{} as Record<Label, string>],
  );
}

/** A metric with a time series for each combination of label values that occurred. */
export abstract class LabelledMetric<Label extends string, Series> {
  abstract readonly type: string;
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly string[];
  readonly #given: readonly Label[];
  readonly #known: readonly Labels<Label>[];
  readonly #byEnvironment: boolean;
  readonly #root: SeriesNode<Series> = newNode();
  /** The roots of hosted environments. */
  readonly #environments = new Map<string, SeriesNode<Series>>();
  /** By environment; undefined is the default one. */
  readonly #all = new Map<string | undefined, RecordedSeries<Series>[]>();

  constructor(
    registry: Registry,
    name: string,
    help: string,
    labels: LabelNames<Label>,
    { byEnvironment = false }: LabelOptions = {},
  ) {
    this.name = name;
    this.help = help;
    this.#given = namesOf(labels);
    this.#known = combinationsOf(labels);
    this.labelNames = byEnvironment ? [...this.#given, "environment"] : this.#given;
    this.#byEnvironment = byEnvironment;
    // The registry accepts any object with a name and `get`, but its type requires a class of prom-client.
    registry.registerMetric(this as unknown as Metric);
  }

  /** What `takeChanges` has taken of each series. */
  readonly #taken = new Map<Series, Series>();

  protected abstract newSeries(): Series;
  protected abstract copy(series: Series): Series;
  protected abstract add(series: Series, change: Series): void;
  /** Undefined if nothing has changed. */
  protected abstract subtract(series: Series, earlier: Series | undefined): Series | undefined;
  protected abstract samplesOf(labels: Sample["labels"], series: Series): Sample[];

  protected seriesOf(labels: Labels<Label>): Series {
    const environment = this.#byEnvironment ? environmentLabel() : undefined;
    const root = environment === undefined ? this.#root : this.#environments.get(environment);
    return this.#seriesBelow(root ?? this.#begin(environment), labels, environment);
  }

  #seriesBelow(root: SeriesNode<Series>, labels: Labels<Label>, environment: string | undefined): Series {
    let node = root;
    for (const name of this.#given) node = nextNode(node.next, labels[name]);
    return (node.series ??= this.#add(labels, environment));
  }

  /** Exposes the series with known labels of an environment, by default of the default one. Returns their root. */
  #begin(environment: string | undefined): SeriesNode<Series> {
    const root = environment === undefined ? this.#root : newNode<Series>();
    if (environment !== undefined) this.#environments.set(environment, root);
    for (const labels of this.#known) this.#seriesBelow(root, labels, environment);
    return root;
  }

  /** To be called once a new series can be made. */
  protected exposeKnown(): void {
    this.#begin(undefined);
  }

  #add(given: Labels<Label>, environment: string | undefined): Series {
    const series = this.newSeries();
    const labels = environment === undefined ? { ...given } : { ...given, environment };
    const others = this.#all.get(environment);
    if (others === undefined) this.#all.set(environment, [{ labels, series }]);
    else others.push({ labels, series });
    return series;
  }

  /** The time series of all environments with their present values. */
  get all(): readonly RecordedSeries<Series>[] {
    return [...this.#all.values()].flat();
  }

  /** The time series of an environment with their present values; those of the default one if it is undefined. */
  seriesIn(environment: string | undefined): readonly RecordedSeries<Series>[] {
    return this.#all.get(environment) ?? [];
  }

  /** What was added to the series of the default environment since the last call. */
  takeChanges(): RecordedSeries<Series>[] {
    const changed: RecordedSeries<Series>[] = [];
    for (const { labels, series } of this.seriesIn(undefined)) {
      const change = this.subtract(series, this.#taken.get(series));
      if (change === undefined) continue;
      this.#taken.set(series, this.copy(series));
      changed.push({ labels, series: change });
    }
    return changed;
  }

  /** Adds the changes of the same metric in another thread. */
  addChanges(changes: readonly RecordedSeries<Series>[]): void {
    for (const { labels, series } of changes) this.add(this.seriesOf(labels as Labels<Label>), series);
  }

  /** The registry calls this at each scrape. */
  get() {
    const values = this.all.flatMap(({ labels, series }) => this.samplesOf(labels, series));
    return Promise.resolve({ ...this, values });
  }
}

function newNode<Series>(): SeriesNode<Series> {
  return { next: new Map(), series: undefined };
}

function nextNode<Key, Series>(nodes: Map<Key, SeriesNode<Series>>, key: Key): SeriesNode<Series> {
  let next = nodes.get(key);
  if (next === undefined) nodes.set(key, (next = newNode()));
  return next;
}

export class LabelledCounter<Label extends string> extends LabelledMetric<Label, { count: number }> {
  readonly type = "counter";

  constructor(registry: Registry, name: string, help: string, labels: LabelNames<Label>, options?: LabelOptions) {
    super(registry, name, help, labels, options);
    this.exposeKnown();
  }

  inc(labels: Labels<Label>, by = 1): void {
    this.seriesOf(labels).count += by;
  }

  protected newSeries() {
    return { count: 0 };
  }

  protected copy({ count }: { readonly count: number }) {
    return { count };
  }

  protected add(series: { count: number }, change: { readonly count: number }): void {
    series.count += change.count;
  }

  protected subtract({ count }: { readonly count: number }, earlier = { count: 0 }) {
    return count === earlier.count ? undefined : { count: count - earlier.count };
  }

  protected samplesOf(labels: Sample["labels"], { count }: { readonly count: number }): Sample[] {
    return [{ labels, value: count }];
  }
}

/** `counts` has an entry for each bucket; the last one is for values above all bounds. */
export interface Distribution {
  readonly counts: number[];
  sum: number;
}

export class LabelledHistogram<Label extends string> extends LabelledMetric<Label, Distribution> {
  readonly type = "histogram";
  readonly bounds: readonly number[];

  /** `bounds` are the upper bounds of the buckets, in ascending order. */
  constructor(
    registry: Registry,
    name: string,
    help: string,
    bounds: readonly number[],
    labelNames: readonly Label[],
    options?: LabelOptions,
  ) {
    super(registry, name, help, labelNames, options);
    this.bounds = bounds;
    // Like all metrics without labels, it is exposed from the start.
    if (labelNames.length === 0) this.seriesOf({} as Labels<Label>);
  }

  observe(labels: Labels<Label>, value: number): void {
    const series = this.seriesOf(labels);
    let index = 0;
    while (index < this.bounds.length && value > (this.bounds[index] ?? 0)) index++;
    series.counts[index] = (series.counts[index] ?? 0) + 1;
    series.sum += value;
  }

  protected newSeries(): Distribution {
    return { counts: new Array<number>(this.bounds.length + 1).fill(0), sum: 0 };
  }

  protected copy({ counts, sum }: Distribution): Distribution {
    return { counts: [...counts], sum };
  }

  protected add(series: Distribution, { counts, sum }: Distribution): void {
    for (const [index, count] of counts.entries()) series.counts[index] = (series.counts[index] ?? 0) + count;
    series.sum += sum;
  }

  protected subtract({ counts, sum }: Distribution, earlier = this.newSeries()): Distribution | undefined {
    const changes = counts.map((count, index) => count - (earlier.counts[index] ?? 0));
    return changes.every((change) => change === 0) ? undefined : { counts: changes, sum: sum - earlier.sum };
  }

  protected samplesOf(labels: Sample["labels"], { counts, sum }: Distribution): Sample[] {
    let count = 0;
    const buckets = [...this.bounds, "+Inf"].map((le, index) => ({
      metricName: `${this.name}_bucket`,
      labels: { le, ...labels },
      value: (count += counts[index] ?? 0),
    }));
    const [total, number] = [`${this.name}_sum`, `${this.name}_count`];
    return [...buckets, { metricName: total, labels, value: sum }, { metricName: number, labels, value: count }];
  }
}
