/** The last traces of the node, and how long their phases take. */
import { useRef } from "preact/hooks";
import type { Segment, Traces, TraceSummary } from "../api/cluster.ts";
import { Failure } from "../components/failure.tsx";
import { formatDuration, formatNumber } from "../components/format.ts";
import { ScrollTable } from "../components/scroll-table.tsx";
import { Time } from "../components/time.tsx";
import { usePolled } from "../state/polled.ts";
import { routeTo } from "../state/route.ts";
import { call, shownLogin } from "../state/session.ts";
import { texts } from "../texts.ts";
import { tracesTexts as words } from "../texts/traces.ts";
import { parametersOf, type TraceFilters } from "./trace-filters.ts";

const pollMs = 3000;

export function TraceList({ filters }: { readonly filters: TraceFilters }) {
  const login = shownLogin();
  const parameters = new URLSearchParams(parametersOf(filters)).toString();
  const { data, error } = usePolled(
    login && `${login.who.id} ${parameters}`,
    pollMs,
    (signal) => call(`/api/traces?${parameters}`, { signal }) as Promise<Traces>,
  );
  return (
    <>
      <FilterForm filters={filters} />
      <Failure error={error} />
      {data === undefined && error === undefined && <p role="status">{texts.loading}</p>}
      {data?.traces.length === 0 && <p role="status">{words.none}</p>}
      {data !== undefined && data.traces.length > 0 && (
        <>
          <section aria-label={words.table}>
            <TraceTable traces={data.traces} />
          </section>
          <section aria-label={words.segments}>
            <h2>{words.segments}</h2>
            <p class="help">{words.segmentsHelp}</p>
            <SegmentTable segments={data.segments} />
          </section>
        </>
      )}
    </>
  );
}

function FilterForm({ filters }: { readonly filters: TraceFilters }) {
  const form = useRef<HTMLFormElement>(null);
  const show = (chosen: Record<string, string>): void => {
    location.hash = routeTo("traces", [], chosen);
  };
  const submit = (event: Event): void => {
    event.preventDefault();
    const fields = new FormData(form.current ?? undefined);
    const given = (name: string): string => String(fields.get(name) ?? "").trim();
    show(parametersOf({ min_ms: given("min_ms"), route: given("route") }));
  };
  return (
    <form
      ref={form}
      role="search"
      aria-label={words.filters}
      class="trace-filters"
      onSubmit={submit}
      key={JSON.stringify(filters)}
    >
      <label>
        {words.minMs}
        <input name="min_ms" type="number" min="0" step="any" defaultValue={filters.min_ms} />
      </label>
      <label>
        {words.route}
        <input
          name="route"
          autocomplete="off"
          spellcheck={false}
          placeholder={words.routePlaceholder}
          defaultValue={filters.route}
        />
      </label>
      <div class="buttons">
        <button type="submit" class="primary">
          {words.search}
        </button>
        <button type="button" onClick={() => show({})}>
          {words.clear}
        </button>
      </div>
    </form>
  );
}

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
            <a href={routeTo("traces", [id])}>{name}</a>
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
