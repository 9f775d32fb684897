/** The audit log: what administrators did, and what was refused. */
import type { auditEndpoints } from "../../../features/audit/endpoints.ts";
import type { Answer } from "../api/answer.ts";
import type { ComponentChildren } from "preact";
import { Drawer } from "../components/drawer.tsx";
import { FilterBar, type FilterField, type FilterValues } from "../components/filter-bar.tsx";
import { Properties } from "../components/properties.tsx";
import { timeAt } from "../components/relative-time.ts";
import { Remote } from "../components/remote.tsx";
import { ScrollTable } from "../components/scroll-table.tsx";
import { Time } from "../components/time.tsx";
import { usePages } from "../state/pages.ts";
import { closeEntry, currentRoute, routeTo } from "../state/route.ts";
import { call } from "../state/session.ts";
import { useStore } from "../store.ts";
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

/** The conditions and the shown entry are in the address. */
export function Audit() {
  const { parts, query } = useStore(currentRoute);
  const [part = "audit", id] = parts;
  const filters = filtersIn(query);
  const show = (values: FilterValues): void => {
    location.hash = routeTo("administration", [part], values);
  };
  return (
    <>
      <p class="help">{words.introduction}</p>
      <FilterBar label={words.search} fields={filterFields} values={filters} onChange={show} />
      <Entries
        key={JSON.stringify(filters)}
        filters={filters}
        shownId={id}
        onClose={() => closeEntry("administration", [part])}
      />
    </>
  );
}

function filtersIn(query: URLSearchParams): FilterValues {
  const given = filterFields.map(({ name }) => [name, query.get(name) ?? ""] as const);
  return Object.fromEntries(given.filter(([, value]) => value !== ""));
}

interface EntriesProps {
  readonly filters: FilterValues;
  /** The entry in the drawer. */
  readonly shownId: string | undefined;
  readonly onClose: () => void;
}

/** The pages of a search so far. The first one is loaded at once. */
function Entries({ filters, shownId, onClose }: EntriesProps) {
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
                  <Row key={entry.id} entry={entry} href={routeTo("administration", ["audit", entry.id], filters)} />
                ))}
              </ScrollTable>
            )}
            {hasMore && (
              <button type="button" disabled={found.isLoading} onClick={found.more}>
                {found.isLoading ? words.loading : words.older}
              </button>
            )}
            {shownId !== undefined && (
              <Drawer key={shownId} title={words.one} onClose={onClose}>
                <Details entry={entries.find(({ id }) => id === shownId)} />
              </Drawer>
            )}
          </>
        );
      }}
    </Remote>
  );
}

function Row({ entry, href }: { readonly entry: Entry; readonly href: string }) {
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
      <th scope="row">
        <a href={href}>{action}</a>
      </th>
      <td>{[actor.kind, actor.name ?? actor.id ?? ""].join(" ").trim()}</td>
      <td>{from.join(", ")}</td>
      <td>{target ?? texts.noValue}</td>
      <td>{given.join(" ")}</td>
    </tr>
  );
}

/** All that the log has of an entry. */
function Details({ entry }: { readonly entry: Entry | undefined }) {
  if (entry === undefined) return <p role="status">{words.notLoaded}</p>;
  const { time, actor, details, trace_id: trace, ...others } = entry;
  const { facts } = words;
  const rows: readonly (readonly [string, ComponentChildren])[] = [
    [facts.time, <Time key="time" value={time} hasMs as="both" />],
    [facts.action, others.action],
    [facts.result, others.code === null ? others.result : `${others.result} (${others.code})`],
    [facts.actor, [actor.kind, actor.name, actor.id].filter((part) => part !== null).join(" ")],
    [facts.address, others.address],
    [facts.proxy, others.proxy],
    [facts.node, others.node],
    [facts.via, others.via],
    [facts.target, others.target],
    ...Object.entries(details).map(([name, value]) => [name, JSON.stringify(value)] as const),
    [facts.position, others.position],
    [facts.request, others.request_id],
    [facts.trace, trace && <a href={routeTo("traces", [trace])}>{trace}</a>],
    [facts.id, others.id],
  ];
  return <Properties of={rows} />;
}

function conditionsOf(filters: FilterValues): URLSearchParams {
  const nowMs = Date.now();
  return new URLSearchParams(Object.entries(filters).map(([name, value]) => [name, timeAt(value, nowMs)]));
}
