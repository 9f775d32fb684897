/**
 * Notices at run time that another process takes itself for the same primary (`twins.ts`). A head at a broker says so, but a broker may repeat what a
 * former process has published: such a head only raises an alert. A primary that nobody is known to follow asks its peers whom they follow; if that is
 * the other process, this one gives way.
 */
import type { State } from "../../store/state.ts";
import { isSameSuccession } from "../../store/terms.ts";
import { getLogger } from "../../telemetry/logger.ts";
import type { Head } from "../feed/envelope.ts";
import type { Fence } from "./fence.ts";

const log = getLogger("primary");

export interface TwinWatchOptions {
  /** This node's. */
  readonly id: string;
  /** Which start of its process this is. */
  readonly instance: string;
  readonly present: () => State;
  readonly fence: Fence;
}

export class TwinWatch {
  readonly #options: TwinWatchOptions;
  #isFollowed = false;
  #known: string | undefined;

  constructor(options: TwinWatchOptions) {
    this.#options = options;
  }

  /** Whether this process has published the head. */
  isOwn({ node, i }: Head): boolean {
    return node === this.#options.id && i === this.#options.instance;
  }

  /** A node stands in that epoch. */
  followed(epoch: string): void {
    this.#isFollowed ||= epoch === this.#options.present().epoch;
  }

  /** Whether a twin has published the head, and is alive. */
  isTwin(head: Head, retained: boolean): boolean {
    const { id } = this.#options;
    if (head.i === undefined || head.node !== id || !isSameSuccession(head.n, this.#options.present().term))
      return false;
    if (!retained && head.n >= this.#options.present().term && this.#known !== head.i) {
      this.#known = head.i;
      log.error(
        "another process of the node {id} takes itself for the primary of the same data: one of the two was started on a copy of the other's data directory. Stop the one that the nodes do not follow",
        { id },
      );
    }
    return true;
  }

  /** Whether nobody is known to follow this primary, so that its peers should be asked. */
  get isUncertain(): boolean {
    return !this.#isFollowed;
  }

  /** These primaries are followed by peers, and alive. */
  found(primaries: readonly Head[]): void {
    const { id, instance, present, fence } = this.#options;
    const ofNode = primaries.filter(({ node, n }) => node === id && isSameSuccession(n, present().term));
    if (ofNode.some(({ i }) => i === instance)) this.#isFollowed = true;
    else if (ofNode.some(({ i }) => i !== undefined))
      fence.fence(
        `another process of the node ${id} is the primary of the same data, and its peers follow that one: this data directory is a copy. Stop one of the two`,
      );
  }
}
