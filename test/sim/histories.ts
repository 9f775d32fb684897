/**
 * The true histories, recorded outside of the cluster: each state that a primary ever committed, as a plain set of
 * facts, and its previous state. Histories diverge if two primaries write at the same time or an old backup is
 * restored, so this is a tree. A state is identified by its chain hash.
 */
import { idempotencyDigest, type WriteMeta, type WriteRequest, type WriteResult } from "../../src/log/append/append.ts";
import type { Fact, FactPattern } from "../../src/store/facts/fact.ts";
import type { StoreState } from "../../src/store/log/store-state.ts";

export interface Point {
  readonly hash: string;
  readonly parent: Point | undefined;
  /** The policy after the event. */
  readonly epoch: string;
  readonly offset: number;
  /** The digest of the node that committed the event. Not known for every state. */
  readonly digest: string | undefined;
  readonly facts: ReadonlySet<string>;
  /** The idempotency key of the request. */
  readonly request: string | undefined;
  /** The idempotency key as events store it. */
  readonly requestHash: string | undefined;
  readonly inserted: number;
  readonly deleted: number;
  readonly atMs: number;
  /** The node that committed it. */
  readonly by: string;
}

type Position = Pick<StoreState, "epoch" | "offset" | "hash">;

/** A violated invariant: the cluster did something that it must never do. */
export class Violation extends Error {}

export class Histories {
  readonly #points = new Map<string, Point>();
  /** Events that a node failed to commit and may find on its disk. */
  readonly #left = new Map<string, Point>();
  /** How many of these events were found. */
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

  /** A new database without a history was created. */
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

  /** The node `by` failed to commit a request as the next event after `parent`, but its disk may have the event. */
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

  /** A node has found the event on its disk. */
  #revive(point: Point | undefined): Point | undefined {
    if (point === undefined || !this.#left.delete(keyOf(point))) return point;
    this.#revive(point.parent);
    this.revived++;
    return this.#add(point);
  }

  /** A request changed nothing at a node that was at `point`. */
  idle(request: string, point: Point): void {
    push(this.#idle, request, point);
  }

  /** The points at which a request changed nothing. */
  foundIdle(request: string): readonly Point[] {
    return this.#idle.get(request) ?? [];
  }

  /** All states at a position: several if histories diverged within an epoch. */
  at(epoch: string, offset: number): readonly Point[] {
    return this.#byPosition.get(`${epoch}:${offset}`) ?? [];
  }

  /** The points at which the request was done: several on diverged histories, at most one on each history. */
  done(request: string): readonly Point[] {
    return this.#byRequest.get(request) ?? [];
  }

  /** Whether a history contains `point` and has reached that epoch. */
  continues(point: Point, epoch: string): boolean {
    return (this.#beginnings.get(epoch) ?? []).some((first) => isWithin(point, first));
  }

  /**
   * Whether a history of the same or a later term diverged before the point: nodes abandon the point for such a
   * history.
   */
  hasRivalOf(point: Point): boolean {
    const termOf = ({ epoch }: Point): number => this.#terms.get(epoch) ?? 0;
    return [...this.#points.values()].some(
      (other) => termOf(other) >= termOf(point) && !isWithin(point, other) && !isWithin(other, point),
    );
  }

  /** How many events follow it on the longest history that contains it. */
  wentOnFor(point: Point): number {
    const after = [...this.#points.values()].filter((other) => isWithin(point, other));
    return Math.max(...after.map(({ offset }) => offset)) - point.offset;
  }

  /** The node `by` has committed a request as the next event after `parent`. */
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

  /** 0 for the first epoch of a history. */
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

/** Whether the history that ends at `end` contains `point`. */
export function isWithin(point: Point, end: Point): boolean {
  let at: Point | undefined = end;
  while (at !== undefined && at.offset > point.offset) at = at.parent;
  return at === point;
}

/** The states from `end` backwards, while `holds` is true. */
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
