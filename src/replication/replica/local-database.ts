/**
 * The database from which this node answers, on the serving thread: read-only connections and the engine over them. A
 * snapshot replaces all of them together. The previous ones stay open for a moment, for requests that are about to use
 * them. Then their file is deleted, once another node has verified the new database.
 */
import type { Limits } from "../../config/limits.ts";
import { Engine } from "../../engine/engine.ts";
import type { Connection } from "../../store/connection/connection.ts";
import { AnswerGate, type SharedDatabase } from "../../store/connection/answer-gate.ts";
import { type SequenceLock, newSequenceLock } from "../../store/connection/sequence-lock.ts";
import { removeReplacedStores, quarantineStore } from "../../store/directory/data-directory.ts";
import { readFormat } from "../../store/connection/database-format.ts";
import {
  attachAddedTables,
  detachAddedTables,
  hasDamagedAddedTables,
  hasPresentAddedTables,
  type MovedListener,
  moveDamagedAddedTables,
} from "../../store/connection/added-tables.ts";
import { openStore } from "../../store/connection/open-store.ts";
import { StoreFiles } from "../../store/directory/store-files.ts";
import { readState, type StoreState } from "../../store/log/store-state.ts";
import { getLogger } from "../../telemetry/logger.ts";
import { AppError } from "../../util/app-error.ts";
import type { Clock } from "../../util/clock.ts";
import type { NodeHealth } from "../node-health.ts";
import { expectedQuestionsFile, PlanWarmUp } from "./plan-warm-up.ts";

const closeDelayMs = 2000;
/** The pause between two steps of the warm-up. It leaves six sevenths of the thread to requests. */
const warmUpPauseMs = 2;

interface OpenDatabase {
  readonly path: string;
  readonly files: StoreFiles;
  readonly engine: Engine;
  /** The connection of the engine. */
  readonly store: Connection;
  /** A second read-only connection, for readers of the log: its transactions must not mix with those of queries. */
  readonly reader: Connection;
  /** The format of an older release; undefined for the newest one. */
  readonly keptFormat: number | undefined;
}

/** `engine`, `reader` and `path` throw AppError `not_ready` while there is no database. */
export class LocalDatabase implements SharedDatabase {
  readonly gate = new AnswerGate();
  readonly changes: SequenceLock;
  readonly #directory: string;
  readonly #limits: Limits;
  readonly #clock: Clock;
  /** Undefined if a writer has the tables beside the database. */
  readonly #onMoved: MovedListener | undefined;
  /** Replaced databases, each with the function that closes it now. */
  readonly #retired = new Map<OpenDatabase, () => void>();
  readonly #plans: PlanWarmUp;
  #opened: OpenDatabase | undefined;
  #isVerified = false;
  #policyId = 0;
  #reportedFormat: number | undefined;

  /** `changes` is the writer's. Without a writer, the data changes only when another file is opened. */
  constructor(directory: string, limits: Limits, clock: Clock, changes?: SequenceLock) {
    this.#clock = clock;
    this.changes = changes ?? newSequenceLock();
    this.#onMoved = changes === undefined ? logMoved : undefined;
    this.#directory = directory;
    this.#limits = limits;
    this.#plans = new PlanWarmUp(expectedQuestionsFile(directory), clock);
  }

  engine(): Engine {
    return this.#current().engine;
  }

  /** A read-only connection to the same file. */
  reader(): Connection {
    return this.#current().reader;
  }

  get path(): string {
    return this.#current().path;
  }

  /** Whether SQLite's report of damage concerns the tables beside the database, which answer nothing but the audit log. */
  hasDamagedAddedTables(): boolean {
    return this.#opened !== undefined && hasDamagedAddedTables(this.#opened.reader);
  }

