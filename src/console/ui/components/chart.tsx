/** A chart of values over time, drawn by uPlot. Screen readers get its title, the newest and the highest value. */
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { shownTheme } from "../state/theme.ts";
import { useStore } from "../store.ts";
import { texts } from "../texts.ts";

export interface ChartLine {
  readonly label: string;
  readonly values: readonly (number | null)[];
}

export interface ChartProps {
  readonly title: string;
  /** Milliseconds since 1970. */
  readonly times: readonly number[];
  readonly lines: readonly ChartLine[];
  readonly format: (value: number) => string;
  /** The largest value that is possible, if there is one. */
  readonly max?: number;
}

const heightPx = 140;

export function Chart({ title, times, lines, format, max }: ChartProps) {
  const element = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const theme = useStore(shownTheme);
  const labels = lines.map(({ label }) => label).join();
  const data = [times.map((ms) => ms / 1000), ...lines.map(({ values }) => [...values])] as uPlot.AlignedData;
  useEffect(() => {
    const parent = element.current;
    if (parent === null) return undefined;
    const made = new uPlot(optionsOf(parent, lines, format, max), data, parent);
    plot.current = made;
    const observer = new ResizeObserver(() => made.setSize({ width: parent.clientWidth, height: heightPx }));
    observer.observe(parent);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = undefined;
    };
  }, [theme, labels]);
  useEffect(() => plot.current?.setData(data), [times]);
  return (
    <figure class="chart">
      <figcaption>{title}</figcaption>
      <div ref={element} role="img" aria-label={summaryOf(title, lines, format)} />
    </figure>
  );
}

function summaryOf(title: string, lines: readonly ChartLine[], format: (value: number) => string): string {
  const words = texts.chart;
  const parts = lines.map(({ label, values }) => {
    const known = values.filter((value) => value !== null);
    const last = known.at(-1);
    const name = lines.length === 1 ? title : `${title}, ${label}`;
    if (last === undefined) return words.empty(name);
    return words.summary(name, format(last), format(known.reduce((a, b) => Math.max(a, b))));
  });
  return parts.join(" ");
}

function optionsOf(
  parent: HTMLElement,
  lines: readonly ChartLine[],
  format: (value: number) => string,
  max: number | undefined,
): uPlot.Options {
  const style = getComputedStyle(parent);
  const colour = (name: string): string => style.getPropertyValue(name).trim();
  const axis = { stroke: colour("--muted"), grid: { stroke: colour("--border"), width: 1 }, ticks: { show: false } };
  return {
    width: parent.clientWidth,
    height: heightPx,
    cursor: { sync: { key: "charts" }, y: false },
    legend: { show: true },
    scales: { y: { range: (_, _min, highest) => [0, max ?? (highest > 0 ? highest * 1.1 : 1)] } },
    axes: [axis, { ...axis, size: 70, values: (_, ticks) => ticks.map((tick) => format(tick)) }],
    series: [
      { label: texts.chart.time },
      ...lines.map(({ label }, index) => ({
        label,
        stroke: colour(`--line-${index + 1}`),
        width: 1.5,
        points: { show: false },
        value: (_: uPlot, value: number | null) => (value === null ? texts.noValue : format(value)),
      })),
    ],
  };
}
