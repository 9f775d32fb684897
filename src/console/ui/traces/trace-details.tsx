/** One trace as a waterfall, with the spans of all nodes. */
import type { Trace } from "../api/cluster.ts";
import { ApiError } from "../api/node-api.ts";
import { Remote } from "../components/remote.tsx";
import { Waterfall } from "../components/waterfall.tsx";
import { waterfallRows } from "../components/waterfall-rows.ts";
import { usePolled } from "../state/polled.ts";
import { call } from "../state/session.ts";
import { tracesTexts as words } from "../texts/traces.ts";

const pollMs = 3000;

export function TraceDetails({ id }: { readonly id: string }) {
  // Spans of other nodes can come later, and a node may not have answered in time.
  const trace = usePolled(
    id,
    pollMs,
    (signal) => call(`/api/traces/${encodeURIComponent(id)}`, { signal }) as Promise<Trace>,
  );
  const { data, error } = trace;
  const isGone = data === undefined && error instanceof ApiError && error.status === 404;
  const [top] = waterfallRows(data?.spans ?? []);
  return (
    <>
      <h3>{words.titleOf(top?.span.name ?? id)}</h3>
      {isGone ? (
        <p role="status">{words.notThere}</p>
      ) : (
        <Remote of={trace}>{(found) => <Waterfall trace={found} />}</Remote>
      )}
    </>
  );
}
