/** The audit log: what administrators did, and what was refused. */
import type { auditEndpoints } from "../../../features/audit/endpoints.ts";
import type { Answer } from "../api/answer.ts";
import { useState } from "preact/hooks";
import { FilterBar, type FilterField, type FilterValues } from "../components/filter-bar.tsx";
import { timeAt } from "../components/relative-time.ts";
import { Remote } from "../components/remote.tsx";
import { ScrollTable } from "../components/scroll-table.tsx";
import { Time } from "../components/time.tsx";
import { usePages } from "../state/pages.ts";
import { call } from "../state/session.ts";
import { texts } from "../texts.ts";
import { administrationTexts } from "../texts/administration.ts";

const words = administrationTexts.audit;
const results = ["ok", "unchanged", "refused", "failed", "uncertain"] as const;
/** Entries that the page keeps. */
const entriesMax = 2000;

type Page = Answer<typeof auditEndpoints.getAudit>;
type Entry = Page["entries"][number];

const filterFields: readonly FilterField[] = [
  { name: "who", label: words.fields.who },
  { name: "action", label: words.fields.action, placeholder: words.actionExample },
  { name: "result", label: words.fields.result, options: results.map((result) => [result, result] as const) },
  { name: "since", label: words.fields.since, isTime: true },
  { name: "until", label: words.fields.until, isTime: true },
];

export function Audit() {
  const [filters, setFilters] = useState<FilterValues>({});
  return (
    <>
      <p class="help">{words.introduction}</p>
      <FilterBar label={words.search} fields={filterFields} values={filters} onChange={setFilters} />
      <Entries key={JSON.stringify(filters)} filters={filters} />
    </>
  );
}

/** The pages of a search so far. The first one is loaded at once. */
function Entries({ filters }: { readonly filters: FilterValues }) {
  const found = usePages<Page>(
    JSON.stringify(filters),
    (before, signal) => {
      const query = conditionsOf(filters);
      if (before?.next_page_token !== undefined) query.set("page_token", before.next_page_token);
      return call(`/api/audit?${query}`, { signal }) as Promise<Page>;
    },
    ({ next_page_token: token }) => token !== undefined,
  );
  return (
    <Remote of={found}>
      {(pages) => {
        const entries = pages.flatMap((page) => page.entries);
        const hasMore = found.hasMore && entries.length < entriesMax;
        return (
          <>
            {entries.length === 0 && !hasMore && <p role="status">{words.none}</p>}
            {entries.length > 0 && (
              <ScrollTable label={words.table} columns={Object.values(words.columns)}>
                {entries.map((entry) => (
                  <Row key={entry.id} entry={entry} />
                ))}
              </ScrollTable>
            )}
            {hasMore && (
              <button type="button" disabled={found.isLoading} onClick={found.more}>
                {found.isLoading ? words.loading : words.older}
              </button>
            )}
          </>
        );
      }}
    </Remote>
  );
}

function Row({ entry }: { readonly entry: Entry }) {
  const { time, node, actor, address, via, action, target, details, result, code } = entry;
  const given = Object.entries(details).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  const from = [address ?? node ?? texts.noValue, ...(via === null ? [] : [words.via(via)])];
  return (
    <tr>
      <td>
        <Time value={time} hasMs />
      </td>
      <td class={result === "ok" || result === "unchanged" ? "" : "failure"}>
        {code === null ? result : `${result} (${code})`}
      </td>
      <th scope="row">{action}</th>
      <td>{[actor.kind, actor.name ?? actor.id ?? ""].join(" ").trim()}</td>
      <td>{from.join(", ")}</td>
      <td>{target ?? texts.noValue}</td>
      <td>{given.join(" ")}</td>
    </tr>
  );
}

function conditionsOf(filters: FilterValues): URLSearchParams {
  const nowMs = Date.now();
  return new URLSearchParams(Object.entries(filters).map(([name, value]) => [name, timeAt(value, nowMs)]));
}
