/**
 * The registry of environments: which ones there are, their display names, and which ones are deleted. It is the store
 * of an internal environment, whose facts are its entries. So it is replicated, restored and taken over by a successor
 * as all data are, and nodes of earlier versions do not notice it. It has no API.
 */
import type { FactChange } from "../engine/state/event.ts";
import type { Fact, FactPattern } from "../store/facts/fact.ts";
import { AppError } from "../util/app-error.ts";
import type { RunningNode } from "./node-service.ts";

/** No environment that an administrator creates can have this id, because ids end with a letter or a digit. */
export const registryEnvironment = "environments-";

export interface RegisteredEnvironment {
  readonly id: string;
  /** The display name. */
  readonly name: string;
  /** Also tells an environment from a later one with the same id. */
  readonly createdMs: number;
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

export class EnvironmentRegistry {
  readonly service: RunningNode;
  #state: unknown;
  #entries: readonly RegisteredEnvironment[] = [];

  constructor(service: RunningNode) {
    this.service = service;
  }

  get isPrimary(): boolean {
    return this.service.node().role === "primary";
  }

  /** All entries, the oldest first. Undefined while this node has no copy of the registry. */
  entries(): readonly RegisteredEnvironment[] | undefined {
    const node = this.service.node();
    const state = node.state();
    if (state === undefined) return undefined;
    if (state !== this.#state) {
      const facts = node.engine().facts({ predicate, args: [] });
      this.#entries = facts.map(entryOf).toSorted((a, b) => a.createdMs - b.createdMs);
      this.#state = state;
    }
    return this.#entries;
  }

  find(id: string): RegisteredEnvironment | undefined {
    return this.entries()?.find((entry) => entry.id === id);
  }

  /** Adds the entry, or replaces the one with the same id. AppError `not_ready` if this node may not write. */
  async put(entry: RegisteredEnvironment): Promise<void> {
    await this.#write([{ deletes: [patternOf(entry.id)] }, { inserts: [factOf(entry)] }]);
  }

  async remove(id: string): Promise<void> {
    await this.#write([{ deletes: [patternOf(id)] }]);
  }

  async #write(changes: readonly FactChange[]): Promise<void> {
    const { writes } = this.service.node();
    if (writes === undefined)
      throw new AppError("not_ready", "another node has the primary of the registry of environments, try again");
    const meta = { traceparent: null };
    if (this.service.node().state()?.policyId === 0)
      await writes.policy({ source: policy, filename: null, force: true }, meta);
    await writes.batch(changes, meta);
  }
}

const text = (id: string) => ({ type: "String", id });

function factOf({ id, name, createdMs, deletedMs }: RegisteredEnvironment): Fact {
  const deleted = deletedMs === undefined ? active : String(deletedMs);
  return { predicate, args: [{ type: "Environment", id }, text(name), text(String(createdMs)), text(deleted)] };
}

function entryOf({ args }: Fact): RegisteredEnvironment {
  const [id = "", name = "", created = "", deleted = active] = args.map((value) => value.id);
  return { id, name, createdMs: Number(created), deletedMs: deleted === active ? undefined : Number(deleted) };
}

function patternOf(id: string): FactPattern {
  const any = { type: null, id: null };
  return { predicate, args: [{ type: "Environment", id }, any, any, any] };
}
