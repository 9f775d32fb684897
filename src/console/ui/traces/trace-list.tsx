/** The last traces of the node, and how long their phases take. */
import type { Segment, Traces, TraceSummary } from "../api/cluster.ts";
import { Remote } from "../components/remote.tsx";
import { FilterBar, type FilterField, type FilterValues } from "../components/filter-bar.tsx";
import { formatDuration, formatNumber } from "../components/format.ts";
import { LiveList } from "../components/live-list.tsx";
import { ScrollTable } from "../components/scroll-table.tsx";
import { Time } from "../components/time.tsx";
import { usePolled } from "../state/polled.ts";
import { besideList, routeTo } from "../state/route.ts";
import { call, shownLogin } from "../state/session.ts";
import { tracesTexts as words } from "../texts/traces.ts";
import { parametersOf, requestOf, type TraceFilters } from "./trace-filters.ts";

const pollMs = 3000;

export interface TraceListProps {
  readonly filters: TraceFilters;
  /** Whether requests of the console, and those between nodes, are shown as well. */
  readonly showsAll: boolean;
}

export function TraceList({ filters, showsAll }: TraceListProps) {
  const login = shownLogin();
  const key = login && `${login.who.id} ${showsAll} ${JSON.stringify(filters)}`;
  const found = usePolled(key, pollMs, (signal) => {
    const parameters = requestOf(filters, showsAll, Date.now());
    return call(`/api/traces?${parameters}`, { signal }) as Promise<Traces>;
  });
  const show = (wanted: FilterValues, all = showsAll): void => {
    location.hash = routeTo("traces", [], { ...wanted, ...(all && { all: "true" }) });
  };
  return (
    <>
      <FilterBar label={words.filters} fields={fields} values={parametersOf(filters)} onChange={(all) => show(all)} />
      <p>
        <label>
          <input
            type="checkbox"
            checked={showsAll}
            onChange={({ currentTarget }) => show(parametersOf(filters), currentTarget.checked)}
          />{" "}
          {words.showAll}
        </label>
      </p>
      <Remote of={found}>
        {(data) =>
          data.traces.length === 0 ? (
            <p role="status">{words.none}</p>
          ) : (
            <>
              <section aria-label={words.table}>
                <LiveList entries={data.traces} keyOf={({ id }) => id}>
                  {(traces) => <TraceTable traces={traces} />}
                </LiveList>
              </section>
              <section aria-label={words.segments}>
                <h2>{words.segments}</h2>
                <p class="help">{words.segmentsHelp}</p>
                <SegmentTable segments={data.segments} />
              </section>
            </>
          )
        }
      </Remote>
    </>
  );
}

const fields: readonly FilterField[] = [
  { name: "route", label: words.route, placeholder: words.routePlaceholder },
  { name: "min_ms", label: words.minMs },
  { name: "since", label: words.since, isTime: true },
];

function TraceTable({ traces }: { readonly traces: readonly TraceSummary[] }) {
  const longestMs = Math.max(0.001, ...traces.map(({ duration_ms: ms }) => ms));
  return (
    <ScrollTable label={words.table} columns={Object.values(words.columns)}>
      {traces.map(({ id, name, start, duration_ms: ms, failed, status, spans }) => (
        <tr key={id}>
          <td>
            <Time value={start} hasMs />
          </td>
          <th scope="row" class="nowrap">
            <a href={besideList("traces", id)}>{name}</a>
            {failed && <span class="failure"> {words.failed}</span>}
            {status !== undefined && status >= 400 && <span> {words.status(status)}</span>}
          </th>
          <td class="nowrap">{formatDuration(ms)}</td>
          <td>
            <svg class="bar" aria-hidden="true" focusable="false">
              <rect class="node-0" x="0" y="20%" width={`${(100 * ms) / longestMs}%`} height="60%" />
            </svg>
          </td>
          <td>{spans}</td>
        </tr>
      ))}
    </ScrollTable>
  );
}

function SegmentTable({ segments }: { readonly segments: readonly Segment[] }) {
  return (
    <ScrollTable label={words.segments} columns={Object.values(words.segmentColumns)}>
      {segments.map(({ name, count, p50_ms: p50, p90_ms: p90, p99_ms: p99, max_ms: max }) => (
        <tr key={name}>
          <th scope="row">{name}</th>
          <td>{formatNumber(count)}</td>
          <td>{formatDuration(p50)}</td>
          <td>{formatDuration(p90)}</td>
          <td>{formatDuration(p99)}</td>
          <td>{formatDuration(max)}</td>
        </tr>
      ))}
    </ScrollTable>
  );
}
