/** Notices at run time that another process takes itself for the same primary (`twins.ts`). The one that nobody follows gives way. */
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
    const { id, present, fence } = this.#options;
    const isAlive = !retained && head.i !== undefined && head.node === id;
    if (!isAlive || !isSameSuccession(head.n, present().term)) return false;
    if (!this.#isFollowed && head.n < present().term)
      fence.fence(
        `another process of the node ${id} is the primary of the same data, and was so before this one was started: the data directory is a copy of its directory. Stop one of the two`,
      );
    else if (this.#known !== head.i)
      log.error(
        "another process of the node {id} takes itself for the primary of the same data: it was started on a copy of this data directory, and what it accepts is not part of this history. Stop it",
        { id },
      );
    this.#known = head.i;
    return true;
  }
}
