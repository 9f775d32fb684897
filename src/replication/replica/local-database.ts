/**
 * The database that this node answers from, on the serving thread: a read-only connection and the engine over it. A snapshot replaces both at
 * once. The old ones stay open for a moment, for a request that has just asked for them; only then do their files go, and only once the new one is
 * proven.
 */
import type { Limits } from "../../config/limits.ts";
import { Engine } from "../../engine/engine.ts";
import type { Connection } from "../../store/connection/connection.ts";
import { type SequenceLock, newSequenceLock } from "../../store/connection/sequence-lock.ts";
import { removeReplacedStores, quarantineStore } from "../../store/directory/data-directory.ts";
import { openStore } from "../../store/connection/open-store.ts";
import { readState, type StoreState } from "../../store/log/store-state.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { AppError } from "../../util/app-error.ts";
import type { Clock } from "../../util/clock.ts";

const closeDelayMs = 2000;
/** Between two steps of reading ids ahead: others get six sevenths of the thread meanwhile. */
const warmUpPauseMs = 2;

interface OpenDatabase {
  readonly path: string;
  readonly engine: Engine;
  /** A further read-only connection, for whoever reads the log: its transactions are not those of questions. */
  readonly reader: Connection;
}

export class LocalDatabase {
  readonly #directory: string;
  readonly #limits: Limits;
  readonly #clock: Clock;
  readonly #changes: SequenceLock;
  /** With the way to end them now. */
  readonly #retired = new Map<OpenDatabase, () => void>();
  #opened: OpenDatabase | undefined;
  #isProven = false;
  #policyId = 0;

  /** `changes` are those of the writer; without one, nothing changes but by another file. */
  constructor(directory: string, limits: Limits, clock: Clock, changes: SequenceLock = newSequenceLock()) {
    this.#clock = clock;
    this.#changes = changes;
    this.#directory = directory;
    this.#limits = limits;
  }

  /** AppError `not_ready` while there is no copy. */
  engine(): Engine {
    return this.#present().engine;
  }

  /** A read-only connection to the same file. AppError `not_ready` while there is no copy. */
  reader(): Connection {
    return this.#present().reader;
  }

  /** AppError `not_ready` while there is no copy. */
  get path(): string {
    return this.#present().path;
  }

  get isOpen(): boolean {
    return this.#opened !== undefined;
  }

  /** Answers from the database at `path` from now on. With `isDistrusted` the one before is wrong, and nobody shall ever start from it. */
  open(path: string, isDistrusted = false): StoreState {
    const old = this.#opened;
    const { state, ...opened } = this.#read(path);
    const { engine } = opened;
    this.#opened = opened;
    this.#isProven = false;
    this.#policyId = 0;
    this.onStateChange(state);
    if (old !== undefined) this.#retire(old, isDistrusted);
    this.#learn(engine);
    return state;
  }

  /** Opens all of it or nothing: what was left open would take descriptors with each attempt. */
  #read(path: string): OpenDatabase & { readonly state: StoreState } {
    using opened = new DisposableStack();
    const open = (): Connection => opened.adopt(openStore(path, { readonly: true }), (store) => store.close());
    const [store, reader] = [open(), open()];
    const state = readState(store);
    const engine = new Engine(store, {
      limits: this.#limits,
      changes: this.#changes,
      onServingThread: true,
      after: this.#clock.after,
    });
    opened.move();
    return { path, engine, reader, state };
  }

  /** Another node has confirmed what is in the present database: those that it replaced are not needed any more. */
  markVerified(): void {
    if (this.#isProven || this.#opened === undefined) return;
    this.#isProven = true;
    this.#tidy(() => this.#removeReplaced());
  }

  /** Compiles a policy that came with the new position, so that no question has to wait for it. */
  onStateChange({ policyId }: StoreState): void {
    if (policyId === this.#policyId) return;
    this.#policyId = policyId;
    try {
      this.#opened?.engine.warmUpPolicy();
    } catch (error) {
      // Whoever asks is told the same.
      getLogger("replication").error("the active policy can't be used: {error}", { error });
    }
  }

  close(): void {
    for (const end of this.#retired.values()) end();
    if (this.#opened !== undefined) closeBoth(this.#opened);
    this.#opened = undefined;
  }

  #present(): OpenDatabase {
    if (this.#opened === undefined) throw new AppError("not_ready", "this node has no copy of the data yet");
    return this.#opened;
  }

  /** For as long as this is the engine that answers. */
  #learn(engine: Engine): void {
    const steps = engine.warmUpSymbols();
    const next = (): void => {
      if (this.#opened?.engine !== engine) return;
      try {
        if (steps.next().done !== true) this.#clock.after(warmUpPauseMs, next);
      } catch (error) {
        // A damaged file, as whoever asks will be told.
        getLogger("replication").warning("ids can't be read ahead: {error}", { error });
      }
    };
    this.#clock.after(warmUpPauseMs, next);
  }

  #retire(opened: OpenDatabase, isDistrusted: boolean): void {
    const end = (): void => {
      cancel();
      this.#retired.delete(opened);
      closeBoth(opened);
      this.#tidy(() => {
        if (isDistrusted) quarantineStore(opened.path);
        this.#removeReplaced();
      });
    };
    const cancel = this.#clock.after(closeDelayMs, end);
    this.#retired.set(opened, end);
  }

  /** Files that can't be removed cost room, and nothing else. */
  #tidy(body: () => void): void {
    try {
      body();
    } catch (error) {
      getLogger("store").error("databases that were replaced can't be put away: {error}", { error });
    }
  }

  #removeReplaced(): void {
    // Those that have just retired may still be read.
    const usedPaths = [...this.#retired.keys()].map(({ path }) => path);
    removeReplacedDatabases(this.#directory, this.#isProven, usedPaths);
  }
}

/** As `removeReplacedStores`, and says what is kept. */
export function removeReplacedDatabases(directory: string, isProven: boolean, usedPaths: readonly string[] = []): void {
  const previous = removeReplacedStores(directory, isProven, usedPaths);
  if (previous === undefined) return;
  getLogger("store").warning(
    "the database of the history that this node had before is kept as {previous}: remove it once nobody needs it (rm {previous})",
    { previous },
  );
}

function closeBoth({ engine, reader }: OpenDatabase): void {
  engine.close();
  reader.close();
}
