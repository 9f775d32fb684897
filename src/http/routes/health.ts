/** For load balancers and orchestrators: no key, and nothing that anybody could not know. 200 where this node can answer questions. */
import { createHash } from "node:crypto";
import { Elysia } from "elysia";
import type { Node } from "../../replication/node.ts";
import { exchangeOf } from "../exchange.ts";

/**
 * Equal where two nodes' digests are, and nothing more: the digest itself is a sum of hashes, so the difference of two would confirm a guess of
 * what was written in between to somebody without a key.
 */
function fingerprint(digest: string): string {
  return createHash("sha256").update(digest).digest("hex").slice(0, 16);
}

export function healthRoutes(node: Node) {
  const answer = ({ request, route, set }: { request: Request; route: string; set: { status?: number | string } }) => {
    exchangeOf(request).route = route;
    const { ok, role, state, epoch, offset, digest, ageMs, feedConnected, brokers } = node.health();
    if (!ok) set.status = 503;
    return {
      status: ok ? "ok" : "not ready",
      role,
      node: node.id,
      state,
      epoch,
      offset,
      digest: digest === null ? null : fingerprint(digest),
      age_ms: ageMs,
      feed_connected: feedConnected,
      brokers,
    };
  };
  return new Elysia()
    .get("/healthcheck", (context) => answer(context))
    .get("/api/healthcheck", (context) => answer(context));
}
