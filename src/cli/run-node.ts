/** A node's life as a process: logs and traces first, then the role, then waiting for a signal, then everything down in reverse order. */
import { accessSync, constants } from "node:fs";
import type { Config } from "../config/config.ts";
import { describeServiceVariables } from "../config/kubernetes-variables.ts";
import { keepFilesPrivate, onUnhandledError, stopSignal } from "../runtime/process.ts";
import { build } from "../runtime/version.ts";
import { pathsOpenToOthers } from "../store/directory/file-modes.ts";
import { getLogger, startLogging } from "../telemetry/logger.ts";
import { metrics } from "../telemetry/metrics.ts";
import { startTracing } from "../telemetry/tracing.ts";
import { onFailedTimer } from "../util/clock.ts";
import { rateLimiter } from "../util/rate-limiter.ts";
import { reasonOf } from "../util/reason.ts";

export interface RunningNode {
  readonly url: string;
  stop(): Promise<void>;
}

/** Resolves after a clean stop. Rejects where the node can't start. */
export async function runNode(
  config: Config,
  warnings: readonly string[],
  start: () => Promise<RunningNode>,
  ready?: (node: RunningNode) => Promise<void>,
): Promise<void> {
  keepFilesPrivate();
  startLogging({ ...config.log, lineBytesMax: config.limits.logLineBytesMax });
  const log = getLogger("node");
  warnAboutFileModes(config.data);
  logServiceVariables();
  for (const warning of warnings) log.warning("{warning}", { warning });
  const report = reporter((error) => log.error("something failed that nobody waited for", { error }));
  onUnhandledError(report);
  onFailedTimer(report);
  const asked = stopSignal();
  const tracing = await startTracing({
    sampleRatio: config.trace.sampleRatio,
    attributes: {
      "service.version": build.version,
      "ostiary.role": config.role,
      "ostiary.environment": config.environment,
      ...(config.nodeId === undefined ? {} : { "service.instance.id": config.nodeId }),
    },
  });
  try {
    // A start may take long (an edge without a primary waits for one), and whoever asks it to stop meanwhile is not kept waiting.
    const node = await Promise.race([start(), asked.then(() => undefined)]);
    if (node === undefined) return;
    log.info("{role} {version} listens on {url}", {
      role: config.role,
      version: build.version,
      url: boundUrl(config.host, node.url),
    });
    await ready?.(node);
    const signal = await asked;
    log.info("{signal}: finishing what is in flight, then stopping", { signal });
    await node.stop();
    log.info("stopped");
  } finally {
    await tracing.stop();
  }
}

/** Others may reach it there, not only this machine. With the port, also where that is 80. */
export function boundUrl(host: string, url: string): string {
  const { port } = new URL(url);
  return `http://${host.includes(":") ? `[${host}]` : host}:${port || "80"}`;
}

function logServiceVariables(): void {
  const text = describeServiceVariables(process.env);
  if (text !== undefined) getLogger("node").info("{text}", { text });
}

const reportIntervalMs = 1000;

/**
 * Counts all failures, and logs one of a kind a second: what fails for want of descriptors or space fails again and again. One that ends the process is
 * always logged.
 */
function reporter(write: (error: unknown) => void): (error: unknown, isFatal?: boolean) => void {
  const logged = rateLimiter(reportIntervalMs);
  return (error, isFatal = false) => {
    metrics.unhandledErrors.inc();
    const kind = String((error as { readonly code?: unknown }).code ?? reasonOf(error));
    if (isFatal || logged(kind) > 0) write(error);
  };
}

const pathsMax = 5;

/** What is in it is as secret as the keys that open it. */
function warnAboutFileModes(data: string): void {
  const log = getLogger("node");
  try {
    const wide = pathsOpenToOthers(data);
    // Of somebody else's files this process can change nothing, and a start that may not write there says so itself.
    if (wide.length === 0 || !isWritable(data)) return;
    const more = wide.length > pathsMax ? ` and ${wide.length - pathsMax} more` : "";
    log.warning("others on this machine may open {paths}: take that away with {command}", {
      paths: `${wide.slice(0, pathsMax).join(", ")}${more}`,
      command: `chmod -R go= ${data}`,
    });
  } catch (error) {
    // The directory can't be made either, and that ends the start.
    if ((error as NodeJS.ErrnoException).code === "ENOTDIR") return;
    log.warning("the modes of the files in {data} can't be read: {reason}", { data, reason: reasonOf(error) });
  }
}

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
