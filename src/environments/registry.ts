/**
 * The registry of environments: which ones there are, their display names, and which ones are deleted. It is the store
 * of an internal environment, whose facts are its entries. So it is replicated, restored and taken over by a successor
 * as all data are, and nodes of earlier versions do not notice it. It has no API.
 */
import type { FactChange } from "../log/event/event.ts";
import type { Fact, FactPattern } from "../store/facts/fact.ts";
import { AppError } from "../util/app-error.ts";
import type { RunningNode } from "../roles/node-service.ts";

/** No environment that an administrator creates can have this id, because ids end with a letter or a digit. */
export const registryEnvironment = "environments-";

/** Tells an environment from a later one with the same id. */
export interface EnvironmentIdentity {
  readonly id: string;
  readonly createdMs: number;
}

export interface RegisteredEnvironment extends EnvironmentIdentity {
  /** The display name. */
  readonly name: string;
  /** Undefined for an active environment. */
  readonly deletedMs: number | undefined;
}

const predicate = "environment";
/** A store takes no facts that its policy does not use. */
const policy = `actor Environment {}
allow(id: Environment, "exist", id: Environment) if
  environment(id, name, created, deleted) and
  name matches String and created matches String and deleted matches String;
`;
/** In place of the time of the deletion. */
const active = "active";
/** In place of the time of the deletion, when that is final. A node that was down meanwhile removes its data then. */
const removed = "removed";
/** In place of the id of an environment: until when this list may lack some, because it was made from backups. */
const incomplete = registryEnvironment;
/** More are forgotten, the oldest first. */
const removedMax = 1000;

export class EnvironmentRegistry {
  readonly service: RunningNode;
  #state: unknown;
  #entries: readonly RegisteredEnvironment[] = [];
  #removed: readonly EnvironmentIdentity[] = [];
  /** Environments whose last change is committed here, but was not acknowledged. */
  readonly #unacknowledged = new Set<string>();
  #incompleteUntilMs: number | undefined;

  constructor(service: RunningNode) {
    this.service = service;
  }

  get isPrimary(): boolean {
    return this.service.node().role === "primary";
  }

  /**
   * All environments whose deletion is not final, the oldest first. Undefined while this node has no copy of the registry.
   */
  entries(): readonly RegisteredEnvironment[] | undefined {
    const node = this.service.node();
    const state = node.state();
    if (state === undefined) return undefined;
    if (state !== this.#state) {
      const facts = node.engine().facts({ predicate, args: [] });
      const found = facts.map((fact) => ({ ...entryOf(fact), isRemoved: fact.args[3]?.id === removed }));
      const all = found.filter(({ id }) => id !== incomplete);
      this.#incompleteUntilMs = found.find(({ id }) => id === incomplete)?.deletedMs;
      all.sort((a, b) => a.createdMs - b.createdMs);
      this.#entries = all.filter(({ isRemoved }) => !isRemoved);
      this.#removed = all.filter(({ isRemoved }) => isRemoved);
      this.#state = state;
    }
    return this.#entries;
  }

  /** Environments whose deletion is final, as of the last `entries`. */
  get removed(): readonly EnvironmentIdentity[] {
    return this.#removed;
  }

  /** Until when it may lack environments, in ms since 1970, as of the last `entries`. Undefined if it has all. */
  get incompleteUntilMs(): number | undefined {
    return this.#incompleteUntilMs;
  }

  /** Until `untilMs` (ms since 1970) it may lack environments; undefined: it has all. AppError `not_ready` as `put`. */
  async markIncomplete(untilMs: number | undefined): Promise<void> {
    const note = { id: incomplete, name: incomplete, createdMs: 0, deletedMs: untilMs };
    const inserts = untilMs === undefined ? [] : [factOf(note)];
    await this.#write([{ deletes: [patternOf(note)] }, { inserts }]);
    this.entries();
  }

  find(id: string): RegisteredEnvironment | undefined {
    return this.entries()?.find((entry) => entry.id === id);
  }

  /**
   * Whether the last change of the environment is committed here, but was not acknowledged by enough edges. To repeat it
   * waits for them again, and so does `awaitEdges`.
   */
  isUnacknowledged(id: string): boolean {
    return this.#unacknowledged.has(id);
  }

  /**
   * Adds the environment, or replaces its entry, or that of `earlier`. Resolves when enough edges have acknowledged it.
   * AppError `not_ready` if this node may not write, or, with `mayBeDone`, if edges are missing.
   */
  put(entry: RegisteredEnvironment, earlier: EnvironmentIdentity = entry): Promise<void> {
    return this.#change(entry.id, [{ deletes: [patternOf(earlier)] }, { inserts: [factOf(entry)] }]);
  }

  /** Resolves when enough edges have acknowledged the last change of the environment. AppError `not_ready` as `put`. */
  awaitEdges(id: string): Promise<void> {
    return this.#change(id, []);
  }

  /** The deletion is final. The entry that remains has no display name. AppError `not_ready` as `put`. */
  async remove(environment: EnvironmentIdentity): Promise<void> {
    const forgotten = this.#removed.slice(0, Math.max(0, this.#removed.length + 1 - removedMax));
    const deletes = [environment, ...forgotten].map(patternOf);
    await this.#write([{ deletes }, { inserts: [removedFact(environment)] }]);
  }

  /** Removes the entry, so that no node removes data because of it. AppError `not_ready` as `put`. */
  forget(environment: EnvironmentIdentity): Promise<void> {
    return this.#change(environment.id, [{ deletes: [patternOf(environment)] }]);
  }

  async #change(id: string, changes: readonly FactChange[]): Promise<void> {
    try {
      await this.#write(changes);
      this.#unacknowledged.delete(id);
    } catch (error) {
      if (isUncertain(error)) this.#unacknowledged.add(id);
      throw error;
    }
  }

  async #write(changes: readonly FactChange[]): Promise<void> {
    const { writes } = this.service.node();
    if (writes === undefined)
      throw new AppError("not_ready", "another node has the primary of the registry of environments, try again");
    const meta = { traceparent: null };
    if (this.service.node().state()?.policyId === 0)
      await writes.policy({ source: policy, filename: null, force: true }, meta).catch((error: unknown) => {
        // The changes wait for the same edges.
        if (!isUncertain(error)) throw error;
      });
    await writes.batch(changes, meta);
  }
}

const isUncertain = (error: unknown): boolean => error instanceof AppError && error.mayBeDone;

const text = (id: string) => ({ type: "String", id });

function factOf({ id, name, createdMs, deletedMs }: RegisteredEnvironment): Fact {
  return fact(id, name, createdMs, deletedMs === undefined ? active : String(deletedMs));
}

const removedFact = ({ id, createdMs }: EnvironmentIdentity): Fact => fact(id, id, createdMs, removed);

function fact(id: string, name: string, createdMs: number, deleted: string): Fact {
  return { predicate, args: [{ type: "Environment", id }, text(name), text(String(createdMs)), text(deleted)] };
}

function entryOf({ args }: Fact): RegisteredEnvironment {
  const [id = "", name = "", created = "", deleted = active] = args.map((value) => value.id);
  return { id, name, createdMs: Number(created), deletedMs: deleted === active ? undefined : Number(deleted) };
}

function patternOf({ id, createdMs }: EnvironmentIdentity): FactPattern {
  const any = { type: null, id: null };
  return { predicate, args: [{ type: "Environment", id }, any, text(String(createdMs)), any] };
}
