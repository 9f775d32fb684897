/** How many threads answer questions. */
import { availableParallelism } from "node:os";
import type { Config } from "../config/config.ts";
import { controlGroupLimits } from "../runtime/control-group.ts";
import { spreadsConnections } from "../runtime/listener-threads.ts";
import { getLogger } from "../telemetry/logger.ts";

/** As the setting says; 1 where connections cannot be spread over threads, and then the main thread answers. */
export function answeringThreadsOf({ threads, tlsCert }: Pick<Config, "threads" | "tlsCert">): number {
  const obstacle = obstacleOf(tlsCert);
  if (obstacle === undefined) return threads === 0 ? automaticThreads() : threads;
  if (threads > 1) getLogger("threads").warning("one thread answers, not {threads}: {obstacle}", { threads, obstacle });
  return 1;
}

/** One processor is for the writer. The number of processors respects the affinity of the process. */
export function automaticThreads(
  processors = controlGroupLimits().processors,
  available = availableParallelism(),
): number {
  return Math.max(1, Math.min(available, Math.ceil(processors ?? available)) - 1);
}

function obstacleOf(tlsCert: string | undefined): string | undefined {
  if (!spreadsConnections) return "this runtime or system cannot spread connections over threads";
  return tlsCert === undefined
    ? undefined
    : "threads cannot share a port with TLS yet: put a proxy in front of the node";
}
