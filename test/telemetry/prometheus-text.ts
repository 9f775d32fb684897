/**
 * Parses the text format of Prometheus (version 0.0.4) and rejects what a scrape or `promtool check metrics` would
 * reject.
 */
export interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly samples: readonly Sample[];
}

export interface Sample {
  readonly name: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly value: number;
}

const metricName = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const sampleLine = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/;
const labelPair = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|$)/y;
const types = new Set(["counter", "gauge", "histogram", "summary", "untyped"]);

export function parsePrometheus(text: string): Family[] {
  if (!text.endsWith("\n")) throw new Error("the last line does not end");
  const families: { name: string; help: string; type: string; samples: Sample[] }[] = [];
  for (const line of text.split("\n")) {
    if (line === "") continue;
    const [, keyword, name = "", rest = ""] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? [];
    const last = families.at(-1);
    if (keyword === "HELP") {
      if (!metricName.test(name) || rest === "") throw new Error(`no name or help: ${line}`);
      if (families.some((family) => family.name === name)) throw new Error(`a second time: ${line}`);
      families.push({ name, help: rest, type: "", samples: [] });
    } else if (keyword === "TYPE") {
      if (last?.name !== name || last.type !== "" || !types.has(rest)) throw new Error(`a type out of place: ${line}`);
      last.type = rest;
    } else {
      const sample = parseSample(line);
      if (last === undefined || !belongs(sample.name, last)) throw new Error(`a sample out of place: ${line}`);
      last.samples.push(sample);
    }
  }
  for (const family of families) check(family);
  return families;
}

function parseSample(line: string): Sample {
  const [, name = "", pairs = "", text = ""] = sampleLine.exec(line) ?? [];
  const value = text === "+Inf" ? Infinity : text === "-Inf" ? -Infinity : Number(text);
  if (name === "" || text === "" || (Number.isNaN(value) && text !== "NaN")) throw new Error(`no sample: ${line}`);
  const labels = new Map<string, string>();
  labelPair.lastIndex = 0;
  while (labelPair.lastIndex < pairs.length) {
    const [, label = "", content = ""] = labelPair.exec(pairs) ?? [];
    if (label === "" || labels.has(label)) throw new Error(`no labels: ${line}`);
    labels.set(label, content);
  }
  return { name, labels, value };
}

function belongs(sample: string, { name, type }: Pick<Family, "name" | "type">): boolean {
  if (type !== "histogram") return sample === name;
  return ["_bucket", "_sum", "_count"].some((suffix) => sample === name + suffix);
}

function check({ name, type, samples }: Family): void {
  if (type === "") throw new Error(`${name} has no type`);
  if ((type === "counter") !== name.endsWith("_total")) throw new Error(`${name} is a ${type}`);
  const keys = samples.map((sample) => sample.name + keyOf(sample));
  if (new Set(keys).size < keys.length) throw new Error(`${name} has a series twice`);
  for (const { value } of samples) if (type !== "gauge" && !(value >= 0)) throw new Error(`${name} counts ${value}`);
  if (type === "histogram")
    for (const group of Map.groupBy(samples, (one) => keyOf(one, "le")).values()) rise(name, group);
}

/** Checks that the counts of buckets ascend to the number of all observations. */
function rise(name: string, group: readonly Sample[]): void {
  const buckets = group.filter((sample) => sample.name === `${name}_bucket`);
  const bounds = buckets.map(({ labels }) => Number((labels.get("le") ?? "").replace("+Inf", "Infinity")));
  const counts = buckets.map(({ value }) => value);
  const count = group.find((sample) => sample.name === `${name}_count`)?.value;
  const ascend = (values: readonly number[]): boolean =>
    values.every((value, at) => at === 0 || value >= (values[at - 1] ?? 0));
  if (bounds.at(-1) !== Infinity || new Set(bounds).size < bounds.length || !ascend(bounds) || !ascend(counts))
    throw new Error(`the buckets of ${name} do not ascend`);
  if (count !== counts.at(-1) || !group.some((sample) => sample.name === `${name}_sum`))
    throw new Error(`the buckets of ${name} do not add up`);
}

function keyOf({ labels }: Sample, except?: string): string {
  return JSON.stringify([...labels].filter(([label]) => label !== except).toSorted());
}
