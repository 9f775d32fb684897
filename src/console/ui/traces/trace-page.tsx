/** One trace as a waterfall, with the spans of all nodes. */
import type { Trace } from "../api/cluster.ts";
import { ApiError } from "../api/node-api.ts";
import { Failure } from "../components/failure.tsx";
import { Heading } from "../components/heading.tsx";
import { Waterfall } from "../components/waterfall.tsx";
import { waterfallRows } from "../components/waterfall-rows.ts";
import { useLoaded } from "../state/loaded.ts";
import { routeTo } from "../state/route.ts";
import { call } from "../state/session.ts";
import { texts } from "../texts.ts";
import { tracesTexts as words } from "../texts/traces.ts";

export function TracePage({ id }: { readonly id: string }) {
  const { data, error, isLoading } = useLoaded(
    id,
    (signal) => call(`/api/traces/${encodeURIComponent(id)}`, { signal }) as Promise<Trace>,
  );
  const isGone = error instanceof ApiError && error.status === 404;
  const [top] = waterfallRows(data?.spans ?? []);
  return (
    <>
      <Heading text={words.titleOf(top?.span.name ?? id)} />
      <p>
        <a href={routeTo("traces")}>{words.back}</a>
      </p>
      {isGone ? <p role="status">{words.notThere}</p> : <Failure error={error} />}
      {isLoading && data === undefined && <p role="status">{texts.loading}</p>}
      {data !== undefined && <Waterfall trace={data} />}
    </>
  );
}
