/** Connects to the other nodes that the configuration names. */
import type { Config } from "../../config/config.ts";
import { must } from "../../util/assert.ts";
import type { NodeContext } from "../node-context.ts";
import type { NodeClientOptions, PeerSystem } from "./node-client.ts";
import type { HistoryFilter } from "../history-guard.ts";
import type { NodePosition } from "./node-server.ts";
import { Peers, type PeerNode } from "./peers.ts";

/** The name under which the primary may count a node's acknowledgements. */
export type AckName = () => string | undefined;

/** For a node that cannot become the primary: its data does not save a write from being lost. */
export const withoutAckName: AckName = () => undefined;

/** The primary of a replica and its peers, which replace the primary when it is down. */
export function openReplicaPeers(
  { id, system, clock }: Pick<NodeContext<PeerSystem>, "id" | "system" | "clock">,
  config: Config,
  ackName: AckName,
  own: () => NodePosition | undefined,
  histories: HistoryFilter,
): Peers {
  const primary = must(config.primary, "a replica has a primary");
  const reporter = { node: id, role: config.role };
  const connect = (url: string): PeerNode => connectPeer(url, config, ackName, system, reporter);
  const others = config.peers.filter((url) => url !== primary).map(connect);
  return new Peers([connect(primary), ...others], clock, own, histories, id);
}

/** The peers of a primary, which it asks whether it still is the primary. Undefined without any, or without a key. */
export function openPrimaryPeers(
  config: Config,
  own: () => NodePosition,
  histories: HistoryFilter,
  system: PeerSystem,
): Peers | undefined {
  const [first, ...others] = connectPeers(config, system);
  return first && new Peers([first, ...others], system.clock, own, histories);
}

/** Empty without a node key. */
export function connectPeers(config: Config, system: PeerSystem): PeerNode[] {
  if (config.nodeKey === undefined) return [];
  return config.peers.map((url) => connectPeer(url, config, withoutAckName, system));
}

function connectPeer(
  url: string,
  { nodeKey, limits }: Config,
  ackName: AckName,
  system: PeerSystem,
  reporter?: NodeClientOptions["reporter"],
): PeerNode {
  const { logTimeoutMs, snapshotTimeoutMs } = limits;
  const key = must(nodeKey, "a node with peers has a node key");
  return { url, client: system.connectNode({ url, ackName, reporter, nodeKey: key, logTimeoutMs, snapshotTimeoutMs }) };
}
