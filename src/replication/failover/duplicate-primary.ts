/**
 * Detects duplicate primaries: two processes that act as the same primary, on two copies of one volume, or in a restore
 * drill beside production. The one that started later must not write: clients would get two different answers, and one
 * of the two histories would be lost.
 *
 * Before its first term, a primary asks its peers, which ask the primary that they follow, and listens at the external
 * brokers (`findPrimaries`). A duplicate that is unreachable then is detected by its heads while both run
 * (`DuplicatePrimaryMonitor`).
 */
import type { Config } from "../../config/config.ts";
import { brokerAddress } from "../../config/broker-address.ts";
import { compareEpochs } from "../../store/log/epochs.ts";
import type { NodeKeyHashes } from "../../store/keys/node-keys.ts";
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

/** A live primary publishes a head within this number of intervals. */
const headIntervalsWaited = 1.5;

export interface PrimarySearch {
  readonly config: Config;
  readonly id: string;
  readonly peers: Peers | undefined;
  readonly state: () => StoreState;
  /** The first epoch of the history. */
  readonly history: string;
  readonly nodeKeyHashes: NodeKeyHashes;
  readonly system: System;
}

export interface FoundPrimaries {
  /** The retained heads of this history at brokers. */
  readonly retained: readonly Head[];
  /** Another node that is the primary now, with its term. Undefined if there is none. */
  readonly primary: { readonly reason: string; readonly term: number } | undefined;
}

/** AppError `conflict` if another process of this node is the primary of the same data. */
export async function findPrimaries(search: PrimarySearch): Promise<FoundPrimaries> {
  const { config, id, peers, state, history, nodeKeyHashes, system } = search;
  const waitMs = config.limits.headIntervalMs * headIntervalsWaited;
  const [atPeers, ...atBrokers] = await Promise.all([
    peers?.livePrimaries() ?? [],
    ...externalBrokerUrls(config).map(async (url) => {
      const heads = await readBrokerHeads(url, config, nodeKeyHashes, waitMs, system);
      return { ...heads, where: `the broker ${brokerAddress(url).name}` };
    }),
  ]);
  const found = [
    ...atPeers.map((head) => ({ head, where: "a peer" })),
    ...atBrokers.flatMap(({ live, where }) => (live === undefined ? [] : [{ head: live, where }])),
  ];
  const current = state();
  const alive = found.filter(({ head }) => head.f === history);
  const duplicate = alive.find(({ head }) => (head.node ?? id) === id && isDuplicate(head, current));
  if (duplicate !== undefined) throw refusal(duplicate.head, duplicate.where, config.data);
  // A primary of an earlier epoch is replaced by this node, and will notice.
  const other = alive.find(({ head }) => compareEpochs(epochOf(head), current) >= 0);
  return {
    retained: atBrokers.flatMap(({ retained }) => (retained?.f === history ? [retained] : [])),
    primary: other && {
      reason: `${other.head.node ?? "another node"} is the primary, as ${other.where} says`,
      term: other.head.n,
    },
  };
}

/** Whether this live primary was started on the same data. One with votes of other nodes is a successor or a rival. */
function isDuplicate(head: Head, state: StoreState): boolean {
  return isSameFailover(head.n, state.term) && (head.n !== state.term || head.e === state.epoch);
}

function refusal(head: Head, where: string, data: string): AppError {
  return new AppError(
    "conflict",
    `another process of this node (${head.node ?? "of an earlier version"}) is the primary of the same data, ${where} says: \`${data}\` seems to be a copy of its directory. This primary does not start. Stop the other one first to move it here; or start this one as an edge; or, to inspect a copy, start it without the peers and the brokers of the original`,
  );
}

export class DuplicatePrimaryMonitor {
  readonly #id: string;
  readonly #instance: string;
  readonly #state: () => StoreState;
  readonly #fence: Fence;
  #hasReplica = false;
  #loggedInstance: string | undefined;

  /** `instance` identifies the start of this process. */
  constructor(id: string, instance: string, state: () => StoreState, fence: Fence) {
    this.#id = id;
    this.#instance = instance;
    this.#state = state;
    this.#fence = fence;
  }

  /** Another node is in this epoch. */
  onReplicaEpoch(epoch: string): void {
    this.#hasReplica ||= epoch === this.#state().epoch;
  }

  /** Whether a process of this node published the head under the current failover term. Logs a duplicate once. */
  isOfThisNode(head: Head, retained: boolean): boolean {
    const [id, { term }] = [this.#id, this.#state()];
    if (head.i === undefined || head.node !== id || !isSameFailover(head.n, term)) return false;
    if (head.i !== this.#instance && !retained && head.n >= term && this.#loggedInstance !== head.i) {
      this.#loggedInstance = head.i;
      log.error(
        "another process of the node {id} acts as the primary of the same data: one of the two was started on a copy of the other's data directory. Stop the one that the nodes do not follow",
        { id },
      );
    }
    return true;
  }

  /** Whether no node is known to follow this primary. Then its peers should be asked. */
  get hasNoReplica(): boolean {
    return !this.#hasReplica;
  }

  /** Called with the heads of live primaries. If a duplicate was started earlier, this primary is fenced. */
  onPrimaryHeads(primaries: readonly Head[]): void {
    const [id, state] = [this.#id, this.#state()];
    const earlier = primaries.find(
      (head) =>
        head.node === id &&
        head.i !== undefined &&
        head.i !== this.#instance &&
        isSameFailover(head.n, state.term) &&
        compareEpochs(epochOf(head), state) < 0,
    );
    if (earlier !== undefined)
      this.#fence.fence(
        `another process of the node ${id} is the primary of the same data, and was started earlier: this data directory is a copy. Stop one of the two`,
      );
  }
}
