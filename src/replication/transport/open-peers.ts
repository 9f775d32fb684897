/** The other nodes that the configuration names, and how this one asks them. */
import type { Config } from "../../config/config.ts";
import { must } from "../../util/assert.ts";
import { nodeIdOf } from "../identity.ts";
import type { PeerSystem } from "./node-client.ts";
import type { HistoryFilter } from "../history-guard.ts";
import type { NodePosition } from "./node-server.ts";
import { Peers, type PeerNode } from "./peers.ts";

/** Under which name the primary may count a node for its acknowledgements. */
export type AckName = () => string | undefined;

/** For a node that can't take the primary's place: what it has does not save a write from being lost. */
export const withoutAckName: AckName = () => undefined;

/** A follower's primary, and its peers as those to go to without it. */
export function openReplicaPeers(
  config: Config,
  countedAs: AckName,
  own: () => NodePosition | undefined,
  histories: HistoryFilter,
  system: PeerSystem,
): Peers {
  const primary = must(config.primary, "a follower has a primary");
  return new Peers(
    [
      connectPeer(primary, config, countedAs, system),
      ...config.peers.filter((url) => url !== primary).map((url) => connectPeer(url, config, countedAs, system)),
    ],
    system.clock,
    own,
    histories,
    nodeIdOf(config),
  );
}

/** A primary's peers: to ask whether it still is the primary. `undefined` where there are none, or no node key to ask them with. */
export function openPrimaryPeers(
  config: Config,
  own: () => NodePosition,
  histories: HistoryFilter,
  system: PeerSystem,
): Peers | undefined {
  const [first, ...others] = connectPeers(config, system);
  return first && new Peers([first, ...others], system.clock, own, histories);
}

/** None without a node key to ask them with. */
export function connectPeers(config: Config, system: PeerSystem): PeerNode[] {
  return config.nodeKey === undefined
    ? []
    : config.peers.map((url) => connectPeer(url, config, withoutAckName, system));
}

function connectPeer(url: string, { nodeKey, limits }: Config, countedAs: AckName, system: PeerSystem): PeerNode {
  const { logTimeoutMs, snapshotTimeoutMs } = limits;
  const key = must(nodeKey, "a node that asks others has a node key");
  return { url, client: system.connectNode({ url, countedAs, nodeKey: key, logTimeoutMs, snapshotTimeoutMs }) };
}
