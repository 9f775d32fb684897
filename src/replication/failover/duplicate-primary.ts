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
import { getLogger } from "../../telemetry/logger.ts";
import { AppError } from "../../util/app-error.ts";
import { epochOf, type Head } from "../transport/messages.ts";
import type { Peers } from "../transport/peers.ts";
import type { System } from "../system.ts";
import type { Fence } from "./fence.ts";
import { externalBrokerUrls, readBrokerHeads } from "./broker-heads.ts";

const log = getLogger("primary");

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

export interface DuplicatePrimaryMonitorOptions {
  /** This node's. */
  readonly id: string;
  /** Which start of its process this is. */
  readonly instance: string;
  readonly state: () => StoreState;
  readonly fence: Fence;
}

export class DuplicatePrimaryMonitor {
  readonly #options: DuplicatePrimaryMonitorOptions;
  #isFollowed = false;
  #known: string | undefined;

  constructor(options: DuplicatePrimaryMonitorOptions) {
    this.#options = options;
  }

  /** A node stands in that epoch. */
  onReplicaEpoch(epoch: string): void {
    this.#isFollowed ||= epoch === this.#options.state().epoch;
  }

  /** Whether a process of this node published the head in the present succession: this one, a former one, or a twin. Logs a twin once. */
  isOfThisNode(head: Head, retained: boolean): boolean {
    const { id, instance, state: present } = this.#options;
    if (head.i === undefined || head.node !== id || !isSameFailover(head.n, present().term)) return false;
    if (head.i !== instance && !retained && head.n >= present().term && this.#known !== head.i) {
      this.#known = head.i;
      log.error(
        "another process of the node {id} takes itself for the primary of the same data: one of the two was started on a copy of the other's data directory. Stop the one that the nodes do not follow",
        { id },
      );
    }
    return true;
  }

  /** Whether nobody is known to follow this primary, so that its peers should be asked. */
  get hasNoReplica(): boolean {
    return !this.#isFollowed;
  }

  /** These primaries are alive. */
  onPrimaryHeads(primaries: readonly Head[]): void {
    const { id, instance, state: present, fence } = this.#options;
    const earlier = primaries.find(
      (head) =>
        head.node === id &&
        head.i !== undefined &&
        head.i !== instance &&
        isSameFailover(head.n, present().term) &&
        compareEpochs(epochOf(head), present()) < 0,
    );
    if (earlier !== undefined)
      fence.fence(
        `another process of the node ${id} is the primary of the same data, and was started earlier: this data directory is a copy. Stop one of the two`,
      );
  }
}
