/**
 * Counters and histograms for what is recorded with every request, in the form that prom-client's registry renders. Its own make a text of the
 * labels and look that up, which costs three of them 5 µs a request on a busy core; these go from label value to label value.
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

/** Counts by labels. */
export class LabelledCounter<Label extends string> {
  readonly type = "counter";
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly Label[];
  readonly #cells: SeriesSet<Label, { count: number }>;

  constructor({ name, help }: MetricDescription, labelNames: readonly Label[], registry: Registry) {
    this.name = name;
    this.help = help;
    this.labelNames = labelNames;
    this.#cells = new SeriesSet(labelNames, () => ({ count: 0 }));
    register(registry, this);
  }

  inc(labels: Labels<Label>, by = 1): void {
    this.#cells.at(labels).count += by;
  }

  /** As the registry asks for it. */
  get(): Promise<MetricDescription & { readonly values: readonly Sample[] }> {
    const values = this.#cells.all().map(({ labels, cell: { count } }) => ({ labels, value: count }));
    return Promise.resolve({ ...this, values });
  }
}

/** How many observed values are at most as large as each bound, and their sum, by labels. */
export class LabelledHistogram<Label extends string> {
  readonly type = "histogram";
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly Label[];
  readonly #bounds: readonly number[];
  /** `counts` by the first bound that is not below a value; the last is for values above all. */
  readonly #cells: SeriesSet<Label, { readonly counts: number[]; sum: number }>;

  /** `bounds` ascend. */
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
    this.#cells = new SeriesSet(labelNames, () => ({ counts: new Array<number>(bounds.length + 1).fill(0), sum: 0 }));
    register(registry, this);
  }

  observe(labels: Labels<Label>, value: number): void {
    const cell = this.#cells.at(labels);
    let place = 0;
    while (place < this.#bounds.length && value > (this.#bounds[place] ?? 0)) place++;
    cell.counts[place] = (cell.counts[place] ?? 0) + 1;
    cell.sum += value;
  }

  /** As the registry asks for it. */
  get(): Promise<MetricDescription & { readonly values: readonly Sample[] }> {
    const values = this.#cells.all().flatMap(({ labels, cell: { counts, sum } }): Sample[] => {
      let count = 0;
      const buckets = [...this.#bounds, "+Inf"].map((le, place) => ({
        metricName: `${this.name}_bucket`,
        labels: { le, ...labels },
        value: (count += counts[place] ?? 0),
      }));
      const [total, number] = [`${this.name}_sum`, `${this.name}_count`];
      return [...buckets, { metricName: total, labels, value: sum }, { metricName: number, labels, value: count }];
    });
    return Promise.resolve({ ...this, values });
  }
}

/** The registry takes whatever has a name and answers `get`; its type lists classes of its own. */
function register(registry: Registry, tally: LabelledCounter<string> | LabelledHistogram<string>): void {
  registry.registerMetric(tally as unknown as Metric);
}

interface SeriesNode<Cell> {
  readonly next: Map<LabelValue, SeriesNode<Cell>>;
  cell: Cell | undefined;
}

/** One cell for each combination of label values that came. */
class SeriesSet<Label extends string, Cell> {
  readonly #names: readonly Label[];
  readonly #make: () => Cell;
  readonly #root: SeriesNode<Cell> = { next: new Map(), cell: undefined };
  readonly #all: { readonly labels: Labels<Label>; readonly cell: Cell }[] = [];

  constructor(names: readonly Label[], make: () => Cell) {
    this.#names = names;
    this.#make = make;
  }

  at(labels: Labels<Label>): Cell {
    let branch = this.#root;
    for (const name of this.#names) {
      let next = branch.next.get(labels[name]);
      if (!next) branch.next.set(labels[name], (next = { next: new Map(), cell: undefined }));
      branch = next;
    }
    return (branch.cell ??= this.#add(labels));
  }

  all(): readonly { readonly labels: Labels<Label>; readonly cell: Cell }[] {
    return this.#all;
  }

  #add(labels: Labels<Label>): Cell {
    const cell = this.#make();
    this.#all.push({ labels: { ...labels }, cell });
    return cell;
  }
}
