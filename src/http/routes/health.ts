/** For load balancers and orchestrators: no key, and nothing that anybody could not know. 200 where this node can answer questions. */
import { Elysia } from "elysia";
import type { Node } from "../../replication/node.ts";
import { exchangeOf } from "../exchange.ts";

export function healthRoutes(node: Node) {
  const answer = ({ request, route, set }: { request: Request; route: string; set: { status?: number | string } }) => {
    exchangeOf(request).route = route;
    const { ok, role, state, epoch, offset, digest, ageMs, feedConnected } = node.health();
    if (!ok) set.status = 503;
    return {
      status: ok ? "ok" : "not ready",
      role,
      node: node.id,
      state,
      epoch,
      offset,
      digest,
      age_ms: ageMs,
      feed_connected: feedConnected,
    };
  };
  return new Elysia()
    .get("/healthcheck", (context) => answer(context))
    .get("/api/healthcheck", (context) => answer(context));
}
