/**
 * Twins are two processes that take themselves for the same primary: two machines with copies of one volume, or a restore drill beside production.
 * The one that came later must not write: clients would get two answers, and of the two histories one would be lost. So before its first term a
 * primary asks its peers, who ask the primary that they follow, and listens at the external brokers. A twin that can't be heard of then is found while
 * both run, by its heads.
 */
import type { Config } from "../../config/config.ts";
import { brokerAddress } from "../../config/broker-address.ts";
import { compareEpochs } from "../../store/log/epochs.ts";
import type { StoreState } from "../../store/log/store-state.ts";
import { isSameFailover } from "../../store/log/terms.ts";
import { AppError } from "../../util/app-error.ts";
import { epochOf, type Head } from "../transport/messages.ts";
import type { Peers } from "../transport/peers.ts";
import type { System } from "../system.ts";
import { externalBrokerUrls, readBrokerHeads } from "./broker-heads.ts";

/** A living primary publishes a head within so many intervals. */
const headIntervalsWaited = 1.5;

export interface PrimarySearch {
  readonly config: Config;
  /** This node's. */
  readonly id: string;
  readonly peers: Peers | undefined;
  readonly state: () => StoreState;
  /** The first epoch of the history. */
  readonly history: string;
  readonly nodeKeyHash: string;
  readonly system: System;
}

export interface FoundPrimaries {
  /** The heads of this history that brokers have kept. */
  readonly retained: readonly Head[];
  /** Says which other node is the primary now. Undefined where none is. */
  readonly primary: string | undefined;
}

/** AppError `conflict` where another process of this very node is the primary of the same data. */
export async function findPrimaries(search: PrimarySearch): Promise<FoundPrimaries> {
  const { config, id, peers, state: present, history, nodeKeyHash, system } = search;
  const waitMs = config.limits.headIntervalMs * headIntervalsWaited;
  const [atPeers, ...atBrokers] = await Promise.all([
    peers?.livePrimaries() ?? [],
    ...externalBrokerUrls(config).map(async (url) => {
      const heads = await readBrokerHeads(url, config, nodeKeyHash, waitMs, system);
      return { ...heads, where: `the broker ${brokerAddress(url).name}` };
    }),
  ]);
  const found = [
    ...atPeers.map((head) => ({ head, where: "a peer" })),
    ...atBrokers.flatMap(({ live, where }) => (live === undefined ? [] : [{ head: live, where }])),
  ];
  const state = present();
  const alive = found.filter(({ head }) => head.f === history);
  const twin = alive.find(({ head }) => (head.node ?? id) === id && isDuplicate(head, state));
  if (twin !== undefined) throw refusal(twin.head, twin.where, config.data);
  // One of an earlier epoch is replaced by this node, and will notice.
  const other = alive.find(({ head }) => compareEpochs(epochOf(head), state) >= 0);
  return {
    retained: atBrokers.flatMap(({ retained }) => (retained?.f === history ? [retained] : [])),
    primary: other && `${other.head.node ?? "another node"} is the primary, as ${other.where} says`,
  };
}

/** Whether this living primary is another start of the one that stands there. One that other nodes have voted for is its successor, or a rival. */
function isDuplicate(head: Head, present: StoreState): boolean {
  return isSameFailover(head.n, present.term) && (head.n !== present.term || head.e === present.epoch);
}

function refusal(head: Head, where: string, data: string): AppError {
  return new AppError(
    "conflict",
    `another process of this node (${head.node ?? "of an earlier version"}) is the primary of the same data, ${where} says: \`${data}\` seems to be a copy of its directory. This primary does not start. Stop the other one first to move it here; or start this one as an edge; or, to look at a copy, without the peers and the brokers of the original`,
  );
}
