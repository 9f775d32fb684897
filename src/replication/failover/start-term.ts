/**
 * Begins a term for each start of a primary, before its first write. A primary can't know that its directory is the newest: a machine that is rolled
 * back takes all notes of the directory back with it. In a term of its own it gives no position a second time, and tokens of writes that were lost
 * are known as such. A term that loses nothing costs one event: tokens stay valid, and followers go on from the log.
 */
import type { StoreState } from "../../store/log/store-state.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { reasonOf } from "../../util/reason.ts";

const log = getLogger("primary");

export interface StartTermOptions {
  /** The term that comes next, given the greatest one that others know of. */
  readonly next: (known: number) => number;
  /** Begins it. */
  readonly begin: (term: number) => Promise<StoreState>;
  /** Called once it has begun. */
  readonly onBegun: () => void;
  /** Whether none has to begin, since the history itself begins with this start. */
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

  /** Before that, this primary writes nothing, and its word that a copy is the newest is worth nothing. */
  get isBegun(): boolean {
    return this.#isBegun;
  }

  /** Begins the term unless it has begun. Throws what kept it from that: the storage, mostly. */
  begin(): Promise<void> {
    if (this.#isBegun) return Promise.resolve();
    this.#beginning ??= this.#begin().finally(() => (this.#beginning = undefined));
    return this.#beginning;
  }

  /** Others know of that term, which this node can't have any more: the next write is of a later one. */
  readonly beginAfter = (term: number): void => {
    this.#known = Math.max(this.#known, term);
    this.#isBegun = false;
    this.begin().catch((error: unknown) =>
      log.warning("a new term could not begin, the next write tries again: {reason}", { reason: reasonOf(error) }),
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
