/** What all roles have in common: a running node becomes a listening service, and stops in the order in which nobody loses anything. */
import type { Config } from "../config/config.ts";
import { createApp } from "../http/app.ts";
import type { Node } from "../replication/node.ts";
import { realSystem, type System } from "../replication/system.ts";
import { sleep } from "../util/clock.ts";
import { limitConnections } from "./connection-limit.ts";
import { exposeNode, readNode } from "./node-metrics.ts";

export interface RunningNode {
  readonly url: string;
  /**
   * The node is about to be replaced: requests that come now wait for the next one, and those that are under way are finished, all but `besides`.
   * Resolves when they are, or after a second.
   */
  drain(besides: number): Promise<void>;
  /** There is no next node yet: who waits for it is refused, and so is who comes before `replace`. */
  failWaiting(): void;
  /** Another node answers from now on, at the same address: one of another role. */
  replace(node: Node): void;
  /** No new requests, streams are ended, those in flight are finished; then the feed ends, the writer empties its WAL and the files are closed. */
  stop(): Promise<void>;
}

/** Serves the node's API, and MQTT over WebSocket beside it where a broker is embedded. */
export async function serveNode(
  config: Config,
  first: Node,
  system: Pick<System, "serve" | "clock"> = realSystem,
): Promise<RunningNode> {
  const { host, port, limits } = config;
  let node = first;
  try {
    let app = createApp(node, limits);
    let change: RoleChange | undefined;
    const listener = system.serve({
      hostname: host,
      port,
      fetch: (request, cut) =>
        change === undefined
          ? app.fetch(request, cut)
          : change.over.then((isOver) => (isOver ? app.fetch(request, cut) : roleChangeResponse())),
      get websocket() {
        const { mqttConnection } = node;
        if (mqttConnection === undefined) return undefined;
        const messageBytesMax = 2 * limits.brokerPacketBytesMax;
        return { path: "/mqtt", subprotocol: "mqtt", onConnection: mqttConnection, messageBytesMax };
      },
      stopGraceMs: limits.stopGraceMs,
    });
    const unobserve = exposeNode(() => readNode(node));
    const unguard = limitConnections(config, listener.connections, system.clock);
    return {
      url: listener.url,
      async drain(besides) {
        change ??= startRoleChange(system.clock);
        app.endStreams();
        const endMs = system.clock.monotonicMs() + drainMsMax;
        while (app.inFlight > besides && system.clock.monotonicMs() < endMs) await sleep(system.clock, drainPollMs);
      },
      failWaiting: () => change?.end(false),
      replace(next) {
        app.close();
        node = next;
        app = createApp(node, limits);
        change?.end(true);
        change = undefined;
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

const drainMsMax = 1000;
const drainPollMs = 5;
/** Who asks meanwhile waits so long. */
const roleChangeMsMax = 5000;

/** From one node to the next one. */
interface RoleChange {
  /** Resolves with whether the next one is there. */
  readonly over: Promise<boolean>;
  readonly end: (isOver: boolean) => void;
}

function startRoleChange(clock: System["clock"]): RoleChange {
  const { promise: over, resolve } = Promise.withResolvers<boolean>();
  const cancel = clock.after(roleChangeMsMax, () => resolve(false));
  return {
    over,
    end(isOver) {
      cancel();
      resolve(isOver);
    },
  };
}

function roleChangeResponse(): Response {
  const message = "this node is changing its role: ask again in a moment, or ask another node";
  return Response.json({ message }, { status: 503, headers: { "Retry-After": "1" } });
}
