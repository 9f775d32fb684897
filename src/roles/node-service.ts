/** What all roles have in common: a running node becomes a listening service, and stops in the order in which nobody loses anything. */
import type { Config } from "../config/config.ts";
import { createApp } from "../http/app.ts";
import type { Node } from "../replication/node.ts";
import { realSystem, type System } from "../replication/system.ts";
import { build } from "../runtime/version.ts";
import { type ClosureCounts, observeNode, type NodeReading } from "../telemetry/metrics.ts";
import { AppError } from "../util/app-error.ts";
import { guardConnections } from "./connection-guard.ts";

export interface RunningRole {
  readonly url: string;
  /** Another node answers from now on, at the same address: an edge that became the primary. */
  replace(node: Node): void;
  /** No new requests, streams are ended, those in flight are finished; then the feed ends, the writer empties its WAL and the files are closed. */
  stop(): Promise<void>;
}

/** Serves the node's API, and MQTT over WebSocket beside it where a broker is embedded. */
export async function serveNode(
  config: Config,
  first: Node,
  system: Pick<System, "serve" | "clock"> = realSystem,
): Promise<RunningRole> {
  const { host, port, limits } = config;
  let node = first;
  try {
    let app = createApp(node, limits);
    const listener = system.serve({
      hostname: host,
      port,
      fetch: (request, cut) => app.fetch(request, cut),
      get websocket() {
        const { mqttConnection } = node;
        if (mqttConnection === undefined) return undefined;
        const messageBytesMax = 2 * limits.brokerPacketBytesMax;
        return { path: "/mqtt", subprotocol: "mqtt", onConnection: mqttConnection, messageBytesMax };
      },
      stopGraceMs: limits.stopGraceMs,
    });
    const unobserve = observeNode(() => readingOf(node));
    const unguard = guardConnections(config, listener.connections, system.clock);
    return {
      url: listener.url,
      replace(next) {
        app.close();
        node = next;
        app = createApp(node, limits);
      },
      async stop() {
        app.close();
        await listener.stop();
        unguard();
        unobserve();
        await node.stop();
      },
    };
  } catch (error) {
    await node.stop();
    throw error;
  }
}

/** What `/metrics` shows of a node. */
function readingOf(node: Node): NodeReading {
  const { role, state, offset, ageMs, brokers, brokerClients, foreignHistory, storageOk } = node.health();
  return {
    role,
    version: build.version,
    logOffset: role === "primary" ? (offset ?? undefined) : undefined,
    appliedOffset: offset ?? undefined,
    feedState: state,
    brokers,
    brokerClients,
    foreignHistory: foreignHistory !== undefined,
    snapshotAgeMs: role === "fallback" ? (ageMs ?? undefined) : undefined,
    storageOk,
    closures: closuresOf(node),
  };
}

/** Undefined while the node has no copy that it answers from. */
function closuresOf(node: Node): ClosureCounts | undefined {
  try {
    return node.engine().closures();
  } catch (error) {
    if (error instanceof AppError && error.code === "not_ready") return undefined;
    throw error;
  }
}
