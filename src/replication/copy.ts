/**
 * The database that this node answers from, on the serving thread: a read-only connection and the engine over it. A snapshot replaces both at
 * once. The old ones stay open for a moment, for a request that has just asked for them; only then do their files go.
 */
import { Engine } from "../engine/engine.ts";
import type { Limits } from "../config/limits.ts";
import { type Changes, newChanges } from "../store/changes.ts";
import { openStore } from "../store/database.ts";
import { removeOldStores } from "../store/data-directory.ts";
import { readState, type State } from "../store/state.ts";
import { getLogger } from "../telemetry/logger.ts";
import { AppError } from "../util/app-error.ts";

const closeDelayMs = 2000;

export class Copy {
  readonly #directory: string;
  readonly #limits: Limits;
  readonly #changes: Changes;
  readonly #retired = new Map<Engine, ReturnType<typeof setTimeout>>();
  #engine: Engine | undefined;
  #policyId = 0;

  /** `changes` are those of the writer; without one, nothing changes but by another file. */
  constructor(directory: string, limits: Limits, changes: Changes = newChanges()) {
    this.#changes = changes;
    this.#directory = directory;
    this.#limits = limits;
  }

  /** AppError `not_ready` while there is no copy. */
  engine(): Engine {
    if (this.#engine === undefined) throw new AppError("not_ready", "this node has no copy of the data yet");
    return this.#engine;
  }

  get ready(): boolean {
    return this.#engine !== undefined;
  }

  /** Answers from the database at `path` from now on. */
  open(path: string): State {
    const store = openStore(path, { readonly: true });
    const state = readState(store);
    const old = this.#engine;
    this.#engine = new Engine(store, { limits: this.#limits, changes: this.#changes, inPlace: true });
    this.#policyId = 0;
    this.moved(state);
    if (old !== undefined) this.#retire(old);
    return state;
  }

  /** Compiles a policy that came with the new position, so that no question has to wait for it. */
  moved({ policyId }: State): void {
    if (policyId === this.#policyId) return;
    this.#policyId = policyId;
    try {
      this.#engine?.refresh();
    } catch (error) {
      // Whoever asks is told the same.
      getLogger("replication").error("the active policy can't be used: {error}", { error });
    }
  }

  close(): void {
    for (const [engine, timer] of this.#retired) {
      clearTimeout(timer);
      engine.close();
    }
    this.#retired.clear();
    this.#engine?.close();
    this.#engine = undefined;
  }

  #retire(engine: Engine): void {
    const timer = setTimeout(() => {
      this.#retired.delete(engine);
      engine.close();
      // Others that retired since may still be read: their open files outlive their names.
      removeOldStores(this.#directory);
    }, closeDelayMs);
    this.#retired.set(engine, timer);
  }
}
