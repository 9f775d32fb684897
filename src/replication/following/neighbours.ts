/** The other nodes that the configuration names, and how this one asks them. */
import type { Config } from "../../config/config.ts";
import { must } from "../../util/assert.ts";
import { nodeIdOf } from "../identity.ts";
import type { System } from "../system.ts";
import type { Histories } from "../history-guard.ts";
import type { Asked } from "./log-server.ts";
import { Upstream, type Neighbour } from "./upstream.ts";

/** Under which name the primary may count a node for its acknowledgements. */
export type CountedAs = () => string | undefined;

/** For a node that can't take the primary's place: what it has does not save a write from being lost. */
export const uncounted: CountedAs = () => undefined;

/** A follower's primary, and its peers as those to go to without it. */
export function upstreamOf(
  config: Config,
  countedAs: CountedAs,
  own: () => Asked | undefined,
  histories: Histories,
  system: System,
): Upstream {
  const primary = must(config.primary, "a follower has a primary");
  return new Upstream(
    [
      neighbourAt(primary, config, countedAs, system),
      ...config.peers.filter((url) => url !== primary).map((url) => neighbourAt(url, config, countedAs, system)),
    ],
    system.clock,
    own,
    histories,
    nodeIdOf(config),
  );
}

/** A primary's peers: to ask whether it still is the primary. `undefined` where there are none, or no node key to ask them with. */
export function peersOf(config: Config, own: () => Asked, histories: Histories, system: System): Upstream | undefined {
  const [first, ...others] = peerNeighbours(config, system);
  return first && new Upstream([first, ...others], system.clock, own, histories);
}

/** None without a node key to ask them with. */
export function peerNeighbours(config: Config, system: System): Neighbour[] {
  return config.nodeKey === undefined ? [] : config.peers.map((url) => neighbourAt(url, config, uncounted, system));
}

function neighbourAt(url: string, { nodeKey, limits }: Config, countedAs: CountedAs, system: System): Neighbour {
  const { logTimeoutMs, snapshotTimeoutMs } = limits;
  const key = must(nodeKey, "a node that asks others has a node key");
  return { url, client: system.connectNode({ url, countedAs, nodeKey: key, logTimeoutMs, snapshotTimeoutMs }) };
}
