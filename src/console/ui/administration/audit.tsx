/** The audit log: what administrators did, and what was refused. */
import type { auditEndpoints } from "../../../features/audit/endpoints.ts";
import type { Answer } from "../api/answer.ts";
import { useEffect, useRef, useState } from "preact/hooks";
import { Failure } from "../components/failure.tsx";
import { ScrollTable } from "../components/scroll-table.tsx";
import { Time } from "../components/time.tsx";
import { timeOfField } from "../components/times.ts";
import { useAction } from "../state/action.ts";
import { call } from "../state/session.ts";
import { texts } from "../texts.ts";
import { administrationTexts } from "../texts/administration.ts";

const words = administrationTexts.audit;
const results = ["ok", "unchanged", "refused", "failed", "uncertain"] as const;
/** Entries that the page keeps. */
const entriesMax = 2000;

type Page = Answer<typeof auditEndpoints.getAudit>;
type Entry = Page["entries"][number];

export function Audit() {
  const form = useRef<HTMLFormElement>(null);
  const [found, setFound] = useState<Page | undefined>(undefined);
  const [conditions, setConditions] = useState(new URLSearchParams());
  const { isRunning, error, run } = useAction();
  const load = (wanted: URLSearchParams, before: Page | undefined): void =>
    run(async (signal) => {
      const query = new URLSearchParams(wanted);
      if (before?.next_page_token !== undefined) query.set("page_token", before.next_page_token);
      const page = (await call(`/api/audit?${query}`, { signal })) as Page;
      setFound({ ...page, entries: [...(before?.entries ?? []), ...page.entries] });
    });
  useEffect(() => load(conditions, undefined), []);
  const submit = (event: Event): void => {
    event.preventDefault();
    const wanted = conditionsIn(new FormData(form.current ?? undefined));
    setConditions(wanted);
    load(wanted, undefined);
  };
  const { fields } = words;
  const hasMore = found?.next_page_token !== undefined && found.entries.length < entriesMax;
  return (
    <>
      <p class="help">{words.introduction}</p>
      <form ref={form} role="search" aria-label={words.search} onSubmit={submit}>
        <div class="filters">
          <label>
            {fields.who}
            <input name="who" autocomplete="off" spellcheck={false} />
          </label>
          <label>
            {fields.action}
            <input name="action" autocomplete="off" spellcheck={false} placeholder={words.actionExample} />
          </label>
          <label>
            {fields.result}
            <select name="result">
              <option value="">{words.any}</option>
              {results.map((result) => (
                <option key={result}>{result}</option>
              ))}
            </select>
          </label>
          <label>
            {fields.since}
            <input type="datetime-local" step="1" name="since" />
          </label>
          <label>
            {fields.until}
            <input type="datetime-local" step="1" name="until" />
          </label>
        </div>
        <div class="buttons">
          <button type="submit" class="primary">
            {words.search}
          </button>
        </div>
      </form>
      <Failure error={error} />
      {found !== undefined && found.entries.length === 0 && !hasMore && <p role="status">{words.none}</p>}
      {found !== undefined && found.entries.length > 0 && (
        <ScrollTable label={words.table} columns={Object.values(words.columns)}>
          {found.entries.map((entry) => (
            <Row key={entry.id} entry={entry} />
          ))}
        </ScrollTable>
      )}
      {hasMore && (
        <button type="button" disabled={isRunning} onClick={() => load(conditions, found)}>
          {isRunning ? words.loading : words.older}
        </button>
      )}
    </>
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

function conditionsIn(fields: FormData): URLSearchParams {
  const conditions = new URLSearchParams();
  for (const [name, value] of fields) {
    const text = typeof value === "string" ? value.trim() : "";
    const condition = name === "since" || name === "until" ? timeOfField(text) : text;
    if (condition !== "") conditions.set(name, condition);
  }
  return conditions;
}
