/**
 * Observes a node's writer: the file that it opened, its commits, and its position at each time, before other parts can
 * know them. The effect of an event is not read from the writer; it is computed from the request.
 */
import { idempotencyDigest, type WriteMeta, type WriteRequest, type WriteResult } from "../../src/log/append/append.ts";
import type { WriterOpenOptions } from "../../src/log/writer/writer-connection.ts";
import type { WriterCommands } from "../../src/log/writer/writer-commands.ts";
import { SqliteDatabase } from "../../src/runtime/sqlite.ts";
import type { StoreState } from "../../src/store/log/store-state.ts";
import { Violation, type Histories, type Point } from "./histories.ts";
import type { Time } from "./time.ts";

export interface Trace {
  readonly atMs: number;
  readonly point: Point;
}

interface LeftRow {
  readonly offset: number;
  readonly kind: string;
  readonly hash: string;
  readonly digest: string | undefined;
  /** As events store it. */
  readonly request: string | undefined;
  /** Where a new epoch begins. */
  readonly epoch: string | undefined;
}

/** How long reads may still use the previous state after a commit or a new file. */
const lagMs = 20;

export class StoreWatcher {
  readonly #name: string;
  readonly #time: Time;
  readonly #histories: Histories;
  readonly #fail: (violation: Violation) => void;
  readonly #trail: Trace[] = [];
  /** The states that a node without a writer has or may have made its own. */
  readonly #held = new Set<Point>();
  readonly #rows = new Map<number, { readonly hash: string; readonly digest: string | undefined }>();
  /** Events of a commit that was rolled back, whose requests have not failed yet, and the state before them. */
  #left: LeftRow[] = [];
  #leftAt: Point | undefined;
  #reader: SqliteDatabase | undefined;
  #opened: { readonly path: string; readonly atMs: number } | undefined;
  #point: Point | undefined;
  /** The `synchronous` mode of the writer. */
  synchronous: WriterOpenOptions["synchronous"] = "FULL";

  constructor(name: string, time: Time, histories: Histories, fail: (violation: Violation) => void) {
    this.#name = name;
    this.#time = time;
    this.#histories = histories;
    this.#fail = fail;
  }

  /** The open file, and since when it is open. */
  get opened(): { readonly path: string; readonly atMs: number } | undefined {
    return this.#opened;
  }

  /** The position of the file. */
  get point(): Point | undefined {
    return this.#point;
  }