  /** Of a node without a writer. */
  replaceAddedTables(): void {
    const opened = this.#current();
    this.#cleanUp(() => {
      for (const connection of [opened.store, opened.reader]) detachAddedTables(connection);
      const problem = moveDamagedAddedTables(opened.path);
      if (problem !== undefined) logMoved(problem);
    });
    this.reattachAddedTables();
  }

  /** The tables beside the database were replaced: reads the new ones. */
  reattachAddedTables(): void {
    const opened = this.#opened;
    if (opened?.keptFormat === undefined) return;
    try {
      for (const connection of [opened.store, opened.reader]) {
        if (hasPresentAddedTables(connection)) continue;
        if (connection.hasAddedTables) detachAddedTables(connection);
        attachAddedTables(connection, { onMoved: this.#onMoved });
      }
    } catch (error) {
      // A long list may be reading.
      getLogger("store").warning("the new tables beside the database cannot be used yet: {error}", { error });
      this.#clock.after(closeDelayMs, () => this.#opened === opened && this.reattachAddedTables());
    }
  }

  /** What the health of the node says of it. */
  health(): Pick<NodeHealth, "keptFormat" | "isWarmingUp"> {
    const keptFormat = this.#opened?.keptFormat;
    return {
      ...(keptFormat !== undefined && { keptFormat }),
      isWarmingUp: this.#plans.isFirst || this.gate.preparing.size > 0,
    };
  }

  get isOpen(): boolean {
    return this.#opened !== undefined;
  }

  /** Throws a StorageError if the files of the open database were deleted or replaced. */
  requireFiles(): void {
    this.#current().files.check();
  }

  /** Whether the database at `path` is the open one. Another one may have the path of an open one that was deleted. */
  isOpenAt(path: string): boolean {
    if (this.#opened?.path !== path) return false;
    try {
      this.requireFiles();
      return true;
    } catch {
      return false;
    }
  }

  /** Answers from the database at `path` from now on. With `isDistrusted` no start may use the previous one's file. */
  open(path: string, isDistrusted = false): StoreState {
    const previous = this.#opened;
    const { state, ...opened } = this.#read(path);
    const { engine } = opened;
    this.#opened = opened;
    this.gate.change();
    this.#isVerified = false;
    this.#policyId = 0;
    this.#plans.begin(engine, state.policyId !== 0);
    this.onStateChange(state);
    if (previous !== undefined) this.#retire(previous, isDistrusted);
    this.#warmUp(engine);
    return state;
  }

  /** Opens all connections or none. Otherwise each failed attempt would leak file descriptors. */
  #read(path: string): OpenDatabase & { readonly state: StoreState } {
    using opened = new DisposableStack();
    const open = (): Connection =>
      opened.adopt(openStore(path, { readonly: true, addedTables: this.#onMoved ?? true }), (store) => store.close());
    const [store, reader] = [open(), open()];
    const state = readState(store);
    const keptFormat = store.hasAddedTables ? readFormat(store) : undefined;
    if (keptFormat !== undefined) this.#reportKeptFormat(keptFormat);
    const engine = new Engine(store, {
      limits: this.#limits,
      changes: this.changes,
      onServingThread: true,
      after: this.#clock.after,
    });
    const files = new StoreFiles(path);
    opened.move();
    return { path, files, engine, store, reader, keptFormat, state };
  }

  /** Once, although a fallback may open a snapshot each second. */
  #reportKeptFormat(format: number): void {
    if (format === this.#reportedFormat) return;
    this.#reportedFormat = format;
    getLogger("store").info(
      "the database keeps format {format}, so the release that wrote it can use it again; when nobody needs that any more, stop the node and run `ostiary migrate`",
      { format },
    );
  }

  /** Another node has confirmed the content. The databases that this one replaced are not needed any more. */
  markVerified(): void {
    if (this.#isVerified || this.#opened === undefined) return;
    this.#isVerified = true;
    this.#cleanUp(() => this.#removeReplaced());
  }

  /** Compiles a new policy now, so that no query has to wait for that. */
  onStateChange({ policyId }: StoreState): void {
    this.#plans.onChange();
    if (policyId === this.#policyId) return;
    this.#policyId = policyId;
    try {
      this.#opened?.engine.warmUpPolicy();
    } catch (error) {
      // Requests get the same error.
      getLogger("replication").error("the active policy cannot be used: {error}", { error });
    }
  }

  close(): void {
    for (const close of this.#retired.values()) close();
    this.#plans.end();
    const opened = this.#opened;
    this.#opened = undefined;
    this.gate.change();
    if (opened !== undefined) closeDatabase(opened);
  }

  #current(): OpenDatabase {
    if (this.#opened === undefined) throw new AppError("not_ready", "this node has no copy of the data yet");
    return this.#opened;
  }

  /** Fills the symbol cache in small steps while this engine is in use. */
  #warmUp(engine: Engine): void {
    const steps = engine.warmUpSymbols();
    const step = (): void => {
      if (this.#opened?.engine !== engine) return;
      try {
        if (steps.next().done !== true) this.#clock.after(warmUpPauseMs, step);
      } catch (error) {
        // The file is damaged. Requests get the same error.
        getLogger("replication").warning("the symbol cache cannot be warmed up: {error}", { error });
      }
    };
    this.#clock.after(warmUpPauseMs, step);
  }

  #retire(opened: OpenDatabase, isDistrusted: boolean): void {
    const close = (): void => {
      cancel();
      this.#retired.delete(opened);
      closeDatabase(opened);
      this.#cleanUp(() => {
        if (isDistrusted) quarantineStore(opened.path);
        this.#removeReplaced();
      });
    };
    const cancel = this.#clock.after(closeDelayMs, close);
    this.#retired.set(opened, close);
  }

  /** Files that cannot be removed only take space, or are replaced later. */
  #cleanUp(body: () => void): void {
    try {
      body();
    } catch (error) {
      getLogger("store").error("replaced files cannot be removed: {error}", { error });
    }
  }

  #removeReplaced(): void {
    // Databases that were just replaced may still be read.
    const usedPaths = [...this.#retired.keys()].map(({ path }) => path);
    removeReplacedDatabases(this.#directory, this.#isVerified, usedPaths);
  }
}

/** As `removeReplacedStores`, and logs the file that it keeps. */
export function removeReplacedDatabases(
  directory: string,
  isVerified: boolean,
  usedPaths: readonly string[] = [],
): void {
  const previous = removeReplacedStores(directory, isVerified, usedPaths);
  if (previous === undefined) return;
  getLogger("store").warning(
    "the database of this node's previous history is kept as {previous}: remove it when you do not need it any more (rm {previous})",
    { previous },
  );
}

function logMoved(problem: string): void {
  getLogger("store").error("{problem}", { problem });
}

function closeDatabase({ engine, reader }: OpenDatabase): void {
  engine.close();
  reader.close();
}
