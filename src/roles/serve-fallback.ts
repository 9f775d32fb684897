/** A fallback: its last copy and the timer first, then the API. It listens at once, and says that it is not ready while it has no copy. */
import type { Config } from "../config/config.ts";
import { startFallbackNode } from "./fallback.ts";
import { realClusterSystem, type ClusterSystem } from "./cluster-system.ts";
import { serveNode, type RunningNode } from "./node-service.ts";

export async function startFallback(config: Config, system: ClusterSystem = realClusterSystem): Promise<RunningNode> {
  return serveNode(config, await startFallbackNode(config, system), system);
}
