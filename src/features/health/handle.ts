/**
 * Health endpoints for load balancers and orchestrators. They need no API key and give no secrets. `/healthcheck` is
 * 200 if this node can answer queries; `/readyz` is 200 if it also should get them: its database is not old, it is not a
 * replaced primary, and it has not just started. `/livez` is 200 as long as the process handles requests: an orchestrator that restarts a node
 * because of another answer would end nodes that only wait for their primary.
 */
import { createHash } from "node:crypto";
import type { Call, Handlers } from "../../http/router.ts";
import type { Node } from "../../replication/node.ts";
import { isReady, type NodeHealth, type ReplicaStateName } from "../../replication/node-health.ts";
import type { healthEndpoints } from "./endpoints.ts";

/**
 * A hash of the digest, equal for nodes with equal digests. The digest itself is a sum of hashes: with the difference
 * of two digests a client without an API key could verify a guess of the facts that were written in between.
 */
function fingerprint(digest: string): string {
  return createHash("sha256").update(digest).digest("hex").slice(0, 16);
}

const warmingUp = "this node has just started and plans the first questions, for two seconds at most";

export function handleHealth(node: Node, document: () => object): Handlers<typeof healthEndpoints> {
  const respond = ({ set }: Pick<Call, "set">, isHealthy: (health: NodeHealth) => boolean) => {
    const health = node.health();
    const { degraded, role, state, epoch, term, offset, digest, ageMs, visibleAfterMs, isBrokerConnected, brokers } =
      health;
    const following = describeReplication(health);
    const isOk = isHealthy(health);
    if (!isOk) set.status = 503;
    const reason = degraded ?? (health.isWarmingUp === true && !isOk ? warmingUp : undefined);
    return {
      status: isOk ? ("ok" as const) : ("not ready" as const),
      ...(reason === undefined ? {} : { degraded: reason }),
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
  return {
    healthcheck: (call) => respond(call, canAnswer),
    apiHealthcheck: (call) => respond(call, canAnswer),
    ready: (call) => respond(call, isReady),
    live: () => ({ status: "ok", node: node.id }),
    getOpenApi: openApiHandler(document),
  };
}

/** The document has no secrets and is the same for everybody. It is made once, for the first request. */
function openApiHandler(document: () => object) {
  let made: { readonly json: string; readonly tag: string } | undefined;
  const make = () => {
    const json = JSON.stringify(document());
    return { json, tag: `"${createHash("sha256").update(json).digest("base64url").slice(0, 22)}"` };
  };
  return ({ request }: Pick<Call, "request">): Response => {
    made ??= make();
    const headers = { "Content-Type": "application/json", ETag: made.tag };
    return request.headers.get("if-none-match") === made.tag
      ? new Response(null, { status: 304, headers })
      : new Response(made.json, { headers });
  };
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
