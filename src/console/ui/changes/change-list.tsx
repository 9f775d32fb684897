/** The newest changes, live. The list begins with those before, and a stream continues it without a gap. */
import { useEffect, useState } from "preact/hooks";
import { followStream } from "../api/live-stream.ts";
import { ApiError } from "../api/node-api.ts";
import { LiveList } from "../components/live-list.tsx";
import { Aging, Loading } from "../components/remote.tsx";
import { ScrollTable } from "../components/scroll-table.tsx";
import { Time } from "../components/time.tsx";
import { useRecovery } from "../state/recovery.ts";
import { routeTo } from "../state/route.ts";
import { call, open } from "../state/session.ts";
import { changesTexts as words } from "../texts/changes.ts";
import { type Change, changeOf, changesMax, type ChangeEvent, listLinesMax, withNewer } from "./change.ts";
import { ChangeLines } from "./change-lines.tsx";

type State = "connecting" | "open" | "interrupted";

/** Rows appear together, so that a busy primary does not redraw the table for each. */
const drawMs = 250;

export function ChangeList() {
  const [changes, setChanges] = useState<readonly Change[] | undefined>(undefined);
  const [state, setState] = useState<State>("connecting");
  /** When the list was last known to be the newest one. */
  const [atMs, setAtMs] = useState<number | undefined>(undefined);
  const [error, setError] = useState<unknown>(undefined);
  const [turn, setTurn] = useState(0);
  const begin = (): void => {
    setError(undefined);
    setTurn((count) => count + 1);
  };
  // The stream itself goes on after an outage.
  useRecovery(error, () => (changes !== undefined && error === undefined) || begin());
  useEffect(() => {
    const controller = new AbortController();
    const { signal } = controller;
    let arrived: Change[] = [];
    const timer = setInterval(() => {
      if (arrived.length === 0) return;
      const added = arrived;
      arrived = [];
      setChanges((before = []) => withNewer(before, added));
    }, drawMs);
    follow(signal, {
      onFirst: (events) =>
        setChanges(
          withNewer(
            [],
            events.map((event) => changeOf(event, listLinesMax)),
          ),
        ),
      onEvent: (event) => {
        arrived.push(changeOf(event, listLinesMax));
        // A tab that is not shown draws rarely.
        if (arrived.length > changesMax) arrived = arrived.slice(-changesMax);
      },
      onState: (isOpen) => {
        setState(isOpen ? "open" : "interrupted");
        setAtMs((before) => (isOpen ? Date.now() : before));
      },
    }).catch((thrown: unknown) => signal.aborted || setError(thrown));
    return () => {
      clearInterval(timer);
      controller.abort();
    };
  }, [turn]);
  if (error instanceof ApiError && error.status === 404) return <p>{words.hasNoChanges}</p>;
  const status = { connecting: words.connecting, open: words.help(changesMax), interrupted: words.interrupted }[state];
  return (
    <>
      <p role="status" class="help">
        {status}
      </p>
      <Aging atMs={atMs} error={error} onRetry={begin}>
        {changes === undefined && error === undefined && <Loading />}
        {changes?.length === 0 && <p>{words.empty}</p>}
        {changes !== undefined && changes.length > 0 && (
          <LiveList entries={changes} keyOf={({ event }) => event.id}>
            {(shown) => (
              <ScrollTable label={words.table} columns={Object.values(words.columns)}>
                {shown.map((change) => (
                  <Row key={change.event.id} change={change} />
                ))}
              </ScrollTable>
            )}
          </LiveList>
        )}
      </Aging>
    </>
  );
}

function Row({ change }: { readonly change: Change }) {
  const { event, title } = change;
  return (
    <tr>
      <td>
        <Time value={event.time} hasMs />
      </td>
      <td>{event.offset}</td>
      <th scope="row">
        <a href={routeTo("changes", [event.offset])}>{title}</a>
      </th>
      <td>
        <ChangeLines change={change} />
      </td>
    </tr>
  );
}

interface Listener {
  readonly onFirst: (events: readonly ChangeEvent[]) => void;
  readonly onEvent: (event: ChangeEvent) => void;
  readonly onState: (isOpen: boolean) => void;
}

interface Page {
  readonly events: readonly ChangeEvent[];
  readonly next: string;
  readonly head: string;
}

/** Throws ApiError if the node has no changes, or cannot continue. */
async function follow(signal: AbortSignal, { onFirst, onEvent, onState }: Listener): Promise<void> {
  const page = await newestPage(signal);
  onFirst(page.events);
  const path = `/api/events?after=${encodeURIComponent(page.next)}`;
  await followStream((lastEventId, each) => open(path, { accept: "text/event-stream", signal: each, lastEventId }), {
    signal,
    onState,
    onEvent: (event) => onEvent(event as ChangeEvent),
  });
}

const firstPageMax = 50;

/** The last events. A log can have been trimmed up to a later one; then it is short, and the page begins with it. */
async function newestPage(signal: AbortSignal): Promise<Page> {
  const first = (await call("/api/events?limit=1", { signal })) as Page;
  const head = Number(first.head.split(":").at(-1));
  const earliest = first.events[0] === undefined ? head : Number(first.events[0].offset) - 1;
  const after = Math.max(earliest, head - firstPageMax);
  return (await call(`/api/events?after=${after}&limit=${firstPageMax}`, { signal })) as Page;
}
