/**
 * Begins a new term at each start of a primary, before its first write. A primary cannot know whether its directory is
 * the newest: if a machine is rolled back, all notes of the directory are rolled back too. In a new term it cannot
 * assign a position twice, and tokens of lost writes are recognized. A term costs one event if nothing was lost: tokens
 * stay valid, and replicas continue from the log.
 */
import type { StoreState } from "../../store/log/store-state.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { reasonOf } from "../../util/reason.ts";

const log = getLogger("primary");

export interface StartTermOptions {
  /** Returns the next term, given the greatest term that other nodes know. */
  readonly next: (known: number) => number;
  readonly begin: (term: number) => Promise<StoreState>;
  readonly onBegun: () => void;
  /** Whether no term has to begin, because the history begins with this start. */
  readonly isBegun: boolean;
}

export class StartTerm {
  readonly #options: StartTermOptions;
  #isBegun: boolean;
  #known = 0;
  #beginning: Promise<void> | undefined;

  constructor(options: StartTermOptions) {
    this.#options = options;
    this.#isBegun = options.isBegun;
  }

  /** Before that, this primary writes nothing, and cannot tell other nodes whether they are up to date. */
  get isBegun(): boolean {
    return this.#isBegun;
  }

  /** Begins the term if it has not begun. Throws if that fails, usually because of the storage. */
  begin(): Promise<void> {
    if (this.#isBegun) return Promise.resolve();
    this.#beginning ??= this.#begin().finally(() => (this.#beginning = undefined));
    return this.#beginning;
  }

  /** Other nodes know this term, which this node can no longer have: the next write gets a later one. */
  readonly beginAfter = (term: number): void => {
    this.#known = Math.max(this.#known, term);
    this.#isBegun = false;
    this.begin().catch((error: unknown) =>
      log.warning("the new term could not begin, the next write tries again: {reason}", { reason: reasonOf(error) }),
    );
  };

  async #begin(): Promise<void> {
    const { next, begin, onBegun } = this.#options;
    const { term, epoch, offset } = await begin(next(this.#known));
    this.#isBegun = true;
    log.info("term {term} begins at {offset} with the epoch {epoch}", { term, offset, epoch });
    onBegun();
  }
}
