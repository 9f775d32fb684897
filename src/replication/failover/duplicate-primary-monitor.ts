/**
 * Notices at run time that another process is the primary of the same node and data (`twins.ts`). A broker may repeat heads of a former process, so a
 * head only raises an alert. A primary that no node is known to follow asks its peers which primary they follow. If they follow another process
 * that was started earlier, this one gives way.
 */
import { compareEpochs } from "../../store/log/epochs.ts";
import type { StoreState } from "../../store/log/store-state.ts";
import { isSameFailover } from "../../store/log/terms.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { epochOf, type Head } from "../transport/messages.ts";
import type { Fence } from "./fence.ts";

const log = getLogger("primary");

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
