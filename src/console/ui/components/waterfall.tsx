/** A trace as a waterfall: a table of its spans, with a bar for the time of each. */
import type { Trace } from "../api/cluster.ts";
import { texts } from "../texts.ts";
import { waterfallTexts as words } from "../texts/waterfall.ts";
import { formatDuration } from "./format.ts";
import { ScrollTable } from "./scroll-table.tsx";
import { type WaterfallRow, waterfallRows } from "./waterfall-rows.ts";

/** Only what people can use. */
const shownAttributes = [
  "http.response.status_code",
  "error.type",
  "db.response.returned_rows",
  "ostiary.decision",
  "ostiary.decision_cache",
  "ostiary.source",
  "ostiary.facts.inserted",
  "ostiary.facts.deleted",
];
const depthMax = 8;
const colours = 4;

export function Waterfall({ trace }: { readonly trace: Trace }) {
  const silent = trace.nodes.filter(({ answered }) => !answered).map(({ node }) => node);
  return (
    <>
      <p class="help">{words.clocks}</p>
      {silent.length > 0 && <p class="help">{words.silent(silent.join(", "))}</p>}
      <ScrollTable label={words.label} columns={Object.values(words.columns)}>
        {waterfallRows(trace.spans).map((row) => (
          <Row key={`${row.span.node} ${row.span.id}`} row={row} />
        ))}
      </ScrollTable>
      {trace.external_url !== undefined && (
        <p>
          <a href={trace.external_url} target="_blank" rel="noopener noreferrer">
            {words.external}
          </a>
        </p>
      )}
    </>
  );
}

function Row({ row: { span, depth, startMs, durationMs, from, width, nodeNumber } }: { readonly row: WaterfallRow }) {
  const details = shownAttributes
    .filter((name) => name in span.attributes)
    .map((name) => `${words.attributes[name] ?? name} ${span.attributes[name]}`);
  return (
    <tr>
      <td class="nowrap">{span.node}</td>
      <th scope="row" class="span" style={{ paddingLeft: `${Math.min(depth, depthMax)}rem` }}>
        {span.name}
        {span.failed && <span class="failure"> {words.failed}</span>}
      </th>
      <td class="nowrap">{words.after(formatDuration(startMs))}</td>
      <td class="nowrap">{formatDuration(durationMs)}</td>
      <td>
        <svg class="bar" aria-hidden="true" focusable="false">
          <rect
            class={`node-${nodeNumber % colours}`}
            x={`${from * 100}%`}
            y="20%"
            width={`${width * 100}%`}
            height="60%"
          />
        </svg>
      </td>
      <td class="nowrap">{details.join(", ") || texts.noValue}</td>
    </tr>
  );
}
