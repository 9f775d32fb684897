/**
 * A chart of values over time, drawn by uPlot. Its legend has the values under the pointer, otherwise the latest ones.
 * Screen readers get its title, the newest and the highest value.
 */
import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import { shownTheme } from "../state/theme.ts";
import { useStore } from "../store.ts";
import { texts } from "../texts.ts";
import { isolatedSamples, latestSample, type Values, withGaps } from "./chart-data.ts";
import { Time } from "./time.tsx";
import { timeOfDay } from "./times.ts";

export interface ChartLine {
  readonly label: string;
  readonly values: Values;
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

const heightPx = 150;
const yAxisGapPx = 14;
/** Of a digit of the font of axes, rounded up. */
const characterPx = 7;
/** A chart of few samples spans at least this time. */
const spanSecondsMin = 60;

export function Chart({ title, times, lines, format, max }: ChartProps) {
  const element = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const [pointed, setPointed] = useState<number | undefined>(undefined);
  const theme = useStore(shownTheme);
  const labels = lines.map(({ label }) => label).join();
  const shown = withGaps({ times, lines: lines.map(({ values }) => values) });
  const data = [shown.times.map((ms) => ms / 1000), ...shown.lines] as uPlot.AlignedData;
  useEffect(() => {
    const parent = element.current;
    if (parent === null) return undefined;
    const made = new uPlot(optionsOf(parent, lines.length, format, max, setPointed), data, parent);
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
  const index = pointed ?? latestSample(shown.lines);
  return (
    <figure class="chart">
      <figcaption>{title}</figcaption>
      <div ref={element} role="img" aria-label={summaryOf(title, lines, format)} />
      <p class="chart-legend">
        {index === undefined ? (
          texts.chart.nothing
        ) : (
          <>
            {lines.map(({ label }, line) => (
              <span key={label}>
                <span class={`swatch line-${line + 1}`} /> {label}{" "}
                <strong>{valueText(shown.lines[line]?.[index], format)}</strong>
              </span>
            ))}
            <span class="note">
              <Time value={shown.times[index] ?? 0} />
            </span>
          </>
        )}
      </p>
    </figure>
  );
}

function valueText(value: number | null | undefined, format: (value: number) => string): string {
  return typeof value === "number" ? format(value) : texts.chart.notMeasured;
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
  lines: number,
  format: (value: number) => string,
  max: number | undefined,
  onPoint: (index: number | undefined) => void,
): uPlot.Options {
  const style = getComputedStyle(parent);
  const colour = (name: string): string => style.getPropertyValue(name).trim();
  const axis: uPlot.Axis = {
    font: `12px ${style.fontFamily}`,
    stroke: colour("--muted"),
    grid: { stroke: colour("--border"), width: 1 },
    ticks: { show: false },
  };
  return {
    width: parent.clientWidth,
    height: heightPx,
    cursor: { sync: { key: "charts" }, y: false },
    legend: { show: false },
    hooks: { setCursor: [({ cursor }) => onPoint(cursor.idx ?? undefined)] },
    scales: {
      x: { range: (_, first, last) => [Math.min(first, last - spanSecondsMin), last] },
      y: { range: (_, _min, highest) => [0, max ?? (highest > 0 ? highest * 1.1 : 1)] },
    },
    axes: [
      {
        ...axis,
        size: 28,
        space: 64,
        values: (_, ticks, _axis, _space, step) => ticks.map((tick) => timeOfDay(tick * 1000, step < 60)),
      },
      {
        ...axis,
        // As wide as its longest text.
        size: (_, values) => yAxisGapPx + characterPx * Math.max(3, ...(values ?? []).map(({ length }) => length)),
        values: (_, ticks) => ticks.map((tick) => format(tick)),
      },
    ],
    series: [
      {},
      ...Array.from({ length: lines }, (_, line): uPlot.Series => {
        const stroke = colour(`--line-${line + 1}`);
        return {
          stroke,
          width: 1.5,
          points: {
            show: false,
            size: 5,
            stroke,
            fill: stroke,
            filter: ({ data }, series) => isolatedSamples((data[series] ?? []) as Values),
          },
        };
      }),
    ],
  };
}
