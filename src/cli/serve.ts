/**
 * `ostiary serve`: runs a node as a process. It starts logs, traces and the role, waits for a signal, and stops them in
 * reverse order.
 */
import { accessSync, constants } from "node:fs";
import type { Config } from "../config/config.ts";
import { describeServiceVariables } from "../config/kubernetes-variables.ts";
import { describeResources } from "../config/resource-limits.ts";
import { startEnvironments } from "../environments/host.ts";
import { controlGroupLimits } from "../runtime/control-group.ts";
import { keepFilesPrivate, onUnhandledError, stopSignal } from "../runtime/process.ts";
import { localUrl } from "../runtime/serve.ts";
import { build } from "../runtime/version.ts";
import { pathsOpenToOthers } from "../store/directory/data-directory.ts";
import { instanceIdOf } from "../store/directory/instance-id.ts";
import { noteAddress, removeNotedAddress } from "../store/directory/noted-address.ts";
import { getLogger, startLogging } from "../telemetry/logger.ts";
import { startMetricExport } from "../telemetry/metric-export.ts";
import { metrics } from "../telemetry/metrics.ts";
import type { NodeAttributes } from "../telemetry/otel-resource.ts";
import { startTracing } from "../telemetry/tracing.ts";
import { onFailedTimer } from "../util/clock.ts";
import { rateLimiter } from "../util/rate-limiter.ts";
import { reasonOf } from "../util/reason.ts";
import type { AddCommand } from "./command.ts";
import { addSettingOptions, configFromCommand } from "./setting-options.ts";

export const serveCommand: AddCommand = (program) => {
  const command = program
    .command("serve")
    .description("Run a node until SIGTERM or SIGINT: --role primary, edge or fallback");
  addSettingOptions(command).action(async () => {
    const { config, warnings } = await configFromCommand(command);
    await runNode(config, warnings, () => startEnvironments(config));
  });
};

interface RunningNode {
  readonly url: string;
  node(): { readonly role: Config["role"] };
  stop(): Promise<void>;
}

/** Resolves after a clean stop. Rejects if the node cannot start. `warnings` about settings are logged. */
export async function runNode<Node extends RunningNode>(
  config: Config,
  warnings: readonly string[],
  start: () => Promise<Node>,
  ready?: (node: Node) => Promise<void>,
): Promise<void> {
  keepFilesPrivate();
  startLogging({ ...config.log, lineBytesMax: config.limits.logLineBytesMax });
  const log = getLogger("node");
  warnAboutFileModes(config.data);
  const ignored = describeServiceVariables(process.env);
  if (ignored !== undefined) log.info("{text}", { text: ignored });
  const lowered = describeResources(controlGroupLimits());
  if (lowered !== undefined) log.info("{text}", { text: lowered });
  for (const warning of warnings) log.warning("{warning}", { warning });
  const report = errorReporter((error) => log.error("unhandled error: {error}", { error }));
  onUnhandledError(report);
  onFailedTimer(report);
  const stopRequested = stopSignal();
  let node: Node | undefined;
  const instance = instanceIdOf(config);
  const attributes: NodeAttributes = () => ({
    "service.version": build.version,
    "ostiary.role": node?.node().role ?? config.role,
    "ostiary.environment": config.environment,
    "service.instance.id": instance,
  });
  const tracing = await startTracing({
    sampleRatio: config.trace.sampleRatio,
    ...(config.trace.recentPerSecond > 0 && {
      recent: { perSecond: config.trace.recentPerSecond, ...config.limits },
    }),
    attributes,
  });
  const metricExport = await startMetricExport(attributes);
  try {
    // A start can take long (an edge waits for its primary), and a stop signal must end it.
    node = await Promise.race([start(), stopRequested.then(() => undefined)]);
    if (node === undefined) return;
    log.info("{role} {version} listens on {url}", {
      role: config.role,
      version: build.version,
      url: boundUrl(config.host, node.url),
    });
    await ready?.(node);
    noteAddressOf(node.url, config);
    const signal = await stopRequested;
    log.info("{signal}: finishing the requests in flight, then stopping", { signal });
    forgetAddress(config);
    await node.stop();
    log.info("stopped");
  } finally {
    await Promise.all([tracing.stop(), metricExport.stop()]);
  }
}

/**
 * The URL with the configured host, at which other machines can reach the node. It always has the port, even if that is
 * the default one.
 */
export function boundUrl(host: string, url: string): string {
  const { port, protocol } = new URL(url);
  return `${protocol}//${host.includes(":") ? `[${host}]` : host}:${port || (protocol === "https:" ? "443" : "80")}`;
}

/** A node without this note works as well: `ostiary health` asks the address of its settings then. */
function noteAddressOf(url: string, { host, data }: Config): void {
  const { port, protocol } = new URL(url);
  const scheme = protocol === "https:" ? "https" : "http";
  try {
    noteAddress(data, localUrl(host, Number(port || (scheme === "https" ? 443 : 80)), scheme));
  } catch (error) {
    getLogger("node").warning("the address of this node cannot be noted in {data}: {reason}", {
      data,
      reason: reasonOf(error),
    });
  }
}

/** A stop goes on whatever the disk does. */
function forgetAddress({ data }: Config): void {
  try {
    removeNotedAddress(data);
  } catch (error) {
    getLogger("node").warning("the note of the address cannot be removed from {data}: {reason}", {
      data,
      reason: reasonOf(error),
    });
  }
}

const reportIntervalMs = 1000;

/**
 * Returns a function that counts all unhandled errors and logs one error of each kind per second: errors such as
 * missing descriptors or disk space occur repeatedly. A fatal error is always logged.
 */
export function errorReporter(write: (error: unknown) => void): (error: unknown, isFatal?: boolean) => void {
  const logged = rateLimiter(reportIntervalMs);
  return (error, isFatal = false) => {
    metrics.unhandledErrors.inc();
    // A promise can be rejected with any value, also with null or undefined.
    const { code } = (error ?? {}) as { readonly code?: unknown };
    const kind = String(code ?? reasonOf(error));
    if (isFatal || logged(kind) > 0) write(error);
  };
}

const pathsMax = 5;

/** Warns if other users can read the data directory. */
function warnAboutFileModes(data: string): void {
  const log = getLogger("node");
  try {
    const wide = pathsOpenToOthers(data);
    // If the files belong to another user, the start fails with its own message.
    if (wide.length === 0 || !isWritable(data)) return;
    const more = wide.length > pathsMax ? ` and ${wide.length - pathsMax} more` : "";
    log.warning("other users of this machine can open {paths}: remove the permissions with {command}", {
      paths: `${wide.slice(0, pathsMax).join(", ")}${more}`,
      command: `chmod -R go= ${data}`,
    });
  } catch (error) {
    // The start fails as well, because the directory cannot be created.
    if ((error as NodeJS.ErrnoException).code === "ENOTDIR") return;
    log.warning("the permissions of the files in {data} cannot be read: {reason}", { data, reason: reasonOf(error) });
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
