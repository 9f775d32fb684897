/**
 * For load balancers and orchestrators: no key, and nothing that anybody could not know. `/healthcheck` is 200 where this node can answer questions;
 * `/readyz` is 200 where it also should be asked rather than another: its copy is not old, and it was not replaced.
 */
import { createHash } from "node:crypto";
import { Elysia } from "elysia";
import type { Node, NodeHealth } from "../../replication/node.ts";
import type { ReplicaStateName } from "../../replication/node-state.ts";
import { exchangeOf } from "../middleware/exchange.ts";

/**
 * Equal where two nodes' digests are, and nothing more: the digest itself is a sum of hashes, so the difference of two would confirm a guess of
 * what was written in between to somebody without a key.
 */
function fingerprint(digest: string): string {
  return createHash("sha256").update(digest).digest("hex").slice(0, 16);
}

export const healthPaths: ReadonlySet<string> = new Set(["/healthcheck", "/api/healthcheck", "/readyz"]);

type Context = { request: Request; route: string; set: { status?: number | string } };

export function healthRoutes(node: Node) {
  const answer = ({ request, route, set }: Context, fit: (health: NodeHealth) => boolean) => {
    exchangeOf(request).route = route;
    const health = node.health();
    const { degraded, role, state, epoch, term, offset, digest, ageMs, visibleAfterMs, isBrokerConnected, brokers } =
      health;
    const following = describeReplication(health);
    if (!fit(health)) set.status = 503;
    return {
      status: fit(health) ? "ok" : "not ready",
      ...(degraded === undefined ? {} : { degraded }),
      role,
      node: node.id,
      state,
      ...(following === undefined ? {} : { following }),
      epoch,
      term,
      offset,
      digest: digest === null ? null : fingerprint(digest),
      age_ms: ageMs,
      ...(visibleAfterMs === undefined ? {} : { commit_to_visible_ms: visibleAfterMs }),
      feed_connected: isBrokerConnected,
      brokers,
      ...(health.votedFor === undefined ? {} : { pledged_to: health.votedFor }),
      ...(health.unreplicated === undefined ? {} : { unreplicated_events: health.unreplicated }),
    };
  };
  const canAnswer = ({ ok }: NodeHealth): boolean => ok;
  const shouldBeAsked = ({ ok, degraded }: NodeHealth): boolean => ok && degraded === undefined;
  return new Elysia()
    .get("/healthcheck", (context) => answer(context, canAnswer))
    .get("/api/healthcheck", (context) => answer(context, canAnswer))
    .get("/readyz", (context) => answer(context, shouldBeAsked));
}

const texts: Readonly<Partial<Record<ReplicaStateName, string>>> = {
  BOOTSTRAP: "it has no copy yet and fetches the first one",
  CATCHUP: "it fetches the events that it has missed over HTTP",
  LIVE: "a broker brings the events",
  FOLLOWING: "it asks the primary for events over HTTP",
  DISCONNECTED: "the primary does not answer: this copy may be old",
  DIVERGED: "its copy was wrong or damaged, and it fetches another one",
};

/** Undefined where a node follows nobody, or only fetches a snapshot now and then. */
function describeReplication({ state, isBrokerConnected }: NodeHealth): string | undefined {
  if (state !== "STALE_FEED") return texts[state];
  const why = isBrokerConnected ? "the broker is connected, but brings nothing" : "no broker is connected";
  return `it asks the primary for events over HTTP, because ${why}`;
}
