/** One change: what it is, when each node had it, and its trace. */
import type { ComponentChildren } from "preact";
import type { EventApplied, Trace } from "../api/cluster.ts";
import { ApiError } from "../api/node-api.ts";
import { formatDuration } from "../components/format.ts";
import { Properties } from "../components/properties.tsx";
import { Remote } from "../components/remote.tsx";
import { ScrollTable } from "../components/scroll-table.tsx";
import { Time } from "../components/time.tsx";
import { Waterfall } from "../components/waterfall.tsx";
import { useLoaded } from "../state/loaded.ts";
import { usePolled } from "../state/polled.ts";
import { routeTo } from "../state/route.ts";
import { call, shownLogin, may } from "../state/session.ts";
import { texts } from "../texts.ts";
import { changesTexts as words } from "../texts/changes.ts";
import { changeOf, type ChangeEvent, pageLinesMax, traceIdOf } from "./change.ts";
import { ChangeLines } from "./change-lines.tsx";

const appliedMs = 2000;
/** Spans of other nodes can come later, and a node may not have answered in time. */
const traceMs = 3000;

export function ChangeDetails({ offset }: { readonly offset: string }) {
  const number = Number(offset);
  const isOffset = /^[1-9]\d{0,14}$/.test(offset);
  const event = useLoaded(offset, async (signal) => {
    if (!isOffset) return undefined;
    const answer = await call(`/api/events?after=${number - 1}&limit=1`, { signal });
    return (answer as { readonly events: readonly ChangeEvent[] }).events[0];
  });
  return (
    <>
      <p class="links">
        {isOffset && number > 1 && <a href={routeTo("changes", [String(number - 1)])}>{words.older}</a>}
        {isOffset && <a href={routeTo("changes", [String(number + 1)])}>{words.newer}</a>}
      </p>
      <Remote of={event}>
        {(found) => (found === undefined ? <p role="status">{words.notThere}</p> : <Content event={found} />)}
      </Remote>
    </>
  );
}

function Content({ event }: { readonly event: ChangeEvent }) {
  const change = changeOf(event, pageLinesMax);
  return (
    <>
      <Section title={words.content}>
        <Properties
          of={[
            [words.when, <Time key="time" value={event.time} hasMs as="both" />],
            [words.id, event.id],
          ]}
        />
        <p>{change.title}</p>
        <ChangeLines change={change} />
      </Section>
      <Applied offset={event.offset} />
      <TraceOf event={event} />
    </>
  );
}

function Applied({ offset }: { readonly offset: string }) {
  const login = shownLogin();
  const key = login && `${login.who.id} ${offset}`;
  const applied = usePolled(
    key,
    appliedMs,
    (signal) => call(`/api/events/${offset}/applied`, { signal }) as Promise<EventApplied>,
  );
  const stateOf = (hasEvent: boolean | null): string =>
    hasEvent === null ? words.unknown : hasEvent ? words.yes : words.notYet;
  return (
    <Section title={words.applied}>
      <p class="help">{words.appliedHelp}</p>
      <Remote of={applied}>
        {(data) => (
          <ScrollTable label={words.applied} columns={Object.values(words.appliedColumns)}>
            {data.nodes.map(({ node, role, has_event: hasEvent, applied: time, after_ms: afterMs }) => (
              <tr key={node}>
                <th scope="row">{node}</th>
                <td>{role}</td>
                <td class="nowrap">{time === null ? stateOf(hasEvent) : <Time value={time} hasMs />}</td>
                <td>{afterMs === null ? texts.noValue : formatDuration(afterMs)}</td>
              </tr>
            ))}
          </ScrollTable>
        )}
      </Remote>
    </Section>
  );
}

function TraceOf({ event }: { readonly event: ChangeEvent }) {
  const id = traceIdOf(event);
  const mayRead = may(shownLogin(), "admin");
  return (
    <Section title={words.trace}>
      {id === undefined ? <p>{words.noTrace}</p> : mayRead ? <LoadedTrace id={id} /> : <p>{words.traceRole}</p>}
    </Section>
  );
}

function LoadedTrace({ id }: { readonly id: string }) {
  const trace = usePolled(id, traceMs, (signal) => call(`/api/traces/${id}`, { signal }) as Promise<Trace>);
  const { atMs, error } = trace;
  if (atMs === undefined && error instanceof ApiError && error.status === 404) return <p>{words.noSpans}</p>;
  return (
    <Remote of={trace}>
      {(data) => (
        <>
          <Waterfall trace={data} />
          <p>
            <a href={routeTo("traces", [id])}>{words.openTrace}</a>
          </p>
        </>
      )}
    </Remote>
  );
}

function Section({ title, children }: { readonly title: string; readonly children: ComponentChildren }) {
  return (
    <section aria-label={title}>
      <h3>{title}</h3>
      {children}
    </section>
  );
}