  /** The states that a read since `fromMs` may have used. */
  since(fromMs: number): readonly Point[] {
    if (this.#trail.length === 0) return [...this.#held];
    const first = this.#trail.findLastIndex(({ atMs }) => atMs < fromMs - lagMs);
    return this.#trail.slice(Math.max(0, first)).map(({ point }) => point);
  }

  /** Call this before the file is closed or replaced. */
  letGo(): void {
    this.#reader?.close();
    this.#reader = undefined;
  }

  open({ path, synchronous }: WriterOpenOptions, state: StoreState): void {
    this.#opened = { path, atMs: this.#time.nowMs };
    this.synchronous = synchronous;
    this.#reader = new SqliteDatabase(path, { readonly: true });
    const point = this.#histories.find(state);
    if (point === undefined && state.offset === 0) this.#note(this.#histories.begin(state, this.#name));
    else this.#know(state);
  }

  /** Called right after a commit. */
  moved(state: StoreState): void {
    const last = this.#point;
    if (last === undefined || this.#reader === undefined) return;
    if (this.#histories.find(state) !== undefined) return this.#know(state);
    const rows = this.#reader
      .prepare("SELECT offset, hash, digest FROM log WHERE offset > ?1 ORDER BY offset")
      .values(last.offset);
    for (const [offset, hash, digest] of rows)
      this.#rows.set(Number(offset), { hash: String(hash), digest: digest === null ? undefined : String(digest) });
  }

  /** A commit will be rolled back, and its data stays on the disk. */
  left(): void {
    if (this.#point === undefined || this.#reader === undefined) return;
    const columns = "offset, kind, hash, digest, json_extract(body, '$.request'), json_extract(body, '$.epoch')";
    const rows = this.#reader.prepare(`SELECT ${columns} FROM log WHERE offset > ?1 ORDER BY offset`);
    this.#left = rows.values(this.#point.offset).map(([offset, kind, hash, digest, request, epoch]) => ({
      offset: Number(offset),
      kind: String(kind),
      hash: String(hash),
      digest: digest === null ? undefined : String(digest),
      request: request === null ? undefined : String(request),
      epoch: kind === "epoch" ? String(epoch) : undefined,
    }));
  }

  /** A request failed. If its event is on the disk all the same, the next process that opens the file may find it. */
  refused(request: WriteRequest, meta: WriteMeta): void {
    const name = idempotencyDigest(request, meta);
    const kind = request.kind === "batch" ? "facts" : request.kind;
    const index = this.#left.findIndex((row) => row.kind === kind && row.request === name);
    const row = this.#left[index];
    const parent = this.#leftAt ?? this.#point;
    if (row === undefined || parent === undefined) return;
    this.#left.splice(index, 1);
    const written = { request, meta, epoch: row.epoch ?? parent.epoch, offset: row.offset };
    this.#leftAt = this.#histories.left(parent, written, row, this.#time.nowMs, this.#name);
    if (this.#left.length === 0) this.#leftAt = undefined;
  }

  /** The result of a request, as the writer reports it. */
  wrote(request: WriteRequest, meta: WriteMeta, result: WriteResult): void {
    if (result.unchanged === true && meta.idempotencyKey !== undefined && this.#point !== undefined)
      this.#histories.idle(meta.idempotencyKey, this.#point);
    if (result.unchanged === true || result.repeated === true) return;
    const row = this.#rows.get(result.offset);
    this.#rows.delete(result.offset);
    const parent = this.#point;
    if (row === undefined || parent === undefined)
      return this.#fail(
        new Violation(`${this.#name} says that it committed ${result.offset}, its log has no such row`),
      );
    this.#attempt(() => {
      const written = { request, meta, result };
      this.#note(this.#histories.committed(parent, written, row, this.#time.nowMs, this.#name));
    });
  }

  /** A database was checked, or a snapshot unpacked, and found sound. The node may answer from it. */
  found(state: StoreState): void {
    this.#attempt(() => this.#held.add(this.#require(state)));
  }

  #know(state: StoreState): void {
    this.#attempt(() => this.#note(this.#require(state)));
  }

  #require(state: StoreState): Point {
    const point = this.#histories.find(state);
    if (point === undefined)
      throw new Violation(`${this.#name} has come to ${state.epoch}:${state.offset} ${state.hash}, which never was`);
    if (point.epoch !== state.epoch || point.offset !== state.offset)
      throw new Violation(`${this.#name} takes ${point.epoch}:${point.offset} for ${state.epoch}:${state.offset}`);
    if (point.digest !== undefined && point.digest !== state.digest)
      throw new Violation(
        `${this.#name} has another digest at ${state.epoch}:${state.offset} than was committed there`,
      );
    return point;
  }

  #note(point: Point): void {
    this.#point = point;
    this.#trail.push({ atMs: this.#time.nowMs, point });
  }

  #attempt(body: () => void): void {
    try {
      body();
    } catch (error) {
      if (!(error instanceof Violation)) throw error;
      this.#fail(error);
    }
  }
}

/** The writer's commands, observed. */
export function watchedWriter(commands: WriterCommands, watcher: StoreWatcher): WriterCommands {
  return {
    ...commands,
    open(options) {
      watcher.letGo();
      const state = commands.open(options);
      watcher.open(options, state);
      return state;
    },
    async write(request, meta) {
      const committed = await commands.write(request, meta).catch((error: unknown) => {
        watcher.refused(request, meta);
        throw error;
      });
      watcher.wrote(request, meta, committed.result);
      return committed;
    },
    close() {
      watcher.letGo();
      commands.close();
    },
  };
}
