/** How a node learns of events, in plain words for the health endpoint. */
import type { NodeHealth } from "../../replication/node.ts";
import type { ReplicaStateName } from "../../replication/node-state.ts";

const texts: Readonly<Partial<Record<ReplicaStateName, string>>> = {
  BOOTSTRAP: "it has no copy yet and fetches the first one",
  CATCHUP: "it fetches the events that it has missed over HTTP",
  LIVE: "a broker brings the events",
  FOLLOWING: "it asks the primary for events over HTTP",
  DISCONNECTED: "the primary does not answer: this copy may be old",
  DIVERGED: "its copy was wrong or damaged, and it fetches another one",
};

/** Undefined where a node follows nobody, or only fetches a snapshot now and then. */
export function describeReplication({ state, feedConnected }: NodeHealth): string | undefined {
  if (state !== "STALE_FEED") return texts[state];
  const why = feedConnected ? "the broker is connected, but brings nothing" : "no broker is connected";
  return `it asks the primary for events over HTTP, because ${why}`;
}
