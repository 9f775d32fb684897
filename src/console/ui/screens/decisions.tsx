/** The decision log: search, live tail, export, and one decision with its explanation. */
import type { decisionEndpoints } from "../../../features/decisions/endpoints.ts";
import type { Answer } from "../api/answer.ts";
import { useEffect, useState } from "preact/hooks";
import { Failure, Refusal } from "../components/failure.tsx";
import { formatNumber } from "../components/format.ts";
import { Heading } from "../components/heading.tsx";
import { saveFile } from "../components/save-file.ts";
import { DecisionPage } from "../decisions/decision-page.tsx";
import { DecisionRows } from "../decisions/decision-rows.tsx";
import { exportLog } from "../decisions/export.ts";
import { FilterForm } from "../decisions/filter-form.tsx";
import { FilterError, type Filters, filtersIn, parametersOf, withoutTimes } from "../decisions/filters.ts";
import { LiveTail } from "../decisions/live-tail.tsx";
import { useAction } from "../state/action.ts";
import { currentRoute, routeTo } from "../state/route.ts";
import { call, open } from "../state/session.ts";
import { useStore } from "../store.ts";
import { decisionsTexts as words } from "../texts/decisions.ts";

export default function DecisionsScreen() {
  const { parts, query } = useStore(currentRoute);
  const [id] = parts;
  return id === undefined ? <Log filters={filtersIn(query)} /> : <DecisionPage key={id} id={id} />;
}

function Log({ filters }: { readonly filters: Filters }) {
  const [isLive, setIsLive] = useState(false);
  const [turn, setTurn] = useState(0);
  const conditions = conditionsOf(isLive ? withoutTimes(filters) : filters);
  const show = (chosen: Filters): void => {
    location.hash = routeTo("decisions", [], chosen as Readonly<Record<string, string>>);
    // The same search again looks for newer decisions.
    setTurn((last) => last + 1);
  };
  return (
    <>
      <Heading text={words.title} />
      <p class="help">{words.introduction}</p>
      <FilterForm key={JSON.stringify(filters)} filters={filters} isLive={isLive} onChange={show} />
      {conditions instanceof FilterError ? (
        <p role="alert" class="failure">
          {words.notAnObject(words.fields[conditions.filter])}
        </p>
      ) : (
        <>
          <div class="buttons log-controls">
            <button type="button" aria-pressed={isLive} onClick={() => setIsLive(!isLive)}>
              {isLive ? words.pause : words.live}
            </button>
            {!isLive && <Export key={String(conditions)} conditions={conditions} />}
          </div>
          {isLive ? (
            <LiveTail key={String(conditions)} conditions={conditions} />
          ) : (
            <Found key={`${conditions} ${turn}`} conditions={conditions} />
          )}
        </>
      )}
    </>
  );
}

function conditionsOf(filters: Filters): URLSearchParams | FilterError {
  try {
    return parametersOf(filters);
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
  const [found, setFound] = useState<Page | undefined>(undefined);
  const { isRunning, error, run } = useAction();
  const load = (before: Page | undefined): void =>
    run(async (signal) => {
      const parameters = new URLSearchParams(conditions);
      if (before?.next) parameters.set("after", before.next);
      const page = (await call(`/api/decisions?${parameters}`, { signal })) as Page;
      setFound({ ...page, decisions: [...(before?.decisions ?? []), ...page.decisions] });
    });
  useEffect(() => load(undefined), []);
  const count = found?.decisions.length ?? 0;
  const isFull = count >= rowsMax;
  return (
    <section aria-label={words.table}>
      <Failure error={error} />
      {found?.log === "off" && <p class="failure">{words.off}</p>}
      {found !== undefined && count === 0 && (
        <p role="status">{found.next === null ? words.none : words.nothingYetFound}</p>
      )}
      {found !== undefined && count > 0 && <DecisionRows rows={found.decisions.map((decision) => ({ decision }))} />}
      {isFull && <p class="help">{words.full(count)}</p>}
      {found?.next !== null && !isFull && (
        <button type="button" disabled={isRunning} onClick={() => load(found)}>
          {isRunning ? words.olderSearching : words.older}
        </button>
      )}
    </section>
  );
}

function Export({ conditions }: { readonly conditions: URLSearchParams }) {
  const { isRunning, error, run, cancel } = useAction();
  const [status, setStatus] = useState("");
  const start = (): void =>
    run(async (signal) => {
      setStatus("");
      const { file, decisions, isCut } = await exportLog(
        (parameters) => open(`/api/decisions?${parameters}`, { accept: "application/x-ndjson", signal }),
        conditions,
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
