/**
 * The truth, kept beside the cluster and without it: every state that a primary ever committed, as a plain set of facts, and from which state it
 * came. Where two primaries wrote at once, or an old backup was put back, histories part; so this is a tree. A state is known by the chain hash at it.
 */
import {
  idempotencyDigest,
  type WriteMeta,
  type WriteRequest,
  type WriteResult,
} from "../../src/replication/log/append.ts";
import type { Fact, FactPattern } from "../../src/store/facts/fact.ts";
import type { StoreState } from "../../src/store/log/store-state.ts";

export interface Point {
  readonly hash: string;
  readonly parent: Point | undefined;
  /** In force after the event that led here. */
  readonly epoch: string;
  readonly offset: number;
  /** As the node had it that committed the event; not known of every state. */
  readonly digest: string | undefined;
  readonly facts: ReadonlySet<string>;
  /** What its sender called the request that was done here. */
  readonly request: string | undefined;
  /** The same as events name it. */
  readonly requestHash: string | undefined;
  readonly inserted: number;
  readonly deleted: number;
  readonly atMs: number;
  /** Which node committed it. */
  readonly by: string;
}

type Position = Pick<StoreState, "epoch" | "offset" | "hash">;

/** What went wrong: the cluster did what it must never do. */
export class Violation extends Error {}

export class Histories {
  readonly #points = new Map<string, Point>();
  /** What a node has failed to commit and may find on its disk. */
  readonly #left = new Map<string, Point>();
  /** How many of these were found. */
  revived = 0;
  readonly #byRequest = new Map<string, Point[]>();
  readonly #idle = new Map<string, Point[]>();
  readonly #byPosition = new Map<string, Point[]>();
  readonly #beginnings = new Map<string, Point[]>();
  /** By epoch. */
  readonly #terms = new Map<string, number>();
  #greatestTerm = 0;
  readonly #onLed: (point: Point) => void;

  /** `onLed` is called when a primary begins a later term than all before. */
  constructor(onLed: (point: Point) => void = () => {}) {
    this.#onLed = onLed;
  }

  get size(): number {
    return this.#points.size;
  }

