/** An edge: its copy and the feed first, then the API. It listens at once, and says that it is not ready while it has no copy. */
import type { Config } from "../config/config.ts";
import { startEdgeNode } from "../replication/edge-node.ts";
import { serveNode, type RunningRole } from "./node-service.ts";

export async function startEdge(config: Config): Promise<RunningRole> {
  return serveNode(config, await startEdgeNode(config));
}
