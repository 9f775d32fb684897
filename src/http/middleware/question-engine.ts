/**
 * The engine for questions. A copy from before the first policy denies everything. Clients ask a fallback when nobody
 * else answers, so they would take this for decisions of a policy.
 */
import type { Engine } from "../../engine/engine.ts";
import type { Node } from "../../replication/node.ts";
import { lacksPolicy, withoutPolicy } from "../../replication/node-health.ts";
import { AppError } from "../../util/app-error.ts";

/** Throws as `Node.engine` does, and `not_ready` on a fallback whose copy has no policy. */
export function questionEngine(node: Node): Engine {
  if (node.role === "fallback" && lacksPolicy(node.state()))
    throw new AppError("not_ready", `this fallback cannot answer yet: ${withoutPolicy}`);
  return node.engine();
}