  /** A store was made that has no history yet. */
  begin(state: Position, by: string): Point {
    return this.#add({
      hash: state.hash,
      parent: undefined,
      epoch: state.epoch,
      offset: 0,
      digest: undefined,
      facts: new Set(),
      request: undefined,
      requestHash: undefined,
      inserted: 0,
      deleted: 0,
      atMs: 0,
      by,
    });
  }

  find(state: Position): Point | undefined {
    const point = this.#points.get(keyOf(state));
    return point ?? this.#revive(this.#left.get(keyOf(state)));
  }

  /** The node `by` has failed to commit a request as the next event behind `parent`, but its disk may have it. */
  left(
    parent: Point,
    written: { readonly request: WriteRequest; readonly meta: WriteMeta } & Pick<Point, "epoch" | "offset">,
    row: { readonly hash: string; readonly digest: string | undefined },
    atMs: number,
    by: string,
  ): Point {
    const { request, meta, epoch, offset } = written;
    const facts = applied(parent.facts, request);
    const names = { request: meta.idempotencyKey, requestHash: idempotencyDigest(request, meta) };
    const { hash, digest } = row;
    const point = {
      hash,
      digest,
      ...names,
      parent,
      epoch,
      offset,
      facts,
      ...difference(parent.facts, facts),
      atMs,
      by,
    };
    this.#left.set(keyOf(point), point);
    return point;
  }

  /** A node has it after all. */
  #revive(point: Point | undefined): Point | undefined {
    if (point === undefined || !this.#left.delete(keyOf(point))) return point;
    this.#revive(point.parent);
    this.revived++;
    return this.#add(point);
  }

  /** The node that stands at `point` had nothing to do for a request: it asked for what was so already. */
  idle(request: string, point: Point): void {
    push(this.#idle, request, point);
  }

  /** Where a request had nothing to do. */
  foundIdle(request: string): readonly Point[] {
    return this.#idle.get(request) ?? [];
  }

  /** All states at a position: several where histories parted within an epoch. */
  at(epoch: string, offset: number): readonly Point[] {
    return this.#byPosition.get(`${epoch}:${offset}`) ?? [];
  }

  /** Where the request was done: more than once on histories that parted, never more than once on one. */
  done(request: string): readonly Point[] {
    return this.#byRequest.get(request) ?? [];
  }

  /** Whether there is a history that contains `point` and has come to that epoch. */
  continues(point: Point, epoch: string): boolean {
    return (this.#beginnings.get(epoch) ?? []).some((first) => isWithin(point, first));
  }

  /** Whether a history of the same term or a later one parted from that of the point before it: nodes give the point up for such a history. */
  hasRivalOf(point: Point): boolean {
    const termOf = ({ epoch }: Point): number => this.#terms.get(epoch) ?? 0;
    return [...this.#points.values()].some(
      (other) => termOf(other) >= termOf(point) && !isWithin(point, other) && !isWithin(other, point),
    );
  }

  /** How many events came after it on the longest history that contains it. */
  wentOnFor(point: Point): number {
    const after = [...this.#points.values()].filter((other) => isWithin(point, other));
    return Math.max(...after.map(({ offset }) => offset)) - point.offset;
  }

  /** The node `by` has committed a request as the next event behind `parent`. */
  committed(
    parent: Point,
    written: { readonly request: WriteRequest; readonly meta: WriteMeta; readonly result: WriteResult },
    row: { readonly hash: string; readonly digest: string | undefined },
    atMs: number,
    by: string,
  ): Point {
    const { request, meta, result } = written;
    if (result.offset !== parent.offset + 1)
      throw new Violation(`${by} committed ${result.offset} behind ${parent.offset}`);
    const facts = applied(parent.facts, request);
    const { inserted, deleted } = difference(parent.facts, facts);
    if (request.kind === "batch") requireCounts(result, inserted, deleted, by);
    if (meta.idempotencyKey !== undefined) this.#requireFirst(meta.idempotencyKey, parent, by);
    const { epoch, offset } = result;
    if (this.at(epoch, offset).length > 0)
      throw new Violation(`${by} committed ${epoch}:${offset}, a position that was used before`);
    const names = { request: meta.idempotencyKey, requestHash: idempotencyDigest(request, meta) };
    const point = this.#add({ ...row, ...names, parent, epoch, offset, facts, inserted, deleted, atMs, by });
    if (request.kind === "epoch") this.#led(point, request.term);
    return point;
  }

  #led(point: Point, term: number): void {
    this.#terms.set(point.epoch, term);
    if (term <= this.#greatestTerm) return;
    this.#greatestTerm = term;
    this.#onLed(point);
  }

  /** 0 of a history's first epoch. */
  termOf(epoch: string): number {
    return this.#terms.get(epoch) ?? 0;
  }

  #requireFirst(name: string, parent: Point, by: string): void {
    const earlier = this.done(name).find((point) => isWithin(point, parent));
    if (earlier !== undefined)
      throw new Violation(`${by} did a request again at ${parent.offset + 1} that was done at ${earlier.offset}`);
  }

  #add(point: Point): Point {
    this.#points.set(keyOf(point), point);
    if (point.parent?.epoch !== point.epoch) push(this.#beginnings, point.epoch, point);
    push(this.#byPosition, `${point.epoch}:${point.offset}`, point);
    if (point.request !== undefined) push(this.#byRequest, point.request, point);
    return point;
  }
}

/** Whether the history that has come to `end` contains `point`. */
export function isWithin(point: Point, end: Point): boolean {
  let at: Point | undefined = end;
  while (at !== undefined && at.offset > point.offset) at = at.parent;
  return at === point;
}

/** The states from `end` back, as long as `holds`. */
export function* backFrom(end: Point, holds: (point: Point) => boolean): Generator<Point> {
  for (let at: Point | undefined = end; at !== undefined && holds(at); at = at.parent) yield at;
}

export function factText({ predicate, args }: Fact): string {
  return `${predicate}(${args.map(({ type, id }) => `${type}:${id}`).join(", ")})`;
}

function keyOf({ epoch, offset, hash }: Position): string {
  return offset === 0 ? `begin ${epoch}` : hash;
}

function push<T>(map: Map<string, T[]>, key: string, value: T): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}

function applied(before: ReadonlySet<string>, request: WriteRequest): ReadonlySet<string> {
  if (request.kind === "clear") return new Set();
  if (request.kind !== "batch") return before;
  const facts = new Set(before);
  for (const change of request.changes) {
    if ("inserts" in change) for (const fact of change.inserts) facts.add(factText(fact));
    else
      for (const pattern of change.deletes) for (const fact of [...facts].filter(covers(pattern))) facts.delete(fact);
  }
  return facts;
}

function difference(before: ReadonlySet<string>, after: ReadonlySet<string>) {
  const inserted = [...after].filter((fact) => !before.has(fact)).length;
  const deleted = [...before].filter((fact) => !after.has(fact)).length;
  return { inserted, deleted };
}

function covers({ predicate, args }: FactPattern): (fact: string) => boolean {
  const wanted = args.map(({ type, id }) => (type === null ? "" : id === null ? `${type}:` : `${type}:${id}`));
  return (fact) => {
    const [name, rest = ""] = fact.slice(0, -1).split("(");
    const found = rest.split(", ");
    return (
      name === predicate &&
      found.length === wanted.length &&
      wanted.every((want, index) =>
        want.endsWith(":") || want === "" ? found[index]?.startsWith(want) : found[index] === want,
      )
    );
  };
}

function requireCounts(result: WriteResult, inserted: number, deleted: number, by: string): void {
  if (result.inserted === inserted && result.deleted === deleted) return;
  throw new Violation(
    `${by} says that ${result.offset} inserted ${result.inserted} and deleted ${result.deleted} facts, it should be ${inserted} and ${deleted}`,
  );
}
