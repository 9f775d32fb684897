/**
 * Health endpoints for load balancers and orchestrators. They need no API key and give no secrets. `/healthcheck` is
 * 200 if this node can answer queries; `/readyz` is 200 if it also should get them: its database is not old, and it is
 * not a replaced primary. `/livez` is 200 as long as the process handles requests: an orchestrator that restarts a node
 * because of another answer would end nodes that only wait for their primary.
 */
import { createHash } from "node:crypto";
import { Elysia } from "elysia";
import type { Node, NodeHealth } from "../../replication/node.ts";
import { isReady, type ReplicaStateName } from "../../replication/node-health.ts";
import { exchangeOf } from "../../http/middleware/exchange.ts";

/**
 * A hash of the digest, equal for nodes with equal digests. The digest itself is a sum of hashes: with the difference
 * of two digests a client without an API key could verify a guess of the facts that were written in between.
 */
function fingerprint(digest: string): string {
  return createHash("sha256").update(digest).digest("hex").slice(0, 16);
}

export const healthPaths: ReadonlySet<string> = new Set(["/healthcheck", "/api/healthcheck", "/livez", "/readyz"]);

type Context = { request: Request; route: string; set: { status?: number | string } };

export function healthRoutes(node: Node) {
  const respond = ({ request, route, set }: Context, isHealthy: (health: NodeHealth) => boolean) => {
    exchangeOf(request).route = route;
    const health = node.health();
    const { degraded, role, state, epoch, term, offset, digest, ageMs, visibleAfterMs, isBrokerConnected, brokers } =
      health;
    const following = describeReplication(health);
    if (!isHealthy(health)) set.status = 503;
    return {
      status: isHealthy(health) ? "ok" : "not ready",
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
      ...(health.keptFormat === undefined ? {} : { kept_format: health.keptFormat }),
      ...(health.unreplicated === undefined ? {} : { unreplicated_events: health.unreplicated }),
    };
  };
  const canAnswer = ({ ok }: NodeHealth): boolean => ok;
  return new Elysia()
    .get("/healthcheck", (context) => respond(context, canAnswer))
    .get("/api/healthcheck", (context) => respond(context, canAnswer))
    .get("/readyz", (context) => respond(context, isReady))
    .get("/livez", ({ request, route }) => {
      exchangeOf(request).route = route;
      return { status: "ok", node: node.id };
    });
}

const texts: Readonly<Partial<Record<ReplicaStateName, string>>> = {
  BOOTSTRAP: "it has no database yet and downloads a snapshot",
  CATCHUP: "it fetches missed events over HTTP",
  LIVE: "it gets events from a broker",
  FOLLOWING: "it gets events from the primary over HTTP",
  DISCONNECTED: "the primary does not answer: the database of this node may be old",
  DIVERGED: "its database was wrong or damaged, and it downloads a snapshot",
};

/** Describes how a node gets events; undefined for a primary and for a fallback that only downloads snapshots. */
function describeReplication({ state, isBrokerConnected }: NodeHealth): string | undefined {
  if (state !== "STALE_FEED") return texts[state];
  const why = isBrokerConnected ? "the broker is connected but silent" : "no broker is connected";
  return `it gets events from the primary over HTTP, because ${why}`;
}
