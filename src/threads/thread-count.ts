/** How many threads answer questions. */
import { availableParallelism } from "node:os";
import type { Config } from "../config/config.ts";
import { RequestLimits } from "../http/request/request-limits.ts";
import { controlGroupLimits } from "../runtime/control-group.ts";
import { getLogger, isDebugging } from "../telemetry/logger.ts";
import { traceChooser } from "../telemetry/tracing.ts";

type ThreadConfig = Pick<Config, "threads" | "tlsCert" | "maxStaleness" | "limits">;

/**
 * As the setting says; 1 if other threads could not answer, and then the main thread does. Logs why.
 * `spreadsConnections`: whether the system spreads connections over threads.
 */
export function answeringThreadsOf(config: ThreadConfig, spreadsConnections: boolean): number {
  const { threads } = config;
  const wanted = threads === 0 ? automaticThreads() : threads;
  const obstacle = wanted === 1 ? undefined : obstacleOf(config, spreadsConnections);
  if (obstacle === undefined) return wanted;
  getLogger("threads")[threads === 0 ? "info" : "warning"]("one thread answers, not {wanted}: {obstacle}", {
    wanted,
    obstacle,
  });
  return 1;
}

/** One processor is for the writer. The number of processors respects the affinity of the process. */
export function automaticThreads(
  processors = controlGroupLimits().processors,
  available = availableParallelism(),
): number {
  return Math.max(1, Math.min(available, Math.ceil(processors ?? available)) - 1);
}

/** Why each question would have to go to the main thread, which is slower than with one thread. */
function obstacleOf({ tlsCert, maxStaleness, limits }: ThreadConfig, spreadsConnections: boolean): string | undefined {
  if (!spreadsConnections) return "this runtime or system cannot spread connections over threads";
  if (tlsCert !== undefined) return "threads cannot share a port with `tlsCert`; a proxy can end TLS instead";
  if (maxStaleness !== undefined) return "`maxStaleness` is set";
  if (RequestLimits.of(limits) !== undefined) return "requests of API keys or environments are limited";
  if (isDebugging()) return "the log level is `debug`";
  if (traceChooser() === "sampler")
    return "a sampler of OpenTelemetry decides about each request; `trace.sampleRatio` needs none";
  return undefined;
}
