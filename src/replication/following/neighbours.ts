/** The other nodes that the configuration names, and how this one asks them. */
import type { Config } from "../../config/config.ts";
import { must } from "../../util/assert.ts";
import type { System } from "../system.ts";
import type { Asked } from "./log-server.ts";
import { Upstream, type Neighbour } from "./upstream.ts";

/** A follower's primary, and its peers as those to go to without it. */
export function upstreamOf(config: Config, id: string, own: () => Asked | undefined, system: System): Upstream {
  const primary = must(config.primary, "a follower has a primary");
  return new Upstream(
    [
      neighbourAt(primary, config, id, system),
      ...config.peers.filter((url) => url !== primary).map((url) => neighbourAt(url, config, id, system)),
    ],
    system.clock,
    own,
  );
}

/** A primary's peers: to ask whether it still is the primary. `undefined` where there are none, or no node key to ask them with. */
export function peersOf(config: Config, id: string, own: () => Asked, system: System): Upstream | undefined {
  if (config.nodeKey === undefined) return undefined;
  const [first, ...others] = config.peers.map((url) => neighbourAt(url, config, id, system));
  return first && new Upstream([first, ...others], system.clock, own);
}

function neighbourAt(url: string, { nodeKey, limits, role }: Config, id: string, system: System): Neighbour {
  // What a fallback has does not save a write from being lost: it can't take the primary's place.
  const nodeId = role === "edge" ? id : undefined;
  const { logTimeoutMs, snapshotTimeoutMs } = limits;
  const key = must(nodeKey, "a node that asks others has a node key");
  return { url, client: system.connectNode({ url, nodeId, nodeKey: key, logTimeoutMs, snapshotTimeoutMs }) };
}
