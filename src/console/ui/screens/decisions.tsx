/** The decision log: search, live tail, export, and one decision with its explanation. */
import type { decisionEndpoints } from "../../../features/decisions/endpoints.ts";
import type { Answer } from "../api/answer.ts";
import { useState } from "preact/hooks";
import { Drawer } from "../components/drawer.tsx";
import { Refusal } from "../components/failure.tsx";
import { Remote } from "../components/remote.tsx";
import { usePages } from "../state/pages.ts";
import { FilterBar, type FilterField, type FilterValues } from "../components/filter-bar.tsx";
import { formatNumber } from "../components/format.ts";
import { Heading } from "../components/heading.tsx";
import { Icon } from "../components/icon.tsx";
import { saveFile } from "../components/save-file.ts";
import { DecisionDetails } from "../decisions/decision-details.tsx";
import { DecisionRows } from "../decisions/decision-rows.tsx";
import { exportLog } from "../decisions/export.ts";
import {
  decisionKinds,
  FilterError,
  filterNames,
  type Filters,
  filtersIn,
  parametersOf,
  withoutTimes,
} from "../decisions/filters.ts";
import { LiveTail } from "../decisions/live-tail.tsx";
import { useAction } from "../state/action.ts";
import { closeEntry, currentRoute, routeTo } from "../state/route.ts";
import { call, open } from "../state/session.ts";
import { useStore } from "../store.ts";
import { decisionsTexts as words } from "../texts/decisions.ts";

export default function DecisionsScreen() {
  const { parts, query } = useStore(currentRoute);
  const [id] = parts;
  // The list stays behind the drawer, with its place and its stream.
  return (
    <>
      <Log filters={filtersIn(query)} showsOwn={query.get("own") === "true"} />
      {id !== undefined && (
        <Drawer key={id} title={words.one.title} onClose={() => closeEntry("decisions")}>
          <DecisionDetails id={id} />
        </Drawer>
      )}
    </>
  );
}

const fields: readonly FilterField[] = filterNames.map((name) => ({
  name,
  label: words.fields[name],
  isTime: name === "since" || name === "until",
  ...(name === "result" && { options: (["allow", "deny"] as const).map((result) => [result, words[result]] as const) }),
  ...(name === "kind" && { options: decisionKinds.map((kind) => [kind, kind] as const) }),
  ...(name in words.placeholders && { placeholder: words.placeholders[name as keyof typeof words.placeholders] }),
}));

interface LogProps {
  readonly filters: Filters;
  /** Whether what this console asked is shown as well. */
  readonly showsOwn: boolean;
}

function Log({ filters, showsOwn }: LogProps) {
  const [isLive, setIsLive] = useState(false);
  const [turn, setTurn] = useState(0);
  const chosen = isLive ? withoutTimes(filters) : filters;
  const conditions = conditionsOf(chosen, showsOwn);
  const key = `${JSON.stringify(chosen)} ${showsOwn} ${turn}`;
  const show = (wanted: FilterValues, own = showsOwn): void => {
    location.hash = routeTo("decisions", [], { ...wanted, ...(own && { own: "true" }) });
  };
  return (
    <>
      <Heading text={words.title} />
      <p class="help">{words.introduction}</p>
      <FilterBar label={words.filters} fields={fields} values={filters as FilterValues} onChange={(all) => show(all)} />
      <div class="toolbar log-controls">
        <button type="button" aria-pressed={isLive} onClick={() => setIsLive(!isLive)}>
          {isLive ? words.pause : words.live}
        </button>
        {!isLive && (
          <button type="button" onClick={() => setTurn((last) => last + 1)}>
            <Icon name="reload" />
            {words.reload}
          </button>
        )}
        {!isLive && !(conditions instanceof FilterError) && <Export key={key} conditions={conditions} />}
        <label>
          <input
            type="checkbox"
            checked={showsOwn}
            onChange={({ currentTarget }) => show(filters as FilterValues, currentTarget.checked)}
          />{" "}
          {words.showOwn}
        </label>
      </div>
      {conditions instanceof FilterError ? (
        <p role="alert" class="failure">
          {words.notAnObject(words.fields[conditions.filter])}
        </p>
      ) : isLive ? (
        <LiveTail key={key} conditions={conditions} />
      ) : (
        <Found key={key} conditions={conditions} />
      )}
    </>
  );
}

function conditionsOf(filters: Filters, showsOwn: boolean): URLSearchParams | FilterError {
  try {
    const parameters = parametersOf(filters, Date.now());
    if (!showsOwn) parameters.set("own_console", "false");
    return parameters;
  } catch (error) {
    if (error instanceof FilterError) return error;
    throw error;
  }
}

type Page = Answer<typeof decisionEndpoints.getDecisions>;

/** Rows that the page keeps. */
const rowsMax = 2000;

/** The pages of a search so far. The first one is loaded at once. */
function Found({ conditions }: { readonly conditions: URLSearchParams }) {
  const found = usePages<Page>(
    String(conditions),
    (before, signal) => {
      const parameters = new URLSearchParams(conditions);
      if (before?.next) parameters.set("after", before.next);
      return call(`/api/decisions?${parameters}`, { signal }) as Promise<Page>;
    },
    ({ next }) => next !== null,
  );
  return (
    <section aria-label={words.table}>
      <Remote of={found}>
        {(pages) => {
          const decisions = pages.flatMap((page) => page.decisions);
          const isFull = decisions.length >= rowsMax;
          return (
            <>
              {pages[0]?.log === "off" && <p class="failure">{words.off}</p>}
              {decisions.length === 0 && <p role="status">{found.hasMore ? words.nothingYetFound : words.none}</p>}
              {decisions.length > 0 && <DecisionRows rows={decisions.map((decision) => ({ decision }))} />}
              {isFull && <p class="help">{words.full(decisions.length)}</p>}
              {found.hasMore && !isFull && (
                <button type="button" disabled={found.isLoading} onClick={found.more}>
                  {found.isLoading ? words.olderSearching : words.older}
                </button>
              )}
            </>
          );
        }}
      </Remote>
    </section>
  );
}

/** An export leaves nothing out that the conditions do not name. */
function Export({ conditions }: { readonly conditions: URLSearchParams }) {
  const exported = new URLSearchParams(conditions);
  exported.delete("own_console");
  const { isRunning, error, run, cancel } = useAction();
  const [status, setStatus] = useState("");
  const start = (): void =>
    run(async (signal) => {
      setStatus("");
      const { file, decisions, isCut } = await exportLog(
        (parameters) => open(`/api/decisions?${parameters}`, { accept: "application/x-ndjson", signal }),
        exported,
        (progress) => setStatus(words.exporting(formatNumber(progress.decisions))),
      );
      saveFile(file, "decisions.ndjson");
      setStatus((isCut ? words.exportCut : words.exported)(formatNumber(decisions)));
    });
  return (
    <>
      {isRunning ? (
        <button type="button" onClick={cancel}>
          {words.cancel}
        </button>
      ) : (
        <button type="button" onClick={start}>
          {words.export}
        </button>
      )}
      <span role="status">{status}</span>
      <Refusal error={error} />
    </>
  );
}
