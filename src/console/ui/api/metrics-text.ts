/** Reads the text format of Prometheus, as far as the console needs it. Pure. */

export interface MetricSample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** The samples of a metric without those of hosted environments. */
export function samplesOf(text: string, metric: string): MetricSample[] {
  return text
    .split("\n")
    .filter((line) => line.startsWith(`${metric} `) || line.startsWith(`${metric}{`))
    .map((line) => ({ labels: labelsOf(line), value: Number(line.slice(line.lastIndexOf(" ") + 1)) }))
    .filter(({ labels }) => labels["environment"] === undefined);
}

function labelsOf(line: string): Readonly<Record<string, string>> {
  const labels = /\{(.*)\}/.exec(line)?.[1] ?? "";
  return Object.fromEntries(
    [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, name = "", value = ""]) => [name, value]),
  );
}
