/**
 * The database that this node answers from, on the serving thread: a read-only connection and the engine over it. A snapshot replaces both at
 * once. The old ones stay open for a moment, for a request that has just asked for them; only then do their files go.
 */
import type { Limits } from "../config/limits.ts";
import { Engine } from "../engine/engine.ts";
import type { SqlDatabase } from "../runtime/sqlite.ts";
import { type Changes, newChanges } from "../store/changes.ts";
import { removeOldStores } from "../store/data-directory.ts";
import { openStore } from "../store/database.ts";
import { readState, type State } from "../store/state.ts";
import { getLogger } from "../telemetry/logger.ts";
import { AppError } from "../util/app-error.ts";
import type { Clock } from "../util/clock.ts";

const closeDelayMs = 2000;
/** Between two steps of reading ids ahead: others get six sevenths of the thread meanwhile. */
const learnPauseMs = 2;

interface Opened {
  readonly path: string;
  readonly engine: Engine;
  /** A further read-only connection, for whoever reads the log: its transactions are not those of questions. */
  readonly reader: SqlDatabase;
}

export class Copy {
  readonly #directory: string;
  readonly #limits: Limits;
  readonly #clock: Clock;
  readonly #changes: Changes;
  readonly #retired = new Map<Opened, () => void>();
  #opened: Opened | undefined;
  #policyId = 0;

  /** `changes` are those of the writer; without one, nothing changes but by another file. */
  constructor(directory: string, limits: Limits, clock: Clock, changes: Changes = newChanges()) {
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
  reader(): SqlDatabase {
    return this.#present().reader;
  }

  /** AppError `not_ready` while there is no copy. */
  get path(): string {
    return this.#present().path;
  }

  get ready(): boolean {
    return this.#opened !== undefined;
  }

  /** Answers from the database at `path` from now on. */
  open(path: string): State {
    const store = openStore(path, { readonly: true });
    const state = readState(store);
    const old = this.#opened;
    const engine = new Engine(store, {
      limits: this.#limits,
      changes: this.#changes,
      inPlace: true,
      after: this.#clock.after,
    });
    this.#opened = { path, engine, reader: openStore(path, { readonly: true }) };
    this.#policyId = 0;
    this.moved(state);
    if (old !== undefined) this.#retire(old);
    this.#learn(engine);
    return state;
  }

  /** Compiles a policy that came with the new position, so that no question has to wait for it. */
  moved({ policyId }: State): void {
    if (policyId === this.#policyId) return;
    this.#policyId = policyId;
    try {
      this.#opened?.engine.refresh();
    } catch (error) {
      // Whoever asks is told the same.
      getLogger("replication").error("the active policy can't be used: {error}", { error });
    }
  }

  close(): void {
    for (const [opened, cancel] of this.#retired) {
      cancel();
      closeBoth(opened);
    }
    this.#retired.clear();
    if (this.#opened !== undefined) closeBoth(this.#opened);
    this.#opened = undefined;
  }

  #present(): Opened {
    if (this.#opened === undefined) throw new AppError("not_ready", "this node has no copy of the data yet");
    return this.#opened;
  }

  /** For as long as this is the engine that answers. */
  #learn(engine: Engine): void {
    const steps = engine.learnIds();
    const next = (): void => {
      if (this.#opened?.engine !== engine) return;
      try {
        if (steps.next().done !== true) this.#clock.after(learnPauseMs, next);
      } catch (error) {
        // A damaged file, as whoever asks will be told.
        getLogger("replication").warning("ids can't be read ahead: {error}", { error });
      }
    };
    this.#clock.after(learnPauseMs, next);
  }

  #retire(opened: Opened): void {
    const cancel = this.#clock.after(closeDelayMs, () => {
      this.#retired.delete(opened);
      closeBoth(opened);
      // Others that retired since may still be read: their open files outlive their names.
      removeOldStores(this.#directory);
    });
    this.#retired.set(opened, cancel);
  }
}

function closeBoth({ engine, reader }: Opened): void {
  engine.close();
  reader.close();
}
